"""The sample account: believable, of every kind, made by three people, and all of it in the past."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from api.sample import SampleSummary, open_sample_account
from api.sample.chart import CHART, parent_of
from domain.accounts import Access, ensure_person
from domain.application import Application
from domain.checksums import customer_faults, is_iban, is_vat_number
from domain.control import Control
from domain.kinds import Kind
from domain.store.database import Database
from domain.work import decode_state

LAST_DAY = date(2026, 6, 30)

pytestmark = pytest.mark.slow


class Sample(NamedTuple):
    """A filled sample account, as its own tables have it."""

    access: Access
    control: Control
    summary: SampleSummary
    events: list[Any]
    states: dict[Kind, list[Any]]


def fill(database: Database, email: str) -> Sample:
    owner = ensure_person(database, email, "Ines Maes", at=datetime(2026, 7, 1, tzinfo=UTC))
    access, summary = open_sample_account(database, owner, last_day=LAST_DAY, documents=150)
    with psycopg.connect(database.dsn, row_factory=namedtuple_row) as connection:
        events = connection.execute(
            "SELECT * FROM events WHERE account_id = %s ORDER BY position", [access.account]
        ).fetchall()
        rows: list[Any] = connection.execute(
            "SELECT * FROM entities WHERE account_id = %s ORDER BY position", [access.account]
        ).fetchall()
    states: dict[Kind, list[Any]] = {kind: [] for kind in Kind}
    for row in rows:
        states[Kind(row.kind)].append(decode_state(Kind(row.kind), row.state))
    return Sample(access, Application(database).control(access.account), summary, events, states)


@pytest.fixture(scope="module")
def sample(shared_database: Database) -> Sample:
    """One sample account for all that only look."""
    return fill(shared_database, "ines-of-the-sample@example.com")


def test_it_has_some_of_every_kind_and_about_as_many_documents_as_asked(sample: Sample) -> None:
    counts = sample.summary.counts

    assert all(counts[kind] > 0 for kind in Kind)
    assert 140 <= sum(count for kind, count in counts.items() if kind.is_document) <= 200
    assert counts[Kind.ITEM] >= 55
    assert sample.summary.events == len(sample.events)


def test_its_history_fills_the_three_years_before_its_last_day(sample: Sample) -> None:
    first, last = sample.events[0].at.date(), sample.events[-1].at.date()

    assert first == LAST_DAY - timedelta(days=3 * 365)
    assert timedelta(0) <= LAST_DAY - last < timedelta(days=14)
    assert sample.control.opened_at.date() == first


def test_three_people_and_the_subscriptions_made_it(sample: Sample) -> None:
    made_by = Counter(event.actor for event in sample.events)

    assert {f"person:{member.person}" for member in sample.control.members} == {
        actor for actor in made_by if actor.startswith("person:")
    }
    assert len(sample.control.members) == 3
    assert min(made_by.values()) > 10
    assert "system:subscriptions" in made_by


def test_customers_are_people_and_firms_of_several_countries_and_languages(sample: Sample) -> None:
    customers = sample.states[Kind.CUSTOMER]

    assert {"nl", "fr"} <= {customer.language for customer in customers}
    assert len({customer.party.address.country for customer in customers if customer.party.address}) > 1
    assert {bool(customer.party.vat_identifier) for customer in customers} == {True, False}
    assert any(customer.merged_into for customer in customers)
    assert any(customer.deleted for customer in customers)
    assert any(customer.archived for customer in customers)


def test_its_numbers_have_right_checksums(sample: Sample) -> None:
    assert [fault for customer in sample.states[Kind.CUSTOMER] for fault in customer_faults(customer)] == []
    company = sample.control.settings.company
    assert company is not None
    assert is_vat_number(company.vat_identifier or "")
    means = {means.iban for invoice in sample.states[Kind.INVOICE] for means in invoice.payment_means}
    assert all(is_iban(iban) for iban in means)


def test_documents_stand_at_many_points_of_their_lives(sample: Sample) -> None:
    states = {kind: {document.state.value for document in sample.states[kind]} for kind in Kind if kind.is_document}

    assert {"paid", "issued"} <= states[Kind.INVOICE]
    assert {"converted", "declined"} & states[Kind.QUOTE]
    assert {"invoiced", "delivered"} & states[Kind.PURCHASE_ORDER]
    types = {event.type for event in sample.events}
    assert {"invoice.attachment_added", "invoice.reminded", "subscription.period_invoiced", "invoice.credited"} <= types


def test_the_books_of_the_year_before_last_are_closed(sample: Sample) -> None:
    assert sample.control.settings.closed_until == date(2024, 12, 31)
    assert {field.kind for field in sample.control.custom_fields} >= {"customer", "item", "invoice", "line"}


def test_each_language_has_a_default_layout(sample: Sample) -> None:
    assert {layout.language for layout in sample.states[Kind.LAYOUT] if "invoice" in layout.default_for} == {
        "nl",
        "fr",
        "de",
        "en",
    }


@pytest.mark.parametrize("entry", CHART, ids=lambda entry: entry.number)
def test_the_chart_is_numbered_by_the_belgian_minimum_plan(entry: Any) -> None:
    """Class 1 equity and long-term debt, 2 to 5 assets and debts, 6 expenses, 7 income; a child after its parent."""
    types = {"1": {"equity", "liability"}, "2": {"asset"}, "3": {"asset"}, "4": {"asset", "liability"}}
    assert entry.type in {**types, "5": {"asset"}, "6": {"expense"}, "7": {"income"}}[entry.number[0]]
    parent = parent_of(entry.number)
    numbers = [other.number for other in CHART]
    assert len(entry.number) == 2 or (parent is not None and numbers.index(parent) < numbers.index(entry.number))


def test_the_same_seed_and_day_give_the_same_content(shared_database: Database, sample: Sample) -> None:
    again = fill(shared_database, "ines-once-more@example.com")

    assert [without_ids(event) for event in again.events] == [without_ids(event) for event in sample.events]


def without_ids(event: Any) -> tuple[str, int, datetime, str]:
    data = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "…", event.data)
    return event.type, event.version, event.at, data
