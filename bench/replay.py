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
from domain.events import Event, decode_lines, read_line
from domain.ids import NIL, AccountId
from domain.store.database import Database
from snapshots.ahead import ahead

INVOICES = 3_000
EVENTS_EACH = 4
_INVOICE_LINES = """
    SELECT event_line_1(type, type_version, entity_id, version, at, actor, via, data) FROM events
    WHERE account_id = %s AND type LIKE 'invoice.%%' ORDER BY entity_id, version LIMIT %s
"""
# A block of lines in order of entity and version, and where it ends. Key: events_version_key.
_BY_ENTITY = """
    SELECT convert_to(string_agg(line, E'\\n'), 'UTF8'),
           (array_agg(entity_id::text))[count(*)], (array_agg(version))[count(*)]
    FROM (SELECT event_line_1(type, type_version, entity_id, version, at, actor, via, data) AS line, entity_id, version
          FROM events
          WHERE account_id = %(account)s AND stream_id = 1 AND (entity_id, version) > (%(entity)s::uuid, %(version)s)
          ORDER BY entity_id, version LIMIT 2000) AS block
"""


def measure(place: Place, large: Large) -> dict[str, float]:
    """``replay_vs_stock``: how many times as many events a second as the stock repository rebuilds from."""
    with new_database(place, "bench_stock") as theirs, stock_application(theirs) as stock:
        ids = _same_invoices(large.database, large.account.access.account, stock)
        ours = side(lambda: rebuild(large))
        compared = compare(place, ours, side(lambda: _all_stock(stock, ids)))
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


def rebuild(large: Large) -> int:
    """Every entity's state from its events alone, entity after entity. How many there are."""
    rebuilt, state = 0, None
    with ahead(_blocks(large)) as blocks:
        for block in blocks:
            for event in decode_lines(block):
                if event.version == 1:
                    state, rebuilt = None, rebuilt + 1
                state = event.rules.evolve(state, event.data, event.entity, event.version)
    return rebuilt


def _all_stock(stock: StockApplication[UUID], ids: list[UUID]) -> list[Invoice]:
    return [stock.repository.get(id_) for id_ in ids]


def _blocks(large: Large) -> Iterator[bytes]:
    """The account's lines, by entity and version."""
    account = large.account.access.account
    after = (NIL, 0)
    with large.database.transaction(account, snapshot=True) as connection:
        while True:
            parameters = {"account": account, "entity": after[0], "version": after[1]}
            block, entity, version = connection.execute(_BY_ENTITY, parameters, binary=True).fetchall()[0]
            if block is None:
                return
            yield block
            after = (entity, version)
