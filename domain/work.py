"""One command's view of an account: what it reads, what it decides, numbers it gives out.

``Work`` is handed to commands (``domain.commands``). It applies each decided event at once, through the kind's rules,
so that a command that touches several entities sees its own changes; the application then records all of them or none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar, NamedTuple, Protocol

import msgspec

from domain.control import AccountClosed, Control
from domain.custom_fields import check_values
from domain.decimals import PLAIN, may_hold_odd_decimals, odd_decimals
from domain.entity import FieldRefused, Reference
from domain.errors import DomainError, StoreError
from domain.events import LINE_LIMITS, encode_data, holds_nul, type_of
from domain.ids import EntityId, is_canonical, new_id
from domain.kinds import DOCUMENT_KINDS, Kind
from domain.numbering import Series, series
from domain.parties import Value
from domain.rules import RULES
from domain.subscriptions import PeriodLeftOut


@dataclass(eq=False)
class EntityUnknown(DomainError):
    """There is no such entity in the account."""

    code: ClassVar[str] = "domain.entity-unknown"
    kind: str
    id: str

    def __str__(self) -> str:
        return f"no {self.kind} {self.id!r} in this account"


@dataclass(eq=False)
class ReferenceUnknown(DomainError):
    """A field points to nothing that it may point to."""

    code: ClassVar[str] = "domain.reference-unknown"
    field: str
    target: str
    expected: str

    def __str__(self) -> str:
        return f"{self.field}: found {self.target!r}, which is not there; expected {self.expected} of this account"


@dataclass(eq=False)
class StillReferred(DomainError):
    """It cannot be deleted while something refers to it."""

    code: ClassVar[str] = "domain.still-referred"
    kind: str
    by: str

    def __str__(self) -> str:
        return f"{self.kind}: cannot be deleted while {self.by} refers to it; archive it instead"


@dataclass(eq=False)
class BooksClosed(DomainError):
    """The account's books are closed for that date."""

    code: ClassVar[str] = "domain.books-closed"
    dated: str
    closed_until: str

    def __str__(self) -> str:
        return f"date: found {self.dated}; the books are closed up to {self.closed_until}"


@dataclass(eq=False)
class VersionStale(StoreError):
    """The entity, or the stream it is in, is no longer what the caller saw."""

    code: ClassVar[str] = "store.version-stale"
    id: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.id}: you saw version {self.expected}; it is at {self.found} (stream.version): read it again"


@dataclass(eq=False)
class TextRefused(DomainError):
    """A text holds a character that cannot be kept."""

    code: ClassVar[str] = "domain.text-refused"

    def __str__(self) -> str:
        return "a text holds the character U+0000 or half of a surrogate pair; expected text without them"


@dataclass(eq=False)
class TooMuchAtOnce(DomainError):
    """An event, or the entity that it leads to, is longer than a line of an archive may be."""

    code: ClassVar[str] = "domain.too-much-at-once"
    kind: str
    found_bytes: int

    def __str__(self) -> str:
        most = LINE_LIMITS.max_bytes
        return f"{self.kind}: found {self.found_bytes:,} bytes as JSON; expected at most {most:,}, as an archive has it"


class Brought(NamedTuple):
    """How something came into the account (``restore``, ``add``, ``clone``, ``import``), and when.

    ``subscriptions``: ``hold``, or ``moved`` where this account replaces the one that it came from.
    """

    by: str
    at: datetime
    subscriptions: str


class Reader(Protocol):
    """What a command may read beside the entities it names. All reads are of one moment: the append proves it."""

    def states(self, ids: list[EntityId]) -> list[tuple[str, str]]:
        """Kind and state of those entities that are there, deleted ones among them."""
        ...

    def highest(self, kind: Kind, of: Series) -> int:
        """The highest number of a series that a document of the live stream bears; 0 for none."""
        ...

    def by_number(self, kind: Kind, number: str) -> EntityId | None:
        """The entity of *kind* that bears *number*."""
        ...

    def of_kind(self, kind: Kind) -> list[str]:
        """The states of all entities of a kind that are not deleted: for kinds of which there are few."""
        ...

    def referring(self, kinds: Iterable[Kind], id_: EntityId) -> tuple[str, str] | None:
        """Kind, and number or id, of something of *kinds*, no draft, that holds the id; None for nothing."""
        ...

    def brought(self, id_: EntityId) -> Brought | None:
        """How and when the last of an entity's events that came from elsewhere did; None for none, and since it was
        resumed.
        """
        ...

    def came_back(self, id_: EntityId) -> datetime | None:
        """When the stream was made live again with the entity in it; None for never, and since it was resumed."""
        ...

    def invoiced(self, id_: EntityId) -> list[PeriodLeftOut]:
        """The subscription's periods that were invoiced in any stream of the account, retired and purged ones too."""
        ...


class Decided(NamedTuple):
    """An event that a command decided, and the state it leads to."""

    kind: Kind
    entity: EntityId
    version: int
    type: str
    data: bytes
    state: Any


class Work:
    """A command's unit of work. Not shared between threads."""

    def __init__(self, control: Control, reader: Reader, *, stream: int, now: datetime, states: Iterable[Any]) -> None:
        self.control = control
        self.now = now
        self.stream = stream
        self.decided: list[Decided] = []
        self.series: dict[tuple[Kind, str], int] = {}
        self.attachments: dict[str, bytes] = {}
        self._reader = reader
        self._states: dict[EntityId, Any] = {state.id: state for state in states}
        self._absent: set[EntityId] = set()

    @property
    def reader(self) -> Reader:
        """Reads of the live stream as it was before this command."""
        return self._reader

    @property
    def today(self) -> date:
        """The seller's calendar date."""
        return self.local_day(self.now)

    def local_day(self, at: datetime) -> date:
        """The day on the seller's calendar at a moment."""
        return self.control.local_day(at)

    def find(self, id_: EntityId) -> Any | None:
        """The entity's state with this command's changes, or None when it is not there (deleted ones are not)."""
        self._fetch([id_])
        state = self._states.get(id_)
        return None if state is None or is_gone(state) else state

    def get(self, kind: Kind, id_: EntityId) -> Any:
        """The state of an entity of *kind*. Raises EntityUnknown."""
        state = self.find(id_)
        if state is None or kind_of(state) is not kind:
            raise EntityUnknown(kind.value, id_)
        return state

    def standing(self, kind: Kind, id_: EntityId) -> Any:
        """The entity of *kind* that stands for *id_*: itself, or what it was merged into. Raises EntityUnknown."""
        state = self.get(kind, id_)
        while state.merged_into:
            state = self.get(kind, state.merged_into)
        return state

    def all_of(self, kind: Kind) -> list[Any]:
        """The states of all entities of *kind* that are there, with this command's changes: for kinds with few."""
        self._keep([(kind.value, state) for state in self._reader.of_kind(kind)], again=False)
        return [state for state in self._states.values() if kind_of(state) is kind and not is_gone(state)]

    def referring(self, id_: EntityId) -> tuple[str, str] | None:
        """Kind, and number or id, of something, no draft, that refers to the entity, before this command or now."""
        for kind, entity in dict.fromkeys((decided.kind, decided.entity) for decided in self.decided):
            state = self.find(entity)
            if state is None or getattr(state, "state", None) == "draft":
                continue
            if any(reference.target == id_ for reference in RULES[kind].references(state)):
                return kind.value, getattr(state, "number", None) or entity
        return self._reader.referring(tuple(Kind), id_)

    def check_references(self, state: Any) -> None:
        """That all that *state* points to is there, merged or not. Raises ReferenceUnknown."""
        references = RULES[kind_of(state)].references(state)
        self._fetch([reference.target for reference in references])
        for reference in references:
            self._find_reference(reference)

    def record(self, kind: Kind, id_: EntityId, data: Value) -> Any:
        """Decide an event: judged by the kind's rules, folded, and recorded with the rest. The state it leads to."""
        if self.control.closed:
            raise AccountClosed
        rules = RULES[kind]
        before = self.find(id_)
        encoded = self._encoded(data)
        for path, value in odd_decimals(data) if may_hold_odd_decimals(encoded) else ():
            raise FieldRefused(path, str(value)[:40], PLAIN)
        rules.admit(before, data)
        version = before.version + 1 if before is not None else 1
        after = rules.evolve(before, data, id_, version)
        self._check_references(rules.references(after), rules.references(before) if before is not None else [])
        self._check_custom_fields(kind, before, after)
        self._states[id_] = after
        self.decided.append(Decided(kind, id_, version, type_of(kind, data), encoded, after))
        return after

    def new_id(self) -> EntityId:
        """An id for a new entity, ordered by this command's time."""
        made = new_id(self.now)
        self._absent.add(made)
        return made

    def next_number(self, kind: Kind, on: date) -> str:
        """The next number of the account's series for *kind* on *on*, given out with this command."""
        of = series(self.control.number_format(kind), on)
        highest = self.series.get((kind, of.key))
        if highest is None:
            highest = self._reader.highest(kind, of)
        given = self.control.numbers_given.get(f"{kind.value}/{of.key}", 0)
        ordinal = max(highest, given) + 1
        self.series[kind, of.key] = ordinal
        return of.number(ordinal)

    def keep_number(self, kind: Kind, number: str, on: date) -> None:
        """Note that an imported document bears *number*, so that its series goes on after it."""
        of = series(self.control.number_format(kind), on)
        ordinal = of.ordinal(number)
        if ordinal is None:
            return
        highest = self.series.get((kind, of.key))
        if highest is None:
            highest = self._reader.highest(kind, of)
        self.series[kind, of.key] = max(highest, ordinal)

    def check_open(self, dated: date | None) -> None:
        """That the books are open on *dated*. Raises BooksClosed."""
        closed_until = self.control.settings.closed_until
        if closed_until is not None and dated is not None and dated <= closed_until:
            raise BooksClosed(dated.isoformat(), closed_until.isoformat())

    def _fetch(self, ids: list[EntityId]) -> None:
        """Read those of *ids* that were not looked for before."""
        wanted = [id_ for id_ in dict.fromkeys(ids) if id_ not in self._states and id_ not in self._absent]
        if not wanted:
            return
        self._keep(self._reader.states([id_ for id_ in wanted if is_canonical(id_)]))
        self._absent.update(id_ for id_ in wanted if id_ not in self._states)

    def _keep(self, states: list[tuple[str, str]], *, again: bool = True) -> None:
        """Keep what was read; of what is kept already, only *again*."""
        for kind, state in states:
            decoded = decode_state(Kind(kind), state)
            if again or decoded.id not in self._states:
                self._states[decoded.id] = decoded

    def _check_references(self, references: list[Reference], before: list[Reference]) -> None:
        known = {reference.target for reference in before}
        fresh = [reference for reference in references if reference.target not in known]
        self._fetch([reference.target for reference in fresh])
        for reference in fresh:
            merged_into = getattr(self._find_reference(reference), "merged_into", None)
            if merged_into:
                raise ReferenceUnknown(reference.field, reference.target, f"{merged_into!r}, which it was merged into,")

    def _find_reference(self, reference: Reference) -> Any:
        state = self.find(reference.target)
        kinds = reference.kinds or DOCUMENT_KINDS
        if state is None or kind_of(state) not in kinds:
            expected = " or ".join(kind.value for kind in reference.kinds) or "a document"
            raise ReferenceUnknown(reference.field, reference.target, expected)
        return state

    def _check_custom_fields(self, kind: Kind, before: Any | None, after: Any) -> None:
        """That what is set now is defined. What was there before stays, defined or not."""
        defined = self.control.defined_fields()
        old = before.custom_fields if before is not None else {}
        if after.custom_fields != old:
            fresh = {key: value for key, value in after.custom_fields.items() if old.get(key) != value}
            check_values(kind.value, fresh, defined)
        lines = getattr(after, "lines", ())
        if lines and (before is None or lines is not before.lines):
            for line in lines:
                if line.custom_fields:
                    check_values("line", line.custom_fields, defined)

    def _encoded(self, data: Value) -> bytes:
        try:
            encoded = encode_data(data)
        except UnicodeEncodeError:
            raise TextRefused from None
        if holds_nul(encoded):
            raise TextRefused
        return encoded


_STATE_DECODERS = {kind: msgspec.json.Decoder(rules.state) for kind, rules in RULES.items()}
_KIND_OF_STATE = {rules.state: kind for kind, rules in RULES.items() if not kind.is_document}


def decode_state(kind: Kind, state: str | bytes) -> Any:
    """The state that a snapshot line of *kind* says."""
    return _STATE_DECODERS[kind].decode(state)


def kind_of(state: Any) -> Kind:
    """The kind of an entity, from its state."""
    kind: Kind | None = getattr(state, "kind", None)
    return kind if kind is not None else _KIND_OF_STATE[type(state)]


def is_gone(state: Any) -> bool:
    """Whether the entity was deleted: only the timeline knows it."""
    return bool(getattr(state, "deleted", False)) or getattr(state, "state", None) == "deleted"
