"""Tampering with real inputs: over their bytes, and over what they are made of (JSON values, elements, records).

Each mutator takes a random source and the bytes of an input, and gives those of another one, most often a broken one.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any

import msgspec

Mutator = Callable[[Random, bytes], bytes]
_encode = msgspec.json.Encoder().encode

# What hostile hands put into JSON and XML, and what the layouts of ZIP turn on.
JSON_SPICES = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\r", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf"),
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-0", b"1.0", b"00", b"9" * 20, b"9" * 400, b"0." + b"0" * 40),
    *(
        b"\\u0000",
        b"\\ud800",
        b"\\u0041",
        b"\\n",
        b"\xe2\x80\xa8",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"[" * 40,
        b'{"a":' * 40,
    ),
    *(b'"version":1,', b'"id":"1",', b"E+2", b'"-0"', b'"NaN"', b'"1_000"', b"2026-02-30", b"0001-01-01", b"person:"),
)
XML_SPICES = (
    *(b"<", b">", b"&", b'"', b"'", b"/", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?x ", b"?>", b"<!DOCTYPE a>"),
    *(
        b"&lt;",
        b"&#0;",
        b"&#x110000;",
        b"&#xD800;",
        b"&e;",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"cbc:",
        b"cac:",
        b"xmlns=",
    ),
    *(
        b"-1",
        b"0",
        b"1e9",
        b"NaN",
        b"9" * 30,
        b"0." + b"0" * 30,
        b"EUR",
        b"2026-02-30",
        b"2026-03-31+01:00",
        b" ",
        b"\n",
    ),
)
ZIP_SPICES = (
    *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08", b"\0\0", b"\xff\xff"),
    *(b"\xff\xff\xff\xff", b"\x08\x00", b"\x00\x08", b"\x01\x00\x10\x00", b"\x55\x54\x05\x00", b"../", b"\x00"),
)


def tampered(spices: Sequence[bytes]) -> Mutator:
    """A mutator over bytes: flips, cuts, copies, swaps, and *spices* put in or over."""

    def mutate(random: Random, data: bytes) -> bytes:
        for _ in range(1 if random.random() < 0.7 else random.randint(2, 4)):
            at = random.randrange(len(data) + 1)
            length = random.choice((1, 1, 2, 4, 8, 30))
            match random.randrange(6):
                case 0 if at < len(data):
                    data = data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]
                case 1:
                    data = data[:at] + data[at + length :]
                case 2:
                    data = data[:at] + data[at : at + length] + data[at:]
                case 3:
                    there = random.randrange(len(data) + 1)
                    data = data[:at] + data[there : there + length] + data[at + length :]
                case 4:
                    data = data[:at] + random.choice(spices) + data[at:]
                case _:
                    spice = random.choice(spices)
                    data = data[:at] + spice + data[at + len(spice) :]
        return data

    return mutate


# JSON

_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**63, 2**64 - 1, 1.0, -0.0, 1e300, "", " ", "1", "-0", "NaN"),
    *(
        "1E+2",
        "1_000",
        "١٢",
        "0.0000001",
        "9" * 16,
        "\u2028",
        "\x1b[2J",
        "a" * 301,
        "é" * 501,
        "😀",
        "<script>",
        "\r\n",
    ),
    *("2026-02-30", "0001-01-01", "9999-12-31", "01900000-0000-7000-8000-000000000000", [], {}, [[]], {"": ""}),
)


def remade_json(random: Random, data: bytes) -> bytes:
    """A JSON text with values changed, left out, doubled, moved or made of another type."""
    value = msgspec.json.decode(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        value = _change(random, value)
    if random.random() < 0.95:
        raw = _encode(value)
    else:
        raw = json.dumps(
            value, ensure_ascii=random.random() < 0.5, separators=random.choice(((",", ":"), None))
        ).encode()
    if random.random() < 0.03:  # a key twice, which no dictionary can hold
        keys = list(re.finditer(rb'"[a-z_]+":', raw))
        if keys:
            at = random.choice(keys).start()
            raw = raw[:at] + random.choice(keys)[0] + b"1," + raw[at:]
    return raw


def _change(random: Random, value: Any) -> Any:
    """*value*, with something in it changed."""
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            places += [(one, key) for key in one]
            waiting += one.values()
        elif isinstance(one, list):
            places += [(one, at) for at in range(len(one))]
            waiting += one
    if not places:
        return deepcopy(random.choice(_ODD_VALUES))
    holder, key = random.choice(places)
    other_holder, other_key = random.choice(places)
    match random.randrange(7):
        case 0:
            holder[key] = deepcopy(random.choice(_ODD_VALUES))
        case 1:
            del holder[key]
        case 2:
            holder[key] = msgspec.json.decode(_encode(other_holder[other_key]))
        case 3 if isinstance(holder, dict):
            renamed = other_key if isinstance(other_key, str) else f"{key}x"
            items = [(renamed if name == key else name, one) for name, one in holder.items()]
            holder.clear()
            holder.update(items)
        case 4 if isinstance(holder, dict):
            items = list(holder.items())
            random.shuffle(items)
            holder.clear()
            holder.update(items)
        case 5 if isinstance(holder, list):
            holder.insert(key, msgspec.json.decode(_encode(holder[key])))
        case _ if isinstance(holder[key], str) and holder[key]:
            text = holder[key]
            at = random.randrange(len(text))
            holder[key] = text[:at] + random.choice("09-:.aZ é\u2028\x00😀") + text[at + random.randrange(2) :]
        case _:
            holder[key] = deepcopy(random.choice(_ODD_VALUES))
    return value


# XML, by its tags: what a parser would refuse to write is what is wanted here too

_TAG = re.compile(rb"<[^>]*>")
_ATTRIBUTE = re.compile(rb'\s[\w:]+="[^"]*"')


def remade_xml(random: Random, data: bytes) -> bytes:
    """An XML text with elements left out, doubled, moved or renamed, and values and attributes changed."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        tags = [found.span() for found in _TAG.finditer(data)]
        if len(tags) < 3:
            return data
        at = random.randrange(1, len(tags) - 1)
        (start, end), (after, after_end) = tags[at], tags[at + 1]
        value = data[end:after]
        match random.randrange(7):
            case 0 if value.strip():
                data = data[:end] + random.choice(XML_SPICES) + data[after:]
            case 1:  # an element without its content, where it is one
                data = data[:start] + data[after_end:]
            case 2:
                data = data[:after_end] + data[start:after_end] + data[after_end:]
            case 3:
                there = tags[random.randrange(1, len(tags) - 1)][0]
                piece = data[start:after_end]
                data = data[:there] + piece + data[there:]
            case 4:
                one, other = data[start:end], data[slice(*random.choice(tags))]
                data = data.replace(one, other, random.choice((1, -1)))
            case 5 if attributes := list(_ATTRIBUTE.finditer(data)):
                found = random.choice(attributes)
                instead = random.choice((b"", found[0] * 2, b' currencyID="USD"', b' xmlns:cbc="urn:x"', b' a="&#9;"'))
                data = data[: found.start()] + instead + data[found.end() :]
            case _:
                digits = list(re.finditer(rb"\d+", data))
                found = random.choice(digits)
                number = str(random.choice((0, 1, 7, 10**9, int(found[0][:9]) + 1))).encode()
                data = data[: found.start()] + number + data[found.end() :]
    return data


# ZIP, by its records

# Offset and width of every field of the three records, from APPNOTE.
_LOCAL_FIELDS = ((4, 2), (6, 2), (8, 2), (10, 2), (12, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))
_CENTRAL_FIELDS = (
    *((4, 2), (6, 2), (8, 2), (10, 2), (12, 2), (14, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2)),
    *((34, 2), (36, 2), (38, 4), (42, 4)),
)
_END_FIELDS = ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))


def remade_zip(random: Random, data: bytes) -> bytes:
    """A ZIP with fields of its records changed, by a little or to what means something; sometimes in both headers."""
    made = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        records = [
            (found.start(), fields)
            for signature, fields in (
                (b"PK\x03\x04", _LOCAL_FIELDS),
                (b"PK\x01\x02", _CENTRAL_FIELDS),
                (b"PK\x05\x06", _END_FIELDS),
            )
            for found in re.finditer(re.escape(signature), bytes(made))
        ]
        if not records:
            break
        start, fields = random.choice(records)
        offset, width = random.choice(fields)
        layout = "<H" if width == 2 else "<I"
        if start + offset + width > len(made):
            continue
        (value,) = struct.unpack_from(layout, made, start + offset)
        top = 2 ** (8 * width) - 1
        value = random.choice((0, 1, 8, top, top - 1, value ^ 1 << random.randrange(8 * width), value + 1, value - 1))
        struct.pack_into(layout, made, start + offset, value & top)
    return bytes(made)


def repacked(entries: list[tuple[bytes, bytes]], random: Random) -> bytes:
    """A plain, sound ZIP of *entries*, stored or deflated as it comes, for contents that were tampered with."""
    out, central = bytearray(), bytearray()
    for name, content in entries:
        packer = zlib.compressobj(random.choice((1, 6)), zlib.DEFLATED, -15)
        method = 8 if random.random() < 0.8 and content else 0
        packed = packer.compress(content) + packer.flush() if method else content
        sizes = struct.pack("<III", zlib.crc32(content), len(packed), len(content))
        head = struct.pack("<HHHHH", 20, 0, method, 0, 0x5A21) + sizes + struct.pack("<HH", len(name), 0)
        central += (
            b"PK\x01\x02" + struct.pack("<H", 0x0314) + head + struct.pack("<HHHII", 0, 0, 0, 0o100644 << 16, len(out))
        )
        central += name
        out += b"PK\x03\x04" + head + name + packed
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(central), len(out), 0)
    return bytes(out + central + end)
