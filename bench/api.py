"""Requests a second beside the plainest handlers that run the same statements: one route that reads, one that issues.

Each side is a process of its own with one uvicorn, on a database of its own with the same accounts; eight clients with
a connection and an account each ask one after another. The clients' work is the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NamedTuple

from bench.clients import Client, counterfoil, free_port, serving
from bench.commands import new_customer, new_draft
from bench.data import SETTINGS
from bench.server import Place, compare, new_database, side
from domain.accounts import ensure_person, open_account
from domain.application import Actor, Application, utc_now
from domain.credentials import create_token
from domain.ids import AccountId, EntityId
from domain.store.database import Database

CLIENTS = 8
READS_A_ROUND = 500  # of each client
ISSUES_A_ROUND = 150


class Book(NamedTuple):
    """An account with a customer, and the token of its owner."""

    account: AccountId
    customer: EntityId
    actor: Actor
    token: str


class Served(NamedTuple):
    """A side: its port, and its accounts by way of the application."""

    port: int
    application: Application
    books: list[Book]


def measure(place: Place) -> dict[str, float]:
    """``api_read_vs_plain`` and ``api_issue_vs_plain``: how many times as many requests a second as the plain ones."""
    with ExitStack() as stack:
        our_dsn = stack.enter_context(new_database(place, "bench_api"))
        plain_dsn = stack.enter_context(new_database(place, "bench_plain_api"))
        ours = stack.enter_context(_served(our_dsn, lambda: counterfoil(place, our_dsn)))
        plain = stack.enter_context(_served(plain_dsn, lambda: _plain(plain_dsn)))
        read = compare(place, side(_reading(ours)), side(_reading(plain)))
        issue = compare(place, lambda: _issuing(ours), lambda: _issuing(plain))
    return {
        "api_read_vs_plain": 1 / read.ratio,
        "api_reads_a_second": CLIENTS * READS_A_ROUND / read.ours,
        "plain_reads_a_second": CLIENTS * READS_A_ROUND / read.peer,
        "api_issue_vs_plain": 1 / issue.ratio,
        "api_issues_a_second": CLIENTS * ISSUES_A_ROUND / issue.ours,
        "plain_issues_a_second": CLIENTS * ISSUES_A_ROUND / issue.peer,
    }


@contextmanager
def _served(dsn: str, serve: Callable[[], AbstractContextManager[int]]) -> Iterator[Served]:
    with Database(dsn) as database:
        application = Application(database)
        books = [_book(application, number) for number in range(CLIENTS)]
        with serve() as port:
            yield Served(port, application, books)


@contextmanager
def _plain(dsn: str) -> Iterator[int]:
    port = free_port()
    with serving(["-m", "bench.plain_api", dsn, str(port)], port, {}):
        yield port


def _book(application: Application, number: int) -> Book:
    person = ensure_person(application.database, f"bench{number}@example.com", "Bench", at=utc_now())
    actor = Actor.person(person.id, "api")
    account = open_account(application, f"Bench {number}", person, SETTINGS, via="api").account
    customer = new_customer(application, account, actor)
    token = create_token(application.database, person.id, at=utc_now(), name="bench").secret
    return Book(account, customer, actor, token)


def _drafts(served: Served, book: Book, count: int) -> list[EntityId]:
    return [new_draft(served.application, book.account, book.actor, book.customer) for _ in range(count)]


def _reading(served: Served) -> Callable[[], object]:
    paths = [
        [f"/v1/accounts/{book.account}/invoices/{_drafts(served, book, 1)[0]}"] * READS_A_ROUND for book in served.books
    ]
    return lambda: _all(served, "GET", paths)


@contextmanager
def _issuing(served: Served) -> Iterator[Callable[[], object]]:
    paths = [
        [f"/v1/accounts/{book.account}/invoices/{draft}/issue" for draft in _drafts(served, book, ISSUES_A_ROUND)]
        for book in served.books
    ]
    yield lambda: _all(served, "POST", paths)


def _all(served: Served, method: str, paths: list[list[str]]) -> None:
    def ask(book: Book, own: list[str]) -> None:
        with Client(served.port, book.token) as client:
            for path in own:
                answer = client.send(client.request(method, path))
                if answer.status != 200:
                    raise RuntimeError(f"{method} {path}: {answer.status} {answer.body[:500]!r}")

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, served.books, paths))
