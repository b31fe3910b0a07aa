"""Commands decided on what the process saw last: spared reads that never show."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from domain import commands
from domain import control as c
from domain.accounts import ensure_person, open_account
from domain.application import Actor, Application, Expected, utc_now
from domain.entity import NotPossible
from domain.ids import AccountId, EntityId
from domain.kinds import Kind
from domain.parties import Address, Party
from domain.recent import MOST_STATES, with_newer
from domain.store.database import Database
from domain.work import VersionStale

ACTOR = Actor.system("test")


class Desk:
    """One process at work on an account: an application of its own over the same database."""

    def __init__(self, database: Database, account: AccountId) -> None:
        self.application = Application(database)
        self.account = account

    def customer(self, name: str) -> EntityId:
        fields = {"party": {"name": name}}
        id_: EntityId = self.application.run(
            self.account, ACTOR, lambda work: commands.create(work, Kind.CUSTOMER, fields)
        )
        return id_

    def rename(self, id_: EntityId, name: str, expected: Expected | None = None) -> None:
        fields = {"party": {"name": name}}
        self.application.run(
            self.account,
            ACTOR,
            lambda work: commands.change(work, Kind.CUSTOMER, id_, fields),
            reads=[id_],
            expected=expected,
        )

    def archive(self, id_: EntityId) -> None:
        self.application.run(self.account, ACTOR, lambda work: commands.archive(work, Kind.CUSTOMER, id_), reads=[id_])

    def unarchive(self, id_: EntityId) -> None:
        self.application.run(
            self.account, ACTOR, lambda work: commands.unarchive(work, Kind.CUSTOMER, id_), reads=[id_]
        )

    def name_and_version(self, id_: EntityId) -> tuple[str, int]:
        state, _ = self.application.find(self.account, Kind.CUSTOMER, id_)
        return state.party.name, state.version

    def issued(self, customer: EntityId) -> str:
        line = {
            "line_id": "1",
            "name": "Eik",
            "quantity": "3",
            "unit": "C62",
            "net_price": "12.50",
            "vat": {"category": "S", "rate": "21"},
        }
        draft = {"customer": customer, "lines": [line]}
        run = self.application.run
        id_ = run(self.account, ACTOR, lambda work: commands.create(work, Kind.INVOICE, draft), reads=[customer])
        number: str = run(
            self.account, ACTOR, lambda work: commands.issue(work, Kind.INVOICE, id_), reads=[id_, customer]
        )
        return number


@pytest.fixture
def desks(empty_database: str) -> Iterator[tuple[Desk, Desk]]:
    with Database(empty_database) as database:
        application = Application(database)
        person = ensure_person(database, "an@example.com", "An", at=utc_now())
        company = Party(name="Houtwerk BV", address=Address(country="BE"))
        settings = c.SettingsFields(
            company=company, country="BE", currency="EUR", language="nl", time_zone="Europe/Brussels"
        )
        account = open_account(application, "Houtwerk", person, settings, via="cli").account
        yield Desk(database, account), Desk(database, account)


def at_work(desk: Desk) -> EntityId:
    """A customer that the desk wrote often enough to take it from memory."""
    id_ = desk.customer("Klant")
    for turn in range(4):
        desk.rename(id_, f"Klant {turn}")
    return id_


def test_what_another_process_wrote_in_between_is_not_lost(desks: tuple[Desk, Desk]) -> None:
    here, there = desks
    id_ = at_work(here)

    for turn in range(3):
        there.rename(id_, f"there {turn}")
        here.rename(id_, f"here {turn}")

    assert here.name_and_version(id_) == there.name_and_version(id_) == ("here 2", 11)


def test_a_refusal_is_given_on_what_is_so_now(desks: tuple[Desk, Desk]) -> None:
    here, there = desks
    id_ = at_work(here)
    here.archive(id_)
    there.unarchive(id_)

    here.archive(id_)  # refused on what was seen last: archived already

    there.unarchive(id_)
    with pytest.raises(NotPossible):
        here.unarchive(id_)


def test_a_version_that_another_process_made_is_accepted_as_seen(desks: tuple[Desk, Desk]) -> None:
    here, there = desks
    id_ = at_work(here)
    there.rename(id_, "there")

    here.rename(id_, "here", Expected(id_, 1, 6))

    with pytest.raises(VersionStale):
        here.rename(id_, "again", Expected(id_, 1, 6))


def test_numbers_have_no_gap_and_no_double_over_two_processes(desks: tuple[Desk, Desk]) -> None:
    here, there = desks
    customer = at_work(here)

    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(lambda desk: desk.issued(customer), [here, there, here, here, there, there] * 3))

    assert sorted(int(number[-5:]) for number in given) == list(range(1, 19))


def test_an_account_that_was_closed_elsewhere_takes_nothing_from_memory(desks: tuple[Desk, Desk]) -> None:
    here, there = desks
    id_ = at_work(here)
    there.application.record_control(there.account, ACTOR, c.Closed())

    with pytest.raises(c.AccountClosed):
        here.rename(id_, "late")


def test_the_oldest_states_are_dropped_first() -> None:
    states = {EntityId(str(n)): n for n in range(MOST_STATES)}

    both = with_newer(states, {EntityId("0"): "newer", EntityId("new"): "new"})

    assert len(both) == MOST_STATES
    assert both[EntityId("0")] == "newer"
    assert EntityId("1") not in both
