"""Accounts and people: opening an account, who a person is, which accounts are theirs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, NamedTuple

import msgspec
from psycopg import Connection

from domain import control as c
from domain.application import Actor, Application, record_control
from domain.entity import FieldRefused, converted
from domain.errors import AccessError
from domain.events import Via
from domain.ids import AccountId, PersonId, is_canonical, new_id
from domain.notices import Topic
from domain.store.database import Database, Row, set_account
from domain.store.statements import statements
from domain.store.streams import AccountUnknown

SQL = statements("domain.store", "accounts.sql")
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,189}")
_CONTROL = msgspec.json.Decoder(c.Control)


class Person(NamedTuple):
    """Somebody who acts."""

    id: PersonId
    email: str
    name: str


class Access(NamedTuple):
    """An account that a person has access to, and in which role."""

    account: AccountId
    slug: str
    role: c.Role
    control: c.Control


@dataclass(eq=False)
class PersonUnknown(AccessError):
    """Nobody is known by that e-mail address."""

    code: ClassVar[str] = "access.person-unknown"
    email: str

    def __str__(self) -> str:
        return f"nobody is known as {self.email!r}; whoever opens an account, or is added to one, is"


def check_email(email: str) -> str:
    """*email* without blanks around it. Raises FieldRefused when it is none."""
    email = email.strip()
    if not _EMAIL.fullmatch(email):
        raise FieldRefused("email", repr(email)[:80], "an e-mail address such as an@example.com")
    return email


def ensure_person(database: Database, email: str, name: str | None, *, at: datetime) -> Person:
    """The person known by *email* (case aside), made known when they are not yet."""
    email = check_email(email)
    with database.transaction() as connection:
        parameters = {"person": new_id(at), "email": email, "name": name or email.partition("@")[0], "at": at}
        connection.execute(SQL["insert_person"], parameters)
        row = connection.execute(SQL["find_person"], {"email": email}).fetchone()
    assert row is not None, "inserted or there before"
    return Person(*row)


def find_person(database: Database, email: str) -> Person:
    """The person known by *email*, case aside. Raises PersonUnknown."""
    with database.transaction() as connection:
        row = connection.execute(SQL["find_person"], {"email": email.strip()}).fetchone()
    if row is None:
        raise PersonUnknown(email)
    return Person(*row)


def read_people(database: Database, people: list[PersonId]) -> dict[PersonId, Person]:
    """Those of *people* who are known, by id."""
    with database.transaction() as connection:
        rows = connection.execute(SQL["read_people"], {"people": people}).fetchall()
    return {person.id: person for person in (Person(*row) for row in rows)}


def accounts_of(database: Database, person: PersonId) -> list[Access]:
    """The accounts that *person* has access to, by slug."""
    with database.transaction(person=person) as connection:
        rows = connection.execute(SQL["list_accounts"], {"person": person}).fetchall()
    return [_access(row) for row in rows]


def find_access(database: Database, person: PersonId, account: str) -> Access:
    """The account of that slug or id, if *person* has access to it. Raises AccountUnknown, whichever it lacks."""
    with database.transaction(person=person) as connection:
        rows = connection.execute(SQL["find_account"], {"person": person, "name": account}).fetchall()
    if not rows:
        raise AccountUnknown(account)
    return _access(rows[0])


def service_access(database: Database, account: AccountId) -> Access:
    """The account for the service itself, which looks after it in nobody's name. Raises AccountUnknown."""
    with database.transaction(account) as connection:
        row = connection.execute(SQL["read_account"], {"account": account}).fetchone()
    if row is None:
        raise AccountUnknown(account)
    return Access(account, row[0], c.Role.ADMINISTRATOR, _CONTROL.decode(row[1]))


def _access(row: Row) -> Access:
    account, slug, control, role = row
    return Access(AccountId(account), slug, c.Role(role), _CONTROL.decode(control))


def require_administrator(access: Access, what: str) -> None:
    """That who has *access* may administer the account. Raises RoleLacking, naming *what* they wanted to do."""
    if access.role not in (c.Role.OWNER, c.Role.ADMINISTRATOR):
        raise c.RoleLacking(what, access.role.value, "owners and administrators")


def as_it_is_now(access: Access, control: c.Control, actor: Actor) -> Access:
    """What *actor* may do by *control*, which may have changed since *access* was looked up. Raises AccountUnknown.

    A part of the system that acts keeps what it may.
    """
    if not actor.name.startswith("person:"):
        return access._replace(control=control)
    member = control.member(PersonId(actor.name.removeprefix("person:")))
    if member is None:
        raise AccountUnknown(access.slug)
    return access._replace(role=member.role, control=control)


def open_account(
    application: Application,
    name: str,
    owner: Person,
    settings: c.SettingsFields,
    *,
    via: Via,
    slug: str | None = None,
    beside: Callable[[Connection[Row], Access], None] | None = None,
) -> Access:
    """Open an account that *owner* owns. Its slug is made from *name*, with a number when that is taken.

    What *beside* changes by the connection it is given is in the same transaction. Raises FieldRefused.
    """
    at = application.clock()
    account = AccountId(new_id(at))
    actor = Actor.person(owner.id, via)
    opened = converted({"name": name.strip(), "settings": settings}, c.Opened, from_attributes=True)
    c.admit(c.open_account(opened, account, at), opened)
    granted = c.AccessGranted(person=owner.id, name=owner.name, email=owner.email, role=c.Role.OWNER)
    with application.database.transaction(account) as connection:
        slug = _insert_with_slug(connection, account, slug_of(slug or name))
        parameters = {"account": account, "at": at, "actor": actor.name}
        connection.execute(SQL["insert_live_stream"], parameters)
        connection.execute(SQL["insert_recorded_segment"], parameters)
        first = c.open_account(opened, account, at)
        control = record_control(connection, account, actor, (0, first), (opened, granted), at=at)
        assert control is not None, "nobody else knows the account yet"
        access = Access(account, slug, c.Role.OWNER, control)
        if beside is not None:
            beside(connection, access)
    return access


Beside = Callable[[Connection[Row], c.Control], None]


def close_account(
    application: Application,
    access: Access,
    actor: Actor,
    *,
    reason: str | None,
    kept_days: int,
    beside: Beside | None = None,
) -> c.Control:
    """Let the account take no more changes; after *kept_days* it is erased. For owners, since it leads to that.

    What *beside* changes is in the same transaction. Raises RoleLacking, AccountClosed.
    """
    require_owner(access, "closing the account")
    erase_after = application.clock() + timedelta(days=kept_days)
    closed = c.Closed(reason=reason, erase_after=erase_after)
    return application.record_control(access.account, actor, closed, beside=beside)


def reopen_account(
    application: Application, access: Access, actor: Actor, *, beside: Beside | None = None
) -> c.Control:
    """Let an account that was closed take changes again. For owners. Raises RoleLacking, NotPossible.

    What *beside* changes is in the same transaction.
    """
    require_owner(access, "reopening the account")
    return application.record_control(access.account, actor, c.Reopened(), beside=beside)


def require_owner(access: Access, what: str) -> None:
    """That who has *access* owns the account. Raises RoleLacking, naming *what* they wanted to do."""
    if access.role is not c.Role.OWNER:
        raise c.RoleLacking(what, access.role.value, "owners")


def slug_of(name: str) -> str:
    """*name* as part of a command line or an address: lower-case ASCII letters, digits and hyphens.

    Never what another account's id could be: whoever names that one means it.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "account"
    return f"account-{slug}"[:40].strip("-") if is_canonical(slug) else slug


def _insert_with_slug(connection: Connection[Row], account: AccountId, slug: str) -> str:
    set_account(connection, account)
    tried = slug
    for number in range(2, 10_000):
        cursor = connection.execute(SQL["insert_account"], {"account": account, "slug": tried})
        if cursor.rowcount == 1:
            return tried
        tried = f"{slug}-{number}"
    raise FieldRefused("name", slug, "a name that 10,000 other accounts do not have")


def add_member(
    application: Application,
    access: Access,
    actor: Actor,
    *,
    email: str,
    name: str | None,
    role: c.Role,
    beside: Callable[[Connection[Row], Person], None] | None = None,
) -> Person:
    """Give the person of that e-mail address access. Raises RoleLacking, NotPossible, FieldRefused.

    What *beside* changes by the connection it is given is in the same transaction.
    """
    require_administrator(access, "adding a member")
    person = ensure_person(application.database, email, name, at=application.clock())
    granted = c.AccessGranted(person=person.id, name=person.name, email=person.email, role=role)
    kept = None if beside is None else lambda connection, _: beside(connection, person)
    application.record_control(access.account, actor, granted, beside=kept)
    return person


def remove_member(application: Application, access: Access, actor: Actor, *, email: str) -> Person:
    """Take the access of the person of that e-mail address. Raises RoleLacking, PersonUnknown, NotPossible."""
    require_administrator(access, "removing a member")
    person = find_person(application.database, email)
    application.record_control(access.account, actor, c.AccessRevoked(person=person.id))
    return person


def choose_topics(
    application: Application, access: Access, actor: Actor, person: PersonId, topics: Iterable[Topic]
) -> c.Member:
    """Let a member be told of *topics*, beside what their role has them told of. The member. Raises NotPossible."""
    chosen = tuple(topic.value for topic in dict.fromkeys(topics))
    control = application.record_control(access.account, actor, c.NotificationsChanged(person=person, topics=chosen))
    member = control.member(person)
    assert member is not None, "that is what the event was judged by"
    return member
