"""``python -m bench.plain_api DSN PORT``: the peer of ``bench.api``, two routes on FastAPI and psycopg alone.

They run the statements that ours run for the same requests: who asks, what they may do, the read; and for issuing, the
head with the draft, and the append. What ours decides, checks, computes and hashes is here a text cut to size.
"""

from __future__ import annotations

import hashlib
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
import orjson
import psycopg
import uvicorn
from fastapi import FastAPI, Header, Response
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from api.http.reads import SQL as READS
from bench.data import COMPANY
from domain.credentials import SQL as CREDENTIALS
from domain.store.streams import SQL as STREAMS

Connection = psycopg.Connection[TupleRow]
_ISSUED = (
    '{"number":"%s","issue_date":"2026-11-24","due_date":"2026-12-24","seller":%s,"buyer":{"name":"Café De Zwaan",'
    '"address":{"country":"BE"}},"totals":{"lines":"68.70","without_vat":"68.70","vat":"4.12","with_vat":"72.82",'
    '"due":"72.82"},"vat_breakdown":[{"category":"S","rate":"6","taxable":"68.70","tax":"4.12"}]}'
)


def _who(connection: Connection, authorization: str, account: str) -> str:
    presented = {
        "credential": hashlib.sha256(authorization.removeprefix("Bearer ").encode()).digest(),
        "is_session": False,
        "account": account,
        "known": 1_000_000,
        "at": datetime.now(UTC),
        "idle": timedelta(),
    }
    row = connection.execute(CREDENTIALS["enter"], presented).fetchone()
    assert row is not None, "the token is somebody's"
    return f"person:{row[4]}"


def create_app(pool: ConnectionPool[Connection]) -> FastAPI:
    """The two routes."""
    app = FastAPI()

    @app.get("/v1/accounts/{account}/invoices/{entity}")
    def read(account: str, entity: str, authorization: Annotated[str, Header()]) -> Response:
        with pool.connection() as connection:
            _who(connection, authorization, account)
            parameters = {"account": account, "entity": entity, "kind": "invoice"}
            row = connection.execute(READS["read_entity"], parameters).fetchone()
        assert row is not None, "the invoice is there"
        return Response(row[2], media_type="application/json")

    @app.post("/v1/accounts/{account}/invoices/{entity}/issue")
    def issue(account: str, entity: str, authorization: Annotated[str, Header()]) -> Response:
        with pool.connection() as connection:
            actor = _who(connection, authorization, account)
            wanted = {"account": account, "entities": [entity], "control_known": 1_000_000, "lock": False}
            row = connection.execute(STREAMS["load"], wanted, binary=True).fetchone()
            assert row is not None, "the account is there"
            stream, head, _, _, control, _, _, states = row
            state = states[0].replace('"state":"draft"', f'"state":"issued","number":"P{head}"')
            appended = {
                "account": account,
                "stream": stream,
                "head": head,
                "control": control,
                "frontier": bytes(32 * (head + 1).bit_count()),
                "batch": _batch(entity, head, actor, state),
            }
            connection.execute(STREAMS["append"], appended)
        return Response(state, media_type="application/json")

    return app


def _batch(entity: str, head: int, actor: str, state: str) -> str:
    data = _ISSUED % (f"P{head}", msgspec.json.encode(COMPANY).decode())
    event = [entity, 2, "invoice.issued", 1, "2026-11-24T12:00:00.000000Z", actor, "api", data, "00" * 32]
    row: list[Any] = [entity, 2, head + 1, False, "invoice", f"P{head}", state]
    return orjson.dumps({"events": [event], "entities": [row], "series": [["invoice", "P", head]]}).decode()


def main() -> None:
    """Answer until ended."""
    dsn, port = sys.argv[1:]

    def configure(connection: Connection) -> None:
        connection.execute("SET ROLE counterfoil_app")

    options = {"autocommit": True, "prepare_threshold": 1}
    with ConnectionPool(dsn, min_size=0, max_size=16, kwargs=options, configure=configure) as pool:
        uvicorn.run(create_app(pool), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()
