"""The kinds of entities that a stream holds."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What an entity is. The value is the first part of its events' type names and the table's ``kind``."""

    CUSTOMER = "customer"
    ITEM = "item"
    LAYOUT = "layout"
    LEDGER_ACCOUNT = "ledger_account"
    SUBSCRIPTION = "subscription"
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    QUOTE = "quote"
    RECEIPT = "receipt"
    PURCHASE_ORDER = "purchase_order"
    DELIVERY_NOTE = "delivery_note"

    @property
    def is_document(self) -> bool:
        """Whether entities of this kind have a document's life cycle."""
        return self in DOCUMENT_KINDS


DOCUMENT_KINDS = (
    Kind.INVOICE,
    Kind.CREDIT_NOTE,
    Kind.QUOTE,
    Kind.RECEIPT,
    Kind.PURCHASE_ORDER,
    Kind.DELIVERY_NOTE,
)
