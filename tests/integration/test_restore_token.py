"""A rehearsal tells all that a restore would do, and its token lets exactly that be done, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from domain import commands
from domain import control as c
from domain.kinds import Kind
from domain.parties import Address, Party
from snapshots.fresh import swap
from snapshots.restoring.report import readable
from snapshots.restoring.restore import ChangedMeanwhile
from snapshots.restoring.token import TokenStale
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import LINE, Books


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def settle(books: Books, **changes: Any) -> None:
    books.application.record_control(books.access.account, books.actor, c.SettingsChanged(**changes))


def test_what_was_rehearsed_is_done_and_a_backup_taken_in_between_changes_nothing(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    books.issued(books.customer())
    rehearsed = books.restore(archive, dry_run=True)
    books.backup(tmp_path)

    report = books.restore(archive, token=rehearsed.token)

    assert f"Token, to do just this: {rehearsed.token}" in readable(rehearsed)
    assert (report.outcome, report.token) == ("restored", None)
    for name in ("changes", "entities", "lost_documents", "numbers_kept", "people", "differences"):
        assert getattr(report, name) == getattr(rehearsed, name), name


CHANGES: list[Callable[[Books, bytes], Any]] = [
    lambda books, _: books.customer(),
    lambda books, _: settle(books, language="fr"),
    lambda books, archive: books.restore(archive),
]


@pytest.mark.parametrize("mode", ["overwrite", "add"])
@pytest.mark.parametrize("change", CHANGES, ids=["event", "settings", "swap"])
def test_s01_a_token_of_before_a_change_or_a_swap_is_refused(
    books: Books, tmp_path: Path, change: Callable[[Books, bytes], Any], mode: str
) -> None:
    books.customer()
    archive = books.backup(tmp_path)
    rehearsed = books.restore(archive, mode=mode, dry_run=True)
    change(books, archive)
    before = books.rows()

    with pytest.raises(TokenStale) as refused:
        books.restore(archive, mode=mode, token=rehearsed.token)

    assert refused.value.changed == ("the account",)
    assert books.rows() == before


def test_a_token_is_for_one_archive_and_for_choices_as_they_were(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    other = books.backup(tmp_path)
    token = books.restore(archive, dry_run=True).token

    with pytest.raises(TokenStale, match="another state of the archive;"):
        books.restore(other, token=token)
    with pytest.raises(TokenStale, match="another state of the choices"):
        books.restore(archive, token=token, numbers="reuse-numbers")
    with pytest.raises(TokenStale, match="the account and of the archive and of the choices"):
        books.restore(archive, token="of something else")
    assert books.restore(archive, token=token).outcome == "restored"


def test_with_a_token_nothing_is_discarded_that_it_did_not_show(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = books.backup(tmp_path)
    token = books.restore(archive, meanwhile="discard", dry_run=True).token
    real = swap.swap

    def write_then_swap(*args: Any, **kwargs: Any) -> None:
        books.customer()
        real(*args, **kwargs)

    monkeypatch.setattr("snapshots.restoring.restore.swap", write_then_swap)

    with pytest.raises(ChangedMeanwhile):
        books.restore(archive, meanwhile="discard", token=token)


def test_m06_an_older_archive_is_shown_with_its_date_and_the_events_that_go(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    archive = books.backup(tmp_path)
    books.issued(customer)
    books.run(lambda work: commands.change(work, Kind.CUSTOMER, customer, {"notes": "since"}))

    rehearsed = books.restore(archive, dry_run=True)

    assert (rehearsed.account_events, rehearsed.events_lost) == (4, 3)
    said = f"The archive is of {rehearsed.taken_at}: of the account's 4 events 3 are not in it, and go."
    assert said in readable(rehearsed)
    report = books.restore(archive)
    assert (report.events_lost, report.retired_stream) == (3, 1)


def test_s04_settings_that_give_the_data_another_meaning_are_named_before_anything_is_built(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    other = Books(fresh_account())
    settle(books, number_formats={"quote": "{year}-{number:05}"})  # what the default is: no difference
    company = Party(name="Zweig AG", vat_identifier="CHE-123.456.788 MWST", address=Address(country="CH"))
    settle(other, currency="CHF", country="CH", company=company, closed_until=date(2020, 12, 31))
    settle(other, number_formats={"invoice": "R{year}-{number:04}"})
    other.application.record_control(other.access.account, other.actor, c.ModuleEnabled(module="stock"))

    report = other.restore(books.backup(tmp_path), dry_run=True)

    assert [row["status"] for row in other.rows()["streams"]] == ["live"]
    assert [one.setting for one in report.settings] == [
        "currency",
        "country",
        "closed_until",
        "company VAT number",
        "modules",
        "number format of invoice",
    ]


def test_the_entities_behind_each_count_are_named(books: Books, tmp_path: Path) -> None:
    same, changed = books.customer("Same"), books.customer("Changed")
    back = books.make(Kind.INVOICE, customer=same, lines=[LINE])
    archive = books.backup(tmp_path)
    books.run(lambda work: commands.change(work, Kind.CUSTOMER, changed, {"notes": "since"}))
    books.run(lambda work: commands.delete(work, Kind.INVOICE, back))
    fresh = books.customer("Fresh")

    report = books.restore(archive, dry_run=True)

    assert {(one.change, one.kind, one.id) for one in report.entities} == {
        ("unchanged", "customer", same),
        ("replaced", "customer", changed),
        ("created", "invoice", back),
        ("removed", "customer", fresh),
    }
