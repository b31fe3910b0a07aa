"""How much a line may be: each limit holds at the limit and is broken by one more, by the quick way and by the slow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from domain.events import (
    DATA_TYPES,
    LINE_LIMITS,
    TYPED_DIGITS,
    TYPED_NESTING,
    LineLimits,
    LineRefused,
    check_json,
    line,
    read_line,
    read_lines,
)

ENTITY = "018bffe9-e300-7323-87f6-7f0506baa1e3"


def customer(**party: Any) -> bytes:
    """A line that creates a customer."""
    data = {"party": {"name": "Klant", **party}, "language": "nl", "currency": "EUR"}
    return line(
        type_name="customer.created",
        entity=ENTITY,
        version=1,
        at="2026-01-31T09:30:00.000000Z",
        actor="system:test",
        via="cli",
        data=json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(),
    )


def beyond(raw: bytes, limits: LineLimits) -> str:
    """What of *raw* is found to be beyond *limits*; both ways of reading must refuse it."""
    assert read_lines(raw + b"\n", limits) is None
    assert read_lines(customer() + b"\n" + raw + b"\n", limits) is None
    with pytest.raises(LineRefused) as refused:
        read_line(raw, limits)
    return refused.value.found


def is_read(raw: bytes, limits: LineLimits) -> bool:
    """Whether both ways of reading take *raw*."""
    return read_lines(raw + b"\n", limits) == [read_line(raw, limits)]


@pytest.mark.parametrize("more", [0, 1])
def test_a_line_of_so_many_bytes_is_read_and_one_of_one_more_is_refused(more: int) -> None:
    raw = customer()
    at_limit = replace(LINE_LIMITS, max_bytes=len(raw) + more)

    assert is_read(raw, at_limit)
    assert beyond(customer(), replace(at_limit, max_bytes=len(raw) - 1)) == f"{len(raw)} bytes"


@pytest.mark.parametrize("text", ["a" * 40, "é" * 20, '"' * 20, "\\" * 20])
def test_a_text_of_so_many_bytes_as_written_is_read_and_one_of_one_more_is_refused(text: str) -> None:
    raw = customer(trading_name=text)
    longest = len(json.dumps(text, ensure_ascii=False).encode()) - 2
    assert longest > len(ENTITY)

    assert is_read(raw, replace(LINE_LIMITS, max_string_bytes=longest))
    assert is_read(raw, replace(LINE_LIMITS, max_string_bytes=longest + 1))
    assert "a text of" in beyond(raw, replace(LINE_LIMITS, max_string_bytes=longest - 1))


def test_as_many_values_are_read_as_the_limit_and_one_more_is_refused() -> None:
    raw = customer()
    values = raw.count(b",") + raw.count(b"{")

    assert is_read(raw, replace(LINE_LIMITS, max_values=values))
    assert is_read(raw, replace(LINE_LIMITS, max_values=values + 1))
    assert beyond(raw, replace(LINE_LIMITS, max_values=values - 1)) == f"{values} values"


def test_values_are_nested_as_deep_as_the_limit_and_no_deeper() -> None:
    raw = customer(address={"country": "BE"})

    assert is_read(raw, replace(LINE_LIMITS, max_nesting=4))
    assert is_read(raw, replace(LINE_LIMITS, max_nesting=5))
    assert "nested 4 deep" in beyond(raw, replace(LINE_LIMITS, max_nesting=3))


@pytest.mark.parametrize("digits", [1, 10])
def test_a_number_has_as_many_digits_as_the_limit_and_no_more(digits: int) -> None:
    raw = customer().replace(b'"version":1', b'"version":' + b"1" * digits)

    assert is_read(raw, replace(LINE_LIMITS, max_digits=digits))
    assert is_read(raw, replace(LINE_LIMITS, max_digits=digits + 1))
    if digits > 1:
        assert "digits" in beyond(raw, replace(LINE_LIMITS, max_digits=digits - 1))


@pytest.mark.parametrize("number", ["1" * 33, "-" + "1" * 33, "0." + "0" * 32, "1e" + "0" * 32, "1E+" + "9" * 30])
def test_a_number_of_any_form_has_its_characters_counted(number: str) -> None:
    with pytest.raises(LineRefused) as refused:
        check_json(b'{"a":[%b]}' % number.encode())

    assert "more than 32 digits" in refused.value.found


def test_brackets_commas_and_digits_within_a_text_count_for_nothing() -> None:
    for text in ("[" * 100, "," * 100, "9" * 100, '\\"[' * 40, '"{' * 40):
        check_json(json.dumps({"a": text}).encode(), LineLimits(max_nesting=1, max_values=1, max_digits=1))


@pytest.mark.parametrize("inside", [b'\\"', b'""', b'"', b"\\\\", b"[]", b"{}", b'"\\\\",', b'{"":[', b"1,", b"-"])
def test_a_megabyte_of_anything_is_judged_in_one_pass(inside: bytes) -> None:
    """Looking for the end of a text from each quotation mark in it took hours; a slow test is how this one fails."""
    raw = b'{"a":"' + inside * ((LINE_LIMITS.max_bytes - 6) // len(inside))

    with pytest.raises(LineRefused):
        check_json(raw)
    with pytest.raises(LineRefused):
        check_json(raw.replace(b'"a":"', b'"a":[', 1))


def depths(kind: Any, level: int = 1) -> Iterator[int]:
    """How deep the values of a type are nested; a field of itself would never end."""
    yield level
    match kind:
        case msgspec.inspect.StructType(fields=fields):
            for field in fields:
                yield from depths(field.type, level + 1)
        case msgspec.inspect.VarTupleType(item_type=inner) | msgspec.inspect.ListType(item_type=inner):
            yield from depths(inner, level + 1)
        case msgspec.inspect.DictType(value_type=inner):
            yield from depths(inner, level + 1)
        case msgspec.inspect.UnionType(types=types):
            for one in types:
                yield from depths(one, level)


@pytest.mark.parametrize("name", DATA_TYPES)
def test_no_line_that_decodes_is_nested_so_deep_that_it_needs_a_look(name: str) -> None:
    assert max(depths(msgspec.inspect.type_info(DATA_TYPES[name]))) + 1 <= TYPED_NESTING


def test_no_line_that_is_read_has_a_number_so_long_that_it_needs_a_look() -> None:
    limit = 10**TYPED_DIGITS

    for name, kind in DATA_TYPES.items():
        found = json.dumps(msgspec.json.schema(kind))
        assert found.count('"integer"') == found.count('"maximum"'), name
    assert limit > 2**40
