"""An operation asked for over HTTP by a client that hangs up; what was asked for goes on by itself, or never begins."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path

import uvicorn

from api.http.app import create_app
from api.jobs.desk import Errand
from api.jobs.running import run_job
from api.jobs.shown import list_jobs, read_job
from domain.credentials import create_token
from domain.ids import AccountId
from tests.faults.sweep.operations import OPERATIONS, World
from tests.faults.sweep.planting import GIVEN, Plant, Planted, Server, planted_in

GONE = "killed"  # who hung up knows as little as who was killed


def asked(operation: str, world: World, plant: Plant, server: Server) -> tuple[str, Planted]:
    """How it ended for the client, and what was met; when the server has ended all that it was at."""
    method, path, fields = OPERATIONS[operation].asked
    token = create_token(world.database, world.known.person, at=world.clock(), name="test").secret
    headers = {"Authorization": f"Bearer {token}"}
    account = f"/v1/accounts/{world.known.subject}/"
    with _served(world) as port:
        archive = _sent(port, account, headers, world.folder / GIVEN) if "{archive}" in path else ""
        body = json.dumps(fields).replace("{other}", world.known.other)
        client = HTTPConnection("127.0.0.1", port)
        client.connect()

        def hang_up() -> None:
            with suppress(AttributeError, OSError):  # it may have been answered and closed by then
                client.sock.shutdown(socket.SHUT_RDWR)

        planted = Planted(plant, server, hang_up)
        with planted_in(planted, (world.folder,)):
            json_headers = {**headers, "Content-Type": "application/json"}
            client.request(method, account + path.replace("{archive}", archive), body, json_headers)
            try:
                answer = client.getresponse()
                said = json.loads(answer.read())
                how = "done" if answer.status < 300 else str(said["code"])
            except (RemoteDisconnected, ConnectionError, json.JSONDecodeError, AttributeError):
                how = GONE
            client.close()
            if (ended := _jobs_done(world)) and how != GONE:
                how = ended
    return how, planted


def _jobs_done(world: World) -> str | None:
    """How the job ended that the client asked for, if it came to that; done here, as by a worker."""
    account = AccountId(world.known.subject)
    jobs, _ = list_jobs(world.application, account, state="queued", kind=None, before=None, limit=2)
    for job in jobs:
        run_job(world.installed, account, job.id, Errand(lambda _: None))
        ended = read_job(world.application, account, job.id)
        assert ended is not None
        return "done" if ended.problem is None else str(json.loads(bytes(ended.problem))["code"])
    return None


@contextmanager
def _served(world: World) -> Iterator[int]:
    """The port of a server; leaving waits until it has done what it is at."""
    server = uvicorn.Server(
        uvicorn.Config(create_app(world.application, world.settings), log_config=None, lifespan="off")
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def _sent(port: int, account: str, headers: dict[str, str], archive: Path) -> str:
    client = HTTPConnection("127.0.0.1", port)
    client.request("POST", f"{account}archives", archive.read_bytes(), {**headers, "Content-Type": "application/zip"})
    answer = client.getresponse()
    found: str = json.loads(answer.read())["id"]
    client.close()
    return found
