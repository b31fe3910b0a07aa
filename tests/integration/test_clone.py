"""Clones: the same account in another, at one position; both histories tell of it, and nobody becomes an author."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain import commands
from domain import control as c
from domain.accounts import Access, accounts_of, add_member, find_access, remove_member
from domain.application import Actor
from domain.control import AccountClosed, Role, RoleLacking
from domain.entity import FieldRefused, NotPossible
from domain.errors import CounterfoilError
from domain.ids import EntityId
from domain.kinds import Kind
from projections.moments import Position
from projections.timeline import read_timeline
from snapshots.cloning.clone_report import CloneReport
from snapshots.cloning.cloning import (
    CloneChoices,
    CloneRefused,
    ClosedPeriodsCloned,
    IntoItself,
    NewAccount,
    TargetChanged,
    clone_account,
)
from snapshots.cloning.unopened import NameTaken, sweep_never_opened
from snapshots.content import read_content
from snapshots.fresh.swap import swap
from snapshots.restoring.restore import OwnerOnly
from tests.fixtures.accounts import OpenAccount
from tests.histories import History, histories, play
from tests.integration.restoring import LINE, Books, is_sound
from tests.integration.test_backup_as_of import archived, content

few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where archives go; each example overwrites the one before it."""
    return tmp_path_factory.mktemp("archives")


class Pair:
    """An account, another one that the same person owns, and clones from the first into the second."""

    def __init__(self, fresh_account: OpenAccount) -> None:
        self.source, self.target = Books(fresh_account()), Books(fresh_account())
        owner = next(one for one in self.source.access.control.members if one.role is Role.OWNER)
        application = self.target.application
        add_member(
            application,
            self.target.access,
            self.target.actor,
            email=owner.email,
            name=owner.name,
            role=Role.ADMINISTRATOR,
        )
        self.into = find_access(application.database, owner.person, self.target.access.account)

    def clone(self, **choices: Any) -> CloneReport:
        """What a clone comes to."""
        source = self.source
        chosen = CloneChoices(**choices)
        return clone_account(source.application, source.access, source.actor, self.into, choices=chosen)


@pytest.fixture
def pair(fresh_account: OpenAccount) -> Pair:
    return Pair(fresh_account)


def new(books: Books, name: str, **choices: Any) -> tuple[CloneReport, Books]:
    """What a clone into a new account comes to, and that account."""
    report = clone_account(
        books.application, books.access, books.actor, NewAccount(name), choices=CloneChoices(**choices)
    )
    made = Books.__new__(Books)
    made.application, made.clock, made.actor = books.application, books.clock, books.actor
    made.access = find_access(books.application.database, books.person, report.account_id or "")
    return report, made


def held(books: Books) -> Any:
    """What an account holds, in figures."""
    return read_content(books.application.database, books.access.account)


def lines(archive: dict[str, bytes]) -> dict[str, bytes]:
    """The files of lines but for what subscriptions and their pauses are."""
    return {name: lines for name, lines in archive.items() if name not in ("said", "subscriptions.jsonl")}


def history(books: Books) -> list[tuple[str, Any]]:
    """The account's own history: type and data."""
    with books.application.database.transaction(books.access.account) as connection:
        return connection.execute("SELECT type, data::json FROM control_events ORDER BY position").fetchall()


@pytest.mark.slow
@few
@given(histories(), histories(), histories(), st.integers(0, 200))
def test_whatever_the_history_a_clone_is_the_source_as_it_was_and_both_stay_sound(
    fresh_account: OpenAccount, folder: Path, mine: History, since: History, theirs: History, at: int
) -> None:
    pair = Pair(fresh_account)
    play(pair.source.application, pair.source.access, mine)
    play(pair.target.application, pair.target.access, theirs)
    position = min(at, held(pair.source).events)
    play(pair.source.application, pair.source.access, since)
    before = pair.source.rows()

    report = pair.clone(as_of=Position(None, position))

    assert pair.source.rows() == before
    assert is_sound(pair.target)
    there = content(archived(pair.target, folder))
    here = content(archived(pair.source, folder, as_of=Position(None, position)))
    assert there["timeline.jsonl"].startswith(here["timeline.jsonl"])
    paused = there["timeline.jsonl"][len(here["timeline.jsonl"]) :].splitlines()
    assert len(paused) == report.held_count
    assert all(b'"subscription.paused"' in line and b'"via":"clone"' in line for line in paused)
    del here["timeline.jsonl"], there["timeline.jsonl"]
    assert lines(there) == lines(here)
    assert held(pair.target).root == report.root
    play(pair.target.application, pair.target.access, since)
    assert is_sound(pair.target)


def test_a_new_account_takes_settings_fields_and_modules_but_no_member(books: Books) -> None:
    books.issued(books.customer())
    changed = c.SettingsChanged(number_formats={"invoice": "F{year}-{number:04}"})
    defined = c.CustomFieldDefined(kind="customer", key="region", label="Region", type="text")
    books.application.record_control(
        books.access.account, books.actor, changed, defined, c.ModuleEnabled(module="quotes")
    )
    books.access = books.access._replace(control=books.application.control(books.access.account))

    report, made = new(books, "Sandbox of this")

    theirs, ours = books.application.control(books.access.account), made.access.control
    assert (ours.name, ours.settings, ours.modules, ours.custom_fields) == (
        "Sandbox of this",
        theirs.settings,
        theirs.modules,
        theirs.custom_fields,
    )
    assert [(member.person, member.role) for member in ours.members] == [(books.person, Role.OWNER)]
    assert report.outcome == "cloned"
    assert held(made) == held(books)
    assert is_sound(made)
    assert made.customer("The next write")


def test_both_histories_tell_of_it(pair: Pair) -> None:
    pair.source.issued(pair.source.customer())

    report = pair.clone()

    given, received = history(pair.source)[-1], history(pair.target)[-2]
    assert given[0] == "clone.given"
    assert given[1]["account"] == pair.target.access.account
    assert received[0] == "clone.received"
    assert received[1]["account"] == pair.source.access.account
    assert given[1]["root"] == received[1]["source_root"] == held(pair.source).root == report.root
    assert given[1]["position"] == received[1]["source_position"] == 3
    assert history(pair.target)[-1][0] == "stream.swapped"


def test_r05_a_clone_beside_people_who_write_is_one_position_of_the_source(fresh_account: OpenAccount) -> None:
    pair = Pair(fresh_account)
    source = pair.source
    customer = source.customer()
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            source.issued(customer)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        reports = [pair.clone() for _ in range(5)]
    finally:
        stop.set()
        writing.join()

    assert reports[-1].source_position > reports[0].source_position
    for report in reports:
        assert report.root == report.source_root
        assert report.events == report.source_position
    assert is_sound(pair.target)
    assert is_sound(source)


def test_numbers_go_on_after_what_was_copied_and_after_what_the_source_gave_out(pair: Pair, tmp_path: Path) -> None:
    source, target = pair.source, pair.target
    customer = source.customer()
    source.issued(customer)
    early = source.backup(tmp_path)
    source.issued(customer)
    source.restore(early)

    pair.clone()

    number = target.state(Kind.INVOICE, target.issued(customer)).number
    assert number.endswith("-00003")


def test_numbers_of_documents_that_are_lost_there_are_not_given_again(pair: Pair) -> None:
    lost = [pair.target.issued(pair.target.customer()) for _ in range(2)]
    numbers = [pair.target.state(Kind.INVOICE, one).number for one in lost]

    report = pair.clone()

    assert [one.number for one in report.lost_documents] == numbers
    assert pair.target.state(Kind.INVOICE, pair.target.issued(pair.target.customer())).number.endswith("-00003")


def test_every_active_subscription_is_paused_until_somebody_resumes_it(pair: Pair) -> None:
    source, target = pair.source, pair.target
    today = source.clock.now.date()
    fields = {"customer": source.customer(), "lines": [LINE], "interval": {"n": 1, "unit": "months"}}
    active = source.make(Kind.SUBSCRIPTION, next_date=(today + timedelta(days=9)).isoformat(), **fields)
    paused = source.make(Kind.SUBSCRIPTION, next_date=today.isoformat(), **fields)
    source.run(lambda work: commands.pause(work, paused))
    ended = source.make(Kind.SUBSCRIPTION, next_date=today.isoformat(), **fields)
    source.run(lambda work: commands.end(work, ended))

    report = pair.clone()

    assert [one.id for one in report.held] == [active]
    assert [target.state(Kind.SUBSCRIPTION, one).state for one in (active, paused, ended)] == [
        "paused",
        "paused",
        "ended",
    ]
    assert source.state(Kind.SUBSCRIPTION, active).state == "active"
    newest = read_timeline(target.application.database, target.access.account).entries
    pause = next(one for one in newest if one.kind == "subscription")
    assert (pause.type, pause.via, pause.actor, pause.came_by) == (
        "subscription.paused",
        "clone",
        source.actor.name,
        "recorded",
    )
    target.run(lambda work: commands.resume(work, active))
    assert target.state(Kind.SUBSCRIPTION, active).state == "active"


def test_t10_a_clone_there_and_back_makes_nobody_the_author_who_was_not(fresh_account: OpenAccount) -> None:
    pair = Pair(fresh_account)
    source, target = pair.source, pair.target
    bo = next(one for one in source.access.control.members if one.role is Role.EDITOR)
    by_bo = Actor.person(bo.person, "api")
    customer: EntityId = source.run(
        lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "By Bo"}}), by_bo
    )

    def entry(books: Books) -> Any:
        found = read_timeline(books.application.database, books.access.account).entries
        return next(one for one in found if one.entity == customer)

    pair.clone()
    there = entry(target)
    clone_account(target.application, pair.into, source.actor, source.access)
    back = entry(source)

    assert (there.actor, there.linked_to, there.came_by) == (by_bo.name, source.actor.name, "clone")
    assert there.actor_name == "Bo"
    assert (back.actor, back.linked_to) == (by_bo.name, by_bo.name)


@pytest.mark.parametrize(
    "forged",
    [
        "UPDATE attributions SET verified = false WHERE account_id = %(account)s",
        "UPDATE attributions SET linked_to = %(victim)s, person = %(stranger)s WHERE account_id = %(account)s",
        "UPDATE segments SET authenticity = 'unsigned', attribution_trusted = true WHERE account_id = %(account)s",
    ],
    ids=["unverified there", "linked by an owner's word there", "vouched for by an owner there"],
)
def test_t10_what_the_source_says_on_its_own_word_is_not_said_of_a_member_of_the_target(
    pair: Pair, forged: str
) -> None:
    source, target = pair.source, pair.target
    victim = next(one for one in source.access.control.members if one.role is Role.EDITOR)
    source.run(
        lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "x"}}), Actor.person(victim.person, "api")
    )
    pair.clone()
    clone_account(target.application, pair.into, source.actor, source.access)
    add_member(target.application, target.access, target.actor, email=victim.email, name=None, role=Role.EDITOR)
    with source.application.database.session("postgres") as connection:
        values = {"account": source.access.account, "victim": victim.person, "stranger": str(uuid.uuid4())}
        connection.execute(forged.encode(), values)
        if "stranger" in forged:
            connection.execute(
                "UPDATE events SET actor = 'person:' || %(stranger)s WHERE account_id = %(account)s", values
            )

    pair.clone()

    newest = read_timeline(target.application.database, target.access.account).entries
    assert {one.linked_to for one in newest if one.kind == "customer"} == {source.actor.name}


def test_t14_what_is_not_an_accounts_content_stays_behind_and_either_side_lives_on_alone(pair: Pair) -> None:
    source, target = pair.source, pair.target
    customer = source.customer("Kept")
    members = target.application.control(target.access.account).members
    pair.clone()

    source.application.record_control(source.access.account, source.actor, c.Closed())
    source_rows = source.rows()
    target.run(lambda work: commands.change(work, Kind.CUSTOMER, customer, {"party": {"name": "Changed there"}}))

    assert target.application.control(target.access.account).members == members
    assert target.state(Kind.CUSTOMER, customer).party.name == "Changed there"
    assert source.rows() == source_rows
    assert is_sound(target)


def test_an_attached_file_goes_with_the_document(pair: Pair, tmp_path: Path) -> None:
    from tests.integration.test_backup import CONTENT, attached

    source = pair.source
    sha256 = attached(source, source.make(Kind.INVOICE, customer=source.customer()))

    pair.clone()

    assert pair.target.application.attachment(pair.target.access.account, sha256) == CONTENT


def test_a_rehearsal_says_the_same_and_changes_nothing(pair: Pair) -> None:
    pair.source.issued(pair.source.customer())
    pair.target.issued(pair.target.customer())
    before = pair.source.rows(), pair.target.rows(), history(pair.source), history(pair.target)

    rehearsed = pair.clone(dry_run=True)
    fresh = clone_account(
        pair.source.application,
        pair.source.access,
        pair.source.actor,
        NewAccount("Never there"),
        choices=CloneChoices(dry_run=True),
    )

    assert (pair.source.rows(), pair.target.rows(), history(pair.source), history(pair.target)) == before
    assert rehearsed.outcome == fresh.outcome == "would_clone"
    assert fresh.account == "never-there"
    done = pair.clone()
    assert (done.changes, done.lost_documents, done.differences) == (
        rehearsed.changes,
        rehearsed.lost_documents,
        rehearsed.differences,
    )


def test_a_new_account_is_nowhere_before(books: Books) -> None:
    with pytest.raises(FieldRefused, match=r"account_at: found 1\.0; expected none for a new account"):
        new(books, "Fresh", account_at="1.0")


def test_t10_who_no_longer_owns_the_account_gives_no_owners_word_to_a_clone(pair: Pair) -> None:
    source, target = pair.source, pair.target
    source.customer()
    was_owner = pair.into._replace(role=Role.OWNER)

    with pytest.raises(OwnerOnly):
        clone_account(
            source.application,
            source.access,
            source.actor,
            was_owner,
            choices=CloneChoices(change_closed_periods=True),
        )

    assert not target.rows()["entities"]


def test_documents_in_closed_periods_change_on_the_owners_word_alone(pair: Pair) -> None:
    target = pair.target
    target.issued(target.customer())
    closed = c.SettingsChanged(closed_until=target.clock.now.date())
    target.application.record_control(target.access.account, target.actor, closed)

    with pytest.raises(ClosedPeriodsCloned, match="1 documents in closed periods"):
        pair.clone()
    with pytest.raises(CounterfoilError, match="for the account's owner"):
        pair.clone(change_closed_periods=True)

    owner = find_access(target.application.database, target.person, target.access.account)
    source = pair.source.access
    invited = add_member(
        target.application, source, pair.source.actor, email=owner.control.members[0].email, name=None, role=Role.OWNER
    )
    seen = find_access(target.application.database, invited.id, source.account)
    choices = CloneChoices(change_closed_periods=True)
    report = clone_account(target.application, seen, target.actor, owner, choices=choices)
    assert report.outcome == "cloned"
    assert history(target)[-2][1]["changed_closed_periods"] is True


def test_a_target_that_changed_meanwhile_is_left_as_it_is(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def later(*args: Any, **kwargs: Any) -> None:
        pair.target.customer("Meanwhile")
        swap(*args, **kwargs)

    monkeypatch.setattr("snapshots.cloning.cloning.swap", later)

    with pytest.raises(TargetChanged) as refused:
        pair.clone()

    assert refused.value.report.changed_meanwhile == 1
    assert history(pair.target)[-1][0] == "clone.failed"
    assert [row["status"] for row in pair.target.rows()["streams"]] == ["live"]


def test_it_is_for_who_administers_both_and_never_into_itself(pair: Pair) -> None:
    source, target = pair.source, pair.target
    demoted = c.AccessChanged(person=source.person, role=Role.EDITOR)
    with pytest.raises(IntoItself):
        clone_account(source.application, source.access, source.actor, source.access)
    target.application.record_control(target.access.account, target.actor, demoted)
    as_editor = find_access(target.application.database, source.person, target.access.account)
    with pytest.raises(RoleLacking, match="cloning into an account"):
        clone_account(source.application, source.access, source.actor, as_editor)
    with pytest.raises(RoleLacking, match="cloning an account"):
        clone_account(source.application, as_editor, source.actor, source.access)
    target.application.record_control(target.access.account, target.actor, c.Closed())
    with pytest.raises(AccountClosed):
        clone_account(source.application, source.access, source.actor, reopened(pair.into, target))


def reopened(access: Access, books: Books) -> Access:
    """The access as it is by now."""
    return access._replace(control=books.application.control(access.account))


def test_r12_who_lost_their_role_while_the_clone_was_made_is_refused_at_its_end(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def later(*args: Any, **kwargs: Any) -> None:
        email = next(one.email for one in pair.into.control.members if one.person == pair.source.person)
        remove_member(pair.target.application, pair.target.access, pair.target.actor, email=email)
        swap(*args, **kwargs)

    monkeypatch.setattr("snapshots.cloning.cloning.swap", later)
    before = held(pair.target)

    with pytest.raises(CounterfoilError, match="access"):
        pair.clone()

    assert held(pair.target) == before


def test_r04_of_two_clones_to_one_name_one_wins_and_nothing_is_left_of_the_other(books: Books) -> None:
    books.issued(books.customer())
    outcomes: list[Any] = []

    def run() -> None:
        try:
            outcomes.append(new(books, "The one name " + books.access.account)[0].outcome)
        except NameTaken as taken:
            outcomes.append(taken.code)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["clone.name-taken"] * 3 + ["cloned"]
    mine = [one for one in accounts_of(books.application.database, books.person) if "the-one-name" in one.slug]
    assert len(mine) == 1
    with books.application.database.session("postgres") as connection:
        left = connection.execute("SELECT count(*) FROM accounts WHERE slug LIKE 'being-made-%%'").fetchall()
    assert left == [(0,)]


def test_r04_of_two_clones_into_one_account_one_wins(fresh_account: OpenAccount) -> None:
    pair = Pair(fresh_account)
    pair.source.issued(pair.source.customer())
    outcomes: list[str] = []
    barrier = threading.Barrier(2)

    def run() -> None:
        barrier.wait()
        try:
            outcomes.append(pair.clone().outcome)
        except CloneRefused as refused:
            outcomes.append(refused.code)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert "cloned" in outcomes
    assert set(outcomes) <= {"cloned", "restore.account-changed"}
    assert held(pair.target).root == held(pair.source).root
    assert is_sound(pair.target)


def test_clones_of_two_accounts_into_each_other_wait_for_nobody_in_a_ring(fresh_account: OpenAccount) -> None:
    pair = Pair(fresh_account)
    pair.source.customer("One")
    pair.target.customer("Two")
    outcomes: list[str] = []

    def run(source: Access, into: Access) -> None:
        try:
            outcomes.append(clone_account(pair.source.application, source, pair.source.actor, into).outcome)
        except CloneRefused as refused:
            outcomes.append(refused.code)

    for _ in range(3):
        pairs = ((pair.source.access, pair.into), (pair.into, pair.source.access))
        threads = [threading.Thread(target=run, args=one) for one in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(outcomes) == 6
    assert set(outcomes) <= {"cloned", "restore.account-changed"}
    assert is_sound(pair.source)
    assert is_sound(pair.target)


def test_a_subscription_that_came_with_a_clone_invoices_nothing_before_it_is_resumed(pair: Pair) -> None:
    source, target = pair.source, pair.target
    subscription = source.make(
        Kind.SUBSCRIPTION,
        customer=source.customer(),
        lines=[LINE],
        interval={"n": 1, "unit": "months"},
        next_date=source.clock.now.date().isoformat(),
    )
    pair.clone()

    with pytest.raises(NotPossible, match="held since it came by clone"):
        target.run(lambda work: commands.invoice_period(work, subscription))
    assert source.run(lambda work: commands.invoice_period(work, subscription))


def test_an_account_that_is_being_made_is_seen_by_nobody_and_left_alone_by_who_cleans_up(books: Books) -> None:
    books.issued(books.customer())
    database = books.application.database
    before = [one.account for one in accounts_of(database, books.person)]
    seen: list[Any] = []

    def meanwhile(_phase: str, _done: int, _of: int) -> None:
        seen.append((sweep_never_opened(database), [one.account for one in accounts_of(database, books.person)]))

    report = clone_account(
        books.application, books.access, books.actor, NewAccount("Made " + books.access.account), progress=meanwhile
    )

    assert seen
    assert all(found == ([], before) for found in seen)
    assert report.outcome == "cloned"


def test_r04_of_a_restore_and_a_clone_into_one_account_at_least_one_wins(pair: Pair, tmp_path: Path) -> None:
    archive = pair.target.backup(tmp_path)
    pair.source.customer()
    outcomes: list[str] = []

    def run(into: Any) -> None:
        try:
            outcomes.append(into().outcome)
        except CounterfoilError as refused:
            outcomes.append(refused.code)

    threads = [threading.Thread(target=run, args=[one]) for one in (pair.clone, lambda: pair.target.restore(archive))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {"cloned", "restored"} & set(outcomes)
    assert set(outcomes) <= {"cloned", "restored", "restore.account-changed"}
    assert is_sound(pair.target)
