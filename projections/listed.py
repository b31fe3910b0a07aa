"""What lists are filtered, sorted and searched by: a narrow row for each entity, made from its snapshot.

The rows are made when a list is asked for, up to the live stream's head, so that neither an append nor a restore pays
for them, and a stream that nobody searches has none. Whoever reads them proves in the same moment that they are at the
head: they are as true as the snapshots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from psycopg import Connection

from domain.ids import AccountId
from domain.kinds import Kind
from domain.store.database import Database, Row
from domain.store.statements import statements
from domain.store.streams import AccountUnknown
from projections.folding import fold, in_order, squeeze

SQL = statements("projections", "listed.sql")
RULES = 2  # counted up whenever rows are made otherwise than before: then they are made anew
ROWS_A_BLOCK = 2_000
RECENT = 5_000  # events since; where there are more, looking through the snapshots is quicker
_encode = msgspec.json.Encoder().encode


class Keys(Struct, omit_defaults=True, kw_only=True):
    """What an entity is found by. What a field holds depends on the kind: ``belongs_to`` is the customer of a document
    or subscription, the ledger account of an item, the parent of a ledger account, what a customer was merged into.
    """

    id: str
    state: str
    text: str
    belongs_to: str | None = None
    dated: date | None = None
    due: date | None = None
    amount: Decimal | None = None
    open_amount: Decimal | None = None
    number: str | None = None
    number_order: str | None = None
    name: str | None = None
    currency: str | None = None
    country: str | None = None
    city: str | None = None
    vat: str | None = None
    email: str | None = None
    refs: list[str] | None = None


class Heads(NamedTuple):
    """The live stream, its head, and the kinds whose rows are at it."""

    stream: int
    position: int
    kinds: tuple[str, ...]


def read_heads(connection: Connection[Row], account: AccountId) -> Heads:
    """How far the account's rows are, as the connection's transaction sees it. Raises AccountUnknown."""
    row = connection.execute(SQL["read_heads"], {"account": account, "rules": RULES}).fetchone()
    if row is None:
        raise AccountUnknown(account)
    return Heads(row[0], row[1], tuple(row[2]))


def lock_live(connection: Connection[Row], account: AccountId) -> None:
    """Keep the account's writers waiting until the transaction ends."""
    connection.execute(SQL["lock_live"], {"account": account})


def catch_up(database: Database, account: AccountId, kind: Kind) -> None:
    """Make the rows of *kind* what the live stream's snapshots say. Raises AccountUnknown.

    Memory is a block; the first time in a stream takes about 2 s for 100,000 documents, later what was changed since.
    """
    with database.transaction(account) as connection:
        catch_up_within(connection, account, kind)


def catch_up_within(connection: Connection[Row], account: AccountId, kind: Kind) -> None:
    """As ``catch_up``, in the connection's transaction, which must not be one that sees a single moment.

    What changes meanwhile may be in the rows already: the position that is kept is one before, so it is done again.
    """
    heads = read_heads(connection, account)
    key = {"account": account, "stream": heads.stream, "kind": kind.value, "rules": RULES}
    connection.execute(SQL["make_head"], key)
    row = connection.execute(SQL["lock_head"], key).fetchone()
    position = row[0] if row else 0
    if position >= heads.position:
        return
    statement = "read_recent" if position and heads.position - position <= RECENT else "read_changed"
    with connection.cursor("changed") as changed:
        changed.execute(SQL[statement], {**key, "position": position})
        while rows := changed.fetchmany(ROWS_A_BLOCK):
            made = [keys_of(kind, state) for _, deleted, state in rows if not deleted]
            connection.execute(SQL["put_rows"], {**key, "made": _encode(made).decode()})
            gone = [entity for entity, deleted, _ in rows if deleted]
            connection.execute(SQL["delete_rows"], {**key, "gone": gone})
    connection.execute(SQL["put_head"], {**key, "head": heads.position})


def wrong_rows(connection: Connection[Row], account: AccountId, stream: int) -> Iterator[tuple[str, str, str]]:
    """The entities whose rows are not what their snapshots say, with what was found and what would be right.

    Rows that are still to be made are not wrong. Memory is a block.
    """
    key = {"account": account, "stream": stream}
    for kind, position in connection.execute(SQL["read_heads_of"], {**key, "rules": RULES}).fetchall():
        with connection.cursor("pairs") as pairs:
            pairs.execute(SQL["read_pairs"], {**key, "kind": kind, "position": position})
            while rows := pairs.fetchmany(ROWS_A_BLOCK):
                for entity, deleted, state, row in rows:
                    expected = None if deleted else keys_of(Kind(kind), state)
                    found = None if row is None else _decode_row(row)
                    if found != expected:
                        yield entity, _shown(found), _shown(expected)


def _decode_row(row: str) -> Keys:
    values = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
    entity = values.pop("entity_id")
    return msgspec.json.decode(msgspec.json.encode({**values, "id": entity}), type=Keys)


def _shown(keys: Keys | None) -> str:
    return "nothing" if keys is None else _encode(keys).decode()


def forget(connection: Connection[Row], account: AccountId, stream: int) -> None:
    """Have the rows of *stream* made anew: its snapshots were put right behind their positions."""
    connection.execute(SQL["forget"], {"account": account, "stream": stream})


def keys_of(kind: Kind, state: str | bytes) -> Keys:
    """What an entity of *kind* is found by, from its snapshot."""
    found = _DECODERS[kind].decode(state)
    keys: Keys = _MAKERS[type(found)](found)
    return keys


class _Named(Struct):
    name: str = ""
    seller_item_id: str | None = None


class _Totals(Struct):
    with_vat: Decimal
    due: Decimal


class _Value(Struct):
    value: str


class _Address(Struct):
    city: str | None = None
    post_code: str | None = None
    country: str | None = None


class _Contact(Struct):
    name: str | None = None
    phone: str | None = None
    email: str | None = None


class _Party(Struct):
    name: str
    trading_name: str | None = None
    vat_identifier: str | None = None
    tax_registration: str | None = None
    legal_registration: _Value | None = None
    identifiers: tuple[_Value, ...] = ()
    address: _Address | None = None
    contact: _Contact | None = None


class _Origin(Struct):
    document: str | None = None
    number: str | None = None


class _Entity(Struct):
    id: str
    custom_fields: dict[str, Any] = {}


class _MasterData(_Entity):
    archived: bool = False
    merged_into: str | None = None
    number: str | None = None
    name: str = ""

    @property
    def condition(self) -> str:
        return "merged" if self.merged_into else "archived" if self.archived else "active"


class _Document(_Entity, kw_only=True):
    customer: str
    currency: str
    state: str = "draft"
    number: str | None = None
    issue_date: date | None = None
    due_date: date | None = None
    valid_until: date | None = None
    requested_delivery: date | None = None
    totals: _Totals | None = None
    buyer: _Party | None = None
    buyer_reference: str | None = None
    order_reference: str | None = None
    contract_reference: str | None = None
    project_reference: str | None = None
    derived_from: tuple[_Origin, ...] = ()
    preceding_invoices: tuple[_Origin, ...] = ()
    lines: tuple[_Named, ...] = ()


class _Subscription(_Entity, kw_only=True):
    customer: str
    currency: str
    next_date: date
    until: date | None = None
    state: str = "active"
    lines: tuple[_Named, ...] = ()


class _Customer(_MasterData, kw_only=True):
    party: _Party
    currency: str | None = None


class _Item(_MasterData, kw_only=True):
    net_price: Decimal
    description: str | None = None
    ledger_account: str | None = None
    standard_ids: tuple[_Value, ...] = ()


class _Layout(_MasterData):
    pass


class _LedgerAccount(_MasterData):
    type: str = ""
    parent: str | None = None


def _document(of: _Document) -> Keys:
    references = (of.buyer_reference, of.order_reference, of.contract_reference, of.project_reference)
    origins = (*of.derived_from, *of.preceding_invoices)
    numbers = [one.number for one in of.preceding_invoices if one.number]
    buyer = of.buyer
    return Keys(
        id=of.id,
        state=of.state,
        belongs_to=of.customer,
        dated=of.issue_date,
        due=of.due_date or of.valid_until or of.requested_delivery,
        amount=of.totals.with_vat if of.totals else None,
        open_amount=of.totals.due if of.totals else None,
        number=of.number,
        number_order=in_order(of.number) if of.number else None,
        currency=of.currency,
        refs=[*map(fold, filter(None, references)), *(one.document for one in origins if one.document)] or None,
        text=_text(of, (of.number, buyer.name if buyer else None, *references, *numbers, *_lines(of.lines))),
    )


def _subscription(of: _Subscription) -> Keys:
    return Keys(
        id=of.id,
        state=of.state,
        belongs_to=of.customer,
        dated=of.next_date,
        due=of.until,
        currency=of.currency,
        text=_text(of, _lines(of.lines)),
    )


def _customer(of: _Customer) -> Keys:
    party = of.party
    address, contact = party.address or _Address(), party.contact or _Contact()
    identifiers = [one.value for one in (party.legal_registration, *party.identifiers) if one]
    vat = squeeze(party.vat_identifier) if party.vat_identifier else None
    where = (address.city, address.post_code)
    whom = (contact.name, contact.email, contact.phone)
    names = (of.number, party.name, party.trading_name, party.vat_identifier, vat, party.tax_registration)
    return Keys(
        id=of.id,
        state=of.condition,
        belongs_to=of.merged_into,
        number=of.number,
        number_order=in_order(of.number) if of.number else None,
        name=fold(party.name),
        currency=of.currency,
        country=address.country,
        city=fold(address.city) if address.city else None,
        vat=vat,
        email=fold(contact.email) if contact.email else None,
        text=_text(of, (*names, *identifiers, *where, *whom)),
    )


def _item(of: _Item) -> Keys:
    standard = [one.value for one in of.standard_ids]
    return Keys(
        id=of.id,
        state=of.condition,
        belongs_to=of.ledger_account,
        amount=of.net_price,
        number=of.number,
        number_order=in_order(of.number) if of.number else None,
        name=fold(of.name),
        text=_text(of, (of.number, of.name, of.description, *standard)),
    )


def _layout(of: _Layout) -> Keys:
    return Keys(id=of.id, state=of.condition, name=fold(of.name), text=_text(of, (of.name,)))


def _ledger_account(of: _LedgerAccount) -> Keys:
    return Keys(
        id=of.id,
        state=of.condition,
        belongs_to=of.parent,
        number=of.number,
        number_order=of.number,  # a chart is in the order of text: 70, 700, 7000, 701
        name=fold(of.name),
        refs=[of.type],
        text=_text(of, (of.number, of.name)),
    )


def _lines(lines: Iterable[_Named]) -> Iterator[str | None]:
    for line in lines:
        yield line.name
        yield line.seller_item_id


def _text(of: _Entity, parts: Iterable[str | None]) -> str:
    own = (value for value in of.custom_fields.values() if isinstance(value, str))
    return fold("\n".join(part for part in (*parts, *own) if part))


_MAKERS: dict[type[_Entity], Any] = {
    _Document: _document,
    _Subscription: _subscription,
    _Customer: _customer,
    _Item: _item,
    _Layout: _layout,
    _LedgerAccount: _ledger_account,
}
_SHAPES: dict[Kind, type[_Entity]] = {
    Kind.CUSTOMER: _Customer,
    Kind.ITEM: _Item,
    Kind.LAYOUT: _Layout,
    Kind.LEDGER_ACCOUNT: _LedgerAccount,
    Kind.SUBSCRIPTION: _Subscription,
}
_DECODERS: dict[Kind, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(_SHAPES.get(kind, _Document)) for kind in Kind
}
