"""F15: the database is slow, full, restarting or gone: requests are told so in time, and all goes on by itself."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from api.http.app import create_app
from api.postgres import join_server
from api.settings import Settings
from domain.application import Application
from domain.store.database import Database
from tests.fixtures.http_api import Served, Visitor, answering
from tests.fixtures.server import new_home, remove_home
from tests.fixtures.wire import wire_to

_ANSWER_WITHIN_S = 3
_IN_TIME_S = 10.0  # on a machine whose cores are busy with other things; the longest wait asked for is 3 s
_AT_ONCE = 50  # more than there are threads
_MOST_THREADS = 40 + 10  # that requests are answered in, and those of the server and the pool
_PATIENCE_S = 60.0


class Server(NamedTuple):
    """A server of the test's own, whose address stays while it comes and goes."""

    home: Path
    dsn: str

    @contextmanager
    def away(self) -> Iterator[None]:
        """Stopped, every connection broken off, and started again at the end of the ``with``."""
        number = int((self.home / "home" / "postgresql" / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(number, signal.SIGINT)
        with suppress(psycopg.OperationalError):
            wait_until(lambda: psycopg.connect(self.dsn).closed)
        try:
            yield
        finally:
            join_server(self.home / "home", durable=False)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    home = new_home()
    try:
        use = join_server(home / "home", durable=False)
        yield Server(home, use.dsn)
        use.leave()
    finally:
        remove_home(home)


@contextmanager
def serving(dsn: str, home: Path, *, most_connections: int = 4) -> Iterator[Served]:
    with Database(dsn, most_connections=most_connections) as database:
        settings = Settings(home=home, backups=home / "backups", answer_within_s=_ANSWER_WITHIN_S, workers=0)
        application = Application(database)
        with answering(create_app(application, settings)) as url:
            yield Served(url, application, settings)


def wait_until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def asked_at_once(visitor: Visitor, number: int = _AT_ONCE) -> list[httpx.Response]:
    """The answers to many requests that are made at once, each within its time."""

    def ask(_: int) -> httpx.Response:
        begun = time.monotonic()
        with httpx.Client(timeout=_PATIENCE_S, verify=False, headers=visitor.http.headers) as http:
            answer = http.get(f"{visitor.http.base_url}/v1/accounts")
        assert time.monotonic() - begun < _IN_TIME_S
        return answer

    with ThreadPoolExecutor(number) as people:
        return list(people.map(ask, range(number)))


def all_told_to_wait(answers: list[httpx.Response]) -> bool:
    return all(
        answer.status_code == 503 and answer.headers["Retry-After"] and answer.json()["code"] == "store.unavailable"
        for answer in answers
    )


def works(visitor: Visitor) -> bool:
    return visitor.http.get("/v1/accounts").status_code == 200


def test_f15_after_a_restart_of_the_server_no_request_fails(server: Server, tmp_path: Path) -> None:
    with serving(server.dsn, tmp_path) as served:
        visitor = Visitor(served)
        assert {answer.status_code for answer in asked_at_once(visitor, 8)} == {200}
        assert served.application.database.pool_figures()["pool_available"] > 1

        with server.away():
            pass

        assert [visitor.http.get("/v1/accounts").status_code for _ in range(8)] == [200] * 8


@pytest.mark.slow
def test_f15_while_the_server_is_gone_everybody_is_told_in_time_and_no_thread_is_left(
    server: Server, tmp_path: Path
) -> None:
    threads = threading.active_count()
    with serving(server.dsn, tmp_path) as served:
        visitor = Visitor(served)
        asked_at_once(visitor)

        with server.away():
            assert all_told_to_wait(asked_at_once(visitor))
            assert all_told_to_wait(asked_at_once(visitor))
            assert visitor.http.get("/readyz").status_code == 503

        wait_until(lambda: works(visitor))
        assert threading.active_count() <= threads + _MOST_THREADS


@pytest.mark.slow
def test_f15_a_server_with_too_many_connections_is_waited_for_no_longer(server: Server, tmp_path: Path) -> None:
    with serving(server.dsn, tmp_path) as served, ExitStack() as taken:
        visitor = Visitor(served)
        break_off(served)

        with suppress(psycopg.OperationalError):
            while True:
                taken.enter_context(psycopg.connect(server.dsn))

        assert all_told_to_wait(asked_at_once(visitor))
        taken.close()
        wait_until(lambda: works(visitor))


def break_off(served: Served) -> None:
    """Let the server end the connections that the service has."""
    with psycopg.connect(served.application.database.dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )


@pytest.mark.slow
def test_f15_when_all_connections_are_in_use_whoever_waits_is_told_in_time(server: Server, tmp_path: Path) -> None:
    with serving(server.dsn, tmp_path) as served:
        visitor = Visitor(served)
        with ExitStack() as in_use:
            for _ in range(4):
                in_use.enter_context(served.application.database.connection())

            assert all_told_to_wait(asked_at_once(visitor))

        wait_until(lambda: works(visitor))


@pytest.mark.slow
def test_f15_a_server_that_answers_after_ten_seconds_is_waited_for_no_longer_than_the_setting_says(
    server: Server, tmp_path: Path
) -> None:
    name = "behind_a_wire"
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with wire_to(make_conninfo(server.dsn, dbname=name)) as wire, serving(wire.dsn, tmp_path) as served:
        visitor = Visitor(served)
        assert works(visitor)

        with wire.silent():
            assert all_told_to_wait(asked_at_once(visitor))

        wait_until(lambda: works(visitor))


@pytest.mark.slow
def test_f15_a_request_that_waits_for_a_lock_is_told_in_time_and_its_statement_is_broken_off(
    server: Server, tmp_path: Path
) -> None:
    with serving(server.dsn, tmp_path) as served:
        books = Visitor(served).open_account()
        with psycopg.connect(server.dsn) as holding, psycopg.connect(server.dsn, autocommit=True) as watching:
            holding.execute("SELECT 1 FROM streams FOR UPDATE")

            answer = books.post("customers", {"party": {"name": "Klant"}})

            assert all_told_to_wait([answer])
            wait_until(
                lambda: (
                    watching.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
                    == (0,)
                )
            )
        assert books.get("customers").json()["items"] == []
        assert books.customer("Klant")
