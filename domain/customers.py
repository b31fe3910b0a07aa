"""Customers: who buys (EN 16931 BG-7), and what is agreed with them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from domain.codes import Currency, Language
from domain.entity import Reference, master_data_rules, partial
from domain.ids import EntityId
from domain.kinds import Kind
from domain.lines import CustomFields, Vat
from domain.parties import BankAccount, Identifier, LongText, Party, PaymentTerms, Value


class CustomerFields(Value, frozen=True, kw_only=True):
    """What is known of a customer. ``route`` is where e-invoices go to (EAS scheme and address)."""

    number: Annotated[str, Meta(min_length=1, max_length=50)] | None = None
    party: Party
    language: Language
    currency: Currency
    payment_terms: PaymentTerms | None = None
    default_vat: Vat | None = None
    price_list_discount: Decimal | None = None
    bank_accounts: tuple[BankAccount, ...] = ()
    route: Identifier | None = None
    notes: LongText | None = None
    custom_fields: CustomFields = {}


class Created(CustomerFields, frozen=True, kw_only=True):
    """The customer was entered."""


Changed = partial("Changed", CustomerFields, doc="Fields of the customer changed: the whole new value of each.")


class Customer(CustomerFields, frozen=True):
    """A customer as it is."""

    id: EntityId
    version: int
    archived: bool = False
    merged_into: EntityId | None = None
    deleted: bool = False


def _references(customer: Customer) -> list[Reference]:
    return [Reference("merged_into", customer.merged_into, (Kind.CUSTOMER,))] if customer.merged_into else []


RULES = master_data_rules(Kind.CUSTOMER, Customer, Created, Changed, _references)
