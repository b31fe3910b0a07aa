"""What a request is let in by, and API tokens.

Tokens, sessions and one-time codes are random numbers of 256 bits, kept as their SHA-256 only. PostgreSQL shows of them
what is the transaction's person's, or what is presented by its hash, and nothing else.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Literal, NamedTuple

import msgspec
from psycopg import Connection

from domain import control as c
from domain.accounts import Access, Person
from domain.entity import FieldRefused, NotPossible
from domain.errors import AccessError
from domain.ids import AccountId, PersonId, is_canonical, new_id
from domain.store.database import Database, Row
from domain.store.statements import statements

SQL = statements("domain.store", "credentials.sql")
TOKEN = re.compile(r"cf_[A-Za-z0-9_-]{43}")
MOST_TOKENS = 100  # of a person
MOST_DAYS = 3650
RECORD_LASTS = timedelta(days=400)  # of sign-ins
MOST_RECORDS = 1_000  # of a person
_KEPT_CONTROLS = 4_096
_CONTROL = msgspec.json.Decoder(c.Control)

What = Literal[
    "signed_in",
    "sign_in_failed",
    "signed_out",
    "password_changed",
    "password_code_made",
    "token_made",
    "token_revoked",
    "session_revoked",
]


class Scope(StrEnum):
    """What a token may be used for, within what its person may do."""

    READ = "read"
    WRITE = "write"
    BACKUP = "backup"
    RESTORE = "restore"
    ADMINISTER = "administer"


ALL_SCOPES = frozenset(Scope)


class Credential(NamedTuple):
    """What a request was let in by. *only_account* is the one account that a token is for, if it is for one."""

    id: str
    is_session: bool
    scopes: frozenset[Scope]
    only_account: AccountId | None
    expires_at: datetime


class Entered(NamedTuple):
    """Who asks, by what, and what they have access to of the account that they name; None where that is nothing."""

    person: Person
    credential: Credential
    access: Access | None


class Token(msgspec.Struct, frozen=True):
    """An API token as its person sees it: never the token itself."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    account: AccountId | None
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


class SignIn(msgspec.Struct, frozen=True):
    """What became of a person's credentials at some time, and from which address."""

    at: datetime
    what: What
    address: str
    about: str


class Made(NamedTuple):
    """A token or session that was just made: *secret* is shown once, and kept nowhere."""

    secret: str
    id: str
    expires_at: datetime


class From(NamedTuple):
    """Where a request comes from: the client's address, and what it calls itself."""

    address: str
    agent: str = ""


Beside = Callable[[Connection[Row], Made], None]
OPERATOR = From("the command line")


@dataclass(eq=False)
class CredentialUnknown(AccessError):
    """The person has no such token or session."""

    code: ClassVar[str] = "access.credential-unknown"
    what: str
    id: str

    def __str__(self) -> str:
        return f"you have no {self.what} {self.id!r}"


@dataclass(eq=False)
class ScopeLacking(AccessError):
    """The token may not be used for this, or may not give what it lacks itself."""

    code: ClassVar[str] = "access.scope-lacking"
    scope: str
    found: tuple[str, ...]

    def __str__(self) -> str:
        return f"this takes a token of scope {self.scope}; yours has {', '.join(self.found) or 'none'}"


class _Known(NamedTuple):
    """How an account's history was decoded last, and up to where; of no account before that."""

    account: AccountId | None
    position: int
    control: c.Control | None


_NOTHING_KNOWN = _Known(None, -1, None)


class Entrance:
    """Who presents a credential, and what they have access to: in one round trip. Safe to share between threads.

    It keeps how an account's history was decoded last, by name; whether that still is how it is, is asked each time.
    One name can mean another account to somebody else.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._controls: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def enter(
        self, secret: str, account: str | None, *, is_session: bool, at: datetime, idle: timedelta = timedelta()
    ) -> Entered | None:
        """Whose credential *secret* is, with the account of that slug or id. None when it is nobody's, or no longer.

        Looked up by its hash, so that no comparison leaks how much of it was right.
        """
        known = self._controls.get(account, _NOTHING_KNOWN) if account is not None else _NOTHING_KNOWN
        parameters = {
            "credential": digest(secret),
            "is_session": is_session,
            "account": account,
            "at": at,
            "idle": idle,
        }
        with self._database.connection() as connection:
            row = connection.execute(SQL["enter"], {**parameters, "known": known.position}).fetchone()
            if row is not None and row[-1] is None and row[7] not in (None, known.account):
                row = connection.execute(SQL["enter"], {**parameters, "known": -1}).fetchone()
        if row is None:
            return None
        id_, scopes, only, expires_at, person, email, name, found, slug, role, position, control = row
        allowed = ALL_SCOPES if scopes is None else frozenset(map(Scope, scopes))
        credential = Credential(id_, is_session, allowed, only, expires_at)
        access = None
        if found is not None and account is not None:
            if control is not None:
                known = self._decoded(account, AccountId(found), position, control)
            assert known.control is not None, "it was read just now, or is known to be as it was"
            access = Access(AccountId(found), slug, c.Role(role), known.control)
        return Entered(Person(person, email, name), credential, access)

    def _decoded(self, name: str, account: AccountId, position: int, control: str) -> _Known:
        known = _Known(account, position, _CONTROL.decode(control))
        with self._lock:
            self._controls[name] = known
            self._controls.move_to_end(name)
            if len(self._controls) > _KEPT_CONTROLS:
                self._controls.popitem(last=False)
        return known


def digest(secret: str) -> bytes:
    """What is kept of a token, session or code."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def create_token(
    database: Database,
    person: PersonId,
    *,
    at: datetime,
    name: str,
    scopes: Iterable[Scope] = ALL_SCOPES,
    account: AccountId | None = None,
    days: int = 365,
    by: Credential | None = None,
    origin: From = OPERATOR,
    beside: Beside | None = None,
) -> Made:
    """A new API token of *person* that ends after *days*; for one *account* only, where that is named.

    Made *by* a token, it can do no more than that one, and no longer. What *beside* changes by the connection it is
    given is in the same transaction. Raises FieldRefused, ScopeLacking, NotPossible.
    """
    wanted = frozenset(scopes)
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise FieldRefused("name", repr(name)[:60], "a name of 1 to 100 printable characters")
    if not wanted:
        raise FieldRefused("scopes", "none", f"some of {', '.join(Scope)}")
    if not 1 <= days <= MOST_DAYS:
        raise FieldRefused("days", str(days), f"1 to {MOST_DAYS} days")
    expires_at = at + timedelta(days=days)
    if by is not None and not by.is_session:
        if not wanted <= by.scopes:
            raise ScopeLacking(min(wanted - by.scopes), tuple(sorted(by.scopes)))
        expires_at = min(expires_at, by.expires_at)
    token, id_ = "cf_" + secrets.token_urlsafe(32), str(new_id(at))
    with database.transaction(person=person) as connection:
        if len(connection.execute(SQL["list_tokens"], {"person": person}).fetchall()) >= MOST_TOKENS:
            raise NotPossible("token", "made", f"one of {MOST_TOKENS} already", "there are fewer: revoke one")
        parameters = {
            "id": id_,
            "hash": digest(token),
            "person": person,
            "name": name.strip(),
            "scopes": sorted(wanted),
            "only_account": account,
            "at": at,
            "expires_at": expires_at,
        }
        connection.execute(SQL["insert_token"], parameters)
        record(connection, person, "token_made", at=at, origin=origin, about=name.strip())
        made = Made(token, id_, expires_at)
        if beside is not None:
            beside(connection, made)
    return made


def list_tokens(database: Database, person: PersonId) -> list[Token]:
    """The tokens of *person*, oldest first, those that ended among them."""
    with database.transaction(person=person) as connection:
        rows = connection.execute(SQL["list_tokens"], {"person": person}).fetchall()
    return [
        Token(id_, name, tuple(map(Scope, scopes)), account, created_at, expires_at, last_used_at)
        for id_, name, scopes, account, created_at, expires_at, last_used_at in rows
    ]


def revoke_token(database: Database, person: PersonId, token: str, *, at: datetime, origin: From = OPERATOR) -> None:
    """End the token of that id, at once. Raises CredentialUnknown."""
    with database.transaction(person=person) as connection:
        known = is_canonical(token)
        row = connection.execute(SQL["delete_token"], {"person": person, "id": token}).fetchone() if known else None
        if row is None:
            raise CredentialUnknown("token", token)
        record(connection, person, "token_revoked", at=at, origin=origin, about=row[0])


def list_sign_ins(database: Database, person: PersonId, *, limit: int = 100) -> list[SignIn]:
    """What became of the credentials of *person*, newest first."""
    with database.transaction(person=person) as connection:
        rows = connection.execute(SQL["list_sign_ins"], {"person": person, "limit": limit}).fetchall()
    return [SignIn(*row) for row in rows]


def record(
    connection: Connection[Row], person: PersonId, what: What, *, at: datetime, origin: From, about: str = ""
) -> None:
    """Keep, for *person*, whose the transaction must be, that this was done to their credentials; not for ever."""
    connection.execute(
        SQL["insert_sign_in"],
        {"person": person, "at": at, "what": what, "address": origin.address, "about": about},
    )
    connection.execute(
        SQL["delete_old_sign_ins"], {"person": person, "before": at - RECORD_LASTS, "most": MOST_RECORDS}
    )
