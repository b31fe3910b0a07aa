"""Restores that go through, into the same account and another: what comes back, what is lost, who did what."""

from __future__ import annotations

import hashlib
import threading
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from domain import commands
from domain import control as c
from domain.accounts import add_member, ensure_person, find_access, remove_member
from domain.application import Actor
from domain.documents.fields import Attachment
from domain.entity import NotPossible
from domain.kinds import Kind
from domain.work import Work
from projections.moments import Position
from projections.timeline import Filter, read_timeline
from snapshots.fresh import swap
from snapshots.restoring.report import readable
from snapshots.restoring.restore import BooksClosedThen, ChangedMeanwhile, Refused
from tests.fixtures.accounts import OpenAccount, OpenedAccount
from tests.fixtures.archives import SIGNER, Edited
from tests.integration.restoring import LINE, Books, is_sound


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    """An account of its own."""
    return Books(fresh_account())


def test_an_account_comes_back_line_for_line(books: Books, tmp_path: Path) -> None:
    odd = 'quotes " backslash \\ \u2028 \U0001f6b2 tab\tfeed\n<b>{{7*7}}</b> =1+1'
    customer = books.customer(odd[:200], notes=odd)
    books.issued(customer)
    draft = books.make(Kind.QUOTE, customer=customer, lines=[LINE])
    books.run(lambda work: commands.delete(work, Kind.QUOTE, draft))
    first = Edited(books.backup(tmp_path))
    books.issued(customer)
    books.run(lambda work: commands.change(work, Kind.CUSTOMER, customer, {"notes": None}))

    report = books.restore(first.zipped())

    again = Edited(books.backup(tmp_path))
    assert report.outcome == "restored"
    assert again.manifest["tree_head"] == first.manifest["tree_head"]
    assert {name: content for name, content in again.files.items() if name.endswith(".jsonl")} == {
        name: content for name, content in first.files.items() if name.endswith(".jsonl")
    }
    assert again.manifest["control_totals"] == first.manifest["control_totals"]
    assert books.state(Kind.CUSTOMER, customer).notes == odd
    assert is_sound(books)


def test_attached_files_come_along(books: Books, fresh_account: OpenAccount, tmp_path: Path) -> None:
    content = b"%PDF-1.7 \x00" * 1000
    sha256 = hashlib.sha256(content).hexdigest()
    attachment = Attachment(id="1", name="a.pdf", media_type="application/pdf", size=len(content), sha256=sha256)
    draft = books.make(Kind.INVOICE, customer=books.customer(), lines=[LINE])
    books.run(lambda work: commands.attach(work, Kind.INVOICE, draft, attachment, content))
    other = Books(fresh_account())

    other.restore(books.backup(tmp_path))

    assert other.application.attachment(other.access.account, sha256) == content


def test_issued_documents_that_would_be_lost_are_named_and_their_numbers_are_not_given_again(
    books: Books, tmp_path: Path
) -> None:
    customer = books.customer()
    books.issued(customer)
    archive = books.backup(tmp_path)
    books.issued(customer)
    sent = books.issued(customer)
    books.run(lambda work: commands.record(work, Kind.INVOICE, sent, "sent", {"how": "email"}))

    report = books.restore(archive)

    numbers = [f"{books.clock.now.year}-{n:05}" for n in (2, 3)]
    assert [(lost.number, lost.sent) for lost in sorted(report.lost_documents, key=lambda one: one.number)] == [
        (numbers[0], False),
        (numbers[1], True),
    ]
    assert report.lost_documents_count == 2
    assert [(kept.highest, kept.missing) for kept in report.numbers_kept] == [(3, tuple(numbers))]
    assert books.state(Kind.INVOICE, books.issued(customer)).number.endswith("-00004")
    assert is_sound(books)


def test_documents_that_go_back_are_named_with_their_amounts(books: Books, tmp_path: Path) -> None:
    invoice = books.issued(books.customer())
    archive = books.backup(tmp_path)
    payment = {"amount": "24.20", "means": "30"}
    books.run(lambda work: commands.record(work, Kind.INVOICE, invoice, "payment_registered", payment))

    report = books.restore(archive, dry_run=True)

    (back,) = report.went_back
    assert (back.state_now, back.state_then) == ("paid", "issued")
    assert (back.due_now, back.due_then) == (Decimal("0.00"), Decimal("24.20"))
    assert report.outcome == "would_restore"
    assert books.state(Kind.INVOICE, invoice).state == "paid"


def test_a_rehearsal_says_what_the_restore_then_says(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    archive = books.backup(tmp_path)
    books.issued(customer)
    before = books.rows()

    rehearsed = books.restore(archive, dry_run=True)

    assert books.rows() == before
    restored = books.restore(archive)
    for name in rehearsed.__struct_fields__:
        if name not in ("outcome", "token", "live_stream", "retired_stream"):
            assert getattr(rehearsed, name) == getattr(restored, name), name


def test_events_of_somebody_without_access_are_linked_to_who_restores_and_stay_theirs_on_record(
    books: Books, tmp_path: Path
) -> None:
    bo = next(member for member in books.access.control.members if member.role == "editor")
    books.run(
        lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "Bo's"}}), Actor.person(bo.person, "api")
    )
    books.customer("An's")
    archive = books.backup(tmp_path)
    remove_member(books.application, books.access, books.actor, email=bo.email)

    report = books.restore(archive)

    linked = {person.person: (person.linked_to, person.has_access, person.events) for person in report.people}
    assert linked == {bo.person: (books.person, False, 1), books.person: (books.person, True, 1)}
    page = read_timeline(books.application.database, books.access.account, Filter(kind="customer"))
    by_actor = {entry.actor: entry for entry in page.entries}
    assert by_actor[f"person:{bo.person}"].linked_to == f"person:{books.person}"
    assert by_actor[f"person:{bo.person}"].actor_name == bo.name
    mine = read_timeline(books.application.database, books.access.account, Filter(person=books.person, kind="customer"))
    assert len(mine.entries) == 2
    assert (
        read_timeline(
            books.application.database, books.access.account, Filter(person=bo.person, kind="customer")
        ).entries
        == ()
    )


def test_another_account_takes_an_archive_with_other_users(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    customer = books.customer()
    books.issued(customer)
    first = Edited(books.backup(tmp_path))
    other = Books(fresh_account())

    report = other.restore(first.zipped())

    assert {person.linked_to for person in report.people} == {other.person}
    assert Edited(other.backup(tmp_path)).manifest["tree_head"] == first.manifest["tree_head"]
    assert is_sound(other)
    assert books.state(Kind.CUSTOMER, customer).party.name == "Klant"


def test_values_of_undefined_custom_fields_are_kept_and_listed(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    defined = c.CustomFieldDefined(kind="customer", key="region", label="Region", type="text")
    books.application.record_control(books.access.account, books.actor, defined)
    customer = books.customer(custom_fields={"region": "Gent"})
    other = Books(fresh_account())

    report = other.restore(books.backup(tmp_path))

    assert [(one.kind, one.key, one.label, one.values) for one in report.undefined_fields] == [
        ("customer", "region", "Region", 1)
    ]
    assert other.state(Kind.CUSTOMER, customer).custom_fields == {"region": "Gent"}


def test_settings_that_give_the_data_another_meaning_are_named(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    books.customer()
    other = Books(fresh_account())
    changed = c.SettingsChanged(currency="USD", number_formats={"invoice": "F{year}-{number}"})
    other.application.record_control(other.access.account, other.actor, changed)

    report = other.restore(books.backup(tmp_path), dry_run=True)

    assert {(one.setting, one.archive, one.account) for one in report.settings} >= {
        ("currency", "EUR", "USD"),
        ("number format of invoice", "{year}-{number:05}", "F{year}-{number}"),
    }


def test_documents_in_closed_periods_change_only_on_the_owners_word(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    archive = books.backup(tmp_path)
    invoice = books.issued(customer)
    dated = books.state(Kind.INVOICE, invoice).issue_date
    closed = c.SettingsChanged(closed_until=dated)
    books.application.record_control(books.access.account, books.actor, closed)
    before = books.rows()

    with pytest.raises(BooksClosedThen) as refused:
        books.restore(archive)

    assert [one.id for one in refused.value.report.in_closed_periods] == [invoice]
    assert books.rows() == before
    assert books.restore(archive, change_closed_periods=True).outcome == "restored"


def test_the_owners_word_for_a_closed_period_and_the_moment_of_an_archive_stay_on_record(
    books: Books, tmp_path: Path
) -> None:
    books.customer()
    invoice = books.issued(books.customer())
    archive = books.backup(tmp_path)
    dated = books.state(Kind.INVOICE, invoice).issue_date
    books.restore(archive, change_closed_periods=True)  # nothing is closed: the word was not needed
    books.application.record_control(books.access.account, books.actor, c.SettingsChanged(closed_until=dated))

    books.restore(archive, as_of=Position(None, 1), change_closed_periods=True)

    entries = read_timeline(books.application.database, books.access.account, Filter(type="restore.finished")).entries
    last, first = ({one.field: one.after for one in entry.changes} for entry in entries)
    assert (last["changed_closed_periods"], last["as_of"]) == (True, 1)
    assert not {"changed_closed_periods", "as_of"} & first.keys()


def test_what_is_listed_in_part_is_counted_in_full(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshots.restoring.restore.MOST_LISTED", 1)
    fields = {"customer": books.customer(), "lines": [LINE], "interval": {"n": 1, "unit": "months"}}
    for _ in range(3):
        books.make(Kind.SUBSCRIPTION, **fields, next_date=books.clock.now.date().isoformat())
    books.clock.now += timedelta(days=2)

    report = books.restore(books.backup(tmp_path))

    assert (len(report.held), report.held_count) == (1, 3)
    assert "3 subscriptions are held until resumed" in readable(report)


def test_an_editor_may_not_restore(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    bo = next(member for member in books.access.control.members if member.role == "editor")
    books.access = find_access(books.application.database, bo.person, books.access.account)

    with pytest.raises(c.RoleLacking):
        books.restore(archive)


def test_a_restored_subscription_whose_date_has_passed_issues_nothing_until_it_is_resumed(
    books: Books, tmp_path: Path
) -> None:
    customer = books.customer()
    today = books.clock.now.date()
    subscription = books.make(
        Kind.SUBSCRIPTION,
        customer=customer,
        lines=[LINE],
        interval={"n": 1, "unit": "months"},
        next_date=(today - timedelta(days=3)).isoformat(),
        auto_issue=True,
    )
    archive = Edited(books.backup(tmp_path))

    report = books.restore(archive.zipped())

    assert [held.id for held in report.held] == [subscription]
    with pytest.raises(NotPossible, match="held"):
        books.run(lambda work: commands.invoice_period(work, subscription))
    assert Edited(books.backup(tmp_path)).manifest["tree_head"] == archive.manifest["tree_head"]
    books.run(lambda work: commands.resume(work, subscription))
    assert books.run(lambda work: commands.invoice_period(work, subscription))


def test_a_write_between_the_look_and_the_swap_is_not_lost(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.customer()
    archive = books.backup(tmp_path)
    real = swap.swap
    made = []

    def write_then_swap(*args: object, **kwargs: object) -> None:
        made.append(books.customer("Just now"))
        real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("snapshots.restoring.restore.swap", write_then_swap)

    with pytest.raises(ChangedMeanwhile) as refused:
        books.restore(archive)

    assert refused.value.report.changed_meanwhile == 1
    assert books.state(Kind.CUSTOMER, made[0]).party.name == "Just now"
    assert is_sound(books)


def test_of_two_restores_at_once_one_wins_and_the_other_is_told(books: Books, tmp_path: Path) -> None:
    for _ in range(5):
        books.issued(books.customer())
    archive = books.backup(tmp_path)
    outcomes: list[str] = []
    together = threading.Barrier(2)

    def one() -> None:
        together.wait()
        try:
            outcomes.append(books.restore(archive).outcome)
        except Refused as refused:
            outcomes.append(refused.code)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert "restored" in outcomes
    assert set(outcomes) <= {"restored", "restore.account-changed"}
    assert is_sound(books)
    with books.application.database.transaction(books.access.account) as connection:
        live = connection.execute("SELECT count(*) FROM streams WHERE status = 'live'").fetchone()
        unfinished = connection.execute("SELECT count(*) FROM streams WHERE status = 'building'").fetchone()
    assert (live, unfinished) == ((1,), (0,))


def test_a_backup_beside_a_writer_is_the_account_at_one_position(fresh_account: OpenAccount, tmp_path: Path) -> None:
    opened: OpenedAccount = fresh_account()
    books = Books(opened)
    customer = books.customer()
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            books.issued(customer)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        archives = [Edited(books.backup(tmp_path)) for _ in range(5)]
    finally:
        stop.set()
        writer.join()

    final = Edited(books.backup(tmp_path)).files["timeline.jsonl"]
    for archive in archives:
        assert final.startswith(archive.files["timeline.jsonl"])
    other = Books(fresh_account())
    assert [other.restore(archive.zipped()).events for archive in archives] == [
        archive.manifest["tree_head"]["size"] for archive in archives
    ]


def test_a_backup_that_cannot_be_written_leaves_nothing_under_its_name(books: Books, tmp_path: Path) -> None:
    from domain.errors import CounterfoilError
    from snapshots.backup import take_backup

    (tmp_path / "folder").write_text("a file where a folder should be")

    with pytest.raises(CounterfoilError) as failed:
        take_backup(books.application, books.access, books.actor, tmp_path / "folder" / "a.zip", SIGNER)

    assert failed.value.code == "archive.not-written"
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
    with books.application.database.transaction(books.access.account) as connection:
        last = connection.execute("SELECT type FROM control_events ORDER BY position DESC LIMIT 1").fetchone()
    assert last == ("backup.failed",)


def test_a_person_added_later_sees_what_they_did_under_their_name(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    books.customer()
    other = Books(fresh_account())
    owner = books.access.control.members[0]
    add_member(other.application, other.access, other.actor, email=owner.email, name=None, role=c.Role.EDITOR)

    report = other.restore(books.backup(tmp_path))

    assert [(person.linked_to, person.has_access) for person in report.people] == [(owner.person, True)]
    assert ensure_person(other.application.database, owner.email, None, at=other.clock()).id == owner.person


def test_dates_in_the_report_are_the_archives_own(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    archive = books.backup(tmp_path)

    def command(work: Work) -> None:
        made = commands.create(work, Kind.INVOICE, {"customer": customer, "lines": [LINE]})
        commands.issue(work, Kind.INVOICE, made, issue_date=date(2024, 2, 29))

    books.run(command)

    (lost,) = books.restore(archive, dry_run=True).lost_documents

    assert (lost.issue_date, lost.number, lost.with_vat) == ("2024-02-29", "2024-00001", Decimal("24.20"))


def test_an_empty_archive_empties_the_account(books: Books, fresh_account: OpenAccount, tmp_path: Path) -> None:
    empty = Books(fresh_account()).backup(tmp_path)
    books.customer()

    report = books.restore(empty)

    assert (report.outcome, report.events) == ("restored", 0)
    assert books.customer("After it")
    assert is_sound(books)
