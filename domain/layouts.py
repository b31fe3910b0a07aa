"""Layouts: templates by which documents are drawn up."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from domain.codes import Language
from domain.entity import FieldRefused, Reference, master_data_rules, partial
from domain.ids import EntityId
from domain.kinds import DOCUMENT_KINDS, Kind
from domain.lines import CustomFields
from domain.parties import LongText, Name, Value

LOGO_BYTES = 512 * 1024

DocumentKind = Literal["invoice", "credit_note", "quote", "receipt", "purchase_order", "delivery_note"]


class Logo(Value, frozen=True, kw_only=True):
    """An image of at most 512 KiB, in Base64 as msgspec and JSON carry bytes."""

    media_type: Literal["image/png", "image/jpeg"]
    data: bytes


class Template(Value, frozen=True, kw_only=True):
    """Which fields are shown and in what order, colours as ``#rrggbb``, the logo, and texts with placeholders
    such as ``{number}`` at top and bottom.
    """

    fields: tuple[Annotated[str, Meta(min_length=1, max_length=60)], ...] = ()
    colour: Annotated[str, Meta(pattern=r"^#[0-9a-f]{6}$")] | None = None
    accent_colour: Annotated[str, Meta(pattern=r"^#[0-9a-f]{6}$")] | None = None
    logo: Logo | None = None
    top: LongText | None = None
    bottom: LongText | None = None


class LayoutFields(Value, frozen=True, kw_only=True):
    """What is known of a layout; ``default_for`` names the document kinds for which it is its language's default."""

    name: Name
    document_kinds: tuple[DocumentKind, ...]
    language: Language
    template: Template
    default_for: tuple[DocumentKind, ...] = ()
    custom_fields: CustomFields = {}


class Created(LayoutFields, frozen=True, kw_only=True):
    """The layout was made."""


Changed = partial("Changed", LayoutFields, doc="Fields of the layout changed: the whole new value of each.")


class Layout(LayoutFields, frozen=True):
    """A layout as it is."""

    id: EntityId
    version: int
    archived: bool = False
    merged_into: EntityId | None = None
    deleted: bool = False


def _references(layout: Layout) -> list[Reference]:
    return [Reference("merged_into", layout.merged_into, (Kind.LAYOUT,))] if layout.merged_into else []


def default_keys(layout: Layout) -> list[str]:
    """What may stand once in an account: the document kinds and language that the layout is the default for."""
    if layout.deleted or layout.merged_into or layout.archived:
        return []
    return [f"{kind}/{layout.language}" for kind in layout.default_for]


def _check(layout: Layout) -> None:
    if not layout.document_kinds:
        raise FieldRefused(
            "document_kinds", "none", f"at least one of {', '.join(kind.value for kind in DOCUMENT_KINDS)}"
        )
    strangers = set(layout.default_for) - set(layout.document_kinds)
    if strangers:
        raise FieldRefused("default_for", ", ".join(sorted(strangers)), "only kinds named in document_kinds")
    logo = layout.template.logo
    if logo is not None and len(logo.data) > LOGO_BYTES:
        raise FieldRefused("template.logo", f"{len(logo.data):,} bytes", f"at most {LOGO_BYTES:,} bytes")


RULES = master_data_rules(Kind.LAYOUT, Layout, Created, Changed, _references, check=_check)
