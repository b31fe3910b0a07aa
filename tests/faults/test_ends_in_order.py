"""The service is told to end while a request is in flight: it is answered; told twice, the service ends at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psycopg
import pytest

from domain.application import utc_now
from domain.credentials import create_token
from domain.store.database import Database
from tests.fixtures.accounts import open_in
from tests.integration.restoring import Books

_PATIENCE_S = 60


class Serving(NamedTuple):
    """A service of its own process group, with a worker; its account's writers wait until ``release``."""

    process: subprocess.Popen[bytes]
    port: int
    ask: Callable[[], httpx.Response | Exception]
    waits: Callable[[], bool]
    release: Callable[[], None]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def serving(dsn: str, home: Path) -> Iterator[Serving]:
    with Database(dsn) as database:
        opened = open_in(database)
        books = Books(opened)
        token = create_token(database, books.person, at=utc_now(), name="test").secret
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")},
        "COUNTERFOIL_HOME": str(home),
        "COUNTERFOIL_DATABASE_URL": dsn,
        "COUNTERFOIL_WORKERS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "serve", "--port", str(port)],
        env=environment,
        start_new_session=True,
        stderr=(home / "log").open("wb"),
    )

    def ask() -> httpx.Response | Exception:
        with httpx.Client(timeout=_PATIENCE_S, verify=False) as http:
            try:
                return http.post(
                    f"http://127.0.0.1:{port}/v1/accounts/{books.access.account}/customers",
                    json={"party": {"name": "In flight"}},
                    headers={"Authorization": f"Bearer {token}"},
                )
            except httpx.TransportError as gone:
                return gone

    try:
        wait_until(lambda: httpx.get(f"http://127.0.0.1:{port}/readyz", verify=False).status_code == 200)
        with psycopg.connect(dsn) as holding, psycopg.connect(dsn, autocommit=True) as watching:
            holding.execute("SELECT 1 FROM streams FOR UPDATE")

            def waits() -> bool:
                found = watching.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
                return found.fetchone() != (0,)

            yield Serving(process, port, ask, waits, holding.rollback)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends:
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    pytest.fail("it did not come to that")


def is_alive(group: int) -> bool:
    """Whether any process of that group is left; those that ended and were not buried yet do not count."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found = status.read_text().rpartition(") ")[2].split()[:3]
        except OSError:
            continue
        if int(found) == group and state != "Z":
            return True
    return False


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.slow
def test_a_service_that_is_told_to_end_answers_what_is_in_flight_takes_nothing_new_and_leaves_no_process(
    empty_database: str, tmp_path: Path
) -> None:
    answers: list[httpx.Response | Exception] = []
    with serving(empty_database, tmp_path) as service:
        asking = threading.Thread(target=lambda: answers.append(service.ask()))
        asking.start()
        wait_until(service.waits)

        service.process.terminate()
        wait_until(lambda: not accepts(service.port))
        service.release()
        asking.join(_PATIENCE_S)
        status = service.process.wait(_PATIENCE_S)

        (answer,) = answers
        assert isinstance(answer, httpx.Response), answer
        assert answer.status_code == 201, answer.text
        assert status == 0
        wait_until(lambda: not is_alive(service.process.pid))


@pytest.mark.slow
def test_a_service_that_is_told_twice_ends_at_once_and_leaves_no_process(empty_database: str, tmp_path: Path) -> None:
    with serving(empty_database, tmp_path) as service:
        asking = threading.Thread(target=service.ask)
        asking.start()
        wait_until(service.waits)

        service.process.terminate()
        wait_until(lambda: not accepts(service.port))
        service.process.terminate()
        status = service.process.wait(_PATIENCE_S)

        assert status == 130
        assert service.waits(), "it did not wait for the request"
        wait_until(lambda: not is_alive(service.process.pid))
        asking.join(_PATIENCE_S)
