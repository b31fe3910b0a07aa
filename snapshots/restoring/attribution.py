"""To whom the events that come into an account are linked: decided segment by segment, person by person.

An event stays linked to its person while that person has access to the account; else it is linked to whoever restores,
and the timeline goes on showing who it was. Where neither a trusted key nor the account's owner vouches for the names,
none is believed: all is linked to whoever restores, and the names are marked as unverified. What was unverified once
stays so, whatever signed archive it travels in later.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import msgspec

from domain.control import Control, Member
from domain.errors import RestoreError
from domain.ids import PersonId
from snapshots.format.manifest import Attributed, Manifest, PersonNamed, Segment, email_hash
from snapshots.reading.examination import Brought
from snapshots.restoring.report import PersonLinked

Verdict = Literal["authentic", "edited", "unsigned"]
_MOST_MAPPED = 10_000


@dataclass(eq=False)
class UserMapRefused(RestoreError):
    """A map of people says something that cannot be followed."""

    code: ClassVar[str] = "restore.user-map-refused"
    entry: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"user map, {self.entry}: found {self.found}; expected {self.expected}"


class SegmentLinked(NamedTuple):
    """A segment of the fresh stream: what vouches for it, and its people who are not plainly themselves."""

    first_position: int
    authenticity: Literal["authentic", "edited", "unsigned"]
    attribution_trusted: bool
    people: tuple[Attributed, ...]


class Attribution(NamedTuple):
    """What was decided: for the tables, for the report, and who was linked to somebody else by a map."""

    segments: list[SegmentLinked]
    report: tuple[PersonLinked, ...]
    mapped: dict[PersonId, PersonId]


def read_user_map(text: str, name: str) -> dict[str, str]:
    """A map of people: a JSON object, or CSV with two columns, headed ``person,member`` or not at all.

    Keys are ids or e-mail addresses of people that the timeline names, values those of members of the account. *name*,
    the file's, ends in ``.csv`` for CSV.

    Raises UserMapRefused.
    """
    if name.lower().endswith(".csv"):
        rows = [row for row in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in row)]
        if rows and [cell.strip().lower() for cell in rows[0]] == ["person", "member"]:
            del rows[0]
        for number, row in enumerate(rows, 1):
            if len(row) != 2:
                raise UserMapRefused(f"row {number}", f"{len(row)} columns", "two: the person, and the member")
        pairs = [(row[0].strip(), row[1].strip()) for row in rows]
    else:
        try:
            msgspec.json.decode(text, type=dict[str, str])
            pairs = json.loads(text, object_pairs_hook=list)  # with a key that is there twice
        except msgspec.MsgspecError as wrong:
            raise UserMapRefused("the whole", f"no map: {wrong}", '{"person": "member"} in JSON, or CSV') from None
    if len(pairs) > _MOST_MAPPED:
        raise UserMapRefused("the whole", f"{len(pairs):,} entries", f"at most {_MOST_MAPPED:,}")
    made: dict[str, str] = {}
    for person, member in pairs:
        if person in made:
            raise UserMapRefused(person[:80], "the person twice", "each person once")
        made[person] = member
    return made


class Attributing:
    """Decides for one archive and one account.

    *own_installation*: its ids of people are ours. *trusted*: the account's owner vouches for its names. *user_map* as
    ``read_user_map`` gives it; *is_owner*: whoever restores owns the account. Raises UserMapRefused.
    """

    def __init__(
        self,
        manifest: Manifest,
        verdict: Verdict,
        control: Control,
        restoring: PersonId,
        *,
        own_installation: bool,
        trusted: bool = False,
        user_map: dict[str, str] | None = None,
        is_owner: bool = False,
    ) -> None:
        self._verdict = verdict
        self._trusted = trusted
        self._restoring = restoring
        self._control = control
        self._named = {person.id: person for person in manifest.people}
        self._own_installation = own_installation
        self._is_own = manifest.account.id == control.account
        self._by_hash = {email_hash(manifest.email_salt, member.email): member for member in control.members}
        self._mapped = self._read_map(user_map or {}, manifest.email_salt, is_owner=is_owner)

    def _read_map(self, user_map: dict[str, str], salt: str, *, is_owner: bool) -> dict[PersonId, PersonId]:
        if user_map and self._verdict != "authentic" and not self._trusted:
            expected = "an archive that a trusted key signed, or the owner's word (trust_attribution)"
            raise UserMapRefused("the whole", f"a map for an {self._verdict} archive", expected)
        people = {person.email_hash: person.id for person in self._named.values() if person.email_hash}
        members = {member.email.lower(): member for member in self._control.members}
        members |= {member.person: member for member in self._control.members}
        mapped = {}
        for key, value in user_map.items():
            person = PersonId(key) if key in self._named else people.get(email_hash(salt, key))
            if person is None:
                raise UserMapRefused(key[:80], "nobody that the archive names", "an id or address of its people")
            member = members.get(value.lower())
            if member is None:
                raise UserMapRefused(key[:80], repr(value)[:80], "a member of the account, by address or id")
            if person in mapped:
                raise UserMapRefused(key[:80], "the person twice, by id and by address", "each person once")
            if not is_owner:
                self._check_map(key, person, member)
            mapped[person] = member.person
        return mapped

    def _check_map(self, key: str, person: PersonId, member: Member) -> None:
        """That *person* may be mapped to *member* on the word of an administrator."""
        known = self._member(person)
        if member.person == (known.person if known is not None else person):
            return
        expected = "the owner's word"
        if known is not None:
            raise UserMapRefused(key[:80], f"{member.email} for what {known.email} did, who has access", expected)
        if member.person == self._restoring:
            raise UserMapRefused(key[:80], f"{member.email}, who restores and could agree to anything", expected)
        if (person, member.person) not in self._control.consents:
            expected = f"the consent of {member.email}, or the owner's word"
            raise UserMapRefused(key[:80], f"{member.email}, who has not agreed", expected)

    def decide(self, brought: list[Brought]) -> Attribution:
        """To whom the events of each segment are linked."""
        segments: list[SegmentLinked] = []
        counted: dict[tuple[PersonId, PersonId, bool], int] = {}
        for one in brought:
            verified = self._is_believed(one.segment)
            links: list[Attributed] = []
            before = {attributed.person: attributed for attributed in one.segment.people}
            for actor, count in sorted(one.actors.items()):
                if not actor.startswith("person:"):
                    continue
                person = PersonId(actor.removeprefix("person:"))
                sure = verified and (person not in before or before[person].verified)
                to = self._link(person) if sure else self._restoring
                links.append(Attributed(person=person, linked_to=to, verified=sure))
                counted[person, to, sure] = counted.get((person, to, sure), 0) + count
            self._add(segments, one, verified=verified, links=links)
        report = tuple(self._reported(*key, count) for key, count in sorted(counted.items()))
        named = {person for person, _, _ in counted}
        mapped = {person: to for person, to in self._mapped.items() if person in named and person != to}
        return Attribution(segments, report, mapped)

    def _is_believed(self, segment: Segment) -> bool:
        """Whether a segment's lines are by whom they say. The word of an account's owner holds in that account."""
        if self._verdict != "authentic":
            return segment.is_verified and self._trusted
        return segment.is_verified and (self._is_own or not segment.attribution_trusted)

    def _add(self, segments: list[SegmentLinked], one: Brought, *, verified: bool, links: list[Attributed]) -> None:
        """The segment, or, where the same vouches for it and says the same of the same people, more of the last one."""
        weaker = one.segment.authenticity if one.segment.authenticity in ("edited", "unsigned") else self._verdict
        authenticity: Verdict = "authentic" if weaker == "authentic" else "edited" if weaker == "edited" else "unsigned"
        trusted = verified and authenticity != "authentic"
        if segments:
            last = segments[-1]
            known = {link.person: link for link in last.people}
            same = all(known.get(link.person, link) == link for link in links)
            if same and (last.authenticity, last.attribution_trusted) == (authenticity, trusted):
                people = tuple({**known, **{link.person: link for link in links}}.values())
                segments[-1] = last._replace(people=people)
                return
        segments.append(SegmentLinked(one.first_position, authenticity, trusted, tuple(links)))

    def _link(self, person: PersonId) -> PersonId:
        """Whose the events of a person are, whom the archive is believed to name."""
        if person in self._mapped:
            return self._mapped[person]
        member = self._member(person)
        if member is not None:
            return member.person
        linked = self._control.links.get(person)
        return linked if linked is not None and self._control.member(linked) else self._restoring

    def _member(self, person: PersonId) -> Member | None:
        """The member who a person of the archive is: by id where its ids are ours, or by address."""
        member = self._control.member(person) if self._own_installation or self._trusted else None
        if member is None:
            named = self._named.get(person)
            member = self._by_hash.get(named.email_hash) if named is not None and named.email_hash else None
        return member

    def _reported(self, person: PersonId, to: PersonId, verified: bool, events: int) -> PersonLinked:  # noqa: FBT001
        named: PersonNamed | None = self._named.get(person)
        known: Member | None = self._control.member(person)
        linked: Member | None = self._control.member(to)
        return PersonLinked(
            person=person,
            name=named.name if named is not None and named.name else known.name if known else None,
            events=events,
            linked_to=to,
            linked_to_name=linked.name if linked else to,
            has_access=known is not None or (named is not None and named.email_hash in self._by_hash),
            verified=verified,
        )
