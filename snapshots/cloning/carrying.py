"""What goes with the lines of a clone: how they came, whose they are, and the files that were attached.

An event stays linked to its person while that person has access to the account that is cloned into, or to whom that
account's own history links them; else it is linked to whoever clones. What nobody signed stays unverified, whatever an
owner of the source said of it: a clone, there and back, never makes somebody the author who was not.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from psycopg import Connection

from domain.application import Actor
from domain.control import Control
from domain.ids import AccountId, PersonId
from domain.store.database import Row
from domain.store.statements import statements
from snapshots.backup import Source
from snapshots.fresh.swap import insert_segment
from snapshots.restoring.report import PersonLinked

SQL = statements("snapshots.cloning", "cloning.sql")
RESTORE_SQL = statements("snapshots.fresh", "fresh.sql")
_BELIEVED = ("recorded", "authentic")


class Attributed(NamedTuple):
    """Whose a person's events in a segment are; *name* is what the person was called where they came from."""

    first_position: int
    person: PersonId
    linked_to: PersonId
    verified: bool
    name: str | None


class Carried(NamedTuple):
    """What was decided: where each segment begins and what vouches for it, whose the events are, the report on it."""

    segments: list[tuple[int, str]]
    links: list[Attributed]
    report: tuple[PersonLinked, ...]


def decide(connection: Connection[Row], source: Source, control: Control, cloning: PersonId) -> Carried:
    """How *source*'s lines come into the account of *control*, brought by *cloning*. Reads its events once."""
    key = {"account": source.account, "stream": source.stream, "head": source.head}
    rows = connection.execute(SQL["read_segments"], key).fetchall()
    rows_by_person = connection.execute(SQL["read_attributions"], key).fetchall()
    before = {(first, person): (verified, name) for first, person, verified, name in rows_by_person}
    names = {person.id: person.name for person in source.people("")}
    links: list[Attributed] = []
    counted: dict[tuple[PersonId, PersonId, str | None, bool], int] = {}
    ends = [*(row[0] for row in rows), source.head + 1][1:]
    for (first, authenticity), end in zip(rows, ends, strict=True):
        actors = connection.execute(SQL["count_actors"], {**key, "first": first, "before": end}).fetchall()
        for actor, count in actors:
            if not actor.startswith("person:"):
                continue
            person = PersonId(actor.removeprefix("person:"))
            sure, name = before.get((first, person), (True, None))
            verified = sure and authenticity in _BELIEVED
            name = name or names.get(person)
            link = Attributed(first, person, _linked(person, control, cloning) if verified else cloning, verified, name)
            links.append(link)
            whose = (person, link.linked_to, name, verified)
            counted[whose] = counted.get(whose, 0) + count
    segments = [(first, "authentic" if authenticity == "recorded" else authenticity) for first, authenticity in rows]
    report = tuple(_reported(control, *key, count) for key, count in sorted(counted.items(), key=str))
    return Carried(segments, links, report)


def _linked(person: PersonId, control: Control, cloning: PersonId) -> PersonId:
    if control.member(person):
        return person
    linked = control.links.get(person)
    return linked if linked is not None and control.member(linked) else cloning


def _reported(  # noqa: PLR0917 - one caller, which has them in a key
    control: Control,
    person: PersonId,
    linked_to: PersonId,
    name: str | None,
    verified: bool,  # noqa: FBT001
    events: int,
) -> PersonLinked:
    linked = control.member(linked_to)
    return PersonLinked(
        person=person,
        name=name,
        events=events,
        linked_to=linked_to,
        linked_to_name=linked.name if linked else linked_to,
        has_access=control.member(person) is not None,
        verified=verified,
    )


def carry(
    connection: Connection[Row],
    source: Source,
    account: AccountId,
    stream: int,
    carried: Carried,
    *,
    actor: Actor,
    at: datetime,
) -> None:
    """Write what was decided beside the stream's lines, in the connection's transaction."""
    for first, authenticity in carried.segments:
        came = (first, "clone", f"{source.account}/{source.stream}", authenticity)
        insert_segment(connection, account, stream, came, at=at, by=actor.name)
    for link in carried.links:
        parameters = {"account": account, "stream": stream, "first": link.first_position, **link._asdict()}
        connection.execute(RESTORE_SQL["insert_attribution"], parameters)


def carry_files(connection: Connection[Row], source: Source, account: AccountId) -> None:
    """Write the attached files, in the connection's transaction, which sees the account.

    In order of their hashes, so that of two who bring the same files none waits for the other in a ring.
    """
    for sha256 in sorted(source.attached()):
        content = b"".join(source.attachment(sha256))
        attached = {"account": account, "sha256": bytes.fromhex(sha256), "bytes": content}
        connection.execute(RESTORE_SQL["insert_attachment"], attached)
