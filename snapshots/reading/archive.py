"""An archive that is open for reading: its container sound, its manifest read, its files those that are listed."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any, BinaryIO

import msgspec

from domain.entity import where_and_why
from domain.errors import ArchiveError
from domain.events import LineLimits, LineRefused, check_json
from snapshots.container import Container, Limits, open_container
from snapshots.format.authenticity import Authenticity, Differing, What
from snapshots.format.errors import ArchiveEdited, FileDiffers, FormatNewer, LinesBroken, ManifestRefused
from snapshots.format.manifest import (
    ATTACHMENTS,
    FORMAT_VERSION,
    MANIFEST,
    README,
    SCHEMAS,
    SIGNATURE,
    SNAPSHOT_FILES,
    TIMELINE,
    FileListed,
    Manifest,
)
from snapshots.trust.encryption import Unlock, decrypted
from snapshots.trust.signing import MAX_SIGNATURE_BYTES, NO_KEYS, KeyRing

READ_BYTES = 1024 * 1024
_BYTES_PER_VALUE = 32  # a manifest has one value in 60 bytes; what has far more would be a multiple of it in memory


class _FormatStated(msgspec.Struct):
    """The one field of a manifest that every format has."""

    format_version: Any = None


class Archive:
    """An open archive. Reading a file checks its size and hash against the manifest by its end, not before.

    ``authenticity`` is known from the start and holds to the end: where edits are not accepted, reading a file that is
    not the one listed ends in an error.
    """

    def __init__(self, container: Container, manifest: Manifest, authenticity: Authenticity, lines: LineLimits) -> None:
        self.manifest = manifest
        self.authenticity = authenticity
        self.line_limits = lines
        self._container = container
        self._files = {file.name: file for file in manifest.files}

    def listed(self, name: str) -> FileListed:
        """What the manifest says of a file; of one whose edits were accepted, what it is; of one left out, that it is
        empty.
        """
        return self._files.get(name) or FileListed(name=name, rows=0, bytes=0, sha256=sha256().hexdigest())

    def accept_edits(self) -> None:
        """Read all files for what they are, and take those that are not the ones listed as they are.

        From now on `authenticity` names them. Raises ContainerFault, and FileDiffers for an attachment: its name is its
        hash.
        """
        found = self._measured()
        for one, measured in found:
            if one.file.startswith(ATTACHMENTS):
                raise FileDiffers(one.file, one.what, one.found, one.expected)
            self._files[one.file] = measured
        self.authenticity = _edited(self.authenticity, [one for one, _ in found])

    def refuse_edits(self) -> None:
        """Raises ArchiveEdited for an archive whose manifest is not the one that was signed, naming other files too."""
        if self.authenticity.verdict == "edited":
            raise self._refusal()

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file's bytes. Raises ContainerFault, and FileDiffers or ArchiveEdited once it was read whole."""
        listed = self._files.get(name)
        if listed is None:
            return
        seen, size = sha256(), 0
        for chunk in self._container.read_chunks(name, READ_BYTES):
            seen.update(chunk)
            size += len(chunk)
            yield chunk
        if size != listed.bytes:
            raise self._differs(name, "size", f"{size:,} bytes", f"{listed.bytes:,}")
        if seen.hexdigest() != listed.sha256:
            raise self._differs(name, "SHA-256", seen.hexdigest(), listed.sha256)

    def _differs(self, name: str, what: What, found: str, expected: str) -> ArchiveError:
        if self.authenticity.verdict == "unsigned":
            return FileDiffers(name, what, found, expected)
        return self._refusal()

    def _refusal(self) -> ArchiveEdited:
        """All that differs: what was read already is read again, so that each file is named."""
        edited = _edited(self.authenticity, [one for one, _ in self._measured()])
        assert edited.key_name is not None, "a key that is believed has a name"
        return ArchiveEdited(edited.key_name, edited.differing)

    def _measured(self) -> list[tuple[Differing, FileListed]]:
        """The files that are not those listed: how each differs, and what it is."""
        found = []
        for name, listed in self._files.items():
            seen, size, rows = sha256(), 0, 0
            last_line_bytes = 0
            for chunk in self._container.read_chunks(name, READ_BYTES):
                seen.update(chunk)
                size += len(chunk)
                rows += chunk.count(b"\n")
                end = chunk.rfind(b"\n") + 1
                last_line_bytes = len(chunk) - end + (0 if end else last_line_bytes)
                if listed.rows is not None and last_line_bytes > self.line_limits.max_bytes:
                    most = f"{self.line_limits.max_bytes:,} bytes"
                    raise LinesBroken(name, rows + 1, f"a line of more than {most}", f"at most {most}")
            if (size, seen.hexdigest()) != (listed.bytes, listed.sha256):
                rows_there = None if listed.rows is None else rows
                measured = FileListed(name=name, rows=rows_there, bytes=size, sha256=seen.hexdigest())
                found.append((_how(measured, listed), measured))
        return found

    def blocks(self, name: str) -> Iterator[bytes]:
        """A file's whole lines, in blocks of about a megabyte, each line ended by a line feed.

        Raises LineRefused for a line that is too long, once those before it were given, or a last one without its line
        feed. Reads no further than a megabyte into a line that is too long.
        """
        most_bytes = self.line_limits.max_bytes
        rest = b""
        for chunk in self.chunks(name):
            end = chunk.rfind(b"\n") + 1
            whole, rest = (rest + chunk[:end], chunk[end:]) if end else (b"", rest + chunk)
            sound = _bytes_before_a_long_line(whole, most_bytes) if len(whole) > most_bytes else len(whole)
            if sound:
                yield whole[:sound]
            if sound < len(whole) or len(rest) > most_bytes:
                raise LineRefused("", f"a line of more than {most_bytes:,} bytes", f"at most {most_bytes:,}")
        if rest:
            raise LineRefused("", "a last line without a line feed", "each line ended by a line feed")

    def attachments(self) -> list[FileListed]:
        """The attached files, each named by its SHA-256."""
        return [file for file in self.manifest.files if file.name.startswith(ATTACHMENTS)]


def open_archive(
    file: BinaryIO,
    limits: Limits,
    keys: KeyRing = NO_KEYS,
    *,
    unlock: Unlock | None = None,
    accept_edits: bool = False,
) -> Archive:
    """The archive in *file*, its container and manifest sound, and its signature judged by *keys*.

    *unlock* opens it when it is encrypted. With *accept_edits* all files are read once more, to know which were edited.
    Work on a private copy, or a file that nobody changes meanwhile: it is read several times from this descriptor.
    Raises ContainerFault, ManifestRefused, FormatNewer, SignatureRefused, what `decrypted` raises, and without
    *accept_edits* ArchiveEdited.
    """
    plain = decrypted(file, unlock, limits)
    try:
        archive = _open(plain, limits, keys)
        if accept_edits:
            archive.accept_edits()
        else:
            archive.refuse_edits()
    except BaseException:
        if plain is not file:
            plain.close()
        raise
    if plain is not file:
        weakref.finalize(archive, plain.close)
    return archive


def _open(file: BinaryIO, limits: Limits, keys: KeyRing) -> Archive:
    container = open_container(file, limits)
    names = set(container.names())
    if MANIFEST not in names:
        raise ManifestRefused("", "no such file in the archive", "one manifest.json")
    raw = container.read(MANIFEST, limits.max_manifest_bytes)
    manifest = read_manifest(raw, limits)
    _check_files(manifest, names - {MANIFEST, SIGNATURE})
    signature = container.read(SIGNATURE, MAX_SIGNATURE_BYTES) if SIGNATURE in names else None
    return Archive(container, manifest, keys.judge(raw, signature, manifest.taken_at), limits.lines)


def _edited(known: Authenticity, found: list[Differing]) -> Authenticity:
    """What is *known*, and that files were *found* to differ: what was signed is *edited* then."""
    if not found:
        return known
    differing = (*known.differing, *found)
    if known.verdict == "unsigned":
        return msgspec.structs.replace(known, differing=differing)
    reason = f"not as they were signed: {', '.join(one.file for one in differing)}"
    return msgspec.structs.replace(known, verdict="edited", reason=reason, differing=differing)


def _how(measured: FileListed, listed: FileListed) -> Differing:
    if measured.bytes != listed.bytes:
        return Differing(file=listed.name, what="size", found=f"{measured.bytes:,} bytes", expected=f"{listed.bytes:,}")
    return Differing(file=listed.name, what="SHA-256", found=measured.sha256, expected=listed.sha256)


def read_manifest(raw: bytes, limits: Limits) -> Manifest:
    """The manifest that *raw* says, as format version 1 has it. Raises ManifestRefused, FormatNewer."""
    most = limits.max_manifest_bytes
    try:
        check_json(raw, replace(limits.lines, max_bytes=most, max_values=most // _BYTES_PER_VALUE))
    except LineRefused as wrong:
        raise ManifestRefused(wrong.field, wrong.found, wrong.expected) from None
    found = msgspec.json.decode(raw, type=_FormatStated).format_version
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ManifestRefused("format_version", repr(found)[:40], f"a whole number from 1 to {FORMAT_VERSION}")
    if found > FORMAT_VERSION:
        raise FormatNewer(found, FORMAT_VERSION)
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except msgspec.ValidationError as wrong:
        path, reason = where_and_why(wrong)
        raise ManifestRefused(path.removeprefix("."), reason, "a value as docs/archive-format.md says") from None


def _bytes_before_a_long_line(lines: bytes, most_bytes: int) -> int:
    """How many of the bytes of whole *lines* come before the first that is longer than *most_bytes*."""
    done = 0
    while done < len(lines):
        end = lines.index(b"\n", done)
        if end - done > most_bytes:
            break
        done = end + 1
    return done


def _check_files(manifest: Manifest, there: set[str]) -> None:
    listed = [file.name for file in manifest.files]
    if twice := sorted(name for name, times in Counter(listed).items() if times > 1):
        raise ManifestRefused("files", f"{twice[0]} twice", "each file once")
    if missing := sorted(set(listed) - there):
        raise ManifestRefused("files", f"{missing[0]}, which is not in the archive", "only files that are there")
    if strange := sorted(there - set(listed)):
        raise ManifestRefused("files", f"{strange[0]} in the archive, which is not listed", "every file listed")
    of_lines = {*SNAPSHOT_FILES.values(), TIMELINE}
    for file in manifest.files:
        if file.name in of_lines and file.rows is None:
            raise ManifestRefused("files.rows", f"none for {file.name}", "the number of its lines")
        if file.name.startswith(ATTACHMENTS) and file.name != ATTACHMENTS + file.sha256:
            raise ManifestRefused("files.sha256", f"{file.sha256} for {file.name}", "the hash that its name is")
        known = file.name in of_lines or file.name == README or file.name.startswith((ATTACHMENTS, SCHEMAS))
        if not known:
            raise ManifestRefused("files", f"{file.name}, which this format does not have", "only files of the format")
    stated = {kind.value: manifest.counts.get(kind.value, 0) for kind in SNAPSHOT_FILES}
    rows = {file.name: file.rows for file in manifest.files}
    for kind, name in SNAPSHOT_FILES.items():
        found = rows.get(name, 0)
        if found != stated[kind.value]:
            raise ManifestRefused(f"counts.{kind.value}", str(stated[kind.value]), f"the {found} rows of {name}")
    found = rows.get(TIMELINE, 0)
    if found != manifest.tree_head.size:
        raise ManifestRefused("tree_head.size", str(manifest.tree_head.size), f"the {found} rows of {TIMELINE}")
