"""Mailing what people are told, through the SMTP server of the settings: at least once, and never sent when it was not.

What goes into one mail is decided and kept before it is sent, so that every try sends the same under the same
Message-ID. It counts as sent once the server took it. Whoever dies in between leaves a claim that runs out; then it is
tried again, at growing intervals, and given up after three days. A person gets a few mails an hour of an account; what
comes beyond is told together in the next.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from email.message import EmailMessage
from itertools import groupby
from types import TracebackType
from typing import NamedTuple, Self

import msgspec
import psycopg
from psycopg import Connection

from api.bootstrap import Installation
from api.letters import Told, letter
from api.settings import Settings
from domain import control as c
from domain.accounts import Access, read_people, service_access
from domain.errors import CounterfoilError
from domain.ids import AccountId, PersonId
from domain.notices import title
from domain.parties import Value
from domain.store.database import PURGER, Row
from domain.store.statements import statements
from projections.notices import names_of, told

SQL = statements("api", "mail.sql")
LOG = logging.getLogger("counterfoil.mail")
MOST_AN_HOUR = 6  # mails to a person about an account: a mailbox stays readable through a storm of restores
GIVEN_UP_AFTER = timedelta(days=3)
EVERY_S = 20.0
TIMEOUT_S = 20.0  # for each answer of the server
_LEASE = timedelta(minutes=10)  # for which nobody else tries what was claimed
_WITHIN_LEASE_S = 300.0  # no mail is begun later than this after its claim: it must end within the lease
_MOST_ROWS = 1_000  # of an account at a time
_MOST_WAIT = timedelta(hours=4)
_TOO_LATE = "it was not mailed within three days"


class MailReport(Value, frozen=True, kw_only=True):
    """What became of the mails that were due."""

    sent: int = 0
    put_off: int = 0
    failed: int = 0


class _Mail(NamedTuple):
    """One mail: to whom, the first notice in it, how many tries with this one, and since when it is to be sent."""

    person: PersonId
    first: int
    tries: int
    since: datetime


class _Due(NamedTuple):
    person: PersonId
    position: int
    at: datetime
    first: int | None
    tries: int


class _NotSent(Exception):
    """The server did not take it; whether it may yet. What it says is for the person, and names no server."""

    def __init__(self, reason: str, *, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good


def send_due(installation: Installation) -> MailReport:
    """Mail what is due, of all accounts. Does nothing without an SMTP server in the settings. Safe beside itself.

    What fails for an account is logged; what was not recorded by then is sent again, under the same Message-ID.
    """
    settings, database, application = installation
    counts = {"sent": 0, "put_off": 0, "failed": 0}
    if settings.smtp_host is None:
        return MailReport()
    with database.session(PURGER) as finder:
        found = finder.execute(SQL["list_due"], {"now": application.clock()}).fetchall()
    with _Relay(settings) as relay:
        for (account,) in found:
            try:
                for outcome in _send_of(installation, AccountId(account), relay):
                    counts[outcome] += 1
            except Exception:  # what keeps one account's mail keeps nobody else's
                LOG.exception("mailing what is told of account %s failed; it is tried again", account)
    return MailReport(**counts)


def _send_of(installation: Installation, account: AccountId, relay: _Relay) -> Iterator[str]:
    """Mail what is due of an account: what became of each mail."""
    database, now = installation.database, installation.application.clock
    with database.transaction(account) as connection:
        mails = _claimed(connection, account, now())
    claimed = time.monotonic()
    access = service_access(database, account) if mails else None
    for mail in mails:
        assert access is not None, "there is something to mail"
        if time.monotonic() - claimed > _WITHIN_LEASE_S:
            return  # the server is slow: the claims of the others run out
        try:
            relay.send(_written(installation, access, mail))
        except _NotSent as wrong:
            until = _next_try(mail, now(), wrong)
            LOG.warning("account %s: a notice of %s was not mailed: %s", account, mail.person, wrong)
            _record(installation, account, mail, "record_not_sent", until=until, problem=str(wrong))
            yield "failed" if until is None else "put_off"
        else:
            _record(installation, account, mail, "record_sent")
            yield "sent"


def _next_try(mail: _Mail, now: datetime, wrong: _NotSent) -> datetime | None:
    """When to try again, None for never."""
    until = now + min(timedelta(minutes=2**mail.tries), _MOST_WAIT)
    return None if wrong.for_good or until - mail.since > GIVEN_UP_AFTER else until


def _claimed(connection: Connection[Row], account: AccountId, now: datetime) -> list[_Mail]:
    """The mails to send now: those that were tried before as they were, and all that is new to a person in one."""
    key = {"account": account, "now": now, "most": _MOST_ROWS, "too_old": now - GIVEN_UP_AFTER, "problem": _TOO_LATE}
    connection.execute(SQL["give_up"], key)
    rows = [_Due(*row) for row in connection.execute(SQL["lock_due"], key)]
    since = {"account": account, "since": now - timedelta(hours=1)}
    lately = {person: (count, at) for person, count, at in connection.execute(SQL["count_mailed"], since).fetchall()}
    rows.sort(key=lambda row: (row.person, row.first or 0, row.position))
    mails = []
    for (person, first), group in groupby(rows, key=lambda row: (row.person, row.first)):
        due = list(group)
        positions = [one.position for one in due]
        to = {"account": account, "person": person, "positions": positions}
        count, at = lately.get(person, (0, None))
        if first is None and count >= MOST_AN_HOUR:
            connection.execute(SQL["put_off"], {**to, "until": (at or now) + timedelta(hours=1)})
            continue
        mail = _Mail(person, first or positions[0], due[0].tries + 1, due[0].at)
        connection.execute(SQL["claim"], {**to, "first": mail.first, "until": now + _LEASE})
        mails.append(mail)
    return mails


def _written(installation: Installation, access: Access, mail: _Mail) -> EmailMessage:
    """The mail. Raises _NotSent, for good, when nobody can be mailed there."""
    settings, database, _ = installation
    person = read_people(database, [mail.person]).get(mail.person)
    if person is None:
        raise _NotSent("nobody is known by that id any more", for_good=True)
    with database.transaction(access.account) as connection:
        parameters = {"account": access.account, "person": mail.person, "first": mail.first}
        rows = connection.execute(SQL["read_events"], parameters).fetchall()
    names = names_of(database, [actor for _, _, actor, _ in rows])
    telling = [
        Told(at, title(msgspec.json.decode(data, type=c.CONTROL_EVENTS[type_])), told(type_, data, actor, names))
        for type_, at, actor, data in rows
    ]
    try:
        return letter(settings, access, person, telling, first=mail.first)
    except ValueError as wrong:
        raise _NotSent("the e-mail address is none that can be mailed", for_good=True) from wrong


def _record(
    installation: Installation,
    account: AccountId,
    mail: _Mail,
    statement: str,
    *,
    until: datetime | None = None,
    problem: str | None = None,
) -> None:
    with installation.database.transaction(account) as connection:
        connection.execute(
            SQL[statement],
            {
                "account": account,
                "person": mail.person,
                "first": mail.first,
                "now": installation.application.clock(),
                "until": until,
                "problem": problem,
            },
        )


class _Relay:
    """The SMTP server of the settings: connected to when the first mail is sent, and again after it failed.

    Once it could not be reached, what else is to be sent is not tried.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connected: smtplib.SMTP | None = None
        self._unreachable: _NotSent | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connected is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._connected.quit()
            self._connected.close()

    def send(self, message: EmailMessage) -> None:
        """Send *message*: when this returns, the server took it. Raises _NotSent."""
        server = self._server()
        try:
            server.send_message(message)
        except (smtplib.SMTPException, OSError) as wrong:
            server.close()
            self._connected = None
            raise _not_sent(wrong) from wrong

    def _server(self) -> smtplib.SMTP:
        if self._unreachable is not None:
            raise self._unreachable
        if self._connected is None:
            try:
                self._connected = self._connect()
            except (smtplib.SMTPException, OSError) as wrong:
                LOG.error("the mail server %s cannot be used: %s", self._settings.smtp_host, wrong)
                self._unreachable = _NotSent("the mail server does not answer, or does not let us in")
                raise self._unreachable from wrong
        return self._connected

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        assert settings.smtp_host is not None, "nothing is sent without"
        at = (settings.smtp_host, settings.smtp_port)
        if settings.smtp_tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(*at, timeout=TIMEOUT_S, context=_trusted(settings))
        else:
            server = smtplib.SMTP(*at, timeout=TIMEOUT_S)
        try:
            if settings.smtp_tls == "starttls":
                server.starttls(
                    context=_trusted(settings)
                )  # a server that offers none is an error: nothing goes in the clear
            if settings.smtp_user is not None:
                server.login(settings.smtp_user, settings.smtp_password or "")
        except BaseException:
            server.close()
            raise
        return server


def _trusted(settings: Settings) -> ssl.SSLContext:
    """Which servers are believed to be those that they say they are."""
    return ssl.create_default_context(cafile=settings.smtp_ca_file)


def _not_sent(wrong: Exception) -> _NotSent:
    """What a mail that the server did not take, or not surely, is told of by; a 5xx is the server's last word."""
    match wrong:
        case smtplib.SMTPRecipientsRefused():
            code = max(code for code, _ in wrong.recipients.values())
            return _NotSent(f"the mail server refuses the address ({code})", for_good=code >= 500)
        case smtplib.SMTPDataError():
            return _NotSent(f"the mail server refuses the mail ({wrong.smtp_code})", for_good=wrong.smtp_code >= 500)
        case smtplib.SMTPSenderRefused():
            return _NotSent(f"the mail server refuses whom it is from ({wrong.smtp_code})")
    return _NotSent("the mail server broke off, and whether it took the mail is not known")


@contextmanager
def mailing(installation: Installation) -> Iterator[None]:
    """What people are told is mailed for the length of the ``with``, by a thread of its own."""
    if installation.settings.smtp_host is None:
        yield
        return
    ended = threading.Event()

    def mail() -> None:
        while not ended.wait(EVERY_S):
            try:
                send_due(installation)
            except (CounterfoilError, psycopg.Error):
                LOG.exception("mailing failed; it is tried again")

    thread = threading.Thread(target=mail, name="mailing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(TIMEOUT_S)
