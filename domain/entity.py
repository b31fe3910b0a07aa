"""What every entity in a stream has in common, and the facts that kinds without a life cycle of their own share.

A kind is described by one ``KindRules``: its state, its events by name, its fold and the rule that says which event
may follow. ``admit`` is the law, for commands and for what comes in by restore or import alike; ``evolve`` is total:
what was recorded is never judged again.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import NoneType, UnionType
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, Union, cast

import msgspec
from msgspec import UNSET, UnsetType

from domain.errors import DomainError
from domain.ids import EntityId
from domain.kinds import Kind
from domain.parties import Value

T = TypeVar("T")
_MOST_FAULTS = 20  # what somebody mends at once


class Entity(Protocol):
    """An entity's state: the fold of its events up to ``version``. Its JSON is the snapshot line, byte for byte.

    A state struct extends its kind's fields; ``id`` and ``version``, declared without ``kw_only``, come first.
    """

    @property
    def id(self) -> EntityId:
        """Which entity."""
        ...

    @property
    def version(self) -> int:
        """How many events led here."""
        ...


class MasterData(Entity, Protocol):
    """Customers, items, layouts, ledger accounts: made, changed, archived, merged, deleted."""

    @property
    def archived(self) -> bool:
        """Whether it is no longer offered."""
        ...

    @property
    def merged_into(self) -> EntityId | None:
        """The entity that stands for it now."""
        ...

    @property
    def deleted(self) -> bool:
        """Whether only the timeline knows it."""
        ...


class Archived(Value, frozen=True, kw_only=True):
    """It is no longer offered for new documents."""


class Unarchived(Value, frozen=True, kw_only=True):
    """It is offered for new documents again."""


class Merged(Value, frozen=True, kw_only=True):
    """It stays for history; references to it lead to ``into``."""

    into: EntityId


class Deleted(Value, frozen=True, kw_only=True):
    """It is gone; only the timeline knows it."""


class Imported(Value, frozen=True, kw_only=True):
    """It was brought in by a person from a record without a timeline; its fields are the whole of it. Base of each
    kind's own.
    """


class Corrected(Value, frozen=True, kw_only=True):
    """From here on it is what this says, whole, on the word of who restored it from an edited record. Base of each
    kind's own.
    """


class Reference(NamedTuple):
    """A field that points to another entity, and the kinds that it may point to (none named: any document)."""

    field: str
    target: EntityId
    kinds: tuple[Kind, ...]


class Older(NamedTuple):
    """An event's data as an earlier version of its type had it, and what it is in the version after."""

    data: type[Value]
    upcast: Callable[[Any], Value]


@dataclass(frozen=True)
class KindRules:
    """One kind of entity: what it is, what may happen to it, and what follows from that.

    ``older`` has the earlier versions of each event that changed, the first one first. They stay for good: what was
    recorded is read in the version that it was recorded in, and its bytes never change.
    """

    kind: Kind
    state: type[Value]
    events: Mapping[str, type[Value]]
    creation: str
    evolve: Callable[[Any, Any, EntityId, int], Any]
    admit: Callable[[Any, Any], None]
    number: Callable[[Any], str | None]
    references: Callable[[Any], list[Reference]]
    older: Mapping[str, tuple[Older, ...]] = dataclasses.field(default_factory=dict)


@dataclass(eq=False)
class NotPossible(DomainError):
    """The event or command does not fit the state that the entity is in."""

    code: ClassVar[str] = "domain.not-possible"
    kind: str
    what: str
    state: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.kind}: cannot be {self.what} while {self.state}; possible when {self.allowed}"


@dataclass(eq=False)
class FieldRefused(DomainError):
    """A field's value breaks a rule."""

    code: ClassVar[str] = "domain.field-refused"
    field: str
    found: str
    expected: str
    others: tuple[FieldRefused, ...] = ()  # what else was found wrong in the same look

    def __str__(self) -> str:
        return f"{self.field}: found {self.found}; expected {self.expected}"


def where_and_why(wrong: msgspec.ValidationError) -> tuple[str, str]:
    """The path of the value that a decoder refused, such as ``.lines[0].vat``, empty for the whole, and its reason."""
    reason, _, path = str(wrong).partition(" - at `")
    return path.rstrip("`").removeprefix("$"), reason


def converted(
    values: Any,
    type_: type[T],
    *,
    within: str = "",
    whole: str = "the body",
    expected: str = "a value as the documentation says",
    from_attributes: bool = False,
) -> T:
    """Plain *values* as a *type_*. Raises FieldRefused, which names the field, below *within*, and what was found.

    Where no field can be named, it names *whole*; it brings what else is wrong with it, up to a bound.
    """
    try:
        return msgspec.convert(values, type_, strict=True, from_attributes=from_attributes)
    except msgspec.ValidationError as wrong:
        first = where_and_why(wrong)

        def refused(path: str, reason: str, others: tuple[FieldRefused, ...] = ()) -> FieldRefused:
            return FieldRefused((within + path).removeprefix(".") or whole, reason[:200], expected, others)

        found = islice(_faults(values, type_), _MOST_FAULTS)
        raise refused(*first, tuple(refused(*one) for one in found if one != first)) from None


def _faults(value: Any, type_: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and reason of what is wrong with *value* as a *type_*: in each field, and each item of a list, the first."""
    plain = _plain(type_)
    if isinstance(value, dict) and isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        fields = {field.encode_name: field for field in msgspec.structs.fields(plain)}
        yield from ((path, f"Object missing required field `{name}`") for name in _lacking(value, fields))
        yield from ((path, f"Object contains unknown field `{name}`") for name in value if name not in fields)
        for name, field in fields.items():
            if name in value:
                yield from _faults(value[name], field.type, f"{path}.{name}")
        return
    items = typing.get_args(plain)[:1] if typing.get_origin(plain) is tuple else ()
    if isinstance(value, list) and items:
        for index, item in enumerate(value):
            yield from _faults(item, items[0], f"{path}[{index}]")
        return
    try:
        msgspec.convert(value, type_, strict=True)
    except msgspec.ValidationError as wrong:
        inner, reason = where_and_why(wrong)
        yield path + inner, reason


def _lacking(value: dict[str, Any], fields: dict[str, Any]) -> list[str]:
    return [name for name, field in fields.items() if field.required and name not in value]


def _plain(type_: Any) -> Any:
    """A type without what narrows it, and without that it may be absent."""
    if typing.get_origin(type_) is typing.Annotated:
        return _plain(typing.get_args(type_)[0])
    options = [one for one in typing.get_args(type_) if one not in {NoneType, UnsetType}]
    is_union = typing.get_origin(type_) in {Union, UnionType}
    return _plain(options[0]) if is_union and len(options) == 1 else type_


def partial(
    name: str, fields_of: type[msgspec.Struct], *, without: frozenset[str] = frozenset(), doc: str
) -> type[Value]:
    """A struct of which each field of *fields_of* may be absent: unset is unchanged, null is taken away.

    So that a field is declared once, for the creating event, the state and the change alike.
    """
    parts = [
        (field.encode_name, Union[field.type, UnsetType], UNSET)  # noqa: UP007 - a type made at run time
        for field in msgspec.structs.fields(fields_of)
        if field.name not in without
    ]
    made = msgspec.defstruct(
        name,
        parts,
        bases=(Value,),
        module=fields_of.__module__,
        namespace={"__doc__": doc},
        frozen=True,
        kw_only=True,
    )
    return cast("type[Value]", made)


def whole(base: type[Value], state: type[Value], *, without: frozenset[str] = frozenset()) -> type[Value]:
    """All that *state* says of an entity but its id and version, as a kind's own ``Imported`` or ``Corrected``."""
    parts: list[Any] = []
    for field in msgspec.structs.fields(state):
        if field.name in ("id", "version") or field.name in without:
            continue
        if field.default_factory is not msgspec.NODEFAULT:
            parts.append((field.name, field.type, msgspec.field(default_factory=field.default_factory)))
        elif field.default is not msgspec.NODEFAULT:
            parts.append((field.name, field.type, field.default))
        else:
            parts.append((field.name, field.type))
    made = msgspec.defstruct(
        base.__name__,
        parts,
        bases=(base,),
        module=state.__module__,
        namespace={"__doc__": base.__doc__},
        frozen=True,
        kw_only=True,
    )
    return cast("type[Value]", made)


def changed_fields(change: msgspec.Struct) -> dict[str, Any]:
    """The fields that *change* sets, by name; those of optional fields that it takes away have the value None."""
    values = ((name, getattr(change, name)) for name in change.__struct_fields__)
    return {name: value for name, value in values if value is not UNSET}


def fact_of(event: object) -> str:
    """What an event says happened, in words for a message: "payment registered"."""
    name = type(event).__name__
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def admit_master_data(kind: Kind, created: type[Value]) -> Callable[[MasterData | None, Any], None]:
    """The rule of master data: created once; then changed, archived, merged or deleted while it is there.

    Raises NotPossible.
    """

    def admit(state: MasterData | None, event: Any) -> None:
        fact = fact_of(event)
        if state is None:
            if not isinstance(event, (created, Imported)):
                raise NotPossible(kind.value, fact, "not there", "it is there")
            return
        if isinstance(event, (created, Imported)):
            raise NotPossible(kind.value, fact, "there already", "it is not there yet")
        if isinstance(event, Corrected):
            return  # also of one that is merged or deleted: it is brought back
        if state.deleted or state.merged_into:
            raise NotPossible(kind.value, fact, "deleted" if state.deleted else "merged", "it is there")
        if isinstance(event, Archived) and state.archived:
            raise NotPossible(kind.value, "archived", "archived", "it is not archived")
        if isinstance(event, Unarchived) and not state.archived:
            raise NotPossible(kind.value, "unarchived", "not archived", "it is archived")
        if isinstance(event, Merged) and event.into == state.id:
            raise FieldRefused("into", event.into, "another entity than itself")

    return admit


def evolve_master_data(state_type: type[Value]) -> Callable[[Any, Any, EntityId, int], Any]:
    """The fold of master data: what each event leaves behind."""
    replace = msgspec.structs.replace

    def evolve(state: Any, event: Any, entity_id: EntityId, version: int) -> Any:
        match event:
            case Archived():
                return replace(state, version=version, archived=True)
            case Unarchived():
                return replace(state, version=version, archived=False)
            case Merged():
                return replace(state, version=version, merged_into=event.into)
            case Deleted():
                return replace(state, version=version, deleted=True)
        if state is None:
            fields = {name: getattr(event, name) for name in event.__struct_fields__}
            return state_type(id=entity_id, version=version, **fields)
        return replace(state, version=version, **changed_fields(event))

    return evolve


def master_data_rules(
    kind: Kind,
    state: type[Value],
    created: type[Value],
    changed: type[Value],
    references: Callable[[Any], list[Reference]],
    *,
    check: Callable[[Any], None] = lambda _: None,
) -> KindRules:
    """The rules of a kind of master data. *check* judges the fields of the state that a creation or change leads to."""
    lawful = admit_master_data(kind, created)
    evolve = evolve_master_data(state)
    imported, corrected = whole(Imported, state), whole(Corrected, state)

    def admit(before: Any, event: Any) -> None:
        lawful(before, event)
        if isinstance(event, (created, changed)):
            check(evolve(before, event, before.id if before else EntityId(""), 0))
        elif isinstance(event, (imported, corrected)):
            after = evolve(before, event, before.id if before else EntityId(""), 0)
            if after.deleted:
                raise FieldRefused("deleted", "true", "none: what is deleted has no record")
            if after.merged_into and after.merged_into == after.id:
                raise FieldRefused("into", after.merged_into, "another entity than itself")
            check(after)

    def number(of: Any) -> str | None:
        return None if of.deleted or of.merged_into else getattr(of, "number", None)

    return KindRules(
        kind=kind,
        state=state,
        events={
            "created": created,
            "changed": changed,
            "archived": Archived,
            "unarchived": Unarchived,
            "merged": Merged,
            "deleted": Deleted,
            "imported": imported,
            "corrected": corrected,
        },
        creation="created",
        evolve=evolve,
        admit=admit,
        number=number,
        references=references,
    )
