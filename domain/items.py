"""Items: what is sold (EN 16931 BG-31), with its price and VAT."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from domain.codes import Country, Unit
from domain.entity import FieldRefused, Reference, master_data_rules, partial
from domain.ids import EntityId
from domain.kinds import Kind
from domain.lines import Attribute, Classification, CustomFields, Vat, check_vat
from domain.parties import Identifier, LongText, Name, Value


class ItemFields(Value, frozen=True, kw_only=True):
    """What is known of an item; ``number`` is unique in the account. Prices are per ``unit``, without VAT."""

    number: Annotated[str, Meta(min_length=1, max_length=100)]
    name: Name
    description: LongText | None = None
    unit: Unit
    net_price: Decimal
    cost: Decimal | None = None
    vat: Vat
    ledger_account: EntityId | None = None
    standard_ids: tuple[Identifier, ...] = ()
    classifications: tuple[Classification, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    origin_country: Country | None = None
    custom_fields: CustomFields = {}


class Created(ItemFields, frozen=True, kw_only=True):
    """The item was entered."""


Changed = partial("Changed", ItemFields, doc="Fields of the item changed: the whole new value of each.")


class Item(ItemFields, frozen=True):
    """An item as it is."""

    id: EntityId
    version: int
    archived: bool = False
    merged_into: EntityId | None = None
    deleted: bool = False


def _references(item: Item) -> list[Reference]:
    references = []
    if item.ledger_account:
        references.append(Reference("ledger_account", item.ledger_account, (Kind.LEDGER_ACCOUNT,)))
    if item.merged_into:
        references.append(Reference("merged_into", item.merged_into, (Kind.ITEM,)))
    return references


def _check(item: Item) -> None:
    if item.net_price < 0:
        raise FieldRefused("net_price", str(item.net_price), "an amount of at least 0 (EN 16931 BR-27)")
    check_vat("vat", item.vat)


RULES = master_data_rules(Kind.ITEM, Item, Created, Changed, _references, check=_check)
