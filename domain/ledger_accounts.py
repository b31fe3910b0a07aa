"""Ledger accounts: the chart of accounts, numbered so that a child's number begins with its parent's."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from domain.entity import Reference, master_data_rules, partial
from domain.ids import EntityId
from domain.kinds import Kind
from domain.lines import CustomFields, Vat
from domain.parties import Name, Value


class LedgerAccountFields(Value, frozen=True, kw_only=True):
    """What is known of a ledger account; ``number`` is unique in the account."""

    number: Annotated[str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z.-]{0,19}$")]
    name: Name
    type: Literal["asset", "liability", "equity", "income", "expense"]
    parent: EntityId | None = None
    vat_default: Vat | None = None
    custom_fields: CustomFields = {}


class Created(LedgerAccountFields, frozen=True, kw_only=True):
    """The ledger account was added to the chart."""


Changed = partial(
    "Changed", LedgerAccountFields, doc="Fields of the ledger account changed: the whole new value of each."
)


class LedgerAccount(LedgerAccountFields, frozen=True):
    """A ledger account as it is."""

    id: EntityId
    version: int
    archived: bool = False
    merged_into: EntityId | None = None
    deleted: bool = False


def _references(account: LedgerAccount) -> list[Reference]:
    references = []
    if account.parent:
        references.append(Reference("parent", account.parent, (Kind.LEDGER_ACCOUNT,)))
    if account.merged_into:
        references.append(Reference("merged_into", account.merged_into, (Kind.LEDGER_ACCOUNT,)))
    return references


RULES = master_data_rules(Kind.LEDGER_ACCOUNT, LedgerAccount, Created, Changed, _references)
