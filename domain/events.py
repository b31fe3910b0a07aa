"""Events, and the lines that they are written as.

A line is an event's canonical JSON: the keys of ``Event`` in their order, no spaces, characters outside ASCII as they
are, the data as it was recorded. A line that is read must be, byte for byte, what we would write for what it says. That
one rule refuses duplicate keys, other spellings of a number, a time or an id, unknown fields and stray white space.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from math import isinf
from typing import Any, ClassVar, Literal, Protocol, Union

import msgspec

from domain.decimals import may_hold_odd_decimals, odd_decimals
from domain.entity import KindRules, Older, where_and_why
from domain.errors import DomainError
from domain.ids import EntityId, is_canonical
from domain.kinds import Kind
from domain.parties import Value
from domain.rules import RULES

Via = Literal["web", "api", "cli", "import", "restore", "clone", "subscription", "system"]
MAX_VERSION = 2**31 - 1  # what the column holds

_ACTOR = re.compile(r"person:(?P<person>[0-9a-f-]{36})|system:[a-z][a-z0-9-]{0,39}")
_AT = re.compile(r"[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_DIGITS_TO_ZERO = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))
_TIME_OF_ZEROS = b"0000-00-00T00:00:00.000000Z\n"
_HOURS, _MINUTES, _SECONDS = 11, 14, 17  # where they begin


@dataclass(frozen=True, kw_only=True, slots=True)
class LineLimits:
    """How much one line may be, checked before it is parsed. All bounds are inclusive."""

    max_bytes: int = 1024 * 1024  # a document of 2,000 lines is a third of it
    max_nesting: int = 32
    max_values: int = 250_000  # counted as commas and opening brackets; a document of 2,000 lines has 30,000
    max_string_bytes: int = 64 * 1024  # as written: 10,000 characters, each of them escaped, are 60,000
    max_digits: int = 32  # of a number that is written without quotation marks


LINE_LIMITS = LineLimits()
# No line that decodes as one of our types is nested deeper, or has a longer number.
TYPED_NESTING, TYPED_DIGITS = 16, 20


class Event(Protocol):
    """One fact about one entity, as a line says it. ``at`` is RFC 3339 in UTC with six decimals, so that order as text
    is order in time; ``actor`` is ``person:<id>`` or ``system:<part>``.
    """

    rules: ClassVar[KindRules]
    type: ClassVar[str]
    type_version: int
    entity: EntityId
    version: int
    at: str
    actor: str
    via: Via
    data: Any


@dataclass(eq=False)
class LineRefused(DomainError):
    """A line does not say one event of ours, in the one way in which we write it."""

    code: ClassVar[str] = "line.refused"
    field: str
    found: str
    expected: str

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{where}found {self.found}; expected {self.expected}"


def _line_type(rules: KindRules, fact: str, data: type[Value], type_version: int) -> type[msgspec.Struct]:
    name = f"{rules.kind.value}.{fact}"
    return msgspec.defstruct(
        f"{name.replace('.', '_')}_{type_version}",
        [
            ("type_version", Literal[type_version]),
            ("entity", EntityId),
            ("version", int),
            ("at", str),
            ("actor", str),
            ("via", Via),
            ("data", data),
        ],
        tag_field="type",
        tag=name,
        frozen=True,
        forbid_unknown_fields=True,
        gc=False,
        namespace={"rules": rules, "type": name},
    )


# The version that each type has now: one more than there are older ones.
TYPE_VERSIONS: dict[str, int] = {
    f"{kind.value}.{fact}": len(rules.older.get(fact, ())) + 1 for kind, rules in RULES.items() for fact in rules.events
}
LINE_TYPES: dict[str, Any] = {
    f"{kind.value}.{fact}": _line_type(rules, fact, data, TYPE_VERSIONS[f"{kind.value}.{fact}"])
    for kind, rules in RULES.items()
    for fact, data in rules.events.items()
}
OLDER_LINE_TYPES: dict[tuple[str, int], Any] = {
    (f"{kind.value}.{fact}", version): _line_type(rules, fact, older.data, version)
    for kind, rules in RULES.items()
    for fact, versions in rules.older.items()
    if fact in rules.events
    for version, older in enumerate(versions, 1)
}
DATA_TYPES: dict[str, type[Value]] = {
    f"{kind.value}.{fact}": data for kind, rules in RULES.items() for fact, data in rules.events.items()
}
_TYPE_OF_DATA: dict[tuple[Kind, type[Value]], str] = {
    (kind, data): f"{kind.value}.{fact}" for kind, rules in RULES.items() for fact, data in rules.events.items()
}

_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
_DATA_DECODERS = {name: msgspec.json.Decoder(data) for name, data in DATA_TYPES.items()}
_TODAYS = 0  # stands for the version that each type has now
# How the line of an older version begins, which our one way of writing lines fixes.
_OLDER_BEGINNINGS = {
    b'{"type":"%b","type_version":%d,' % (name.encode(), version): version for name, version in OLDER_LINE_TYPES
}
_ANY_OLDER_BEGINNING = tuple(_OLDER_BEGINNINGS)


def _decoder(line_types: Iterable[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(Union[tuple(line_types)])  # noqa: UP007 - made at run time


_DECODERS = {_TODAYS: _decoder(LINE_TYPES.values())} | {
    version: _decoder(line_type for (_, its), line_type in OLDER_LINE_TYPES.items() if its == version)
    for version in set(_OLDER_BEGINNINGS.values())
}


def type_of(kind: Kind, data: Value) -> str:
    """The stored type name of an event of *kind* with *data*, such as ``invoice.issued``."""
    return _TYPE_OF_DATA[kind, type(data)]


def rules_of(type_name: str) -> KindRules:
    """The rules of the kind that an event of this stored type belongs to."""
    rules: KindRules = LINE_TYPES[type_name].rules
    return rules


def encode_data(data: Value) -> bytes:
    """An event's data as it is stored and hashed."""
    return _encode(data)


def decode_data(type_name: str, type_version: int, data: bytes | str) -> Value:
    """What was stored as an event's data, as today's version of its type says it.

    Raises KeyError for an unknown type or version, ValidationError for other data.
    """
    if type_version == TYPE_VERSIONS[type_name]:
        return _DATA_DECODERS[type_name].decode(data)
    older = _older(type_name, type_version)
    return _upcast(type_name, type_version, msgspec.json.decode(data, type=older[0].data))


def _older(type_name: str, type_version: int) -> tuple[Older, ...]:
    """An older version of a type, and those that came between it and today's. Raises KeyError."""
    versions = rules_of(type_name).older[type_name.partition(".")[2]]
    if not 1 <= type_version <= len(versions):
        raise KeyError(f"{type_name} {type_version}")
    return versions[type_version - 1 :]


def _upcast(type_name: str, type_version: int, data: Value) -> Value:
    for older in _older(type_name, type_version):
        data = older.upcast(data)
    return data


def _as_today(event: Event) -> Event:
    """An event that was read in an older version of its type, as today's."""
    today: Event = LINE_TYPES[event.type](
        type_version=TYPE_VERSIONS[event.type],
        entity=event.entity,
        version=event.version,
        at=event.at,
        actor=event.actor,
        via=event.via,
        data=_upcast(event.type, event.type_version, event.data),
    )
    return today


def written_time(at: datetime) -> str:
    """*at* as lines have it: RFC 3339 in UTC, six decimals."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def line(
    *,
    type_name: str,
    entity: str,
    version: int,
    at: str,
    actor: str,
    via: str,
    data: bytes,
    type_version: int | None = None,
) -> bytes:
    """The event's line, of today's version of its type if no other is named, without a line feed. The log's leaf is its
    hash.
    """
    return b'{"type":"%b","type_version":%d,"entity":"%b","version":%d,"at":"%b","actor":"%b","via":"%b","data":%b}' % (
        type_name.encode(),
        TYPE_VERSIONS.get(type_name, 1) if type_version is None else type_version,
        entity.encode(),
        version,
        at.encode(),
        actor.encode(),
        via.encode(),
        data,
    )


def read_lines(block: bytes, limits: LineLimits = LINE_LIMITS) -> list[Event] | None:
    """The events of a *block* of whole lines, each ended by a line feed; None when any is not as we write it.

    The quick way, for bulk: one decode and one comparison for all. ``read_line`` then says what is wrong with which.
    """
    if not block.endswith(b"\n") or not are_within(block, limits):
        return None
    return _by_version(block, _read_lines)


def _read_lines(block: bytes, version: int) -> list[Event] | None:
    """``read_lines`` of lines that are all of one older version, or of today's; as that version has them."""
    try:
        events = _decode_lines(block, version)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    if _encode_lines(events) != block or holds_nul(block):
        return None
    if may_hold_odd_decimals(block) and any(next(odd_decimals(event.data), None) for event in events):
        return None
    if not all(map(_is_actor, {event.actor for event in events})):
        return None
    if not all(map(is_canonical, {event.entity for event in events})):
        return None
    if not _are_times([event.at for event in events]):
        return None
    return events if all(1 <= event.version <= MAX_VERSION for event in events) else None


def _by_version(block: bytes, read: Callable[[bytes, int], list[Event] | None]) -> list[Event] | None:
    """What *read* makes of a block's lines, of each version at once, in their order and as today's versions have them;
    None where it makes none of some.
    """
    if not any(beginning in block for beginning in _ANY_OLDER_BEGINNING):
        return read(block, _TODAYS)
    lines = block.removesuffix(b"\n").split(b"\n")
    versions = [_version_of(raw) for raw in lines]
    events = {}
    for version in set(versions):
        some = [raw for raw, of in zip(lines, versions, strict=True) if of == version]
        its = read(b"\n".join([*some, b""]), version)
        if its is None:
            return None
        events[version] = iter(its if version == _TODAYS else map(_as_today, its))
    return [next(events[version]) for version in versions]


def _version_of(raw: bytes) -> int:
    """The older version that a line begins as one of; 0 for today's."""
    if not raw.startswith(_ANY_OLDER_BEGINNING):
        return _TODAYS
    return next(version for beginning, version in _OLDER_BEGINNINGS.items() if raw.startswith(beginning))


def are_within(block: bytes, limits: LineLimits = LINE_LIMITS) -> bool:
    """Whether each line that decodes as one of ours is within *limits*, which hardly ever takes a look at one."""
    lines = block.split(b"\n")
    # What is shorter has neither a longer text nor more values.
    short = min(limits.max_bytes, limits.max_string_bytes, limits.max_values)
    if max(map(len, lines)) <= short and limits.max_nesting >= TYPED_NESTING and limits.max_digits >= TYPED_DIGITS:
        return True
    return not any(_beyond(raw, limits) for raw in lines)


def decode_lines(block: bytes) -> list[Event]:
    """The events of a *block* of whole lines that the store gave out: what was recorded is not judged again."""
    events = _by_version(block, _decode_lines)
    assert events is not None, "no decoder gives none"
    return events


def _decode_lines(block: bytes, version: int) -> list[Event]:
    events: list[Event] = _DECODERS[version].decode_lines(block)
    return events


def _is_actor(actor: str) -> bool:
    match = _ACTOR.fullmatch(actor)
    return match is not None and (match["person"] is None or is_canonical(match["person"]))


def read_line(raw: bytes, limits: LineLimits = LINE_LIMITS) -> Event:
    """The event that one line says, without its line feed, as today's version of its type has it.

    Raises LineRefused, which names the field and the reason.
    """
    check_json(raw, limits)
    version = _version_of(raw)
    try:
        event: Event = _DECODERS[version].decode(raw)
    except msgspec.ValidationError as wrong:
        raise _refused(wrong, raw) from None
    except msgspec.DecodeError as wrong:
        raise LineRefused("", str(wrong), "one JSON object") from None
    for path, value in odd_decimals(event.data):
        raise LineRefused(
            f"data.{path}", str(value)[:40], "a decimal of at most 15 digits before and 6 after the point"
        )
    if not is_canonical(event.entity):
        raise LineRefused("entity", repr(event.entity)[:60], "a UUID in lower case with hyphens")
    if not 1 <= event.version <= MAX_VERSION:
        raise LineRefused("version", str(event.version), f"1 to {MAX_VERSION}")
    if not _is_actor(event.actor):
        raise LineRefused("actor", repr(event.actor)[:60], "person:<id> or system:<part>")
    if not _is_time(event.at):
        raise LineRefused("at", repr(event.at)[:40], "a time in UTC such as 2026-01-31T09:30:00.000000Z")
    written = _encode(event)
    if written != raw:
        raise LineRefused("", _difference(raw, written), "the canonical line for what it says")
    return event if version == _TODAYS else _as_today(event)


def _is_time(text: str) -> bool:
    if not _AT.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _are_times(texts: list[str]) -> bool:
    """Whether each of *texts*, of which there is one, is a time as `_is_time` has it: all at once, by columns."""
    joined = "\n".join([*texts, ""]).encode()
    if joined.translate(_DIGITS_TO_ZERO) != _TIME_OF_ZEROS * len(texts):
        return False
    width = len(_TIME_OF_ZEROS)
    for tens, most in ((_HOURS, b"23"), (_MINUTES, b"59"), (_SECONDS, b"59")):
        if max(zip(joined[tens::width], joined[tens + 1 :: width], strict=True)) > tuple(most):
            return False
    return all(map(_is_day, {text[:10] for text in texts}))


@lru_cache(maxsize=10_000)
def _is_day(text: str) -> bool:
    return _is_time(f"{text}T00:00:00.000000Z")


def _difference(found: bytes, written: bytes) -> str:
    at = next((n for n, (one, other) in enumerate(zip(found, written, strict=False)) if one != other), len(written))
    return f"at byte {at} {found[at : at + 30]!r} where {written[at : at + 30]!r} would be written"


def _refused(wrong: msgspec.ValidationError, raw: bytes) -> LineRefused:
    """The decoder's message with its path, turned into field, found and expected."""
    path, reason = where_and_why(wrong)
    field = path.removeprefix(".")
    if field == "type" or "'type'" in reason:
        named = json.loads(raw).get("type")
        return LineRefused("type", repr(named)[:80], "an event type of this version, such as invoice.issued")
    if field == "type_version":
        found = json.loads(raw).get("type_version")
        today = TYPE_VERSIONS[json.loads(raw)["type"]]
        expected = f"one from 1 to {today}" if today > 1 else "1, the only version of this type so far"
        return LineRefused("type_version", repr(found)[:40], expected)
    return LineRefused(field, reason[:200], "a value as docs/archive-format.md says")


def check_json(raw: bytes, limits: LineLimits = LINE_LIMITS) -> None:
    """That *raw* is one JSON object in UTF-8 within *limits*, with no key twice. Raises LineRefused.

    What passes is read by every decoder without an error but that of a type.

    What is beyond the limits is refused before it is parsed, and nothing that is parsed is kept.
    """
    if not raw:
        raise LineRefused("", "an empty line", "one JSON object")
    if (beyond := _beyond(raw, limits)) is not None:
        raise LineRefused("", *beyond)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as wrong:
        raise LineRefused("", f"bytes that are not UTF-8 at byte {wrong.start}", "UTF-8") from None
    if "\r" in text:
        raise LineRefused("", "a carriage return", "lines ended by a line feed alone")
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
    except LineRefused:
        raise
    except ValueError as wrong:
        raise LineRefused("", f"no JSON: {wrong}", "one JSON object") from None
    if value is not _AN_OBJECT:
        raise LineRefused("", f"a JSON {type(value).__name__}", "one JSON object")
    if holds_nul(raw):
        raise LineRefused("", "the character U+0000", "text that PostgreSQL can keep")
    if "\\ud" in text or "\\uD" in text:
        try:
            msgspec.json.decode(raw)  # which knows what is half of a pair, as Python's own does not
        except msgspec.DecodeError:
            raise LineRefused("", "half of a surrogate pair", "text in Unicode") from None


# After an even number of backslashes, each of which would be a pair that stands for one.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def holds_nul(raw: bytes) -> bool:
    """Whether JSON holds the character U+0000, which PostgreSQL cannot keep; not what only looks like its escape."""
    return b"u0000" in raw and _NUL.search(raw) is not None


_AN_OBJECT = object()


def _once(pairs: list[tuple[str, Any]]) -> object:
    """What stands for any object, once none of its keys is there twice."""
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise LineRefused(key[:60], "the key twice", "each key once")
        seen.add(key)
    return _AN_OBJECT


def _no_constant(name: str) -> Any:
    raise LineRefused("", name, "a number that JSON knows")


def _finite(number: str) -> float:
    value = float(number)
    if isinf(value):
        raise LineRefused("", number[:40], "a number that fits")
    return value


# A text that never ends is one too: looking for its end from each of its quotation marks would take for ever.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _beyond(raw: bytes, limits: LineLimits) -> tuple[str, str] | None:
    """What of a JSON text is beyond *limits*, and what would be right; found without parsing it."""
    if len(raw) > limits.max_bytes:
        return f"{len(raw):,} bytes", f"at most {limits.max_bytes:,}"
    bare: bytes | bytearray
    if len(raw) <= limits.max_string_bytes:
        bare = _STRINGS.sub(b"", raw)
    else:
        # The same piece by piece: joining millions of them at once takes 170 bytes for each.
        bare, at, longest = bytearray(), 0, 0
        for found in _STRINGS.finditer(raw):
            bare += raw[at : found.start()]
            at = found.end()
            longest = max(longest, at - found.start() - 2)
        bare += raw[at:]
        if longest > limits.max_string_bytes:
            return f"a text of {longest:,} bytes", f"at most {limits.max_string_bytes:,}"
    depth = deepest(bare)
    if depth > limits.max_nesting:
        return f"values nested {depth} deep", f"at most {limits.max_nesting}"
    values = bare.count(b",") + bare.count(b"[") + bare.count(b"{")
    if values > limits.max_values:
        return f"{values:,} values", f"at most {limits.max_values:,}"
    number = re.search(rb"\d[\d.eE+-]{%d}" % limits.max_digits, bare)
    if number is not None:
        return f"a number of more than {limits.max_digits} digits", f"at most {limits.max_digits}"
    return None


def deepest(bare: bytes | bytearray) -> int:
    """How deep the arrays and objects of a JSON text without its strings are nested; found without parsing it."""
    depth = most = 0
    for byte in bare.translate(None, _NOT_BRACKETS):
        if byte in b"[{":
            depth += 1
            most = max(most, depth)
        else:
            depth -= 1
    return most
