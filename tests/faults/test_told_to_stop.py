"""The service is told to stop while it is at a restore: it finishes it or hands it back, and ends in order."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.bootstrap import Installation
from api.housekeeping import clean_up
from api.jobs.desk import Errand
from api.jobs.running import run_job
from api.jobs.shown import read_job
from api.settings import Settings
from domain.application import utc_now
from domain.credentials import create_token
from domain.store.database import Database
from tests.faults.test_interrupted import live, unfinished_rows
from tests.fixtures.accounts import open_in
from tests.integration.restoring import Books, is_sound

_PATIENCE_S = 60
_CUSTOMERS = 300  # so many that their restore takes a while


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.mark.slow
def test_f18_a_service_that_is_told_to_stop_during_a_restore_finishes_it_or_hands_it_back(
    empty_database: str, tmp_path: Path
) -> None:
    with Database(empty_database) as database:
        opened = open_in(database)
        books = Books(opened)
        for number in range(_CUSTOMERS):
            books.customer(f"Klant {number}")
        archive = books.backup(tmp_path)
        books.customer("Since then")
        before = live(books)
        token = create_token(database, books.person, at=utc_now(), name="test").secret
        port = _free()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")},
            "COUNTERFOIL_HOME": str(tmp_path),
            "COUNTERFOIL_DATABASE_URL": empty_database,
        }
        serving = subprocess.Popen(
            [sys.executable, "-m", "api.cli", "serve", "--port", str(port)], env=environment, stderr=subprocess.DEVNULL
        )
        told: list[Any] = []

        def restore(http: httpx.Client, path: str) -> None:
            try:
                told.append(http.post(f"{path}/restore", json={}).json())
            except httpx.TransportError as gone:
                told.append(gone)

        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}/v1/accounts/{books.access.account}/",
                headers={"Authorization": f"Bearer {token}"},
                timeout=_PATIENCE_S,
                verify=False,
            ) as http:
                path = f"archives/{_sent(http, archive)}"
                asking = threading.Thread(target=restore, args=(http, path))
                asking.start()
                _wait_for_a_building_stream(database, books)
                serving.terminate()
                ended = serving.wait(_PATIENCE_S)
                asking.join(_PATIENCE_S)
        finally:
            serving.kill()
            serving.wait()

        installation = Installation(Settings(home=tmp_path, backups=tmp_path / "backups"), database, books.application)
        clean_up(installation)
        account = books.access.account
        job = read_job(books.application, account, told[0]["id"])
        assert ended == 0
        assert job is not None
        assert job.state == ("succeeded" if live(books) != before else "queued")
        assert unfinished_rows(books) == 0
        assert is_sound(books)
        run_job(installation, account, job.id, Errand(lambda _: None))
        done = read_job(books.application, account, job.id)
        assert done is not None
        assert (done.state, done.attempt) == ("succeeded", 1)
        assert live(books) != before
        assert swaps(books) == 1


def swaps(books: Books) -> int:
    """How often the account came to live in another stream."""
    with books.application.database.transaction(books.access.account) as connection:
        found = connection.execute("SELECT count(*) FROM control_events WHERE type = 'stream.swapped'").fetchone()
    assert found is not None
    return int(found[0])


def _sent(http: httpx.Client, archive: bytes) -> str:
    """The id of an archive that was sent, once the service listens."""
    ends = time.monotonic() + _PATIENCE_S
    while True:
        try:
            answer = http.post("archives", content=archive, headers={"Content-Type": "application/zip"})
        except httpx.ConnectError:
            assert time.monotonic() < ends
            time.sleep(0.05)
            continue
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


def _wait_for_a_building_stream(database: Database, books: Books) -> None:
    ends = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends:
        with database.transaction(books.access.account) as connection:
            if connection.execute("SELECT 1 FROM streams WHERE stream_id > 1").fetchone():
                return
    pytest.fail("no restore began")
