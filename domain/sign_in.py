"""Signing in: sessions, the passwords they begin with, and one-time codes by which a person sets a password.

Whoever calls what takes a password keeps it off the event loop and bounds how many run at once (``domain.passwords``).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, NamedTuple

import msgspec
from psycopg import Connection

from domain import attempts
from domain import control as c
from domain.accounts import SQL as ACCOUNTS
from domain.accounts import Access, Person
from domain.credentials import OPERATOR, SQL, Beside, CredentialUnknown, From, Made, digest, record
from domain.entity import NotPossible
from domain.errors import AccessError
from domain.ids import AccountId, PersonId, is_canonical, new_id
from domain.passwords import check_password, hash_password, is_outdated, is_password, normalised
from domain.store.database import Database, Row

CODE_LASTS = timedelta(days=3)
_KNOWN_PLACE = timedelta(days=90)  # for how long the address of a sign-in counts as that person's


class Idle(NamedTuple):
    """When a session ends: so long after it was last used, and so long after it began."""

    after: timedelta
    at_most: timedelta


class Session(msgspec.Struct, frozen=True):
    """A session as its person sees it."""

    id: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime
    address: str
    agent: str


class _Presented(NamedTuple):
    """Whose a one-time code is, and the account that it is bound to, if it is."""

    person: PersonId
    only_account: AccountId | None


@dataclass(eq=False)
class SignInRefused(AccessError):
    """E-mail address and password do not belong together; which of the two is wrong is not said."""

    code: ClassVar[str] = "access.sign-in-refused"

    def __str__(self) -> str:
        return "nobody is known by that e-mail address with that password"


@dataclass(eq=False)
class PasswordWrong(AccessError):
    """The password that was given as the current one is not."""

    code: ClassVar[str] = "access.password-wrong"

    def __str__(self) -> str:
        return "the current password is another; expected it, to set a new one"


@dataclass(eq=False)
class CodeRefused(AccessError):
    """The one-time code is not that person's, was used, or is too old."""

    code: ClassVar[str] = "access.code-refused"

    def __str__(self) -> str:
        return "the code is not known for that e-mail address, or no longer; ask for another"


def sign_in(
    database: Database, email: str, password: str, *, at: datetime, idle: Idle, origin: From
) -> tuple[Person, Made]:
    """A new session of whoever has that e-mail address and password. As slow whatever is wrong.

    Raises SignInRefused, and TooManyTries, which says for how long. Hashes twice at most.
    """
    person, kept = _password_of(database, email)
    known = _known_place(database, person, at, origin)
    tries = attempts.of_sign_in(email, origin.address, known_place=known)
    attempts.charge(database, tries, at=at)
    if not is_password(kept, password) or person is None or kept is None:
        if person is not None:
            with database.transaction(person=person.id) as connection:
                record(connection, person.id, "sign_in_failed", at=at, origin=origin)
        raise SignInRefused
    attempts.settle(database, tries, at=at)
    fresh = hash_password(normalised(password)) if is_outdated(kept) else None
    secret, id_, expires_at = secrets.token_urlsafe(32), str(new_id(at)), at + idle.at_most
    with database.transaction(person=person.id) as connection:
        row = connection.execute(SQL["lock_password"], {"person": person.id}).fetchone()
        if row is None or row[0] != kept:
            raise SignInRefused  # the password was changed meanwhile, which ends sessions: this one would outlive it
        if fresh is not None:
            connection.execute(SQL["rehash_password"], {"person": person.id, "hash": fresh, "before": kept})
        connection.execute(SQL["delete_old_sessions"], {"person": person.id, "at": at, "idle": idle.after})
        parameters = {
            "id": id_,
            "hash": digest(secret),
            "person": person.id,
            "at": at,
            "expires_at": expires_at,
            "address": origin.address,
            "agent": origin.agent[:200],
        }
        connection.execute(SQL["insert_session"], parameters)
        record(connection, person.id, "signed_in", at=at, origin=origin)
    return person, Made(secret, id_, expires_at)


def list_sessions(database: Database, person: PersonId, *, at: datetime, idle: Idle) -> list[Session]:
    """The sessions of *person* that have not ended, oldest first."""
    with database.transaction(person=person) as connection:
        parameters = {"person": person, "at": at, "idle": idle.after}
        return [Session(*row) for row in connection.execute(SQL["list_sessions"], parameters).fetchall()]


def end_session(
    database: Database, person: PersonId, session: str, *, at: datetime, own: bool, origin: From = OPERATOR
) -> None:
    """End a session, at once: one's *own*, or another of the same person. Raises CredentialUnknown."""
    with database.transaction(person=person) as connection:
        known = is_canonical(session)
        if not known or not connection.execute(SQL["delete_session"], {"person": person, "id": session}).rowcount:
            raise CredentialUnknown("session", session)
        record(connection, person, "signed_out" if own else "session_revoked", at=at, origin=origin)


def change_password(database: Database, person: Person, current: str, new: str, *, at: datetime, origin: From) -> None:
    """Another password for whoever knows the *current* one; every session of theirs ends. Raises PasswordWrong,
    FieldRefused, TooManyTries.
    """
    normal = check_password(new, email=person.email)
    kept = _password_of(database, person.email)[1]
    tries = attempts.of_sign_in(person.email, origin.address, known_place=True)
    attempts.charge(database, tries, at=at)
    if not is_password(kept, current):
        raise PasswordWrong
    attempts.settle(database, tries, at=at)
    hashed = hash_password(normal)
    with database.transaction(person=person.id) as connection:
        row = connection.execute(SQL["lock_password"], {"person": person.id}).fetchone()
        if row is None or row[0] != kept:
            raise PasswordWrong
        _set_password(connection, person.id, hashed, at, origin)


def set_password(database: Database, person: Person, new: str, *, at: datetime, origin: From = OPERATOR) -> None:
    """Another password for *person*, on the operator's word; every session ends. Raises FieldRefused."""
    hashed = hash_password(check_password(new, email=person.email))
    with database.transaction(person=person.id) as connection:
        _set_password(connection, person.id, hashed, at, origin)


def make_code(
    database: Database,
    person: PersonId,
    *,
    at: datetime,
    about: str,
    origin: From = OPERATOR,
    only_account: AccountId | None = None,
    beside: Beside | None = None,
) -> Made:
    """A code by which *person* may set a password once, in place of any made before. Shown once.

    With *only_account* it works while they are a member of that account, and let in nowhere else. What *beside* does is
    in the same transaction.
    """
    made = Made(secrets.token_urlsafe(32), "", at + CODE_LASTS)
    with database.transaction(only_account, person=person) as connection:
        connection.execute(SQL["delete_codes"], {"person": person})
        parameters = {"hash": digest(made.secret), "person": person, "at": at, "expires_at": made.expires_at}
        connection.execute(SQL["insert_code"], {**parameters, "only_account": only_account})
        record(connection, person, "password_code_made", at=at, origin=origin, about=about)
        if beside is not None:
            beside(connection, made)
    return made


def invite(
    database: Database, access: Access, person: PersonId, *, at: datetime, by: Person, origin: From, beside: Beside
) -> None:
    """A code for a member who was never let in anywhere, made by who administers their one account.

    For anybody else it would hand over what that person has elsewhere. *beside* is given the code. Raises RoleLacking,
    NotPossible.
    """
    if access.role not in (c.Role.OWNER, c.Role.ADMINISTRATOR):
        raise c.RoleLacking("inviting a member", access.role.value, "owners and administrators")
    member = access.control.member(person)
    if member is None:
        raise NotPossible("member", "invited", "no member", "the person has access")
    if member.role is c.Role.OWNER and access.role is not c.Role.OWNER:
        raise c.RoleLacking("inviting an owner", access.role.value, "owners")
    with database.transaction(person=person) as connection:
        free = _is_only_in(connection, person, access.account)
    if not free:
        raise NotPossible("member", "invited", "let in already", "they have no other account, password or token yet")
    about, account = f"by {by.email}", access.account
    make_code(database, person, at=at, about=about, origin=origin, only_account=account, beside=beside)


def redeem_code(database: Database, email: str, code: str, password: str, *, at: datetime, origin: From) -> None:
    """Set the password of the person of that e-mail address, by a code made for them; each code works once.

    Every session of theirs ends. Raises CodeRefused, FieldRefused, TooManyTries.
    """
    tries = attempts.of_code(origin.address)
    attempts.charge(database, tries, at=at)
    hashed = digest(code)
    presented, named = _by_code(database, hashed, at), _password_of(database, email)[0]
    if presented is None or named is None or named.id != presented.person:
        raise CodeRefused
    person, only = presented
    fresh = hash_password(check_password(password, email=email))
    with database.transaction(person=person) as connection:
        if not connection.execute(SQL["delete_code"], {"person": person, "hash": hashed}).rowcount:
            raise CodeRefused
        if only is not None and not _is_only_in(connection, person, only):
            raise CodeRefused
        _set_password(connection, person, fresh, at, origin)
    attempts.settle(database, tries, at=at)


def _password_of(database: Database, email: str) -> tuple[Person | None, str | None]:
    """The person of that e-mail address and the hash of their password: the same statements whoever it is."""
    with database.transaction() as connection:
        row = connection.execute(ACCOUNTS["find_person"], {"email": email}).fetchone()
    person = Person(*row) if row else None
    id_ = person.id if person else PersonId(str(new_id()))
    with database.transaction(person=id_) as connection:
        kept = connection.execute(SQL["read_password"], {"person": id_}).fetchone()
    return person, kept[0] if kept else None


def _known_place(database: Database, person: Person | None, at: datetime, origin: From) -> bool:
    id_ = person.id if person else PersonId(str(new_id()))
    with database.transaction(person=id_) as connection:
        parameters = {"person": id_, "since": at - _KNOWN_PLACE, "address": origin.address}
        row = connection.execute(SQL["is_known_place"], parameters).fetchone()
    return row is not None and bool(row[0])


def _by_code(database: Database, code: bytes, at: datetime) -> _Presented | None:
    with database.transaction() as connection:
        connection.execute(SQL["present"], {"hash": code.hex()})
        row = connection.execute(SQL["find_code"], {"hash": code, "at": at}).fetchone()
    return _Presented(*row) if row else None


def _is_only_in(connection: Connection[Row], person: PersonId, account: AccountId) -> bool:
    """Whether *person*, whose the transaction is, has access to that account, to no other, and no credential yet."""
    row = connection.execute(SQL["is_only_in"], {"person": person, "account": account}).fetchone()
    return row is not None and bool(row[0])


def _set_password(connection: Connection[Row], person: PersonId, hashed: str, at: datetime, origin: From) -> None:
    connection.execute(SQL["upsert_password"], {"person": person, "hash": hashed, "at": at})
    connection.execute(SQL["delete_sessions"], {"person": person})
    connection.execute(SQL["delete_codes"], {"person": person})
    record(connection, person, "password_changed", at=at, origin=origin)
