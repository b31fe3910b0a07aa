"""An archive of one account is restored into another only where somebody says that it is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from projections.timeline import Filter, read_timeline
from snapshots.restoring.report import readable
from snapshots.restoring.restore import OtherAccount
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import Books


@pytest.mark.parametrize("choices", [{}, {"mode": "add"}, {"dry_run": True}])
def test_m05_an_archive_of_another_account_is_refused_unless_it_is_meant(
    fresh_account: OpenAccount, tmp_path: Path, choices: dict[str, Any]
) -> None:
    books, other = Books(fresh_account()), Books(fresh_account())
    books.customer()
    other.customer()
    archive = books.backup(tmp_path)
    before = other.rows()

    with pytest.raises(OtherAccount) as refused:
        other.restore(archive, from_other_account=False, **choices)

    assert books.access.account in str(refused.value)
    assert other.rows() == before
    report = other.restore(archive, **choices)
    assert (report.from_other_account, report.source_account_id) == (True, books.access.account)
    assert f"The archive is of another account, {books.access.account}" in readable(report)


def test_m05_the_refusal_is_on_record_and_an_archive_of_the_account_itself_needs_no_word(
    fresh_account: OpenAccount, tmp_path: Path
) -> None:
    books, other = Books(fresh_account()), Books(fresh_account())

    with pytest.raises(OtherAccount):
        other.restore(books.backup(tmp_path), from_other_account=False)

    failed = read_timeline(other.application.database, other.access.account, Filter(type="restore.failed")).entries
    assert [next(one.after for one in entry.changes if one.field == "code") for entry in failed] == [
        "restore.other-account"
    ]
    assert books.restore(books.backup(tmp_path), from_other_account=False).from_other_account is False
