"""Whether an account has what its timeline says: its figures now, against those of the backup before and what happened
since.

The figures of the backup before, less those of the entities that changed since as they were, and with them as they are,
must be the figures now. Both states are folded from the events, not read from what is stored: so deleting a draft,
crediting an invoice or paying one explains itself, and a row that vanished beside the timeline does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
from psycopg import Connection

from domain.control import FigureShrunk
from domain.decimals import ZERO
from domain.ids import AccountId
from domain.kinds import Kind
from domain.store.database import Row
from domain.work import is_gone, kind_of
from projections.control_totals import ControlTotals, Totaller, amounts
from projections.past import changed_between

_STATES_AT_ONCE = 1_000
_encode = msgspec.json.Encoder().encode


def shrunk_figures(
    connection: Connection[Row],
    account: AccountId,
    stream: int,
    *,
    before: ControlTotals,
    after: int,
    now: ControlTotals,
    until: int,
) -> list[FigureShrunk]:
    """The figures that are lower *now*, at the position *until*, than *before*, at *after*, and the events between lead
    to. The connection must be in a transaction.
    """
    was, is_ = _Sum(), _Sum()
    for changed in changed_between(connection, account, stream, after=after, until=until):
        was.add(changed.before)
        is_.add(changed.now)
    taken_off, added = was.figures(), is_.figures()
    earlier, found = amounts(before), amounts(now)
    shrunk = []
    for figure in sorted(earlier.keys() | added.keys()):
        expected = earlier.get(figure, ZERO) - taken_off.get(figure, ZERO) + added.get(figure, ZERO)
        if found.get(figure, ZERO) < expected:
            shrunk.append(FigureShrunk(figure=figure, expected=str(expected), found=str(found.get(figure, ZERO))))
    return shrunk


class _Sum:
    """Adds up states as they come, a bounded number of them in memory."""

    def __init__(self) -> None:
        self._totaller = Totaller()
        self._waiting: list[Any] = []

    def add(self, state: Any) -> None:
        if state is None or is_gone(state):
            return
        self._waiting.append(state)
        if len(self._waiting) >= _STATES_AT_ONCE:
            self._add_up()

    def figures(self) -> dict[str, Decimal]:
        self._add_up()
        return amounts(self._totaller.totals())

    def _add_up(self) -> None:
        by_kind: dict[Kind, list[Any]] = {}
        for state in self._waiting:
            by_kind.setdefault(kind_of(state), []).append(state)
        for kind, states in by_kind.items():
            _add(self._totaller, kind, states)
        self._waiting = []


def _add(totaller: Totaller, kind: Kind, states: Iterable[Any]) -> None:
    if kind.is_document:
        totaller.add_documents(kind, list(states))
    else:
        totaller.add(kind, b"".join([_encode(state) + b"\n" for state in states]))
