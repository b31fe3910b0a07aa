"""The rules of every kind, in one table."""

from __future__ import annotations

from domain import customers, items, layouts, ledger_accounts, subscriptions
from domain.documents import RULES as DOCUMENT_RULES
from domain.entity import KindRules
from domain.kinds import Kind

RULES: dict[Kind, KindRules] = {
    Kind.CUSTOMER: customers.RULES,
    Kind.ITEM: items.RULES,
    Kind.LAYOUT: layouts.RULES,
    Kind.LEDGER_ACCOUNT: ledger_accounts.RULES,
    Kind.SUBSCRIPTION: subscriptions.RULES,
    **DOCUMENT_RULES,
}
