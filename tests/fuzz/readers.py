"""The three readers that strangers' bytes reach, each with what must hold of whatever it is given.

Accepted: it says what others read in it. Refused: by an error with a name. Nothing else, ever.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import msgspec

from api.ubl import read_ubl
from api.ubl.errors import UblError
from domain.errors import ArchiveError, CounterfoilError
from domain.events import LineRefused, encode_data, line, read_line, read_lines
from snapshots.container import Limits, open_container
from snapshots.format.errors import ArchiveEdited
from snapshots.reading.inspection import Inspection, inspect_archive
from tests.fixtures.archives import KEYS, Edited
from tests.fuzz.mutation import (
    JSON_SPICES,
    XML_SPICES,
    ZIP_SPICES,
    Mutator,
    remade_json,
    remade_xml,
    remade_zip,
    repacked,
    tampered,
)
from tests.small_archive import small_archive, small_books, timeline_of
from tests.ubl_documents import SELLER, Part, Sale, attachment, credit_note, invoice, party

ACCEPTED = "accepted"
# Far less than an archive may be by default, so that a bomb shows as a wrong verdict and not as a full machine.
LIMITS = Limits(max_archive_bytes=1 << 20, max_entry_bytes=1 << 22, max_unpacked_bytes=1 << 23)


class Broken(AssertionError):
    """A reader accepted what it must not, or raised what it must not."""


@dataclass(frozen=True)
class Target:
    """A reader under test: real inputs for it, ways of tampering with them, and the judge of one input.

    *judge* says ACCEPTED or the code of the refusal, and raises for anything else.
    """

    name: str
    seeds: Sequence[bytes]
    mutators: Sequence[Mutator]
    judge: Callable[[bytes], str]

    def next_input(self, random: Random) -> bytes:
        """An input that nobody made before."""
        return random.choice(self.mutators)(random, random.choice(self.seeds))


def judge_line(raw: bytes) -> str:
    """One line of a timeline: read alone and in a block alike, and written again byte for byte."""
    together = read_lines(raw + b"\n") if b"\n" not in raw else None
    try:
        event = read_line(raw)
    except LineRefused as refused:
        if together is not None:
            raise Broken(f"a block accepts what a line is refused for: {refused}") from refused
        str(refused)
        return refused.code
    if together is None and b"\n" not in raw:
        raise Broken("a line is accepted that a block is refused for")
    written = line(
        type_name=event.type,
        type_version=event.type_version,
        entity=event.entity,
        version=event.version,
        at=event.at,
        actor=event.actor,
        via=event.via,
        data=encode_data(event.data),
    )
    if written != raw:
        raise Broken("an accepted line is not what would be written for it")
    json.loads(raw)
    return ACCEPTED


def judge_ubl(raw: bytes) -> str:
    """One UBL file: refused at a line, or read alike twice, in values that can be written down."""
    try:
        document = read_ubl(raw, name="x.xml")
    except UblError as refused:
        if not str(refused).startswith("x.xml"):
            raise Broken(f"a refusal without a file: {refused}") from refused
        return refused.code
    msgspec.json.encode(document)
    if read_ubl(raw, name="x.xml") != document:
        raise Broken("the same bytes are read in two ways")
    return ACCEPTED


class Files:
    """One file, used again and again: making one for each of a million inputs would be most of the time."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as the process

    def holding(self, raw: bytes) -> Any:
        """The file, with *raw* in it."""
        os.ftruncate(self._file.fileno(), 0)
        os.pwrite(self._file.fileno(), raw, 0)
        return self._file


_files = Files()


def judge_container(raw: bytes) -> str:
    """One ZIP: what is in it is, name by name and byte for byte, what Python's own reader finds."""
    try:
        container = open_container(_files.holding(raw), LIMITS)
        found = {name: b"".join(container.read_chunks(name)) for name in container.names()}
    except ArchiveError as refused:
        str(refused)
        return refused.code
    if found != contents_by_zipfile(raw):
        raise Broken("another reader finds another content")
    return ACCEPTED


def contents_by_zipfile(raw: bytes) -> dict[str, bytes]:
    """What Python's zipfile finds in *raw*; names of folders left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return {one.filename: archive.read(one) for one in archive.infolist() if not one.is_dir()}


def judge_archive(raw: bytes) -> str:
    """One archive, looked into as a whole: refused, or with faults that are named, or sound."""
    try:
        found = inspect_archive(_files.holding(raw), LIMITS, KEYS)
    except CounterfoilError as refused:
        str(refused)
        return refused.code
    msgspec.json.encode(found)
    if not found.is_sound:
        if not all(fault.code and fault.reason for fault in found.faults):
            raise Broken("a fault without a name")
        return verdict_of(found)
    if {file.name for file in found.files} | {"manifest.json", "manifest.sig"} < contents_by_zipfile(raw).keys():
        raise Broken("another reader finds more files")
    return ACCEPTED


def verdict_of(found: Inspection) -> str:
    """ACCEPTED for what is sound; else the code of the first fault, or that it was edited."""
    if found.is_sound:
        return ACCEPTED
    return found.faults[0].code if found.faults else ArchiveEdited.code


def _files_of(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def remade_contents(random: Random, archive: bytes) -> bytes:
    """An archive whose manifest or lines were tampered with; most often with the manifest fixed up for it."""
    if random.random() < 0.3:
        files = _files_of(archive)
        how = random.choice((remade_json, tampered(JSON_SPICES)))
        files["manifest.json"] = how(random, files["manifest.json"])
        return repacked([(name.encode(), content) for name, content in files.items()], random)
    edited = Edited(archive)
    name = random.choice([name for name in edited.files if name.endswith(".jsonl") and edited.files[name]])
    lines = edited.lines(name)
    at = random.randrange(len(lines))
    match random.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(random.randrange(len(lines) + 1), lines[at])
        case 2:
            lines[at] = tampered(JSON_SPICES)(random, lines[at])
        case _:
            lines[at] = remade_json(random, lines[at])
    lines = [piece for one in lines for piece in one.split(b"\n")]
    if random.random() < 0.9:
        edited.put_lines(name, lines)
    else:
        edited.files[name] = b"\n".join(lines)
    return edited.zipped().getvalue()


@cache
def targets() -> dict[str, Target]:
    """The readers by name."""
    lines = timeline_of(small_books())
    archive = small_archive()
    plain = repacked(
        [(b"manifest.json", b'{"format":1}\n' * 3), (b"items.jsonl", b'{"id":1}\n'), (b"a/b", b"")], Random(1)
    )
    papers = [
        invoice(),
        invoice(buyer=party("Café"), sales=[Sale(), Sale(name="Bell", quantity="3", parts=(Part("1.00"),))]),
        credit_note(seller=SELLER),
        invoice(before_parties=attachment("A1", b"content")),
    ]
    return {
        "line": Target("line", lines, (remade_json, remade_json, tampered(JSON_SPICES)), judge_line),
        "container": Target("container", [plain, archive], (remade_zip, tampered(ZIP_SPICES)), judge_container),
        "ubl": Target("ubl", papers, (remade_xml, tampered(XML_SPICES)), judge_ubl),
        "archive": Target("archive", [archive], (remade_contents, remade_zip, tampered(ZIP_SPICES)), judge_archive),
    }
