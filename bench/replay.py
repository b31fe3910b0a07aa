"""Rebuilding entities from their stored events, beside the stock library's Repository on the same events.

Ours rebuilds every entity of the account; the stock side, which would take minutes, the first few thousand invoices.
Compared are events a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from eventsourcing.application import Application as StockApplication

from bench.account import Large
from bench.server import Place, compare, new_database, side
from bench.stock import Invoice, happen, stock_application
from domain.events import Event, read_line
from domain.ids import AccountId
from domain.store.database import Database
from projections.rebuild import rebuild_states

INVOICES = 3_000
EVENTS_EACH = 4
_INVOICE_LINES = """
    SELECT event_line_1(type, type_version, entity_id, version, at, actor, via, data) FROM events
    WHERE account_id = %s AND type LIKE 'invoice.%%' ORDER BY entity_id, version LIMIT %s
"""


def measure(place: Place, large: Large) -> dict[str, float]:
    """``replay_vs_stock``: how many times as many events a second as the stock repository rebuilds from."""
    with new_database(place, "bench_stock") as theirs, stock_application(theirs) as stock:
        ids = _same_invoices(large.database, large.account.access.account, stock)
        compared = compare(place, side(lambda: _all_ours(large)), side(lambda: _all_stock(stock, ids)))
    events_a_second = large.account.events / compared.ours
    stock_events_a_second = INVOICES * EVENTS_EACH / compared.peer
    return {
        "replay_vs_stock": events_a_second / stock_events_a_second,
        "replay_events_a_second": events_a_second,
        "stock_replay_events_a_second": stock_events_a_second,
    }


def _same_invoices(database: Database, account: AccountId, stock: StockApplication[UUID]) -> list[UUID]:
    """The first invoices of the account, recorded by the stock application anew."""
    with database.transaction(account) as connection:
        rows = connection.execute(_INVOICE_LINES, (account, INVOICES * EVENTS_EACH)).fetchall()
    events: Iterator[Event] = (read_line(raw.encode()) for (raw,) in rows)
    ids, invoice = [], None
    for event in events:
        invoice = happen(None if event.version == 1 else invoice, event.data)
        if event.version == EVENTS_EACH:
            stock.save(invoice)
            ids.append(invoice.id)
    return ids


def _all_ours(large: Large) -> int:
    return sum(1 for _ in rebuild_states(large.database, large.account.access.account))


def _all_stock(stock: StockApplication[UUID], ids: list[UUID]) -> list[Invoice]:
    return [stock.repository.get(id_) for id_ in ids]
