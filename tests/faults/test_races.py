"""Processes at work on one account at once: one wins, the other is told, and no acknowledged write is lost."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.accounts import add_member
from domain.application import record_control
from domain.control import Role
from domain.kinds import Kind
from domain.store.database import Database
from snapshots.backup import Source
from snapshots.cloning.cloning import TargetChanged, clone_account
from snapshots.fresh import swap
from snapshots.generations.stream_report import StreamListed
from snapshots.generations.streams import list_streams
from snapshots.proving.verification import Given, verify_timeline
from snapshots.reading.archive import Archive
from tests.faults.races import Ground, History, Racers, racers
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import KEYS
from tests.integration.restoring import Books
from tests.integration.test_backup import attached
from tests.integration.test_clone import Pair

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("RACES", "1"))  # how often each race is run


@pytest.fixture(scope="module")
def processes(shared_database: Database) -> Iterator[Racers]:
    with racers(shared_database.dsn, 8) as started:
        yield started


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Of this test, by the seed in the header."""
    return random.Random(f"{request.config.option.hypothesis_seed} {request.node.name}")


class Course:
    """An account to race on, with another one, and what may race there."""

    def __init__(self, fresh_account: OpenAccount, folder: Path, processes: Racers, chance: random.Random) -> None:
        self.pair = Pair(fresh_account)
        # Whoever owns the source administers the target: here the account that is raced on is cloned into, or from.
        self.ground = Ground.of(self.pair.source)
        self.books: Books = self.pair.source
        self.folder = folder
        self.history = History(self.ground)
        self._processes = processes
        self._chance = chance
        self.archive = folder / "a.zip"
        self.archive.write_bytes(self.books.backup(folder))

    def order(self, do: str, **more: Any) -> dict[str, Any]:
        return self.ground.order(do, self._chance, **more)

    def job(self, name: str, of: int | None = None, **more: Any) -> dict[str, Any]:
        """An order of that name; *of* which stream, or of one that is retired by then."""
        verb, discards = name.removesuffix(", discarding"), name.endswith("discarding")
        choices = {"meanwhile": "discard"} if discards else {}
        mine, theirs = self.books.access.account, self.pair.target.access.account
        match verb:
            case "restore":
                return self.order("restore", archive=str(self.archive), choices=choices, **more)
            case "add":
                return self.order("restore", archive=str(self._other_archive()), choices={"mode": "add"}, **more)
            case "undo":
                return self.order("undo", stream=of or self._retired(), choices=choices, **more)
            case "clone over it":
                return self.order("clone", account=theirs, into=mine, **more)
            case "clone from it":
                return self.order("clone", into=theirs, **more)
            case "backup of it":
                return self.order("backup", of=of, folder=str(self.folder), **more)
            case "purge":
                return self.order("purge", stream=of or self._retired(), folder=str(self.folder), **more)
        return self.order(verb, folder=str(self.folder), **more)

    def _other_archive(self) -> Path:
        """Of the other account, with something that nobody has."""
        self.pair.target.customer("Added")
        archive = self.folder / "other.zip"
        archive.write_bytes(self.pair.target.backup(self.folder))
        return archive

    def _retired(self) -> int:
        return next(one.stream for one in self._streams() if one.status == "retired")

    def _streams(self) -> list[StreamListed]:
        return list_streams(self.books.application, self.books.access.account)

    def retire(self) -> int:
        """The number of the stream that a restore just retired."""
        order = self.job("restore")
        (answer,) = self.history.note([order], self._processes.race([order]))
        retired: int = answer["retired_stream"]
        return retired

    def administrator(self, role: Role = Role.ADMINISTRATOR) -> str:
        """Somebody else who may do it all, here and in the other account."""
        email = f"{uuid.uuid4().hex}@example.com"
        for books in (self.books, self.pair.target):
            person = add_member(books.application, books.access, books.actor, email=email, name="Admin", role=role)
        return person.id

    def own_history(self) -> list[tuple[str, str]]:
        """What the account's own history tells: what, and by whom."""
        with self.books.application.database.transaction(self.books.access.account) as connection:
            return connection.execute("SELECT type, actor FROM control_events ORDER BY position").fetchall()

    def people(self, **how: int) -> list[dict[str, Any]]:
        return self.ground.people(self._chance, **how)

    def race(self, *orders: dict[str, Any]) -> list[dict[str, Any]]:
        """The answers to the jobs among the orders."""
        return self.history.note(list(orders), self._processes.race(list(orders)))


@pytest.fixture
def course(fresh_account: OpenAccount, tmp_path: Path, processes: Racers, chance: random.Random) -> Course:
    return Course(fresh_account, tmp_path, processes, chance)


WAITING = b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
# What a job is told that lost.
CHANGED = {"restore.account-changed", "activation.account-changed"}
LOST = CHANGED | {"stream.not-retired", "stream.busy"}
SWAPS = ["restore", "restore, discarding", "add", "undo", "undo, discarding", "clone over it"]
JOBS = [*SWAPS, "clone from it", "backup", "sweep"]


def answered(answer: dict[str, Any]) -> str:
    """What came of a job, in one word."""
    return str(answer.get("outcome", answer.get("code")))


@pytest.mark.parametrize("job", SWAPS)
def test_r03_what_is_acknowledged_beside_a_swap_is_in_the_live_stream_or_in_the_one_that_it_names(
    course: Course, job: str
) -> None:
    course.retire()
    for _ in range(ROUNDS):
        (answer,) = course.race(*course.people(), course.job(job))

        done = {"restored", "activated", "cloned"}
        expected = done if "discarding" in job else done | CHANGED
        assert answered(answer) in expected, answer
    course.history.check()


def test_r03_who_waited_while_a_stream_was_replaced_writes_to_the_other_one(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer has read the stream, found the account as it was, and waits for a lock that the swap holds."""
    writing = course.order("write", verbs=["append"], count=1, lists=course.ground.lists, after=0.0)
    answers: list[Any] = []
    writer = threading.Thread(target=lambda: answers.append(course.race(writing)))
    real = record_control

    def when_somebody_waits(*args: Any, **more: Any) -> Any:
        monkeypatch.setattr(swap, "record_control", real)
        writer.start()
        with course.books.application.database.session("postgres") as connection:
            ends = time.monotonic() + 30
            while connection.execute(WAITING).fetchall() == [(0,)] and time.monotonic() < ends:
                time.sleep(0.01)
        return real(*args, **more)

    monkeypatch.setattr(swap, "record_control", when_somebody_waits)
    report = course.books.restore(course.archive.read_bytes())
    writer.join()

    course.history.swaps.append({**msgspec.to_builtins(report), "began": 0.0, "ended": time.monotonic()})
    assert [one["stream"] for one in course.history.acknowledged] == [report.live_stream]
    course.history.check()


@pytest.mark.parametrize("clones", [False, True], ids=["restore", "clone"])
def test_nobody_waits_while_attached_files_are_brought(
    course: Course, monkeypatch: pytest.MonkeyPatch, clones: bool
) -> None:
    source, books = course.pair.target, course.books
    attached(source, source.make(Kind.INVOICE, customer=source.customer()))
    archive = source.backup(course.folder)
    swapping: list[bool] = []
    wrote: list[Any] = []

    def write() -> None:
        wrote.append(books.customer("Meanwhile"))

    def while_somebody_writes(real: Any, chunks: Any) -> Any:
        if swapping:
            somebody = threading.Thread(target=write, daemon=True)
            somebody.start()
            somebody.join(5)
            assert not somebody.is_alive(), "somebody had to wait for the swap"
        return real(chunks)

    monkeypatch.setattr(swap, "check_count", lambda *_: swapping.append(True))
    for owner, name in ((Archive, "chunks"), (Source, "attachment")):
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda self, file, real=real: while_somebody_writes(partial(real, self), file))
    if clones:
        with pytest.raises(TargetChanged):
            clone_account(books.application, course.pair.into, books.actor, books.access)
    else:
        assert books.restore(archive, meanwhile="discard").changed_meanwhile > 0

    assert wrote


PAIRS = [
    ("restore", "restore"),
    ("restore", "undo"),
    ("restore", "clone over it"),
    ("restore", "add"),
    ("undo", "undo"),
    ("undo", "clone over it"),
    ("add", "add"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_r04_of_two_swaps_at_once_one_wins_and_the_other_is_told(course: Course, pair: tuple[str, str]) -> None:
    course.retire()
    for _ in range(ROUNDS):
        answers = [answered(one) for one in course.race(*(course.job(job, after=0.0) for job in pair))]

        # Where one had ended before the other looked, both were done, one after the other.
        assert set(answers) <= {"restored", "nothing_to_add", "activated", "cloned"} | LOST
        assert set(answers) & {"restored", "activated", "cloned"}
    course.history.check()


@pytest.mark.parametrize("job", ["undo", "backup of it", "purge", "restore, discarding"])
def test_r04_beside_a_purge_a_stream_is_wholly_there_or_wholly_gone(course: Course, job: str) -> None:
    for _ in range(ROUNDS):
        stream = course.retire()
        purging, other = course.race(
            course.order("purge", stream=stream, folder=str(course.folder), after=0.0), course.job(job, of=stream)
        )

        assert answered(purging) in {"purged", "stream.busy", "stream.not-retired"}
        assert answered(other) in {"activated", "taken", "purged", "restored", "stream.unknown"} | LOST
        assert not (answered(purging) == "purged" and answered(other) == "activated")
    course.history.check()


def test_r05_a_backup_beside_writers_and_swaps_is_one_stream_at_one_position(course: Course) -> None:
    course.retire()
    for _ in range(ROUNDS):
        jobs = ["backup", "restore, discarding", "backup", "undo, discarding"]
        answers = course.race(*course.people(writers=3)[:4], *(course.job(job) for job in jobs))

        for answer in answers:
            if answered(answer) == "taken":
                with Path(answer["file"]).open("rb") as file:
                    verified = verify_timeline(
                        course.books.application.database,
                        course.books.access.account,
                        stream=answer["stream"],
                        against=[Given("it", file)],
                        keys=KEYS,
                    )
                assert verified.is_sound
                assert course.books.restore(Path(answer["file"]).read_bytes(), dry_run=True).faults_count == 0
        assert [answered(one) for one in answers].count("taken") == 2
    course.history.check()


@pytest.mark.parametrize("job", ["backup", "restore, discarding", "undo, discarding", "clone over it", "clone from it"])
def test_r06_an_account_that_is_closed_during_a_job_is_whole_and_takes_nothing_more(course: Course, job: str) -> None:
    course.retire()
    closing, done = course.race(*course.people(writers=3), course.order("tell", event="close"), course.job(job))

    assert answered(closing) == "told"
    assert answered(done) in {"taken", "restored", "activated", "cloned", "account.closed"} | CHANGED
    assert all(one["began"] < closing["ended"] for one in course.history.acknowledged)
    course.history.check(is_open=False)


@pytest.mark.parametrize("job", [*SWAPS, "clone from it", "purge"])
def test_r12_who_loses_their_role_during_a_job_does_nothing_after_that(
    course: Course, job: str, chance: random.Random
) -> None:
    stream, taken = course.retire(), chance.choice(["demote", "remove"])
    administrator = course.administrator()
    whom = {"person": administrator}
    course.race({**course.job(job, of=stream), **whom}, course.order("tell", event=taken, whom=administrator))

    own = course.own_history()
    lost_at = next(at for at, (type_, _) in enumerate(own) if type_ in {"access.changed", "access.revoked"})
    done = {"stream.swapped", "stream.purged", "clone.given"}
    assert not [one for one in own[lost_at:] if one[0] in done and one[1] == f"person:{administrator}"]
    course.history.check()


def test_r13_a_sweep_beside_builders_leaves_them_alone(course: Course) -> None:
    course.retire()
    for _ in range(ROUNDS):
        jobs = ["sweep", "restore", "sweep", "add", "clone over it", "sweep"]
        answers = course.race(*(course.job(job) for job in jobs))

        assert [swept for one in answers if one["did"] == "sweep" for swept in one["swept"] if swept] == []
        assert {answered(one) for one in answers} <= {"swept", "restored", "nothing_to_add", "cloned"} | CHANGED
    course.history.check()


@pytest.mark.parametrize("round_", range(3))
def test_whatever_races_no_acknowledged_write_is_lost(course: Course, chance: random.Random, round_: int) -> None:
    course.retire()
    for _ in range(ROUNDS):
        jobs = [course.job(chance.choice(JOBS)) for _ in range(3)]
        answers = course.race(*course.people(), *jobs)

        told = {"restored", "nothing_to_add", "activated", "cloned", "taken", "swept"} | LOST
        assert {answered(one) for one in answers} <= told, answers
    course.history.check()


def test_r01_of_commands_on_one_version_one_wins_and_the_others_are_told(course: Course) -> None:
    for _ in range(ROUNDS):
        state, stream = course.books.application.find(
            course.books.access.account, Kind.CUSTOMER, course.ground.lists[0]
        )
        expected = [state.id, stream, state.version]
        answers = course.race(*(course.order("tag", expected=expected, after=0.0) for _ in range(8)))

        assert sorted(answered(one) for one in answers) == ["store.version-stale"] * 7 + ["told"]


def test_r08_numbers_that_are_given_out_at_once_have_no_gap_and_none_is_given_twice(course: Course) -> None:
    course.race(*(course.order("write", count=15, lists=course.ground.lists, after=0.0) for _ in range(8)))

    numbers = sorted(one["number"] for one in course.history.acknowledged if one["did"] == "issue")
    assert [int(number[-5:]) for number in numbers] == list(range(1, len(numbers) + 1))
    course.history.check()


def test_r09_of_the_last_two_owners_one_stays(course: Course) -> None:
    other = course.administrator(Role.OWNER)
    answers = course.race(
        course.order("tell", event="demote", after=0.0), course.order("tell", event="remove", whom=other, after=0.0)
    )

    assert sorted(answered(one) for one in answers) == ["domain.not-possible", "told"]


def test_r10_an_invoice_that_is_paid_at_once_by_many_is_paid_once(course: Course) -> None:
    invoice = course.books.issued(course.ground.lists[0])

    answers = course.race(*(course.order("pay", invoice=invoice, after=0.0) for _ in range(8)))

    assert [answered(one) for one in answers].count("paid") == 1
    paid = course.books.state(Kind.INVOICE, invoice)
    assert (paid.state, paid.totals.due) == ("paid", 0)


def test_s06_an_archive_that_is_added_again_at_once_by_many_is_added_once(course: Course) -> None:
    adding = course.job("add", after=0.0)

    answers = course.race(*({**adding} for _ in range(4)))

    assert sorted(answered(one) for one in answers) == ["nothing_to_add"] * 3 + ["restored"]
    course.history.check()
