"""What must outlive a stream that is purged: which periods of subscriptions it invoiced.

A resumed subscription leaves out the periods that any stream of the account invoiced. Those that only a purged stream
did are on the account's own history from then on.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from psycopg import Connection

from domain.control import InvoicedPeriod, PeriodsInvoiced
from domain.ids import AccountId, EntityId
from domain.store.database import Row
from domain.store.statements import statements
from domain.subscriptions import PeriodInvoiced

SQL = statements("snapshots.fresh", "fresh.sql")
MOST_AN_EVENT = 1_000  # some 200 KB
_period = msgspec.json.Decoder(PeriodInvoiced).decode


def invoiced_only_in(connection: Connection[Row], account: AccountId, stream: int) -> Iterator[PeriodsInvoiced]:
    """Control events that keep the periods which *stream* invoiced and the live one did not; none where there are none.

    To be recorded in the transaction that purges the stream, or in one before it. Reads by a cursor of its own, in a
    transaction that the caller opened.
    """
    with connection.cursor("invoiced_only_in") as cursor:
        cursor.execute(SQL["read_invoiced_only_in"], {"account": account, "stream": stream})
        while rows := cursor.fetchmany(MOST_AN_EVENT):
            periods = []
            for subscription, data, number in rows:
                period = _period(data)
                periods.append(
                    InvoicedPeriod(
                        subscription=EntityId(subscription),
                        start=period.start,
                        next_date=period.next_date,
                        document=period.document,
                        number=number,
                    )
                )
            yield PeriodsInvoiced(stream=stream, periods=tuple(periods))
