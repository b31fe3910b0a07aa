"""Custom fields that the archive defines and the account does not: reported, or defined with the swap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from domain import commands
from domain.control import CustomFieldDefined
from domain.custom_fields import CustomField
from domain.kinds import Kind
from projections.timeline import Filter, read_timeline
from snapshots.format.errors import ManifestRefused
from snapshots.restoring.report import readable
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import Edited
from tests.integration.restoring import Books, is_sound


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


@pytest.fixture
def other(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def define(books: Books, key: str, type_: Any = "text", **more: Any) -> None:
    field = CustomFieldDefined(kind="customer", key=key, label=key.title(), type=type_, **more)
    books.application.record_control(books.access.account, books.actor, field)


def fields(books: Books) -> dict[str, CustomField]:
    return {field.key: field for field in books.application.control(books.access.account).custom_fields}


@pytest.mark.parametrize("mode", ["overwrite", "add"])
def test_the_archives_definitions_come_with_the_swap_and_its_values_can_be_changed_here(
    books: Books, other: Books, tmp_path: Path, mode: str
) -> None:
    define(books, "region")
    define(books, "size", "choice", choices=("small", "large"))
    customer = books.customer(custom_fields={"region": "Kempen"})
    archive = books.backup(tmp_path)

    rehearsed = other.restore(archive, mode=mode, custom_fields="define", dry_run=True)
    assert fields(other) == {}
    report = other.restore(archive, mode=mode, custom_fields="define")

    assert rehearsed.defined_fields == report.defined_fields
    assert [(one.key, one.label, one.type) for one in report.defined_fields] == [
        ("region", "Region", "text"),
        ("size", "Size", "choice"),
    ]
    assert report.undefined_fields == ()
    assert fields(other) == fields(books)
    change = {"custom_fields": {"region": "Hageland"}}
    other.run(lambda work: commands.change(work, Kind.CUSTOMER, customer, change))
    entries = read_timeline(other.application.database, other.access.account, Filter(kind="account")).entries
    types = [entry.type for entry in entries]
    assert types[0] == "stream.swapped", "the newest: all of it came in the swap's transaction"
    assert types.index("custom_field.defined") < types.index("restore.begun")
    assert {entry.actor for entry in entries if entry.type == "custom_field.defined"} == {other.actor.name}
    assert is_sound(other)


def test_a_definition_of_another_type_is_reported_and_not_overwritten(
    books: Books, other: Books, tmp_path: Path
) -> None:
    for one, type_, choices in ((books, "text", ("a", "b")), (other, "number", ("a", "c"))):
        define(one, "region", type_)
        define(one, "size", "choice", choices=choices)
        define(one, "same")
    before = fields(other)
    archive = books.backup(tmp_path)

    for choice in ("report", "define"):
        report = other.restore(archive, custom_fields=choice)

        assert [(one.key, one.archive, one.account) for one in report.conflicting_fields] == [
            ("region", "text", "number"),
            ("size", "choice of a, b", "choice of a, c"),
        ]
        assert report.defined_fields == ()
        assert "customer.region is another here and stays so: archive text, account number" in readable(report)
        assert fields(other) == before


def test_without_the_choice_nothing_is_defined_and_each_value_is_counted(
    books: Books, other: Books, tmp_path: Path
) -> None:
    define(books, "region")
    books.customer(custom_fields={"region": "Kempen"})

    report = other.restore(books.backup(tmp_path))

    assert [(one.key, one.label, one.values) for one in report.undefined_fields] == [("region", "Region", 1)]
    assert fields(other) == {}


def test_a_definition_that_no_account_could_have_is_refused_before_anything_is_built(
    books: Books, other: Books, tmp_path: Path
) -> None:
    define(books, "region")
    archive = Edited(books.backup(tmp_path))
    archive.manifest["custom_fields"].append({"kind": "customer", "key": "size", "label": "Size", "type": "choice"})
    before = other.rows()

    with pytest.raises(ManifestRefused, match=r"custom_fields\[1\]\.choices"):
        other.restore(archive.zipped(), custom_fields="define")

    assert other.rows() == before
    assert fields(other) == {}


def test_what_adds_nothing_defines_nothing(books: Books, other: Books, tmp_path: Path) -> None:
    define(books, "region")

    report = other.restore(books.backup(tmp_path), mode="add", custom_fields="define")

    assert (report.outcome, report.defined_fields) == ("nothing_to_add", ())
    assert fields(other) == {}
