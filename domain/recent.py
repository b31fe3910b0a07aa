"""What this process saw of an account when it last recorded something there.

Where nobody else has written since, that is still how the account is, and a command can be decided on it without
reading anything: the append proves it, or appends nothing. So what is kept here may be out of date and never does harm;
it saves a round trip for accounts that one process writes to, which is most of them at any time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

from domain.ids import AccountId, EntityId
from domain.kinds import Kind
from domain.store.streams import Head

# 100 x 32 x 8 KiB of JSON: some 100 MB of objects at the very most, usually a tenth of it.
MOST_ACCOUNTS = 100
MOST_STATES = 32
MOST_STATE_BYTES = 8 * 1024


class Seen(NamedTuple):
    """An account as it was left: states and numbers are those at *head*. *alone*: nobody else wrote just before.

    *large* are those of the states that are not kept for the next command.
    """

    head: Head
    states: dict[EntityId, Any]
    series: dict[tuple[Kind, str], int]
    large: set[EntityId]
    alone: bool


class Recent:
    """The accounts that were written to last. Safe to share between threads."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[AccountId, Seen] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, account: AccountId) -> Seen | None:
        """How the account was left."""
        return self._accounts.get(account)

    def keep(self, account: AccountId, seen: Seen) -> None:
        """Remember how the account was left, in place of what was known before."""
        with self._lock:
            self._accounts[account] = seen
            self._accounts.move_to_end(account)
            if len(self._accounts) > MOST_ACCOUNTS:
                self._accounts.popitem(last=False)

    def forget(self, account: AccountId) -> None:
        """Somebody else wrote to the account."""
        with self._lock:
            self._accounts.pop(account, None)


def with_newer(states: dict[EntityId, Any], newer: dict[EntityId, Any]) -> dict[EntityId, Any]:
    """Both, the newer ones last, at most MOST_STATES."""
    both = {id_: state for id_, state in states.items() if id_ not in newer} | newer
    for id_ in list(both)[:-MOST_STATES]:
        del both[id_]
    return both
