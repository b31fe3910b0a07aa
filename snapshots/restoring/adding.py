"""What ``add`` does about things that account and archive both have under different ids.

Ledger accounts and items with the same number, and layouts with the same name, are the same thing: the added one is
merged into the account's own, by an event of the restoring person. Customers with the same VAT number are likely
doubles, and are merged too where that was chosen and only one customer of the account has it. A customer's number that
is taken is left off; a layout is no default beside the account's default. A document number is never changed: that is
a clash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec

from domain import customers, layouts
from domain.application import Actor
from domain.entity import Merged, NotPossible
from domain.events import encode_data, line, type_of, written_time
from domain.ids import EntityId
from domain.kinds import Kind
from domain.parties import Value
from domain.rules import RULES
from domain.tree import Frontier, leaf_hash
from domain.tree import append as append_leaves
from domain.work import decode_state, is_gone
from projections.control_totals import Totaller
from snapshots.format.faults import Fault
from snapshots.format.manifest import SNAPSHOT_FILES
from snapshots.fresh.building import StreamBuilder
from snapshots.reading.checking import Checked, add_totals
from snapshots.reading.examination import ENVELOPE, Clash
from snapshots.restoring.report import Doubles, Matched

CLASH = "restore.numbers-clash"
Plan = Callable[[Any], Value]

_DEFAULT = "default layout for "
_SAME_VAT = "customer with VAT number "
_SAME = {"item number": Kind.ITEM, "ledger_account number": Kind.LEDGER_ACCOUNT, "layout named": Kind.LAYOUT}
_encode = msgspec.json.Encoder().encode


class Adjustments(NamedTuple):
    """Events that follow added entities into the account, each made from the entity's state, and what the report says
    of them.
    """

    events: dict[str, list[Plan]]
    matched: list[Matched]
    doubles: list[Matched]


def number_clashes(clashes: list[Clash]) -> list[Fault]:
    """A fault for each document number that archive and account have under different documents."""
    faults = []
    for key, added, own in clashes:
        kind = next((kind for kind in Kind if kind.is_document and key.startswith(f"{kind.value} number ")), None)
        if kind is not None:
            reason = f"{key}: the archive has it on {added}, the account on {own}; expected it on one document"
            faults.append(Fault(code=CLASH, file=SNAPSHOT_FILES[kind], field="number", entity=added, reason=reason))
    return faults


def adjustments(clashes: list[Clash], added: set[str], doubles: Doubles) -> Adjustments:
    """What is done about the clashes of entities that are *added*."""
    made = Adjustments({}, [], [])
    merged: set[str] = set()
    owners = Counter((key, id_) for key, id_, _ in clashes)
    for key, id_, own in clashes:
        kind = _same_kind(key)
        if doubles == "merge-customers" and key.startswith(_SAME_VAT) and owners[key, id_] == 1:
            kind = Kind.CUSTOMER
        if kind is not None and id_ in added and id_ not in merged:
            merged.add(id_)
            made.events[id_] = [partial(_merged, EntityId(own))]
            made.matched.append(Matched(kind=kind.value, id=id_, key=key, into=own, done="merged"))
    taken: dict[str, set[str]] = {}
    for key, id_, own in clashes:
        if id_ not in added or id_ in merged:
            continue
        if key.startswith(_DEFAULT):
            if id_ not in taken:
                taken[id_] = set()
                made.events[id_] = [partial(_without_defaults, taken[id_])]
            taken[id_].add(key.removeprefix(_DEFAULT).partition("/")[0])
            made.matched.append(Matched(kind="layout", id=id_, key=key, into=own, done="no_default"))
        elif key.startswith("customer number "):
            made.events[id_] = [_without_number]
            made.matched.append(Matched(kind="customer", id=id_, key=key, into=own, done="number_left_off"))
        elif key.startswith(_SAME_VAT):
            made.doubles.append(Matched(kind="customer", id=id_, key=key, into=own))
    return made


def _returned(entity: Checked, _state: Any) -> Value:
    return return_to(entity)


def _merged(own: EntityId, _state: Any) -> Value:
    return Merged(into=own)


def _without_defaults(taken: set[str], state: Any) -> Value:
    return layouts.Changed(default_for=tuple(kind for kind in state.default_for if kind not in taken))


def _without_number(_state: Any) -> Value:
    return customers.Changed(number=None)


def _same_kind(key: str) -> Kind | None:
    return next((kind for start, kind in _SAME.items() if key.startswith(start)), None)


class Returned(NamedTuple):
    """An entity that comes back: as the account has it now, deleted perhaps, and when its last event was."""

    now: Checked
    last_at: str


def returned(kind: Kind, state: str, last_at: datetime) -> Returned:
    """An entity that may come back, from its row."""
    decoded = decode_state(kind, state)
    now = Checked(decoded.id, kind, 0, decoded, state.encode(), is_gone(decoded))
    return Returned(now, written_time(last_at))


def is_return(one: Returned, entity: Checked) -> bool:
    """Whether the account's entity has anything to go back to. Raises DomainError where it must not."""
    now = one.now.state
    if msgspec.structs.replace(entity.state, version=now.version) == now:
        return False
    if entity.kind.is_document and now.is_issued:
        raise NotPossible(entity.kind.value, "brought back", f"it is issued ({now.state.value})", "it is a draft")
    RULES[entity.kind].admit(now, return_to(entity))
    return True


class Kept:
    """Keeps the entities that an examination was told to hold."""

    def __init__(self) -> None:
        self.entities_held: dict[str, Checked] = {}

    def lines(self, first_position: int, envelopes: list[Any], leaves: list[bytes]) -> None:
        """Lines go by."""

    def entities(self, rows: bytes, count: int, held: list[Checked]) -> None:  # noqa: ARG002 - a sink's
        """Keep those that are held."""
        self.entities_held.update((entity.id, entity) for entity in held)


def return_to(entity: Checked) -> Value:
    """The event that brings an entity of the account back to what it is in the archive, by whom it is restored."""
    corrected = RULES[entity.kind].events["corrected"]
    return corrected(**{name: getattr(entity.state, name) for name in corrected.__struct_fields__})


class AddedSink:
    """Hands what is added to a builder, and after it the events that bring entities back and those that adjust.

    ``adjusted`` adds up the entities that these are about, as they are then.
    """

    def __init__(
        self,
        builder: StreamBuilder | None,
        events: dict[str, list[Plan]],
        *,
        returning: dict[str, Returned],
        actor: Actor,
        at: datetime,
    ) -> None:
        self._builder = builder
        self._events = events
        self._returning = returning
        self._actor = actor
        self._at = written_time(at)
        self._held: list[Checked] = []
        self._last_at: dict[bytes, str] = dict.fromkeys((id_.encode() for id_ in events), "")
        self._last_at.update((id_.encode(), one.last_at) for id_, one in returning.items())
        self.adjusted = Totaller()

    def lines(self, first_position: int, envelopes: list[Any], leaves: list[bytes]) -> None:
        """Lines that are added, as they are."""
        if self._last_at:
            for parts in envelopes:
                if parts[2] in self._last_at:
                    self._last_at[parts[2]] = parts[5].decode()
        if self._builder is not None:
            self._builder.lines(first_position, envelopes, leaves)

    def entities(self, rows: bytes, count: int, held: list[Checked]) -> None:
        """Entities that are added, as rows; those with adjustments are held, and wait for them."""
        self._held += held
        if self._builder is not None:
            self._builder.entities(rows, count, [])

    def finish(self, frontier: Frontier) -> Frontier:
        """Add the adjusting events after all lines. The log with them."""
        envelopes: list[Any] = []
        leaves: list[bytes] = []
        adjusted = []
        for entity in self._held:
            state = entity.state
            plans = self._events.get(entity.id, [])
            if entity.id in self._returning:
                state = self._returning[entity.id].now.state
                plans = [partial(_returned, entity), *plans]
            for plan in plans:
                data = plan(state)
                RULES[entity.kind].admit(state, data)
                state = RULES[entity.kind].evolve(state, data, entity.id, state.version + 1)
                written = self._line(entity, data, state.version)
                match = ENVELOPE.fullmatch(written + b"\n")
                assert match is not None, "a line of ours is written as lines are"
                envelopes.append(match.groups())
                leaves.append(leaf_hash(written))
            position = frontier.size + len(envelopes)
            adjusted.append(entity._replace(state=state, position=position, line=_encode(state)))
        if self._builder is not None and envelopes:
            self._builder.lines(frontier.size + 1, envelopes, leaves)
            self._builder.entities(b"", 0, adjusted)
        add_totals(self.adjusted, adjusted)
        return append_leaves(frontier, leaves)

    def _line(self, entity: Checked, data: Value, version: int) -> bytes:
        return line(
            type_name=type_of(entity.kind, data),
            entity=entity.id,
            version=version,
            # Never before the entity's last event: a clock may go back, an entity's times do not.
            at=max(self._at, self._last_at[entity.id.encode()]),
            actor=self._actor.name,
            via="restore",
            data=encode_data(data),
        )
