"""The desk on which the sample's stories play: whose turn it is, on which day, and what the account has to sell.

A story is a generator over the days of one affair, a sale or a contract: it yields when it wants to go on and who then
acts, and is handed the ``Work`` of that day. The desk plays all stories of a day and a person as one command.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from itertools import count
from random import Random
from typing import Any, NamedTuple, TypeAlias

from api.sample.catalogue import Article
from domain.application import Actor, Application
from domain.events import TYPE_VERSIONS, decode_data
from domain.ids import AccountId, EntityId
from domain.store.database import Database
from domain.work import Work


class Who(Enum):
    """Who acts, in the order in which they come in of a morning."""

    CONTRACTS = time(4, 0)
    OWNER = time(8, 5)
    SALES = time(9, 40)
    BOOKKEEPER = time(14, 15)


class Later(NamedTuple):
    """When a story goes on, who then acts, and the entities that it will look at."""

    days: int
    who: Who
    reads: tuple[EntityId, ...] = ()


Story: TypeAlias = Generator[Later, Work, None]


class Buyer(NamedTuple):
    """A customer as stories need to know it."""

    id: EntityId
    language: str
    country: str
    is_company: bool


@dataclass
class Stock:
    """What the account has by now that a story can choose from."""

    items: dict[str, EntityId] = field(default_factory=dict)
    ledger_accounts: dict[str, EntityId] = field(default_factory=dict)
    layouts: dict[str, EntityId] = field(default_factory=dict)
    buyers: list[Buyer] = field(default_factory=list)


@dataclass(order=True)
class _Turn:
    """A story's next step."""

    day: date
    order: tuple[time, int]
    story: Story = field(compare=False)
    later: Later = field(compare=False)


class Desk:
    """Plays stories day by day, each person's part of a day as one command of theirs."""

    def __init__(
        self, database: Database, account: AccountId, actors: dict[Who, Actor], random: Random, today: date
    ) -> None:
        self.application = Application(database, clock=lambda: self.now)
        self.account = account
        self.actors = actors
        self.random = random
        self.stock = Stock()
        self.today = today
        self.now = datetime.combine(today, time(7), UTC)
        self.documents = 0
        self._turns: list[_Turn] = []
        self._order = count()

    def begin(self, story: Story) -> None:
        """Let a story begin today."""
        self._await(story, next(story))

    def play_day(self) -> None:
        """Play what is due today, person by person; what a story wants for later waits for that day."""
        while self._turns and self._turns[0].day <= self.today:
            who = self._turns[0].later.who
            turns = []
            while self._turns and self._turns[0].day <= self.today and self._turns[0].later.who is who:
                turns.append(heapq.heappop(self._turns))
            self._play(who, turns)

    def pass_a_day(self) -> None:
        """Let a day go by."""
        self.today += timedelta(days=1)
        self.now = datetime.combine(self.today, time(4), UTC)

    def _play(self, who: Who, turns: list[_Turn]) -> None:
        self.now = max(self.now, datetime.combine(self.today, who.value, UTC)) + timedelta(
            seconds=self.random.randrange(1, 240), microseconds=self.random.randrange(1_000_000)
        )
        going_on: list[tuple[Story, Later]] = []
        first: list[Work] = []

        def play(work: Work) -> None:
            if first:  # a command may be asked anew, and no story can go back: it decides what it did before
                _decide_again(work, first[0])
                return
            first.append(work)
            for turn in turns:
                try:
                    going_on.append((turn.story, turn.story.send(work)))
                except StopIteration:
                    continue

        reads = {read for turn in turns for read in turn.later.reads}
        self.application.run(self.account, self.actors[who], play, reads=reads)
        for story, later in going_on:
            self._await(story, later)

    def _await(self, story: Story, later: Later) -> None:
        day = self.today + timedelta(days=later.days)
        if later.who is not Who.CONTRACTS:
            day += timedelta(days={5: 2, 6: 1}.get(day.weekday(), 0))
        heapq.heappush(self._turns, _Turn(day, (later.who.value, next(self._order)), story, later))


def _decide_again(work: Work, before: Work) -> None:
    for decided in before.decided:
        work.record(decided.kind, decided.entity, decode_data(decided.type, TYPE_VERSIONS[decided.type], decided.data))
    work.series.update(before.series)
    work.attachments.update(before.attachments)


def line_of(article: Article, stock: Stock, line_id: str, quantity: str, vat: dict[str, str]) -> dict[str, Any]:
    """A document line that sells *quantity* of *article*."""
    return {
        "line_id": line_id,
        "item": stock.items[article.number],
        "name": article.name,
        "seller_item_id": article.number,
        "quantity": quantity,
        "unit": article.unit,
        "net_price": article.price,
        "vat": vat,
        "ledger_account": stock.ledger_accounts[article.account],
    }
