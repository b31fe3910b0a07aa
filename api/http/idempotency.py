"""``Idempotency-Key``: a request that is sent again does nothing again, and is answered as the first time.

After draft-ietf-httpapi-idempotency-key-header. The answer is kept under the key in the transaction that does what was
asked, so there is no moment at which one is there without the other: a crash neither doubles a request nor forgets one.
Nothing is looked up beforehand. What is sent again runs until it is refused, at the latest when its key is to be kept a
second time, which undoes all of it; then the answer of the first is looked for. A request that is sent again while the
first is at work waits for it there. A refusal is not kept: it changed nothing, and may be otherwise by the next time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

import msgspec
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.http.errors import (
    AnswerToldOnce,
    IdempotencyKeyBusy,
    IdempotencyKeyOfReplacedStream,
    IdempotencyKeyRefused,
    IdempotencyKeyReused,
)
from domain.ids import AccountId, PersonId
from domain.store.database import PURGER, Database, Row, set_person
from domain.store.statements import statements

SQL = statements("api.http", "idempotency.sql")
HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# A string of structured fields (RFC 9651), as the draft has it, or bare, as many clients send it.
_KEY = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"|([\x21\x23-\x7e]{1,255})')
_PAIRS = msgspec.json.Decoder(list[tuple[str, str]])


@dataclass(frozen=True)
class Once:
    """A request with a key: whose it is, and which account it is about, if any."""

    request: Request
    database: Database
    person: PersonId
    key: str
    account: AccountId | None = None

    def keep(
        self, connection: Connection[Row], answer: Response, *, stream: int | None = None, secret: bool = False
    ) -> None:
        """Remember *answer*, in the transaction on *connection* that does what was asked. Raises IdempotencyKeyBusy.

        *stream* is the one that the answer speaks of, where a swap would make it untrue. The body of a *secret* answer
        is not kept.
        """
        values = self._named() | {
            "fingerprint": self._fingerprint(),
            "stream": stream,
            "status": answer.status_code,
            "headers": msgspec.json.encode(_headers(answer)).decode(),
            "body": None if secret else bytes(answer.body),
        }
        if self.account is None:
            set_person(connection, self.person)
        done = connection.execute(SQL["keep_of_person" if self.account is None else "keep_in_account"], values)
        if done.rowcount != 1:
            raise IdempotencyKeyBusy

    def kept(self) -> Response | None:
        """The answer that the same request got before; None when there was none.

        Raises IdempotencyKeyReused, IdempotencyKeyOfReplacedStream, AnswerToldOnce.
        """
        find = SQL["find_of_person" if self.account is None else "find_in_account"]
        with self.database.transaction(self.account, person=self.person) as connection:
            row = connection.execute(find, self._named()).fetchone()
        if row is None:
            return None
        fingerprint, stream, live, status, headers, body = row
        if not hmac.compare_digest(fingerprint, self._fingerprint()):
            raise IdempotencyKeyReused
        if stream is not None and stream != live:
            raise IdempotencyKeyOfReplacedStream(stream, live)
        if body is None:
            raise AnswerToldOnce
        return Response(body, status, dict(_PAIRS.decode(headers)) | {REPLAYED: "true"})

    def _named(self) -> dict[str, object]:
        return {
            "account": self.account,
            "person": self.person,
            "key": hashlib.sha256(self.key.encode()).digest(),
        }

    def _fingerprint(self) -> bytes:
        """What is asked for, told apart by who knows the key alone."""
        scope = self.request.scope
        body = getattr(self.request.state, "body_sha256", hashlib.sha256().digest())
        asked = b"\n".join((scope["method"].encode(), scope["raw_path"], scope["query_string"], body))
        return hmac.digest(self.key.encode(), asked, "sha256")


def once(request: Request, database: Database, person: PersonId) -> Once | None:
    """What the request's header says; None without one, and where sending again does no harm.

    Raises IdempotencyKeyRefused.
    """
    given = request.headers.getlist(HEADER)
    if not given or request.method in _SAFE:
        return None
    match = _KEY.fullmatch(given[0].strip()) if len(given) == 1 else None
    if match is None:
        raise IdempotencyKeyRefused(", ".join(given)[:80])
    key = match[2] or re.sub(r"\\(.)", r"\1", match[1])
    return Once(request, database, person, key)


def sweep_keys(database: Database) -> None:
    """Forget the keys whose day is over, of all accounts and people."""
    with database.session(PURGER) as connection:
        connection.execute(SQL["sweep_in_accounts"])
        connection.execute(SQL["sweep_of_people"])


def _headers(answer: Response) -> list[tuple[str, str]]:
    """The headers that an answer will have again; its length follows from the body."""
    named = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.raw_headers]
    return [(name, value) for name, value in named if name != "content-length"]
