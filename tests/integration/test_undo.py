"""A retired stream is made live again: as it was, wholly or not at all, with nothing given out or charged twice."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain import commands
from domain import control as c
from domain.accounts import add_member, ensure_person, find_access
from domain.application import Actor, Expected
from domain.control import RoleLacking
from domain.entity import NotPossible
from domain.errors import CounterfoilError
from domain.ids import EntityId
from domain.kinds import Kind
from domain.store.streams import StreamUnknown
from domain.work import VersionStale
from projections.timeline import CursorGone, Filter, read_timeline
from snapshots.fresh.building import fresh_stream, sweep_abandoned
from snapshots.generations.streams import StreamNotKept, differ, list_streams, show_stream
from snapshots.generations.undo import (
    ActivationChoices,
    BooksClosedBetween,
    ChangedBetween,
    StreamDamaged,
    activate,
)
from snapshots.restoring.restore import OwnerOnly
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import Edited
from tests.integration.restoring import LINE, Books, is_sound
from tests.integration.test_restore_meanwhile import found, somebody_writing


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def undo(books: Books, stream: int, **choices: Any) -> Any:
    return activate(books.application, books.access, books.actor, stream, choices=ActivationChoices(**choices))


def rows_of(books: Books, stream: int) -> dict[str, list[Any]]:
    """Everything that belongs to a stream, but the stream's own row."""
    rows = books.rows()
    del rows["streams"]
    return {table: [row for row in found if row.get("stream_id") == stream] for table, found in rows.items()}


def head(books: Books, folder: Path) -> Any:
    return Edited(books.backup(folder)).manifest["tree_head"]


def number(books: Books, invoice: EntityId) -> str:
    return str(books.state(Kind.INVOICE, invoice).number[-5:])


def subscription(books: Books, next_date: date) -> EntityId:
    return books.make(
        Kind.SUBSCRIPTION,
        customer=books.customer(),
        lines=[LINE],
        interval={"n": 1, "unit": "months"},
        next_date=next_date.isoformat(),
    )


def statuses(books: Books) -> dict[int, str]:
    return {one.stream: one.status for one in list_streams(books.application, books.access.account)}


def test_a_restore_is_undone_to_the_last_row_and_the_undo_is_undone(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    invoice = books.issued(books.customer())
    before, before_head = rows_of(books, 1), head(books, tmp_path)
    books.restore(archive)
    since = books.customer("After the restore")
    restored, restored_head = rows_of(books, 2), head(books, tmp_path)

    report = undo(books, 1)

    assert (report.outcome, report.stream, report.retired_stream) == ("activated", 1, 2)
    assert (rows_of(books, 1), rows_of(books, 2)) == (before, restored)
    assert head(books, tmp_path) == before_head
    assert number(books, invoice) == "00001"
    assert is_sound(books)

    again = undo(books, 2)

    assert again.retired_stream == 1
    assert (rows_of(books, 1), rows_of(books, 2)) == (before, restored)
    assert head(books, tmp_path) == restored_head
    assert books.state(Kind.CUSTOMER, since).party.name == "After the restore"
    assert is_sound(books)


def test_the_report_says_what_is_lost_and_what_comes_back(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    archive = books.backup(tmp_path)
    first = books.issued(customer)
    books.restore(archive)
    second = books.issued(customer)
    books.run(lambda work: commands.record(work, Kind.INVOICE, second, "sent", {"how": "email"}))

    report = undo(books, 1, dry_run=True)

    difference = report.difference
    assert report.outcome == "would_activate"
    assert statuses(books) == {1: "retired", 2: "live"}
    assert [(one.id, one.sent, one.number[-5:]) for one in difference.lost_documents] == [(second, True, "00002")]
    assert [(one.id, one.with_vat) for one in difference.regained_documents] == [(first, Decimal("24.20"))]
    assert [kept.highest for kept in difference.numbers_kept] == [2]
    changes = {one.kind: one for one in difference.changes}
    assert (changes["invoice"].created, changes["invoice"].removed, changes["customer"].unchanged) == (1, 1, 1)
    assert "invoice series 2024-: first, last, how many" in {one.figure for one in difference.differences}
    assert difference.totals_live.receivables == difference.totals_stream.receivables


def test_figures_of_both_streams_are_added_up_whole(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    books.issued(customer)
    subscription(books, books.clock.now.date() + timedelta(days=3))
    archive = books.backup(tmp_path)
    books.issued(customer)
    books.restore(archive)
    live_before = list_streams(books.application, books.access.account)[0]

    difference = show_stream(books.application, books.access.account, 1).difference

    assert difference is not None
    counts = {(one.kind, one.state): one.count for one in difference.totals_stream.counts}
    live = {(one.kind, one.state): one.count for one in difference.totals_live.counts}
    assert (counts["invoice", "issued"], live["invoice", "issued"]) == (2, 1)
    assert counts["customer", "in use"] == live["customer", "in use"] == 2
    assert counts["subscription", "in use"] == live["subscription", "in use"] == 1
    assert [str(one.amount) for one in difference.totals_stream.receivables] == ["48.40"]
    assert ("24.20", "48.40") in {(one.before, one.after) for one in difference.differences}
    assert live_before.entities == 4


def test_a_document_that_is_paid_and_would_be_open_again_is_named(books: Books, tmp_path: Path) -> None:
    invoice = books.issued(books.customer())
    books.restore(books.backup(tmp_path))
    paid = {"id": "p1", "date": books.clock.now.date().isoformat(), "amount": "24.20", "means": "30"}
    books.run(lambda work: commands.record(work, Kind.INVOICE, invoice, "payment_registered", paid))
    # In the stream that comes back it went another way, further, and is open all the same.
    undo(books, 1)
    for _ in range(3):
        books.run(lambda work: commands.record(work, Kind.INVOICE, invoice, "sent", {"how": "email"}))
    undo(books, 2)

    difference = show_stream(books.application, books.access.account, 1).difference

    assert difference is not None
    assert [(back.id, back.state_now, back.due_now, back.due_then) for back in difference.went_back] == [
        (invoice, "paid", Decimal(0), Decimal("24.20"))
    ]


def test_numbers_go_on_after_the_highest_that_any_stream_gave_out(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    archive = books.backup(tmp_path)
    books.issued(customer)
    books.restore(archive)
    for _ in range(2):
        books.issued(customer)

    undo(books, 1)
    fourth = number(books, books.issued(customer))
    undo(books, 2)
    fifth = number(books, books.issued(customer))

    assert (fourth, fifth) == ("00004", "00005")


def test_a_subscription_that_comes_back_past_its_date_is_held_until_it_is_resumed(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    late = subscription(books, books.clock.now.date() - timedelta(days=3))
    due = subscription(books, books.clock.now.date())
    books.restore(archive)

    report = undo(books, 1)

    assert [held.id for held in report.difference.held] == [late]
    with pytest.raises(NotPossible, match="held since its stream was made live again"):
        books.run(lambda work: commands.invoice_period(work, late))
    assert books.run(lambda work: commands.invoice_period(work, due))
    started = subscription(books, books.clock.now.date() - timedelta(days=3))
    assert books.run(lambda work: commands.invoice_period(work, started)), "what is started since is not held"
    books.run(lambda work: commands.resume(work, late))
    assert books.run(lambda work: commands.invoice_period(work, late))


def test_what_came_back_stays_held_when_an_archive_is_added(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    archive = books.backup(tmp_path)
    late = subscription(books, books.clock.now.date() - timedelta(days=3))
    books.restore(archive)
    undo(books, 1)
    other = Books(fresh_account())
    other.customer()

    books.restore(other.backup(tmp_path), mode="add", from_other_account=True)

    with pytest.raises(NotPossible, match="held"):
        books.run(lambda work: commands.invoice_period(work, late))


def test_a_subscription_that_was_resumed_is_held_again_when_its_stream_comes_back_again(
    books: Books, tmp_path: Path
) -> None:
    archive = books.backup(tmp_path)
    late = subscription(books, books.clock.now.date() - timedelta(days=70))
    books.restore(archive)
    undo(books, 1)
    books.run(lambda work: commands.resume(work, late))
    undo(books, 2)

    report = undo(books, 1)

    assert [held.id for held in report.difference.held] == [late]
    with pytest.raises(NotPossible, match="held"):
        books.run(lambda work: commands.invoice_period(work, late))


def test_what_people_hold_of_the_replaced_stream_is_stale_and_of_the_other_is_good_again(
    books: Books, tmp_path: Path
) -> None:
    customer = books.customer()
    cursor = read_timeline(books.application.database, books.access.account, limit=1).cursor
    books.customer("Another")
    books.restore(books.backup(tmp_path))
    books.run(lambda work: commands.change(work, Kind.CUSTOMER, customer, {"notes": "in stream 2"}))
    cursor_of_2 = read_timeline(books.application.database, books.access.account, limit=1).cursor

    undo(books, 1)

    def noted(stream: int, version: int) -> None:
        books.application.run(
            books.access.account,
            books.actor,
            lambda work: commands.change(work, Kind.CUSTOMER, customer, {"notes": "in stream 1"}),
            expected=Expected(customer, stream, version),
        )

    with pytest.raises(VersionStale):
        noted(2, 2)
    with pytest.raises(CursorGone):
        read_timeline(books.application.database, books.access.account, cursor=cursor_of_2)
    noted(1, 1)
    assert read_timeline(books.application.database, books.access.account, cursor=cursor).entries is not None


def test_streams_that_are_not_retired_are_refused(books: Books) -> None:
    account, database = books.access.account, books.application.database
    with fresh_stream(database, account, books.actor, books.clock()) as made:
        building = made.stream
        for stream, status in ((1, "live"), (building, "building")):
            with pytest.raises(StreamNotKept, match=status):
                undo(books, stream)
    sweep_abandoned(database, account)

    with pytest.raises(StreamNotKept, match="abandoned"):
        undo(books, building)
    with pytest.raises(StreamUnknown):
        undo(books, building + 1)

    own = Filter(kind="account")
    failed = [entry.type for entry in read_timeline(database, account, own, limit=4).entries]
    assert failed == ["activation.failed"] * 4


@pytest.mark.parametrize("meanwhile", ["refuse", "discard"])
def test_s01_an_undo_that_is_tied_to_a_rehearsal_replaces_nothing_that_it_did_not_show(
    books: Books, tmp_path: Path, meanwhile: str
) -> None:
    books.restore(books.backup(tmp_path))

    rehearsed = undo(books, 1, dry_run=True)
    late = books.customer()
    with pytest.raises(ChangedBetween, match=r"found the account at 2\.1; expected 2\.0"):
        undo(books, 1, meanwhile=meanwhile, account_at=rehearsed.account_at)

    assert books.state(Kind.CUSTOMER, late).version == 1
    shown = undo(books, 1, dry_run=True).account_at
    assert undo(books, 1, meanwhile=meanwhile, account_at=shown).outcome == "activated"


def test_of_two_activations_at_once_one_wins_and_the_other_is_told(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    books.customer()
    books.restore(archive)
    books.restore(archive)
    together = threading.Barrier(2)
    outcomes: list[str] = []

    def bring_back(stream: int) -> None:
        together.wait()
        try:
            outcomes.append(undo(books, stream).outcome)
        except CounterfoilError as refused:
            outcomes.append(refused.code)

    for streams in ((1, 2), (3, 3)):
        outcomes.clear()
        threads = [threading.Thread(target=bring_back, args=(stream,)) for stream in streams]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        # Where one had ended before the other looked, both were done one after the other.
        assert outcomes.count("activated") >= 1
        assert set(outcomes) <= {"activated", "activation.account-changed", "stream.not-retired"}
        assert list(statuses(books).values()).count("live") == 1
        assert is_sound(books)


def test_every_acknowledged_write_is_found_after_undos_beside_it(books: Books, tmp_path: Path) -> None:
    books.customer()
    books.restore(books.backup(tmp_path))
    outcomes: list[str] = []

    with somebody_writing(books) as acknowledged:
        while len(acknowledged) < 5 or len(outcomes) < 12:
            live = next(stream for stream, status in statuses(books).items() if status == "live")
            try:
                outcomes.append(undo(books, 3 - live).outcome)
            except ChangedBetween as refused:
                outcomes.append(refused.report.outcome)

    assert set(outcomes) <= {"activated", "refused"}
    assert set(acknowledged) <= found(books, live=False)
    assert is_sound(books)


def test_documents_in_a_closed_period_need_the_owners_word(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    invoice = books.issued(books.customer())
    closed_until = books.state(Kind.INVOICE, invoice).issue_date
    books.restore(archive)
    settings = c.SettingsChanged(closed_until=closed_until)
    books.application.record_control(books.access.account, books.actor, settings)

    with pytest.raises(BooksClosedBetween) as refused:
        undo(books, 1)

    assert refused.value.report.difference.in_closed_periods_count == 1
    assert statuses(books) == {1: "retired", 2: "live"}
    administrator(books)
    with pytest.raises(OwnerOnly):
        undo(books, 1, change_closed_periods=True)


def administrator(books: Books, role: c.Role = c.Role.ADMINISTRATOR) -> None:
    """From here on somebody of *role* is at work."""
    email = f"{role.value}-{books.access.account}@example.com"
    person = ensure_person(books.application.database, email, "Cas", at=books.clock())
    add_member(books.application, books.access, books.actor, email=person.email, name=None, role=role)
    books.access = find_access(books.application.database, person.id, books.access.account)
    books.actor = Actor.person(person.id, "api")


def test_the_owners_word_opens_a_closed_period_and_stays_on_record(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    invoice = books.issued(books.customer())
    closed_until = books.state(Kind.INVOICE, invoice).issue_date
    books.restore(archive)
    settings = c.SettingsChanged(closed_until=closed_until)
    books.application.record_control(books.access.account, books.actor, settings)

    undo(books, 1, change_closed_periods=True)

    own = Filter(kind="account")
    entries = read_timeline(books.application.database, books.access.account, own, limit=2).entries
    after = {change.field: change.after for entry in entries for change in entry.changes}
    assert [entry.type for entry in entries] == ["stream.swapped", "stream.activated"]
    assert after["changed_closed_periods"] is True


@pytest.mark.parametrize("role", [c.Role.VIEWER, c.Role.AUDITOR, c.Role.EDITOR])
def test_whoever_is_no_administrator_brings_nothing_back(books: Books, tmp_path: Path, role: c.Role) -> None:
    books.restore(books.backup(tmp_path))
    administrator(books, role)

    for choices in ({}, {"dry_run": True}):
        with pytest.raises(RoleLacking):
            undo(books, 1, **choices)

    assert statuses(books) == {1: "retired", 2: "live"}


def test_a_stream_that_lost_an_event_behind_our_back_is_not_made_live(books: Books, tmp_path: Path) -> None:
    books.customer()
    books.customer()
    books.restore(books.backup(tmp_path))
    with psycopg.connect(books.application.database.dsn) as connection:
        connection.execute(
            "DELETE FROM events WHERE account_id = %s AND stream_id = 1 AND position = 2", (books.access.account,)
        )

    with pytest.raises(StreamDamaged, match="1 events; expected 2"):
        undo(books, 1)

    assert statuses(books) == {1: "retired", 2: "live"}


def test_the_list_says_what_made_each_stream_and_how_it_differs(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    archive = books.backup(tmp_path)
    books.issued(customer)
    books.restore(archive)
    for _ in range(2):
        books.issued(customer)

    second, first = list_streams(books.application, books.access.account)

    assert [(one.stream, one.status, one.made_by) for one in (second, first)] == [
        (2, "live", "restore"),
        (1, "retired", "recorded"),
    ]
    assert (first.events, first.entities, second.events, second.entities) == (3, 2, 5, 3)
    assert (first.documents_only_here, first.documents_only_live) == (1, 2)
    assert {one.kind: (one.created, one.removed, one.unchanged) for one in first.differences} == {
        "customer": (0, 0, 1),
        "invoice": (1, 2, 0),
    }
    assert [(swap.live, swap.other, swap.by_name) for swap in first.swaps] == [(False, 2, "An")]
    assert first.kept_until is not None
    assert [segment.came_by for segment in second.segments] == ["restore", "recorded"]
    assert second.kept_until is None


def test_what_is_written_while_streams_are_compared_can_be_discarded_and_is_counted(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = books.customer()
    books.restore(books.backup(tmp_path))

    def differ_and_then_somebody_writes(*given: Any, **more: Any) -> Any:
        found_out = differ(*given, **more)
        books.issued(customer)
        return found_out

    monkeypatch.setattr("snapshots.generations.undo.differ", differ_and_then_somebody_writes)
    with pytest.raises(ChangedBetween) as refused:
        undo(books, 1)
    report = undo(books, 1, meanwhile="discard")

    assert refused.value.report.changed_meanwhile == 2
    assert (report.outcome, report.changed_meanwhile) == ("activated", 2)
    difference = report.difference
    assert [one.number[-5:] for one in difference.lost_documents] == ["00001", "00002"]
    assert [kept.highest for kept in difference.numbers_kept] == [2]
    assert [str(one.amount) for one in difference.totals_live.receivables] == ["48.40"]
    monkeypatch.undo()
    shown = show_stream(books.application, books.access.account, 2).difference
    assert shown is not None
    assert shown.totals_stream == difference.totals_live
    assert number(books, books.issued(customer)) == "00003"
    assert is_sound(books)


def test_whoever_lost_their_role_since_it_was_looked_up_brings_nothing_back(books: Books, tmp_path: Path) -> None:
    books.restore(books.backup(tmp_path))
    owner = books.actor
    administrator(books)
    person = books.person
    demoted = c.AccessChanged(person=person, role=c.Role.EDITOR)
    books.application.record_control(books.access.account, owner, demoted)

    with pytest.raises(RoleLacking):
        undo(books, 1)

    assert statuses(books) == {1: "retired", 2: "live"}
