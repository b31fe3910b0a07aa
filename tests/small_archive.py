"""A small archive that is sound and signed, made without a database: a little of every kind, with an attached file.

``small_archive()`` is the bytes; the same in every run but for the ids, which are made by time.
"""

from __future__ import annotations

import hashlib
import io
from functools import cache

import msgspec

from domain import commands
from domain.documents.fields import Attachment
from domain.events import line, written_time
from domain.kinds import DOCUMENT_KINDS, Kind
from domain.tree import leaf_hash, root_of
from domain.work import Work, is_gone, kind_of
from projections.control_totals import Totaller
from snapshots.container import ContainerWriter
from snapshots.format.manifest import (
    ATTACHMENTS,
    FORMAT_VERSION,
    MANIFEST,
    README,
    SIGNATURE,
    SNAPSHOT_FILES,
    TIMELINE,
    AccountNamed,
    FileListed,
    Manifest,
    Meaning,
    Segment,
    TreeHead,
    encode,
    product_version,
)
from tests.fixtures.archives import SIGNER
from tests.notebook import Notebook
from tests.notebook import line as document_line

CONTENT = b"%PDF-1.7 small"


def small_books() -> Notebook:
    """An account with a little of everything."""
    book = Notebook()
    for kind in (Kind.ITEM, Kind.LAYOUT, Kind.LEDGER_ACCOUNT, Kind.SUBSCRIPTION):
        book.create(kind)
    customer = book.create(Kind.CUSTOMER, party={"name": "Żółw & Zoon “é”", "address": {"country": "BE"}})
    for kind in DOCUMENT_KINDS:
        book.issued(kind, customer=customer, lines=[document_line(allowances=[{"amount": "0.10", "reason": "é"}])])
    paid = book.issued(Kind.INVOICE, customer=customer)
    book.record(Kind.INVOICE, paid, "payment_registered", id="1", amount="12.10", means="30", date=str(book.today))
    draft = book.create(Kind.INVOICE, customer=customer)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    attached = Attachment(id="1", name="a.pdf", media_type="application/pdf", size=len(CONTENT), sha256=sha256)

    def attach(work: Work) -> None:
        commands.attach(work, Kind.INVOICE, draft, attached, CONTENT)

    book.run(attach)
    gone = book.create(Kind.CUSTOMER)

    def delete(work: Work) -> None:
        commands.delete(work, Kind.CUSTOMER, gone)

    book.run(delete)
    return book


@cache
def small_archive() -> bytes:
    """The bytes of the archive."""
    book = small_books()
    lines = timeline_of(book)
    states = [state for _, state in sorted(book.entities.items()) if not is_gone(state)]
    totaller = Totaller()
    counts: dict[str, int] = {}
    out = io.BytesIO()
    with ContainerWriter(out, book.now) as container:
        files = []

        def add(name: str, content: bytes, rows: int | None = None) -> None:
            written = container.add(name, content)
            files.append(FileListed(name=name, rows=rows, bytes=written.size_bytes, sha256=written.sha256))

        add(README, b"A small archive.\n")
        for kind, name in SNAPSHOT_FILES.items():
            block = b"".join(msgspec.json.encode(state) + b"\n" for state in states if kind_of(state) is kind)
            counts[kind.value] = block.count(b"\n")
            if block:
                totaller.add(kind, block)
            add(name, block, counts[kind.value])
        add(TIMELINE, b"".join(one + b"\n" for one in lines), len(lines))
        add(ATTACHMENTS + hashlib.sha256(CONTENT).hexdigest(), CONTENT)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            product_version=product_version(),
            archive="018bffe9-e300-7323-87f6-7f0506baa1e3",
            account=AccountNamed(id=book.control.account, name=book.control.name),
            stream=1,
            tree_head=TreeHead(size=len(lines), root=root_of([leaf_hash(one) for one in lines]).hex()),
            segments=(Segment(first_position=1, came_by="recorded", authenticity="recorded"),),
            taken_at=book.now,
            taken_by="system:test",
            counts=counts,
            control_totals=totaller.totals(),
            meaning=Meaning(settings=book.control.settings),
            email_salt="0" * 32,
            files=tuple(files),
        )
        raw = encode(manifest)
        container.add(MANIFEST, raw)
        container.add(SIGNATURE, SIGNER.sign(raw))
    return out.getvalue()


def timeline_of(book: Notebook) -> list[bytes]:
    """The lines of all that was decided."""
    return [
        line(
            type_name=decided.type,
            entity=decided.entity,
            version=decided.version,
            at=written_time(book.now),
            actor="system:test",
            via="cli",
            data=decided.data,
        )
        for decided in book.decided
    ]
