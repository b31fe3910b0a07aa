"""The mail that tells a person of what happened to an account: plain text, in English.

Nothing in it comes from a request: links are of the setting ``public_url``. What an account or a person is called is
put on one line, and a header that would hold a line feed all the same is refused by the e-mail library.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import NamedTuple
from zoneinfo import ZoneInfo

from api.settings import Settings
from domain.accounts import Access, Person
from domain.ids import AccountId, PersonId
from projections.notices import printable

MOST_SENTENCES = 20  # of what is told in one mail; the person's notifications have all of it
_MOST_NAME = 80


class Told(NamedTuple):
    """Something that a mail tells: when it happened, what in a few words, and in a sentence."""

    at: datetime
    title: str
    sentence: str


def letter(settings: Settings, access: Access, person: Person, told: list[Told], *, first: int) -> EmailMessage:
    """What *person* is told of the account, oldest first; *first* is the id of the first notice in it.

    Raises ValueError when their address is none that can be mailed.
    """
    assert settings.smtp_from is not None, "who mails has an address, by the settings"
    name = _short(access.control.name)
    subject = told[0].title if len(told) == 1 else f"{len(told):,} notices"
    message = EmailMessage(policy=SMTP)
    message["Subject"] = f"[Counterfoil] {name}: {subject}"
    message["From"] = Address("Counterfoil", addr_spec=settings.smtp_from)
    message["To"] = Address(_short(person.name), addr_spec=mailable(person.email))
    message["Message-ID"] = message_id(settings.smtp_from, access.account, person.id, first)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_text(settings, access, person, told), cte="quoted-printable")
    return message


def message_id(sender: str, account: AccountId, person: PersonId, first: int) -> str:
    """The same for every try of one mail, so that who gets it twice can see that it is one; it tells nothing else."""
    digest = hashlib.sha256(f"{account} {person} {first}".encode()).hexdigest()[:32]
    return f"<{digest}@{sender.rpartition('@')[2]}>"


def mailable(email: str) -> str:
    """The address as a mail server takes it, its domain in ASCII. Raises ValueError for one that it would not take."""
    local, _, domain = email.rpartition("@")
    ascii_domain = domain.encode("idna").decode()  # a UnicodeError is a ValueError
    if not local.isascii():
        raise ValueError("found an address with letters before the @ that not every server takes")
    return f"{local}@{ascii_domain}"


def _text(settings: Settings, access: Access, person: Person, told: list[Told]) -> str:
    zone = ZoneInfo(access.control.settings.time_zone)
    more = len(told) - MOST_SENTENCES
    lines = [
        f"Hello {_short(person.name)},",
        "",
        f"this happened to the account “{_short(access.control.name)}” ({access.slug}):",
        "",
    ]
    for one in told[:MOST_SENTENCES]:
        lines += [f"{one.at.astimezone(zone):%Y-%m-%d %H:%M} ({zone.key})", one.sentence, ""]
    if more > 0:
        lines += [f"And {more:,} more, which your notifications list.", ""]
    lines += [
        "You are told because you are an owner or administrator of the account, or asked to be told.",
        "If you did not expect this, look at the account's timeline and at who has access to it.",
        "What a restore or a clone replaced is kept for some days, and can be made live again.",
    ]
    if settings.public_url is not None:
        lines += ["", f"{settings.public_url}/v1/accounts/{access.account}/notifications"]
    return "\n".join(lines) + "\n"


def _short(name: str) -> str:
    found = printable(name)
    return found if len(found) <= _MOST_NAME else found[: _MOST_NAME - 1] + "…"
