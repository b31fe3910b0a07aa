"""Whom and what the account knows, by what a UBL file calls them: how its buyer and its items are recognised.

Keys are tried from the surest to the weakest. What two sides both have and differ in speaks against a weaker match: two
customers of one name with two VAT identifiers are two.
"""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from domain.customers import Customer
from domain.decimals import FRACTION_DIGITS, round_half_up
from domain.ids import EntityId
from domain.items import Created as ItemCreated
from domain.items import Item
from domain.kinds import Kind
from domain.lines import Line
from domain.parties import Identifier, Party
from domain.work import Work

_ITEM_NUMBER = re.compile(r"I(\d{5,9})")
_ITEM_NUMBER_LIMIT = 100
_customer = msgspec.json.Decoder(Customer)
_item = msgspec.json.Decoder(Item)

Key = tuple[str, ...]


class FreshItems:
    """The items that one try at one file made: known to it alone until it is recorded."""

    def __init__(self) -> None:
        self.by_id: dict[EntityId, Item] = {}
        self._by_number: dict[str, Item] = {}
        self._by_key: dict[Key, list[EntityId]] = {}
        self._given = 0

    def add(self, item: Item) -> None:
        """Know *item* for the rest of this try."""
        self.by_id[item.id] = self._by_number[item.number] = item
        for key in _item_keys(item):
            self._by_key.setdefault(key, []).append(item.id)

    def numbered(self, number: str) -> Item | None:
        """The item made under *number*."""
        return self._by_number.get(number)

    def alike(self, key: Key) -> list[EntityId]:
        """The items made that *key* fits."""
        return self._by_key.get(key, [])

    def next_ordinal(self, after: int) -> int:
        """The ordinal to number the next item with, beyond *after* and all that were given before."""
        self._given = max(self._given, after) + 1
        return self._given


class Directory:
    """The customers and items of one stream, as they were when it was first looked at, and what was added to it since.

    Whatever it finds is looked up again in the command that uses it: what was deleted meanwhile is not found.
    """

    def __init__(self, work: Work) -> None:
        self.stream = work.stream
        self._customers: dict[Key, list[EntityId]] = {}
        self._items: dict[Key, list[EntityId]] = {}
        self._last_item = 0
        for raw in work.reader.of_kind(Kind.CUSTOMER):
            self.add_customer(_customer.decode(raw))
        for raw in work.reader.of_kind(Kind.ITEM):
            self.add_item(_item.decode(raw))

    def add_customer(self, customer: Customer) -> None:
        """Know *customer* from now on."""
        for key in party_keys(customer.party):
            self._customers.setdefault(key, []).append(customer.id)

    def add_item(self, item: Item) -> None:
        """Know *item* from now on."""
        for key in _item_keys(item):
            self._items.setdefault(key, []).append(item.id)
        if numbered := _ITEM_NUMBER.fullmatch(item.number):
            self._last_item = max(self._last_item, int(numbered.group(1)))

    def customer(self, work: Work, buyer: Party) -> Customer | None:
        """The customer that *buyer* is, or None."""
        for key in party_keys(buyer):
            for id_ in self._customers.get(key, ()):
                found = _standing(work, id_)
                if isinstance(found, Customer) and (found.id != id_ or is_same_party(found.party, buyer)):
                    return found  # what a person merged it into stands for it, whatever its own numbers are
        return None

    def item(self, work: Work, line: Line, fresh: FreshItems) -> Item | None:
        """The item that *line* sells, or None: by the seller's number for it, else by standard number, else by name."""
        if number := _own_number(line):
            if made := fresh.numbered(number):
                return made
            known = work.reader.by_number(Kind.ITEM, number)
            found = _standing(work, known) if known else None
            return found if isinstance(found, Item) else None
        for key in _line_keys(line):
            for id_ in (*self._items.get(key, ()), *fresh.alike(key)):
                found = _standing(work, id_)
                if isinstance(found, Item) and (found.id != id_ or _no_other_article(found, line)):
                    return found
        return None

    def new_item(self, work: Work, line: Line, fresh: FreshItems) -> ItemCreated:
        """What an item that *line* sells is made of; its price is that of one unit."""
        price = line.net_price
        if line.price_base_quantity and line.price_base_quantity != 1:
            price = _plain(round_half_up(price / line.price_base_quantity, FRACTION_DIGITS))
        return ItemCreated(
            number=_own_number(line) or self._free_number(work, fresh),
            name=line.name,
            description=line.description,
            unit=line.unit,
            net_price=price,
            vat=line.vat,
            standard_ids=(line.standard_item_id,) if line.standard_item_id else (),
            classifications=line.classifications,
            attributes=line.attributes,
            origin_country=line.origin_country,
        )

    def _free_number(self, work: Work, fresh: FreshItems) -> str:
        while True:
            number = f"I{fresh.next_ordinal(self._last_item):05}"
            if fresh.numbered(number) is None and work.reader.by_number(Kind.ITEM, number) is None:
                return number


def party_keys(party: Party) -> list[Key]:
    """What *party* can be recognised by, the surest first."""
    keys: list[Key] = []
    if vat := normal(party.vat_identifier):
        keys.append(("vat", vat))
    if party.electronic_address:
        keys.append(("electronic", *_identity(party.electronic_address)))
    if party.legal_registration:
        keys.append(("legal", *_identity(party.legal_registration)))
    keys.append(("name", name_of(party), party.address.country if party.address else ""))
    return keys


def is_same_party(known: Party, other: Party) -> bool:
    """Whether nothing that both have, and that is theirs alone, differs: VAT identifier, else legal registration."""
    vat = normal(known.vat_identifier), normal(other.vat_identifier)
    if all(vat):
        return vat[0] == vat[1]
    registrations = known.legal_registration, other.legal_registration
    return not all(registrations) or _alike(*registrations)


def is_company(company: Party, seller: Party) -> bool:
    """Whether *seller* is *company*: by the surest of what both have, else by name."""
    vat = normal(company.vat_identifier), normal(seller.vat_identifier)
    if all(vat):
        return vat[0] == vat[1]
    for own, stated in (
        (company.legal_registration, seller.legal_registration),
        (company.electronic_address, seller.electronic_address),
    ):
        if own and stated:
            return _alike(own, stated)
    return name_of(company) == name_of(seller)


def normal(number: str | None) -> str:
    """*number* without the blanks, dots and dashes that some write it with."""
    return re.sub(r"[\W_]", "", (number or "").upper())


def name_of(party: Party) -> str:
    """The name as it compares: case and blanks aside."""
    return " ".join(party.name.casefold().split())


def _alike(one: Identifier | None, other: Identifier | None) -> bool:
    if one is None or other is None or normal(one.value) != normal(other.value):
        return False
    return one.scheme is None or other.scheme is None or one.scheme == other.scheme


def _identity(identifier: Identifier) -> Key:
    return (identifier.scheme or "", normal(identifier.value))


def _own_number(line: Line) -> str | None:
    number = line.seller_item_id
    return number if number and len(number) <= _ITEM_NUMBER_LIMIT else None


def _line_keys(line: Line) -> list[Key]:
    keys: list[Key] = [("standard", *_identity(line.standard_item_id))] if line.standard_item_id else []
    return [*keys, ("name", " ".join(line.name.casefold().split()))]


def _item_keys(item: Item) -> list[Key]:
    return [
        *(("standard", *_identity(one)) for one in item.standard_ids),
        ("name", " ".join(item.name.casefold().split())),
    ]


def _no_other_article(item: Item, line: Line) -> bool:
    """Whether the item's standard numbers, if it and the line have any, are the line's."""
    if line.standard_item_id is None or not item.standard_ids:
        return True
    return any(_alike(one, line.standard_item_id) for one in item.standard_ids)


def _standing(work: Work, id_: EntityId) -> Customer | Item | None:
    """What stands for the entity now: itself, or what it was merged into."""
    found: Customer | Item | None = work.find(id_)
    while found is not None and found.merged_into:
        found = work.find(found.merged_into)
    return found


def _plain(value: Decimal) -> Decimal:
    text = f"{value:f}"
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)
