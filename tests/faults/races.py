"""Races between processes, and what must hold of every history of one.

Each racer is a process of its own. Writers append items that nobody else has, and each acknowledgement says where it
went; readers note what they saw. What is there afterwards is compared with that: nothing lost, nothing twice, nothing
out of order, whichever stream it went to.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import psycopg

from domain.ids import AccountId, EntityId
from domain.store.database import Database
from projections.rebuild import rebuild
from projections.verification import judge, scan
from snapshots.fresh.building import sweep_abandoned
from snapshots.generations.streams import list_streams
from tests.integration.restoring import Books

_ENDS_S = 120  # a race that takes longer hangs
_ROOT = Path(__file__).parents[2]
_LEAD_S = 0.05  # from an order to its beginning: longer than it takes to read one
Answer = dict[str, Any]


class Racers:
    """Processes that wait for orders."""

    def __init__(self, lines: Sequence[TextIO]) -> None:
        self._lines = lines

    def race(self, orders: list[dict[str, Any]]) -> list[Any]:
        """The answers to *orders*, carried out at once, ``after`` so many seconds, each by a process of its own."""
        begins = time.monotonic() + _LEAD_S
        for racer, order in zip(self._lines, orders, strict=False):
            print(json.dumps({"at": begins + order.get("after", 0.0), **order}), file=racer, flush=True)
        answers = [racer.readline() for racer, _ in zip(self._lines, orders, strict=False)]
        assert len(answers) == len(orders), "more orders than racers"
        assert all(answers), "a racer died"
        return [json.loads(answer) for answer in answers]


@contextmanager
def racers(dsn: str, count: int) -> Iterator[Racers]:
    """So many racers on a database, ended with the ``with``. One that takes too long to answer is a TimeoutError."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        address = str(Path(folder) / "racers")
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(address)
        listening.listen(count)
        command = [sys.executable, "-m", "tests.faults.racer", dsn, address, str(count)]
        process = stack.enter_context(subprocess.Popen(command, cwd=_ROOT, start_new_session=True))
        stack.callback(os.killpg, process.pid, signal.SIGKILL)
        listening.settimeout(_ENDS_S)
        lines = []
        for _ in range(count):
            connected = stack.enter_context(listening.accept()[0])
            connected.settimeout(_ENDS_S)
            lines.append(stack.enter_context(connected.makefile("rw")))
        yield Racers(lines)


class Ground(NamedTuple):
    """An account that is raced on: who owns it, and the customers whose notes are the lists that are appended to."""

    books: Books
    lists: list[EntityId]

    @classmethod
    def of(cls, books: Books) -> Ground:
        """A ground on an account, with two lists."""
        return cls(books, [books.customer(f"List {n}", notes="first") for n in range(2)])

    def order(self, do: str, chance: random.Random, **more: Any) -> dict[str, Any]:
        """An order by the account's owner, beginning within some milliseconds of the others."""
        return {
            "do": do,
            "account": self.books.access.account,
            "person": self.books.person,
            "seed": f"{chance.randrange(1 << 32):08x}",
            "after": chance.random() * 0.1,
            **more,
        }

    def people(self, chance: random.Random, *, writers: int = 4, writes: int = 25) -> list[dict[str, Any]]:
        """Orders of people who go on working: some who write, and one who reads."""
        at_work = [self.order("write", chance, count=writes, lists=self.lists, after=0.0) for _ in range(writers)]
        return [*at_work, self.order("read", chance, count=60, lists=self.lists, after=0.0)]


class Stored(NamedTuple):
    """What the tables hold of an account, read past the service's own code and roles."""

    status: dict[int, str]
    events: dict[tuple[int, int], tuple[str, str]]
    lists: dict[tuple[int, str], list[str]]


def stored(database: Database, account: AccountId) -> Stored:
    """The account as PostgreSQL has it."""
    with psycopg.connect(database.dsn) as connection:
        streams = connection.execute("SELECT stream_id, status FROM streams WHERE account_id = %s", [account])
        status: dict[int, str] = dict(streams.fetchall())
        rows = connection.execute(
            "SELECT stream_id, position, entity_id::text, data FROM events WHERE account_id = %s", [account]
        )
        events = {(stream, position): (entity, data) for stream, position, entity, data in rows}
        rows = connection.execute(
            "SELECT stream_id, entity_id::text, state::json ->> 'notes' FROM entities"
            " WHERE account_id = %s AND kind = 'customer' AND state::json ->> 'notes' IS NOT NULL",
            [account],
        )
        lists = {(stream, entity): notes.split() for stream, entity, notes in rows}
    return Stored(status, events, lists)


class History:
    """All that was answered in the races on one account, to be compared with what is there."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._writes: list[Answer] = []
        self._reads: list[Answer] = []
        self.swaps: list[Answer] = []
        self.purged: set[int] = set()

    def note(self, orders: list[dict[str, Any]], answers: list[Any]) -> list[Answer]:
        """Keep the answers. Those of the jobs among them, in their order."""
        jobs = []
        for order, answer in zip(orders, answers, strict=True):
            if order["do"] == "write":
                self._writes += answer
            elif order["do"] == "read":
                self._reads += answer
            else:
                jobs.append(answer)
            if order["do"] == "purge" and answer.get("outcome") == "purged":
                self.purged.add(order["stream"])
            is_here = order.get("into", order["account"]) == self._ground.books.access.account
            if is_here and isinstance(answer, dict) and answer.get("retired_stream"):
                self.swaps.append(answer)
        return jobs

    @property
    def acknowledged(self) -> list[Answer]:
        """The writes that were."""
        return [one for one in self._writes if "code" not in one]

    def check(self, *, is_open: bool = True) -> None:
        """That nothing was lost, doubled or reordered, and that the account is sound and, if it *is_open*, goes on."""
        books = self._ground.books
        database, account = books.application.database, books.access.account
        found = stored(database, account)
        self._check_streams(found)
        self._check_writes(found)
        self._check_lists(found)
        self._check_reads(found)
        _check_swept(database, account)
        assert rebuild(database, account, check=True).differences_count == 0
        for stream, status in found.status.items():
            if status in ("live", "retired"):
                assert judge(scan(database, account, stream=stream)).findings_count == 0
        assert list_streams(books.application, account)
        assert not is_open or books.customer("The next write")

    def _check_streams(self, found: Stored) -> None:
        """One is live; every other one that holds what was acknowledged is named by a report as replaced."""
        assert list(found.status.values()).count("live") == 1
        named = {swap["retired_stream"] for swap in self.swaps}
        kept = {stream for stream, status in found.status.items() if status in ("retired", "purged")}
        assert kept <= named
        assert {stream for stream, status in found.status.items() if status == "purged"} == self.purged
        for swap in self.swaps:
            if swap.get("mode") == "add" and found.status[swap["retired_stream"]] != "purged":
                added_to = {at: event for (stream, at), event in found.events.items() if stream == swap["live_stream"]}
                for (stream, at), event in found.events.items():
                    # What was recorded after an undo of the addition is in the stream that came back alone.
                    assert stream != swap["retired_stream"] or self._came_back(stream) or added_to[at] == event

    def _came_back(self, stream: int) -> bool:
        return any(swap["live_stream"] == stream for swap in self.swaps)

    def _check_writes(self, found: Stored) -> None:
        """Each is where its acknowledgement says, and no number was given twice."""
        for write in self.acknowledged:
            if found.status[write["stream"]] == "purged":
                continue
            assert found.status[write["stream"]] in ("live", "retired"), write
            entity, data = found.events[write["stream"], write["position"]]
            assert entity == write["entity"], write
            assert (write["number"] if write["did"] == "issue" else write["item"]) in data, write
        numbers = [write["number"] for write in self.acknowledged if write["did"] == "issue"]
        assert len(numbers) == len(set(numbers))

    def _check_lists(self, found: Stored) -> None:
        """Each holds what was appended to it there, once, in the order of the acknowledgements, and nothing refused."""
        by_list: dict[tuple[int, str], list[Answer]] = defaultdict(list)
        for write in self.acknowledged:
            if write["did"].startswith("append"):
                by_list[write["stream"], write["entity"]].append(write)
        everything = {write["item"] for write in self.acknowledged} | {"first"}
        for items in found.lists.values():
            assert len(items) == len(set(items))
            assert set(items) <= everything
        for (stream, list_), writes in by_list.items():
            if found.status[stream] == "purged":
                continue
            place = {item: at for at, item in enumerate(found.lists[stream, list_])}
            places = [place[write["item"]] for write in sorted(writes, key=lambda write: int(write["position"]))]
            assert places == sorted(places)
            for one in writes:
                later = [other for other in writes if other["began"] > one["ended"]]
                assert all(place[other["item"]] > place[one["item"]] for other in later)

    def _check_reads(self, found: Stored) -> None:
        """What was seen is how its list began; what was acknowledged before was seen; what was replaced, no more."""
        for read in self._reads:
            if found.status[read["stream"]] == "purged":
                continue
            items = read["items"]
            assert read["version"] == len(items)
            count, last = read["positions"]
            assert count == last
            assert items == found.lists[read["stream"], read["entity"]][: len(items)]
        for read in self._reads:
            before = {
                write["item"]
                for write in self.acknowledged
                if write["did"].startswith("append")
                and (write["stream"], write["entity"]) == (read["stream"], read["entity"])
                and write["ended"] < read["began"]
            }
            assert before <= set(read["items"])
        for swap in self.swaps:
            back = {other["live_stream"] for other in self.swaps if other["ended"] > swap["began"]}
            if swap["retired_stream"] in back:
                continue
            later = [one for one in (*self.acknowledged, *self._reads) if one["began"] > swap["ended"]]
            assert all(one["stream"] != swap["retired_stream"] for one in later)


def _check_swept(database: Database, account: AccountId) -> None:
    """Nothing is left of streams that were not to be."""
    sweep_abandoned(database, account)
    with psycopg.connect(database.dsn) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM events JOIN streams USING (account_id, stream_id)"
            " WHERE account_id = %s AND status IN ('abandoned', 'building', 'purged')",
            [account],
        ).fetchall()
    assert rows == [(0,)]
