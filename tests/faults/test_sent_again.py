"""A request with an Idempotency-Key whose wire to the database breaks at each message in turn, and that is sent again.

Whether the server had committed what looked like a failure or not: it is done once, and answered as it would have been.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from api.http.app import create_app
from domain.application import Application
from domain.store.database import Database
from tests.fixtures.http_api import SETTINGS, AccountOverHttp, Served, Visitor
from tests.fixtures.wire import Lost, Wire, wire_to


@pytest.fixture(scope="module")
def wire(served: Served) -> Iterator[Wire]:
    """A wire to the database of the HTTP tests."""
    with wire_to(served.application.database.dsn) as made:
        yield made


class Server(NamedTuple):
    """A server of which each request finds connections that are new."""

    app: FastAPI
    application: Application
    wire: Wire

    def ask(self, breaks_at: int, lost: Lost, request: Request) -> httpx.Response:
        """The answer when the wire breaks at that message."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://there") as client:
                answer: httpx.Response = await request.send(client)
                return answer

        with Database(self.wire.dsn) as database:
            with database.connection():
                pass  # the pool would mend its first connection by itself, a second later
            self.application.database = database
            self.app.middleware_stack = None  # made anew by the next request, over this database
            with self.wire.broken(breaks_at, lost):
                return asyncio.run(ask())


class Request(NamedTuple):
    """A request that can be sent again."""

    method: str
    url: str
    body: bytes
    headers: dict[str, str]

    def send(self, client: Any) -> Any:
        """Send it by a client, of either sort."""
        return client.request(self.method, self.url, content=self.body, headers=self.headers)


@pytest.fixture(scope="module")
def server(served: Served, wire: Wire) -> Server:
    """A second server, over the wire."""
    application = Application(served.application.database)
    return Server(create_app(application, served.settings), application, wire)


def history(served: Served, account: str) -> tuple[int, int]:
    """Positions of the account's streams and of its own history."""
    with psycopg.connect(served.application.database.dsn) as connection:
        row = connection.execute(
            "SELECT control_position, (SELECT sum(head_position) FROM streams s WHERE s.account_id = a.account_id)::int"
            " FROM accounts a WHERE account_id = %s",
            (account,),
        ).fetchone()
    assert row is not None
    return row[0], row[1]


REQUESTS: dict[str, tuple[str, str, dict[str, Any] | None, tuple[int, int]]] = {
    "make": ("POST", "customers", {"party": {"name": "K"}}, (0, 1)),
    "issue": ("POST", "{draft}/issue", None, (0, 1)),
    "delete": ("DELETE", "{draft}", None, (0, 1)),
    "member": ("POST", "members", {"email": "{account}@example.com", "role": "viewer"}, (1, 0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["request", "answer"])
@pytest.mark.parametrize("name", REQUESTS)
def test_f01_whatever_message_is_lost_what_is_sent_again_is_done_once(
    served: Served, server: Server, books: AccountOverHttp, name: str, lost: Lost
) -> None:
    method, path, fields, recorded = REQUESTS[name]
    lost_after_commit = 0

    for breaks_at in count(1):
        address = f"{books.path}/{path}".replace("{draft}", books.draft() if "{draft}" in path else "")
        body = json.dumps(fields).replace("{account}", f"{books.id}.{breaks_at}").encode() if fields else b""
        headers = {
            "Authorization": books.visitor.http.headers["authorization"],
            "Content-Type": "application/json",
            "Idempotency-Key": f"{name}-{lost}-{breaks_at}",
        }
        request = Request(method, address, body, headers)
        before = history(served, books.id)

        first = server.ask(breaks_at, lost, request)
        broke = server.wire.broke
        done = history(served, books.id) != before
        again = request.send(books.visitor.http)

        at = f"broken at message {breaks_at}"
        after = history(served, books.id)
        assert (after[0] - before[0], after[1] - before[1]) == recorded, at
        assert again.is_success, at
        assert (again.headers.get("idempotent-replayed") == "true") == done, at
        assert first.status_code == again.status_code or (broke and first.status_code == 503), at
        lost_after_commit += broke and done and not first.is_success
        if not broke:
            break

    assert breaks_at > 3
    assert lost_after_commit == (lost == "answer"), "the commit's answer is lost once"


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["request", "answer"])
def test_f01_an_account_is_opened_once_whatever_message_is_lost(served: Served, server: Server, lost: Lost) -> None:
    visitor = Visitor(served)

    for breaks_at in count(1):
        headers = {"Authorization": f"Bearer {visitor.token}", "Idempotency-Key": f"open-{lost}-{breaks_at}"}
        fields = {"name": f"Houtwerk {breaks_at}", "settings": SETTINGS}
        headers["Content-Type"] = "application/json"
        request = Request("POST", "/v1/accounts", json.dumps(fields).encode(), headers)

        server.ask(breaks_at, lost, request)
        again = request.send(visitor.http)

        assert again.status_code == 201
        assert len(visitor.http.get("/v1/accounts").json()["items"]) == breaks_at
        if not server.wire.broke:
            break
