"""A person's notices of an account: the events of its own history that they were told of, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec
from psycopg import Connection

from domain import control as c
from domain.accounts import read_people
from domain.ids import AccountId, PersonId
from domain.notices import Topic, sentence, topic_of
from domain.parties import Value
from domain.store.database import Database, Row
from domain.store.statements import statements

SQL = statements("projections", "notices.sql")
MOST_NOTICES = 1_000
_ONE_LINE = str.maketrans("\n\t", "  ")


class Notice(Value, frozen=True, kw_only=True):
    """What a person was told. ``id`` is the position of the event in the account's own history, ``data`` what it says.

    ``mail``: whether it was mailed, waits for it, or could not be mailed, and then why.
    """

    id: int
    at: datetime
    topic: Topic
    type: str
    text: str
    actor: str
    actor_name: str | None = None
    data: msgspec.Raw
    read: bool
    mail: Literal["waiting", "sent", "failed"]
    mail_problem: str | None = None


class NoticesPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some notices, newest first, how many are not read yet of all, and the last one's id where there are more."""

    unread: int
    items: tuple[Notice, ...]
    following: int | None = None


def read_notices(
    database: Database,
    account: AccountId,
    person: PersonId,
    *,
    before: int | None = None,
    unread: bool = False,
    limit: int = 50,
) -> NoticesPage:
    """Up to *limit* notices of *person*, those *before* one; only what is *unread*, if that is said."""
    parameters = {"account": account, "person": person, "before": before, "unread": unread, "limit": limit + 1}
    with database.transaction(account, snapshot=True) as connection:
        rows = connection.execute(SQL["read_notices"], parameters).fetchall()
        count = _unread(connection, account, person)
    names = names_of(database, [actor for *_, actor, _ in rows[:limit]])
    items = tuple(
        Notice(
            id=position,
            at=at,
            topic=_topic(type_),
            type=type_,
            text=told(type_, data, actor, names),
            actor=actor,
            actor_name=names.get(actor),
            data=msgspec.Raw(data.encode()),
            read=read,
            mail=mail,
            mail_problem=problem,
        )
        for position, at, read, mail, problem, type_, actor, data in rows[:limit]
    )
    return NoticesPage(unread=count, items=items, following=items[-1].id if len(rows) > limit else None)


def mark_read(database: Database, account: AccountId, person: PersonId, *, up_to: int | None, at: datetime) -> int:
    """The person has read the notices up to that one (all); how many are not read yet."""
    with database.transaction(account) as connection:
        parameters = {"account": account, "person": person, "up_to": up_to, "at": at}
        connection.execute(SQL["mark_read"], parameters)
        return _unread(connection, account, person)


def _unread(connection: Connection[Row], account: AccountId, person: PersonId) -> int:
    row = connection.execute(SQL["count_unread"], {"account": account, "person": person}).fetchone()
    return int(row[0]) if row else 0


def names_of(database: Database, actors: Iterable[str]) -> dict[str, str]:
    """The names of those *actors* that are people who are known."""
    people = {actor: PersonId(actor.removeprefix("person:")) for actor in actors if actor.startswith("person:")}
    known = read_people(database, list(people.values())) if people else {}
    return {actor: f"{known[id_].name} <{known[id_].email}>" for actor, id_ in people.items() if id_ in known}


def told(type_: str, data: str, actor: str, names: dict[str, str]) -> str:
    """The sentence that tells of an event, on one line that steers no terminal."""
    event: Any = msgspec.json.decode(data, type=c.CONTROL_EVENTS[type_])
    who = names.get(actor) or ("the service" if actor.startswith("system:") else "somebody")
    return printable(sentence(event, who))


def printable(text: str) -> str:
    """*text* on one line, without what would steer a terminal or a mail reader."""
    return "".join(letter for letter in text.translate(_ONE_LINE) if letter.isprintable())


def _topic(type_: str) -> Topic:
    topic = topic_of(c.CONTROL_EVENTS[type_])
    assert topic is not None, "nobody is told of other events"
    return topic
