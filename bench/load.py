"""``python -m bench.load``: people at work on many accounts, with and without backups and restores beside them.

Sixteen clients on fifty accounts read invoices, draft and issue them, each at its own pace, over HTTP on ``counterfoil
serve``. Quiet turns and busy ones alternate; in the busy ones backups and restores of the same accounts, and of a large
one, run without a pause. Every answer with a status of 500 or more is a failure, and so is every acknowledged write
that is not found afterwards exactly once, in the live stream or in one that a restore replaced. Latency counts from the
moment at which a request was due, so that a slow answer is not excused from those that waited behind it.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from api.postgres import embedded_server
from bench.clients import Answer, Client, counterfoil
from bench.commands import LINES, new_customer, new_draft
from bench.data import SETTINGS, make_account
from bench.server import Place, new_database
from domain.accounts import add_member, ensure_person, open_account
from domain.application import Actor, Application, utc_now
from domain.control import Role
from domain.credentials import create_token
from domain.ids import AccountId, EntityId, new_id
from domain.store.database import Database

CLIENTS = 16
ACCOUNTS = 50
INVOICES_BEFORE = 40  # of each account
LARGE_DOCUMENTS = 5_000  # of the one account that is backed up and restored beside them
PACE_S = 0.2  # between a client's requests, on average
TURNS = 6  # quiet and busy ones each
JOBS_AT_ONCE = 2
SEED = 20261124


class Book(NamedTuple):
    """An account, a customer and the invoices that it began with."""

    account: AccountId
    customer: EntityId
    invoices: list[EntityId]


class Written(NamedTuple):
    """A write that was acknowledged: an invoice that was drafted or issued."""

    account: AccountId
    entity: str
    type: str
    reference: str


class Turn:
    """What the clients saw in one turn. Safe to share between threads: appending is atomic."""

    def __init__(self) -> None:
        self.reads: list[float] = []
        self.issues: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []

    def saw(self, what: str, answer: Answer) -> Answer:
        """Count *answer*."""
        self.statuses[answer.status] += 1
        if answer.status >= 500:
            self.failures.append(f"{what}: {answer.status} {answer.body[:300]!r}")
        return answer


def main() -> int:
    """Load, look for what was written, and print. 1 where a figure fails."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of busy turns together")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="counterfoil-load-") as folder:
        home = Path(folder)
        home.chmod(0o711)  # the account of a server that root starts must reach its data
        with embedded_server(home / "home") as dsn, new_database(Place(dsn, home), "load") as database:
            return _load(Place(dsn, home), database, seconds)


def _load(place: Place, dsn: str, seconds: int) -> int:
    with Database(dsn) as database:
        application = Application(database)
        books, tokens, large = _prepare(application)
        written: list[Written] = []
        turns: list[tuple[Turn, Turn]] = []
        jobs: Counter[str] = Counter()
        with counterfoil(place, dsn) as port:
            _turn(port, books, tokens, written, 3.0)  # the first requests pay for what is made once
            for _ in range(TURNS):
                quiet = _turn(port, books, tokens, written, seconds / TURNS)
                with _Jobs(port, tokens[0], [*(book.account for book in books), large], jobs):
                    busy = _turn(port, books, tokens, written, seconds / TURNS)
                turns.append((quiet, busy))
        missing = _missing(database, written)
    return _say(turns, jobs, written, missing)


def _prepare(application: Application) -> tuple[list[Book], list[str], AccountId]:
    people = [
        ensure_person(application.database, f"load{number}@example.com", "Load", at=utc_now())
        for number in range(CLIENTS)
    ]
    owner = Actor.person(people[0].id, "api")
    books = []
    for number in range(ACCOUNTS):
        access = open_account(application, f"Load {number}", people[0], SETTINGS, via="api")
        for person in people[1:]:
            add_member(application, access, owner, email=person.email, name=None, role=Role.EDITOR)
        books.append(_book(application, access.account, owner))
    large = make_account(application.database, documents=LARGE_DOCUMENTS)
    add_member(application, large.access, large.actor, email=people[0].email, name=None, role=Role.OWNER)
    tokens = [create_token(application.database, one.id, at=utc_now(), name="load").secret for one in people]
    return books, tokens, large.access.account


def _book(application: Application, account: AccountId, owner: Actor) -> Book:
    customer = new_customer(application, account, owner)
    invoices = [new_draft(application, account, owner, customer) for _ in range(INVOICES_BEFORE)]
    return Book(account, customer, invoices)


def _turn(port: int, books: list[Book], tokens: list[str], written: list[Written], seconds: float) -> Turn:
    turn = Turn()
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda token: _work(Client(port, token), books, turn, written, until), tokens))
    return turn


def _work(connected: Client, books: list[Book], turn: Turn, written: list[Written], until: float) -> None:
    chance = random.Random()
    due = time.monotonic() + chance.uniform(0, PACE_S)
    with connected as client:
        while due < until:
            time.sleep(max(0.0, due - time.monotonic()))
            book = chance.choice(books)
            with suppress(ConnectionError):  # not acknowledged: it may have happened or not
                if chance.random() < 0.7:
                    path = f"/v1/accounts/{book.account}/invoices/{chance.choice(book.invoices)}"
                    turn.saw("read", client.send(client.request("GET", path)))
                    turn.reads.append(time.monotonic() - due)
                else:
                    _issue(client, book, turn, written)
            due += chance.uniform(0.5, 1.5) * PACE_S


def _issue(client: Client, book: Book, turn: Turn, written: list[Written]) -> None:
    """Draft an invoice and issue it; the second is timed."""
    invoices = f"/v1/accounts/{book.account}/invoices"
    reference = new_id(utc_now())
    draft = orjson.dumps({"customer": book.customer, "lines": LINES, "buyer_reference": reference})
    made = turn.saw("draft", client.send(client.request("POST", invoices, draft, Idempotency_Key=reference)))
    if made.status != 201:
        return
    entity = orjson.loads(made.body)["id"]
    written.append(Written(book.account, entity, "invoice.drafted", reference))
    start = time.monotonic()
    issued = turn.saw("issue", client.send(client.request("POST", f"{invoices}/{entity}/issue", b"{}")))
    turn.issues.append(time.monotonic() - start)
    if issued.status == 200:
        written.append(Written(book.account, entity, "invoice.issued", reference))


class _Jobs:
    """Backups and restores, one after the other, JOBS_AT_ONCE beside each other, for the length of the ``with``."""

    def __init__(self, port: int, token: str, accounts: list[AccountId], ended: Counter[str]) -> None:
        self._accounts = accounts
        self._ended = ended
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(port, token, random.Random(SEED + number)))
            for number in range(JOBS_AT_ONCE)
        ]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, port: int, token: str, chance: random.Random) -> None:
        with Client(port, token) as client:
            while not self._stop.is_set():
                # Every fourth is the large account's.
                account = self._accounts[-1] if chance.random() < 0.25 else chance.choice(self._accounts)
                backup = self._job(client, account, "backups", {})
                if backup.get("state") == "succeeded":
                    archive = backup["result"]["archive"]
                    self._job(client, account, f"backups/{archive}/restore", {"meanwhile": "discard"})

    def _job(self, client: Client, account: AccountId, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The job that a request made, ended."""
        what = path.rpartition("/")[2]
        answer = client.send(client.request("POST", f"/v1/accounts/{account}/{path}", orjson.dumps(fields)))
        if answer.status != 202:
            self._ended[f"{what} refused with {answer.status}"] += 1
            return {}
        address = f"/v1/accounts/{account}/jobs/{orjson.loads(answer.body)['id']}"
        while True:
            job: dict[str, Any] = orjson.loads(client.send(client.request("GET", address)).body)
            if job["state"] in ("succeeded", "failed", "cancelled"):
                code = (job.get("problem") or {}).get("code", "")
                self._ended[f"{what} {job['state']} {code}".strip()] += 1
                return job
            time.sleep(0.2)


def _missing(database: Database, written: list[Written]) -> list[str]:
    """What was acknowledged and is not there exactly once, live or in a stream that a restore replaced."""
    found: list[str] = []
    by_account: dict[AccountId, list[Written]] = {}
    for one in written:
        by_account.setdefault(one.account, []).append(one)
    for account, writes in by_account.items():
        with database.transaction(account) as connection:
            rows = connection.execute(
                "SELECT stream_id, entity_id::text, type, data FROM events WHERE account_id = %s"
                " AND type IN ('invoice.drafted', 'invoice.issued')",
                (account,),
            ).fetchall()
        there = {(entity, type_) for _, entity, type_, _ in rows}
        drafted = Counter(
            (stream, json.loads(data).get("buyer_reference"))
            for stream, _, type_, data in rows
            if type_ == "invoice.drafted"
        )
        found += [f"lost: {one}" for one in writes if (one.entity, one.type) not in there]
        found += [f"doubled: {key}" for key, count in drafted.items() if key[1] is not None and count > 1]
    return found


def _say(turns: list[tuple[Turn, Turn]], jobs: Counter[str], written: list[Written], missing: list[str]) -> int:
    statuses = sum((turn.statuses for pair in turns for turn in pair), Counter[int]())
    failures = [failure for pair in turns for turn in pair for failure in turn.failures]
    read, issue = (_ratios(turns, of) for of in (lambda turn: turn.reads, lambda turn: turn.issues))
    for ended, count in sorted(jobs.items()):
        print(f"{count:6}  {ended}")
    print(f"{sum(statuses.values()):6}  requests: {', '.join(f'{n} x {s}' for s, n in sorted(statuses.items()))}")
    print(f"{len(written):6}  acknowledged writes, {len(missing)} of them lost or doubled")
    for bad in [*failures[:10], *missing[:10]]:
        print(f"        {bad}")
    print(
        f"p99 of a read with backups and restores beside it, over without: {statistics.median(read):.2f} (at most 1.5)"
    )
    print(f"p99 of issuing with them, over without: {statistics.median(issue):.2f} (at most 1.5)")
    return 1 if failures or missing or max(statistics.median(read), statistics.median(issue)) > 1.5 else 0


def _ratios(turns: list[tuple[Turn, Turn]], of: Callable[[Turn], list[float]]) -> list[float]:
    ratios = []
    for quiet, busy in turns:
        without, beside = (statistics.quantiles(of(turn), n=100)[98] for turn in (quiet, busy))
        ratios.append(beside / without)
        print(f"p99 {without * 1e3:7.1f} ms without, {beside * 1e3:7.1f} ms beside, {len(of(busy))} requests")
    return ratios


if __name__ == "__main__":
    sys.exit(main())
