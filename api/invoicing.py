"""Invoices of subscriptions that the service makes by itself, each day, for the accounts that wish it."""

from __future__ import annotations

from contextlib import suppress
from zoneinfo import ZoneInfo

from api.bootstrap import Installation
from api.jobs.asking import enqueue
from domain.accounts import service_access
from domain.due import ACTOR, DAILY
from domain.ids import AccountId
from domain.store.database import KEEPER
from domain.store.statements import statements
from domain.store.streams import AccountUnknown

SQL = statements("api", "invoicing.sql")
INVOICE_DUE = "invoice-due"  # the kind of job
AT_HOUR = 4  # of the account's own day, which has begun by then on every day of the year


def each_hour(installation: Installation) -> None:
    """Ask for the day's invoices of the accounts in whose zone it is AT_HOUR.

    An account that no worker came to in that hour has what was due that day invoiced on the next.
    """
    now = installation.application.clock()
    with installation.database.session(KEEPER) as keeper:
        accounts = keeper.execute(SQL["list_time_zones"]).fetchall()
    for account, zone in accounts:
        if now.astimezone(ZoneInfo(zone)).hour != AT_HOUR:
            continue
        with suppress(AccountUnknown):  # it is being erased
            control = service_access(installation.database, AccountId(account)).control
            if DAILY in control.modules and not control.closed:
                of = (installation.application, installation.settings, AccountId(account))
                enqueue(*of, ACTOR, INVOICE_DUE, request={})
