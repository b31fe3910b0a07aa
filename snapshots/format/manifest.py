"""What an archive says of itself: ``manifest.json``, format version 1, and the names of the files beside it."""

from __future__ import annotations

import datetime as dt
import hashlib
from functools import cache
from importlib.metadata import version
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from domain.control import SettingsFields
from domain.custom_fields import CustomField
from domain.ids import AccountId, PersonId
from domain.kinds import Kind
from domain.parties import Name, Value
from domain.tree import EMPTY
from projections.control_totals import ControlTotals

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
TIMELINE = "timeline.jsonl"
README = "README.txt"
ATTACHMENTS = "attachments/"
SCHEMAS = "schemas/"

SNAPSHOT_FILES: dict[Kind, str] = {
    Kind.CUSTOMER: "customers.jsonl",
    Kind.ITEM: "items.jsonl",
    Kind.LAYOUT: "layouts.jsonl",
    Kind.LEDGER_ACCOUNT: "ledger-accounts.jsonl",
    Kind.SUBSCRIPTION: "subscriptions.jsonl",
    Kind.INVOICE: "documents/invoices.jsonl",
    Kind.CREDIT_NOTE: "documents/credit-notes.jsonl",
    Kind.QUOTE: "documents/quotes.jsonl",
    Kind.RECEIPT: "documents/receipts.jsonl",
    Kind.PURCHASE_ORDER: "documents/purchase-orders.jsonl",
    Kind.DELIVERY_NOTE: "documents/delivery-notes.jsonl",
}

Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class AccountNamed(Value, frozen=True, kw_only=True):
    """The account that the archive was taken of."""

    id: AccountId
    name: Name


class TreeHead(Value, frozen=True, kw_only=True):
    """Size and root hash (hexadecimal) of the log over the lines of ``timeline.jsonl``."""

    size: Count
    root: Hash


class Attributed(Value, frozen=True, kw_only=True):
    """To whom a person's events in a segment were linked, and whether more than an unsigned archive's word says that
    they were that person's.
    """

    person: PersonId
    linked_to: PersonId
    verified: bool = True


class Segment(Value, frozen=True, kw_only=True):
    """How the lines from ``first_position`` on came into the account; ``people`` are those not linked to themselves.

    ``attribution_trusted``: the account's owner vouched for the names in a segment that nobody signed.
    """

    first_position: Count
    came_by: Literal["recorded", "restore", "add", "clone", "import"]
    source: str | None = None
    authenticity: Literal["recorded", "authentic", "edited", "unsigned"]
    attribution_trusted: bool = False
    people: tuple[Attributed, ...] = ()

    @property
    def is_verified(self) -> bool:
        """Whether its lines are by whom they say, on more than the word of an archive that nobody signed."""
        return self.attribution_trusted or self.authenticity in ("recorded", "authentic")


class AsOf(Value, frozen=True, kw_only=True):
    """The archive shows a past moment: as it was *asked* for, a position or a time; ``head``: where the stream was."""

    asked: str
    head: Count

    def __str__(self) -> str:
        return f"as of {self.asked}"


class PersonNamed(Value, frozen=True, kw_only=True):
    """Somebody the timeline names. ``email_hash`` is SHA-256 over the manifest's salt and the lower-case address."""

    id: PersonId
    name: str | None = None
    email_hash: Hash | None = None
    linked_to: PersonId | None = None


class FileListed(Value, frozen=True, kw_only=True):
    """One file of the archive: its lines (where it has lines), bytes and SHA-256."""

    name: str
    rows: Count | None = None
    bytes: Count
    sha256: Hash


class Meaning(Value, frozen=True, kw_only=True):
    """Settings that give the data meaning; for comparison only, never restored."""

    settings: SettingsFields
    modules: tuple[str, ...] = ()


# A default that a function makes is written all the same: what is read may lack it, what we write does not.
def _of_no_lines() -> TreeHead:
    return TreeHead(size=0, root=EMPTY.root().hex())


def _first_stream() -> int:
    return 1


class Manifest(Value, frozen=True, kw_only=True):
    """``manifest.json``. ``counts`` are the snapshots per kind; ``taken_by`` is a person's id or a system part.

    Other software may leave out the tree head with the timeline, and the control totals.
    """

    format_version: int
    product_version: str
    archive: str
    account: AccountNamed
    stream: Count = msgspec.field(default_factory=_first_stream)
    tree_head: TreeHead = msgspec.field(default_factory=_of_no_lines)
    segments: Annotated[tuple[Segment, ...], Meta(max_length=10_000)] = ()
    taken_at: dt.datetime
    taken_by: str
    as_of: AsOf | None = None
    counts: dict[str, Count]
    control_totals: ControlTotals | None = None
    custom_fields: tuple[CustomField, ...] = ()
    meaning: Meaning
    email_salt: str = msgspec.field(default_factory=str)
    people: tuple[PersonNamed, ...] = ()
    files: tuple[FileListed, ...]


def email_hash(salt: str, email: str) -> str:
    """An address as a manifest has it: whoever knows the address can recognise it, and nobody else read it."""
    return hashlib.sha256(f"{salt}{email.lower()}".encode()).hexdigest()


@cache
def product_version() -> str:
    """The version of this program, as it is installed; read once."""
    return version("counterfoil")


def encode(manifest: Manifest) -> bytes:
    """The bytes of ``manifest.json``: indented, for the person who opens it."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
