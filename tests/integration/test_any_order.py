"""Whatever is done to two accounts, in whatever order, they hold what a plain model says: lists of lines and states.

The model is a list for each stream: the lines that it holds, and the state that each led to. A restore, an undo or a
clone copies a list, an addition appends to one; all else that is promised is derived from them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from copy import copy
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from psycopg import Connection

from domain import commands
from domain.accounts import Access
from domain.errors import DomainError
from domain.events import line, written_time
from domain.ids import EntityId
from domain.kinds import Kind
from domain.tree import Frontier, leaf_hash, root_of
from domain.work import Work, decode_state, is_gone
from projections.moments import Position
from projections.rebuild import rebuild
from projections.verification import judge, scan
from snapshots.backup import Backup, take_backup
from snapshots.cloning.cloning import clone_account
from snapshots.generations import purging
from snapshots.generations.undo import activate
from snapshots.restoring.restore import ArchiveFaulty, NumbersClash
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import SIGNER
from tests.integration.restoring import LINE, Books
from tests.integration.test_clone import Pair

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("RACES", "1"))
EXAMPLES, STEPS = 8, 20
PICK = st.integers(0, 20)
VERBS = [
    *("open_customer", "rename", "delete", "draft", "draft", "issue", "issue", "delete_draft", "pay"),
    *("subscribe", "bill", "bill", "pause", "resume", "resume"),
]


Step: TypeAlias = tuple[str, int]  # what is done, and to the how manieth
WORK = st.lists(st.tuples(st.sampled_from(VERBS), PICK), min_size=1, max_size=8)


class Entry(NamedTuple):
    """A line of a stream: of which entity, when, and the state that it led to."""

    line: bytes
    entity: EntityId
    kind: Kind
    at: datetime
    state: str


Lines = list[Entry]


class Kept(NamedTuple):
    """An archive, what it holds by the model, and whose it is."""

    archive: bytes
    lines: Lines
    of: Modelled


class Modelled:
    """An account, and what it should hold by now."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.live = 1
        self.streams: dict[int, Lines] = {1: []}
        self.status: dict[int, str] = {1: "live"}
        self.numbers: dict[str, int] = {}  # by series, the highest that the account ever had
        self.days: dict[EntityId, set[date]] = defaultdict(set)  # of each subscription, invoiced in any stream

    @property
    def lines(self) -> Lines:
        """What the live stream holds."""
        return self.streams[self.live]

    @property
    def states(self) -> dict[EntityId, Entry]:
        """The last entry of each entity of the live stream."""
        return last_of(self.lines)

    def swap(self, live: int, lines: Lines, retired: int | None) -> None:
        """The account lives in another stream, which holds *lines*."""
        assert retired == self.live
        self.status[self.live] = "retired"
        self.live = live
        self.status[live] = "live"
        self.streams[live] = lines
        self.learn()

    def learn(self) -> None:
        """Numbers and invoiced periods of the live stream are the account's for good."""
        for entry in self.lines:
            self._learn(entry)

    def _learn(self, entry: Entry) -> None:
        if entry.kind is Kind.INVOICE:
            state = decode_state(Kind.INVOICE, entry.state)
            if state.number:
                series, _, ordinal = state.number.rpartition("-")
                self.numbers[series] = max(self.numbers.get(series, 0), int(ordinal))
        elif b'"type":"subscription.period_invoiced"' in entry.line:
            data = msgspec.json.decode(entry.line)["data"]
            start, until = date.fromisoformat(data["start"]), date.fromisoformat(data["next_date"])
            self.days[entry.entity] |= {start + timedelta(days=n) for n in range((until - start).days)}

    def run(self, command: Callable[[Work], Any]) -> Any:
        """What a command comes to; what it decided is in the model too. None where the rules refuse it."""
        decided: list[Any] = []

        def noted(work: Work) -> Any:
            result = command(work)
            decided[:] = work.decided
            return result

        try:
            result = self.books.run(noted)
        except DomainError:
            return None
        at = max([self.books.clock.now, *(entry.at for entry in self.lines)])
        for one in decided:
            written = line(
                type_name=one.type,
                entity=one.entity,
                version=one.version,
                at=written_time(at),
                actor=self.books.actor.name,
                via="api",
                data=one.data,
            )
            self.lines.append(Entry(written, one.entity, one.kind, at, msgspec.json.encode(one.state).decode()))
        return result

    def run_on(self, kind: Kind, pick: int, command: Callable[[Work, EntityId], Any], *states: str) -> Any:
        """What a command comes to on the *pick*-th entity of a kind; None where there is none."""
        for id_ in picked(pick, self.of_kind(kind, *states)):
            return self.run(partial(_on, command, id_))
        return None

    def of_kind(self, kind: Kind, *states: str) -> list[EntityId]:
        """The entities of a kind that are there, in one of *states* if any are named."""
        there = [(id_, decode_state(kind, e.state)) for id_, e in self.states.items() if e.kind is kind]
        return [id_ for id_, one in there if not is_gone(one) and (not states or one.state in states)]

    def retired(self) -> list[int]:
        return [stream for stream, status in self.status.items() if status == "retired"]


def _on(command: Callable[[Work, EntityId], Any], id_: EntityId, work: Work) -> Any:
    return command(work, id_)


def last_of(lines: Lines) -> dict[EntityId, Entry]:
    """The last entry of each entity."""
    return {entry.entity: entry for entry in lines}


def root(lines: Lines) -> str:
    """The root of the tree over *lines*."""
    return root_of([leaf_hash(entry.line) for entry in lines]).hex()


def picked(pick: int, of: list[Any]) -> list[Any]:
    """The *pick*-th, if there are any."""
    return of[pick % len(of) :][:1] if of else []


class AnyOrder(RuleBasedStateMachine):
    """Two accounts of one person, and all that can be done to them."""

    # Given by the test: a machine is made without arguments.
    fresh_account: OpenAccount
    folder: Path
    connection: Connection[Any]

    def __init__(self) -> None:
        super().__init__()
        pair = Pair(self.fresh_account)
        theirs = copy(pair.target)
        theirs.actor, theirs.clock, theirs.application = pair.source.actor, pair.source.clock, pair.source.application
        theirs.access = pair.into
        pair.source.clock.now = pair.source.clock.now.replace(year=2025, month=1, day=31)
        self.accounts = [Modelled(pair.source), Modelled(theirs)]
        self.archives: list[Kept] = []
        self.worked = 0
        for account in self.accounts:
            self.open_customer(account, 0)
            self.subscribe(account, 1)
            self.keep(account, 0, None)

    # People at work.

    @rule(who=PICK, work=WORK)
    def people_work(self, who: int, work: list[Step]) -> None:
        self.worked += 1
        for verb, pick in work:
            getattr(self, verb)(self.accounts[who % 2], pick)

    @rule(days=st.integers(0, 45))
    def days_pass(self, days: int) -> None:
        self.accounts[0].books.clock.now += timedelta(days=days)

    def open_customer(self, account: Modelled, pick: int) -> None:
        account.run(lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": f"Klant {pick}"}}))

    def rename(self, account: Modelled, pick: int) -> None:
        fields = {"notes": f"note {pick}"}
        account.run_on(Kind.CUSTOMER, pick, lambda work, id_: commands.change(work, Kind.CUSTOMER, id_, fields))

    def delete(self, account: Modelled, pick: int) -> None:
        account.run_on(Kind.CUSTOMER, pick, lambda work, id_: commands.delete(work, Kind.CUSTOMER, id_))

    def draft(self, account: Modelled, pick: int) -> None:
        def command(work: Work, customer: EntityId) -> None:
            commands.create(work, Kind.INVOICE, {"customer": customer, "lines": [LINE]})

        account.run_on(Kind.CUSTOMER, pick, command)

    def delete_draft(self, account: Modelled, pick: int) -> None:
        account.run_on(Kind.INVOICE, pick, lambda work, id_: commands.delete(work, Kind.INVOICE, id_), "draft")

    def issue(self, account: Modelled, pick: int) -> None:
        """A number follows the highest that the account ever had."""

        def command(work: Work, draft: EntityId) -> str:
            commands.issue(work, Kind.INVOICE, draft)
            number: str = work.get(Kind.INVOICE, draft).number
            return number

        number = account.run_on(Kind.INVOICE, pick, command, "draft")
        if number is not None:
            series, _, ordinal = number.rpartition("-")
            assert int(ordinal) == account.numbers.get(series, 0) + 1
            account.learn()

    def pay(self, account: Modelled, pick: int) -> None:
        fields = {"amount": "24.20", "means": "30"}

        def command(work: Work, invoice: EntityId) -> None:
            commands.record(work, Kind.INVOICE, invoice, "payment_registered", fields)

        account.run_on(Kind.INVOICE, pick, command, "issued")

    def subscribe(self, account: Modelled, pick: int) -> None:
        interval = {"n": 2, "unit": "weeks"} if pick % 3 == 0 else {"n": 1, "unit": "months"}
        today = account.books.clock.now.date().isoformat()

        def command(work: Work, customer: EntityId) -> None:
            fields = {"customer": customer, "lines": [LINE], "interval": interval, "next_date": today}
            commands.create(work, Kind.SUBSCRIPTION, fields)

        account.run_on(Kind.CUSTOMER, pick, command)

    def bill(self, account: Modelled, pick: int) -> None:
        """No day of a subscription is invoiced twice, whichever stream invoiced it."""

        def command(work: Work, subscription: EntityId) -> tuple[EntityId, Any]:
            invoice = commands.invoice_period(work, subscription)
            return subscription, work.get(Kind.INVOICE, invoice).invoicing_period

        billed = account.run_on(Kind.SUBSCRIPTION, pick, command)
        if billed is not None:
            subscription, period = billed
            days = {period.start + timedelta(days=n) for n in range((period.end - period.start).days + 1)}
            assert not days & account.days[subscription]
            account.learn()

    def pause(self, account: Modelled, pick: int) -> None:
        account.run_on(Kind.SUBSCRIPTION, pick, commands.pause)

    def resume(self, account: Modelled, pick: int) -> None:
        account.run_on(Kind.SUBSCRIPTION, pick, commands.resume)

    # Streams.

    @rule(work=WORK, who=PICK, back=st.integers(0, 12), stream=st.none() | PICK)
    def back_up(self, work: list[Step], who: int, back: int, stream: int | None) -> None:
        self.people_work(who, work)
        self.keep(self.accounts[who % 2], back, stream)

    def keep(self, account: Modelled, back: int, stream: int | None) -> None:
        """A backup as of so many events before the end of the live stream, or of a retired one."""
        books = account.books
        of = account.live if stream is None else picked(stream, [*account.retired(), account.live])[0]
        lines = account.streams[of][: max(0, len(account.streams[of]) - back)]
        at = Position(of, len(lines))
        target = self.folder / "a.zip"
        taken = take_backup(books.application, books.access, books.actor, target, SIGNER, as_of=at)
        assert (taken.stream, taken.position, taken.root) == (of, len(lines), root(lines))
        self.archives.append(Kept(target.read_bytes(), lines, account))

    @rule(work=WORK, who=PICK, pick=PICK, moved=st.booleans())
    def restore(self, work: list[Step], who: int, pick: int, moved: bool) -> None:
        self.people_work(who, work)
        account, (kept,) = self.accounts[who % 2], picked(pick, self.archives)
        report = account.books.restore(kept.archive, subscriptions="moved" if moved else "hold")
        assert (report.outcome, report.events, report.root) == ("restored", len(kept.lines), root(kept.lines))
        assert report.live_stream is not None
        assert report.live_stream > max(account.streams)
        account.swap(report.live_stream, list(kept.lines), report.retired_stream)

    @rule(work=WORK, who=PICK, pick=PICK)
    def add(self, work: list[Step], who: int, pick: int) -> None:
        self.people_work(who, work)
        account, (kept,) = self.accounts[who % 2], picked(pick, self.archives)
        there = account.states
        # What the archive deletes comes too, as history: a timeline is brought whole, or its entity not at all.
        lacking = last_of(kept.lines).keys() - there.keys()
        lines = [*account.lines, *(entry for entry in kept.lines if entry.entity in lacking)]
        try:
            report = account.books.restore(kept.archive, mode="add")
        except (NumbersClash, ArchiveFaulty):
            return
        assert (report.events, report.root) == (len(lines), root(lines))
        assert (report.outcome == "nothing_to_add") == (not lacking)
        if report.live_stream is not None:
            account.swap(report.live_stream, lines, report.retired_stream)

    @rule(work=WORK, who=PICK, pick=PICK)
    def undo(self, work: list[Step], who: int, pick: int) -> None:
        self.people_work(who, work)
        account = self.accounts[who % 2]
        (stream,) = picked(pick, account.retired()) or [0]
        if not stream:
            return
        report = activate(account.books.application, account.books.access, account.books.actor, stream)
        assert (report.outcome, report.root) == ("activated", root(account.streams[stream]))
        account.swap(stream, account.streams[stream], report.retired_stream)

    @rule(work=WORK, who=PICK, pick=PICK)
    def purge(self, work: list[Step], who: int, pick: int) -> None:
        self.people_work(who, work)
        account = self.accounts[who % 2]
        books, (stream,) = account.books, picked(pick, account.retired()) or [0]
        if not stream:
            return

        def archive(access: Access, of: int) -> Backup:
            return take_backup(books.application, access, books.actor, self.folder / "p.zip", SIGNER, stream=of)

        report = purging.purge(books.application, books.access, books.actor, stream, archive)
        numbers = {id_ for id_, one in last_of(account.streams[stream]).items() if is_issued(one)}
        only_here = numbers - {id_ for id_, one in account.states.items() if is_issued(one)}
        assert report.streams[0].documents_only_here == len(only_here)
        assert (report.streams[0].archive is not None) == bool(only_here)
        account.status[stream] = "purged"

    @precondition(lambda self: self.worked > 2)  # one after the other would make all alike
    @rule(work=WORK, who=PICK)
    def clone(self, work: list[Step], who: int) -> None:
        self.people_work(who, work)
        self.worked = 0
        source, target = self.accounts[who % 2], self.accounts[1 - who % 2]
        books = source.books
        report = clone_account(books.application, books.access, books.actor, target.books.access)
        active = {
            id_
            for id_, entry in source.states.items()
            if entry.kind is Kind.SUBSCRIPTION and decode_state(entry.kind, entry.state).state == "active"
        }
        assert report.live_stream is not None
        pauses = self._stored_lines(target, report.live_stream, after=len(source.lines))
        assert {entry.entity for entry in pauses} == active
        assert len(pauses) == len(active)
        assert all(b'"type":"subscription.paused"' in entry.line and b'"via":"clone"' in entry.line for entry in pauses)
        lines = [*source.lines, *pauses]
        assert report.root == root(lines)
        for series, highest in source.numbers.items():
            target.numbers[series] = max(target.numbers.get(series, 0), highest)
        target.swap(report.live_stream, lines, report.retired_stream)

    def _stored_lines(self, account: Modelled, stream: int, *, after: int) -> Lines:
        rows = self.connection.execute(
            "SELECT event_line_1(v.type, type_version, v.entity_id, v.version, at, actor, via, data),"
            " v.entity_id::text, kind, at, state FROM events v JOIN entities n USING (account_id, stream_id, entity_id)"
            " WHERE account_id = %s AND stream_id = %s AND v.position > %s ORDER BY v.position",
            [account.books.access.account, stream, after],
        ).fetchall()
        return [Entry(text.encode(), EntityId(id_), Kind(kind), at, state) for text, id_, kind, at, state in rows]

    # What holds after every step.

    @invariant()
    def the_accounts_are_what_the_model_says(self) -> None:
        for account in self.accounts:
            key = [account.books.access.account]
            rows = self.connection.execute(
                "SELECT stream_id, status, head_position, frontier FROM streams WHERE account_id = %s", key
            ).fetchall()
            assert {stream: status for stream, status, _, _ in rows if status != "abandoned"} == account.status
            for stream, status, head, frontier in rows:
                if status in ("live", "retired"):
                    found = Frontier.from_bytes(head, bytes(frontier)).root().hex()
                    assert (head, found) == (len(account.streams[stream]), root(account.streams[stream]))
            states = self.connection.execute(
                "SELECT entity_id::text, state FROM entities WHERE account_id = %s AND stream_id = %s",
                [*key, account.live],
            ).fetchall()
            assert dict(states) == {id_: entry.state for id_, entry in account.states.items()}

    def teardown(self) -> None:
        for account in self.accounts:
            database, id_ = account.books.application.database, account.books.access.account
            assert rebuild(database, id_, check=True).differences_count == 0
            for stream in (account.live, *account.retired()):
                assert judge(scan(database, id_, stream=stream)).findings_count == 0


def is_issued(entry: Entry) -> bool:
    """Whether an entry is of a document that has been issued."""
    state = decode_state(entry.kind, entry.state)
    return entry.kind.is_document and not is_gone(state) and state.state != "draft"


def test_whatever_is_done_in_whatever_order_the_accounts_hold_what_a_plain_model_says(
    fresh_account: OpenAccount, tmp_path: Path
) -> None:
    few = settings(
        max_examples=EXAMPLES * ROUNDS,
        stateful_step_count=STEPS,
        deadline=None,
        # A failure is told as it was found: making it small takes minutes, which `make races` has.
        phases=list(Phase) if ROUNDS > 1 else [phase for phase in Phase if phase is not Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    with psycopg.connect(fresh_account().application.database.dsn, autocommit=True) as connection:
        given = {"fresh_account": staticmethod(fresh_account), "folder": tmp_path, "connection": connection}
        run_state_machine_as_test(type("Given", (AnyOrder,), given), settings=few)
