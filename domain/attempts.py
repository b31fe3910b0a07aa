"""How often something may be tried in vain: counted in the database, for all processes, before it is tried.

A sign-in counts for the pair of e-mail address and client address, which soon waits long; for the client address,
whomever it tries; and for the e-mail address, whoever tries it, but not from where that person signed in before: so a
guesser elsewhere never keeps the right person out for good. No count tells whether an e-mail address is known.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, NamedTuple

from domain.errors import AccessError
from domain.store.database import Database
from domain.store.statements import statements

SQL = statements("domain.store", "credentials.sql")


class Limit(NamedTuple):
    """From the *free*-th failure in a row on, the next try waits 1, 2, 4 … seconds, up to the *longest*."""

    free: int
    longest_s: int


# A person mistypes a few times, an office behind one address more often. NIST SP 800-63B-4 (3.2.2) lets at most 100
# failures in a row pass for one person.
PAIR = Limit(5, 900)
ADDRESS = Limit(50, 900)
PERSON = Limit(100, 900)
CODES = Limit(20, 900)


class Bucket(NamedTuple):
    """What is counted together; *ends* when a try succeeds, where others only get that try back."""

    key: bytes
    limit: Limit
    ends: bool = False


@dataclass(eq=False)
class TooManyTries(AccessError):
    """Too much was tried in vain; what was tried now was not even looked at."""

    code: ClassVar[str] = "access.too-many-tries"
    retry_after_s: int

    def __str__(self) -> str:
        return f"tried in vain too often; expected a wait of {self.retry_after_s:,} seconds"


def of_sign_in(email: str, address: str, *, known_place: bool) -> list[Bucket]:
    """What a try to sign in counts for; *known_place* when that person signed in from there before."""
    who, where = email.strip().casefold(), network(address)
    tries = [Bucket(_key("pair", who, where), PAIR, ends=True), Bucket(_key("address", where), ADDRESS)]
    return tries if known_place else [*tries, Bucket(_key("person", who), PERSON)]


def of_code(address: str) -> list[Bucket]:
    """What a try of a one-time code counts for: where it comes from."""
    return [Bucket(_key("code", network(address)), CODES)]


def charge(database: Database, tries: list[Bucket], *, at: datetime) -> None:
    """Count a try, before it is known to fail. Raises TooManyTries, and then it is not counted."""
    parameters = {
        "buckets": [one.key for one in tries],
        "free": [one.limit.free for one in tries],
        "longest": [one.limit.longest_s for one in tries],
        "at": at,
    }
    with database.connection() as connection:
        row = connection.execute(SQL["charge_try"], parameters).fetchone()
    assert row is not None, "a function's result is a row"
    if row[0] > 0:
        raise TooManyTries(math.ceil(row[0]))


def settle(database: Database, tries: list[Bucket], *, at: datetime) -> None:
    """Take back what ``charge`` counted, since the try succeeded."""
    with database.transaction() as connection:
        connection.execute(SQL["forget_tries"], {"buckets": [one.key for one in tries if one.ends]})
        connection.execute(SQL["refund_tries"], {"buckets": [one.key for one in tries if not one.ends], "at": at})


def network(address: str) -> str:
    """*address*, or for IPv6 the /64 that one client usually has all of."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address  # a client by a Unix socket has none
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return address


def _key(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
