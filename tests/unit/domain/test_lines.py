"""The canonical line: what is read is, byte for byte, what we would write; everything else is refused, by case."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain import commands, events
from domain.documents.fields import Attachment
from domain.events import (
    DATA_TYPES,
    LINE_LIMITS,
    MAX_VERSION,
    LineRefused,
    line,
    read_line,
    read_lines,
    written_time,
)
from domain.ids import EntityId
from domain.kinds import DOCUMENT_KINDS, Kind
from tests.notebook import Notebook
from tests.notebook import line as document_line

ENTITY = "018bffe9-e300-7323-87f6-7f0506baa1e3"
AT = "2026-01-31T09:30:00.000000Z"


def raw(data: bytes = b"{}", **facts: Any) -> bytes:
    """A line that archives a customer, unless *facts* say otherwise."""
    usual = {"type_name": "customer.archived", "entity": ENTITY, "version": 2, "at": AT, "actor": "system:test"}
    return line(**{**usual, "via": "cli", "data": data, **facts})


def customer(**party: Any) -> bytes:
    """A line that creates a customer."""
    data = {"party": {"name": "Klant", **party}, "language": "nl", "currency": "EUR"}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return raw(text, type_name="customer.created", version=1)


def payment(amount: str) -> bytes:
    """A line that registers a payment of *amount*, as it stands."""
    data = b'{"id":"1","date":"2026-01-31","amount":%b,"means":"30"}' % amount.encode()
    return raw(data, type_name="invoice.payment_registered")


def refused(bad: bytes) -> LineRefused:
    """How a line is refused: by itself, and as one of several."""
    assert read_lines(raw() + b"\n" + bad + b"\n" + raw() + b"\n") is None
    with pytest.raises(LineRefused) as caught:
        read_line(bad)
    return caught.value


def accepted(good: bytes) -> events.Event:
    """What a line says, by itself and as one of several alike."""
    together = read_lines(raw() + b"\n" + good + b"\n")
    assert together is not None
    alone = read_line(good)
    assert together[1] == alone
    return alone


@pytest.mark.parametrize(
    "bad",
    [
        raw().replace(b'"version":2', b'"version":2,"version":2'),
        raw().replace(b'"version":2', b'"version":2,"\\u0076ersion":2'),
        raw(b'{"into":"%b","into":"%b"}' % (ENTITY.encode(), ENTITY.encode()), type_name="customer.merged"),
        customer().replace(b'"name":"Klant"', b'"name":"Klant","n\\u0061me":"Ander"'),
        customer(address={"country": "BE"}).replace(b'"country":"BE"', b'"country":"BE","country":"BE"'),
    ],
)
def test_j01_a_key_twice_is_refused_at_any_depth_in_any_spelling(bad: bytes) -> None:
    assert refused(bad).expected == "each key once"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_j02_numbers_that_json_does_not_know_are_refused(number: str) -> None:
    refused(raw().replace(b'"version":2', b'"version":%b' % number.encode()))
    refused(payment(number))


@pytest.mark.parametrize("number", ['"-0"', '"-0.00"', '"1e-999"', "0", "-0.0", "1e-999"])
def test_j03_a_vanishing_number_is_a_plain_zero_in_quotes_or_refused(number: str) -> None:
    refused(payment(number))
    accepted(payment('"0.00"'))


@pytest.mark.parametrize("digits", [1, 10, 16, 19, 20, 30, 5_000])
def test_j04_a_version_beyond_its_range_is_refused(digits: int) -> None:
    refused(raw().replace(b'"version":2', b'"version":' + b"9" * digits if digits > 1 else b'"version":0'))
    accepted(raw(version=MAX_VERSION))


@pytest.mark.parametrize(
    "amount",
    [
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "1_000",
        " 1 ",
        "١٢",
        "1e400",
        "1E+2",
        "1e999999999",
        "+1",
        ".5",
        "5.",
        "01",
        "1" * 16,
        "0.1234567",
        "0E-7",
        "",
        "0x1",
        "1,5",
    ],
)
def test_j05_an_amount_is_written_plainly_or_refused(amount: str) -> None:
    refused(payment(json.dumps(amount, ensure_ascii=False)))


@pytest.mark.parametrize("amount", ["1", "-1.5", "999999999999999.999999", "0.000001", "10.00"])
def test_j05_a_plain_amount_keeps_its_digits(amount: str) -> None:
    assert str(accepted(payment(f'"{amount}"')).data.amount) == amount


def test_j06_a_tiny_number_of_huge_text_is_refused() -> None:
    refused(payment('"1e100000"'))
    refused(payment("1e100000"))


def test_j07_the_character_zero_is_refused_in_values_and_keys() -> None:
    refused(customer(trading_name="ab").replace(b"ab", b"a\\u0000b"))
    refused(customer().replace(b'"name"', b'"n\\u0000ame"'))
    refused(customer(trading_name="ab").replace(b"ab", b"a\\\\\\u0000b"))
    refused(customer(trading_name="ab").replace(b"ab", b"a\0b"))


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "a\\u0000b"])
def test_j07_text_that_only_looks_like_the_escape_of_zero_is_kept(text: str) -> None:
    assert accepted(customer(trading_name=text)).data.party.trading_name == text


@pytest.mark.parametrize(
    "text", [b"\\ud800", b"\\udc00\\ud800", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"]
)
def test_j08_text_that_is_no_unicode_is_refused(text: bytes) -> None:
    refused(customer().replace(b"Klant", text))


@pytest.mark.parametrize("encode", [lambda text: b"\xef\xbb\xbf" + text, lambda text: text.decode().encode("utf-16")])
def test_j08_another_encoding_is_refused(encode: Callable[[bytes], bytes]) -> None:
    refused(encode(raw()))


@pytest.mark.parametrize("depth", [33, 1_024, 1_025, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_j09_deep_nesting_is_refused_before_it_is_parsed(depth: int, opening: bytes, closing: bytes) -> None:
    deep = opening * depth + b"1" + closing * depth

    assert "nested" in refused(raw(b'{"into":%b}' % deep)).found
    assert "nested" in refused(deep).found


def test_j10_a_line_is_at_most_one_mebibyte_long() -> None:
    more = LINE_LIMITS.max_bytes - len(customer())
    at_limit = customer()[:-1] + b" " * more + b"}"
    assert len(at_limit) == LINE_LIMITS.max_bytes

    assert "at byte" in refused(at_limit).found
    assert refused(at_limit[:-1] + b" }").found == "1,048,577 bytes"


def test_j11_a_line_of_countless_values_is_refused_by_its_length() -> None:
    assert "bytes" in refused(raw(b"[" + b"{}," * 5_000_000 + b"{}]")).found


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b" ",
        raw() + b"\r",
        raw() + b" ",
        b" " + raw(),
        raw() + raw(),
        raw() + b"," + raw(),
        raw()[:-1] + b",}",
        raw() + b"//comment",
        raw().replace(b'"version":2', b'/**/"version":2'),
        raw().replace(b":", b": ", 1),
        b"[" + raw() + b"]",
        b"null",
        b'"text"',
        raw()[:-1],
    ],
)
def test_j12_a_line_is_one_object_and_nothing_else(bad: bytes) -> None:
    refused(bad)


def test_j12_a_line_separator_of_unicode_survives() -> None:
    assert accepted(customer(trading_name="a\u2028b")).data.party.trading_name == "a\u2028b"


def test_j12_a_block_ends_with_a_line_feed() -> None:
    assert read_lines(raw()) is None
    assert read_lines(b"") is None


def test_j12_a_line_feed_within_a_text_is_not_made_up_for_by_two_events_on_one_line() -> None:
    broken = raw(b'{"reason":"a\nb"}', type_name="subscription.paused")

    assert read_lines(broken + b"\n" + raw() + b"," + raw() + b"\n") is None
    assert read_lines(broken + b"," + raw() + b"\n") is None


@pytest.mark.parametrize(
    ("found", "instead", "field"),
    [
        (b'"via":"cli"', b'"via":"cli","more":1', "more"),
        (b'"data":{}', b'"data":{"more":1}', "more"),
        (b'"customer.archived"', b'"customer.vanished"', "type"),
        (b'"customer.archived"', b'"Customer.archived"', "type"),
        (b'"customer.archived"', b"7", "type"),
        (b'"type":"customer.archived",', b"", "type"),
        (b'"type_version":1', b'"type_version":2', "type_version"),
        (b'"type_version":1', b'"type_version":0', "type_version"),
        (b'"type_version":1', b'"type_version":true', "type_version"),
        (b'"type_version":1', b'"type_version":"1"', "type_version"),
        (b'"version":2,', b"", "version"),
        (b'"version":2', b'"version":null', "version"),
        (b'"version":2', b'"version":true', "version"),
        (b'"version":2', b'"version":"2"', "version"),
        (b'"version":2', b'"version":2.0', ""),
        (b'"via":"cli"', b'"via":"fax"', "via"),
        (b'"data":{}', b'"data":null', "data"),
        (b'"data":{}', b'"data":[]', "data"),
        (b',"data":{}', b"", "data"),
    ],
)
def test_j13_unknown_missing_and_mistyped_fields_are_named(found: bytes, instead: bytes, field: str) -> None:
    assert found in raw()

    said = refused(raw().replace(found, instead))

    assert field in str(said)


def test_j13_a_default_that_is_written_out_is_refused() -> None:
    refused(customer().replace(b'"currency":"EUR"', b'"currency":"EUR","notes":null'))
    refused(raw(b'{"days":30,"end_of_month":false}', type_name="customer.created"))


@pytest.mark.parametrize(
    "at",
    [
        "2026-01-31T09:30:00.000000",
        "2026-01-31T09:30:00Z",
        "2026-01-31T09:30:00.000000+00:00",
        "2026-01-31T09:30:00.000000z",
        "2026-01-31 09:30:00.000000Z",
        "2026-01-31t09:30:00.000000Z",
        "2026-01-31T09:30:00,000000Z",
        "2026-01-31T09:30:60.000000Z",
        "2026-01-31T24:00:00.000000Z",
        "2026-02-30T09:30:00.000000Z",
        "2026-01-31T09:30:00.0000000",
        "2026-01-31T09:30:00.000000000Z",
        "0001-01-01T00:00:00.000000Z",
        "0999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59.999999Z",
        "２026-01-31T09:30:00.00000Z",
        "",
    ],
)
def test_j14_a_time_is_written_in_one_way(at: str) -> None:
    refused(raw(at=at))


@pytest.mark.parametrize(
    "id_",
    [
        ENTITY.upper(),
        ENTITY.replace("-", ""),
        "00000000-0000-0000-0000-000000000000",
        "{" + ENTITY + "}",
        "urn:uuid:" + ENTITY,
        ENTITY + " ",
        "",
    ],
)
def test_j15_an_id_has_one_spelling(id_: str) -> None:
    assert refused(raw(entity=id_)).field == "entity"
    assert refused(raw(actor=f"person:{id_}")).field == "actor"


@pytest.mark.parametrize(
    "actor", ["", "person:", "system:", "system:Robot", "admin", "system:a b", "system:" + "a" * 41]
)
def test_j15_an_actor_is_a_person_or_a_part_of_the_system(actor: str) -> None:
    assert refused(raw(actor=actor)).field == "actor"


@pytest.mark.parametrize("version", [0, -1])
def test_j16_versions_begin_with_one(version: int) -> None:
    assert refused(raw(version=version)).field == "version"


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '=HYPERLINK("http://mail.example")',
        "{{7*7}}",
        "'; DROP TABLE events; --",
        "\r\nSet-Cookie: a=b",
        "\x1b[2J",
        "\u202eevil",
        "\\u0041",
        "é\u0301 😀",
    ],
)
def test_j18_dangerous_text_is_kept_as_it_is(text: str) -> None:
    data = commands.read_fields(
        Kind.CUSTOMER, "created", {"party": {"name": text}, "language": "nl", "currency": "EUR"}
    )
    written = raw(events.encode_data(data), type_name="customer.created", version=1)

    assert accepted(written).data.party.name == text


def test_j20_every_event_that_commands_record_reads_back_as_the_line_it_was() -> None:
    for written in EVERY_EVENT:
        event = accepted(written)

        assert written == line(
            type_name=event.type,
            entity=event.entity,
            version=event.version,
            at=event.at,
            actor=event.actor,
            via=event.via,
            data=events.encode_data(event.data),
        )


def test_a_line_is_of_one_type_of_its_kind_and_only_of_that() -> None:
    for name in DATA_TYPES:
        assert name.split(".")[0] in set(Kind)


def every_event() -> list[bytes]:
    """A line of many types, from a short life of each kind."""
    book = Notebook()
    for kind in (Kind.CUSTOMER, Kind.ITEM, Kind.LAYOUT, Kind.LEDGER_ACCOUNT):
        first, second = book.create(kind), book.create(kind)
        book.run(lambda work, kind=kind, id_=first: commands.archive(work, kind, id_))  # type: ignore[misc]
        book.run(lambda work, kind=kind, id_=first: commands.unarchive(work, kind, id_))  # type: ignore[misc]
        book.run(lambda work, kind=kind, one=first, other=second: commands.merge(work, kind, one, other))  # type: ignore[misc]
    for kind in DOCUMENT_KINDS:
        drafted = book.create(kind, lines=[document_line(allowances=[{"amount": "0.10", "reason": "é"}])])
        book.run(lambda work, kind=kind, id_=drafted: attach(work, kind, id_))  # type: ignore[misc]
        book.issue(kind, drafted)
        book.record(kind, drafted, "sent", how="email")
    subscription = book.create(Kind.SUBSCRIPTION)
    book.run(lambda work: commands.invoice_period(work, subscription))
    book.run(lambda work: commands.pause(work, subscription, "Vakantie, 3 weken"))
    at = written_time(book.now)
    return [
        line(
            type_name=decided.type,
            entity=decided.entity,
            version=decided.version,
            at=at,
            actor="system:test",
            via="cli",
            data=decided.data,
        )
        for decided in book.decided
    ]


def attach(work: Any, kind: Kind, id_: EntityId) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    commands.attach(
        work, kind, id_, Attachment(id="1", name="leeg.txt", media_type="text/plain", size=0, sha256=empty), b""
    )


EVERY_EVENT = every_event()

# What a hostile hand would put into a line, or in place of a part of it.
SPICES = [
    b"\n",
    b",",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"0",
    b"-",
    b".",
    b"E+2",
    b"NaN",
    b" ",
    b"\r",
    b"\x00",
    b"\\u0000",
    b"\xff",
    b"\xe2\x80\xa8",
    b'"type":"customer.archived"',
    b"null",
    b"true",
    b"1.0",
    b"00",
    b'\n{"type":"',
    b'"}',
    b"},{",
    b"}\n{",
    b"\\u0041",
    b"\\ud800",
    b"Z",
    b"+00:00",
    b"person:",
    b"A",
    raw(),
    b"," + raw(),
    b"\n" + raw(),
]


@st.composite
def blocks(draw: st.DrawFn) -> bytes:
    """Lines as we write them, some of them tampered with."""
    block = b"".join(one + b"\n" for one in draw(st.lists(st.sampled_from(EVERY_EVENT), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(block)))
        cut = draw(st.sampled_from([0, 0, 1, 2, 5]))
        spice = draw(st.one_of(st.sampled_from(SPICES), st.binary(max_size=2)))
        block = block[:at] + spice + block[at + cut :]
    return block


def one_by_one(block: bytes) -> list[events.Event] | None:
    if block[-1:] != b"\n":
        return None
    try:
        return [read_line(one) for one in block[:-1].split(b"\n")]
    except LineRefused:
        return None


@given(blocks())
@example(raw(b'{"reason":"a\nb"}', type_name="subscription.paused") + b"," + raw() + b"\n")
@example(raw(at="2026-01-31 09:30:00.000000Z") + b"\n")
@example(raw(entity=ENTITY.upper()) + b"\n")
@example(raw(version=0) + b"\n")
@example(raw(version=2**31) + b"\n")
def test_many_lines_at_once_are_judged_as_one_by_one(block: bytes) -> None:
    assert read_lines(block) == one_by_one(block)
