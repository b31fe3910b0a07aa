"""Whatever is restored and undone, no period of a subscription is invoiced twice (S02)."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import commands
from domain.accounts import Access
from domain.entity import NotPossible
from domain.errors import DomainError
from domain.ids import EntityId
from domain.kinds import Kind
from domain.subscriptions import PeriodLeftOut, Subscription
from snapshots.backup import Backup, take_backup
from snapshots.generations import purging
from snapshots.generations.undo import activate
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import SIGNER
from tests.integration.restoring import LINE, Books, is_sound


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


def started(books: Books, next_date: date, **fields: Any) -> EntityId:
    usual = {"lines": [LINE], "interval": {"n": 1, "unit": "months"}, "next_date": next_date.isoformat()}
    return books.make(Kind.SUBSCRIPTION, **{"customer": books.customer(), **usual, **fields})


def invoiced(books: Books, subscription: EntityId) -> Any:
    invoice = books.run(lambda work: commands.invoice_period(work, subscription))
    return books.state(Kind.INVOICE, invoice)


def resumed(books: Books, subscription: EntityId, next_date: date | None = None) -> Subscription:
    books.run(lambda work: commands.resume(work, subscription, next_date))
    state: Subscription = books.state(Kind.SUBSCRIPTION, subscription)
    return state


def at(books: Books, day: date) -> None:
    books.clock.now = books.clock.now.replace(year=day.year, month=day.month, day=day.day)


def test_resuming_shows_and_leaves_out_what_the_retired_stream_invoiced(books: Books, tmp_path: Path) -> None:
    at(books, date(2025, 3, 1))
    subscription = started(books, date(2025, 3, 1), auto_issue=True)
    archive = books.backup(tmp_path)
    at(books, date(2025, 5, 2))
    march, april = invoiced(books, subscription), invoiced(books, subscription)
    retired = books.restore(archive).retired_stream

    state = resumed(books, subscription)

    assert [(one.start, one.document, one.number, one.stream) for one in state.left_out] == [
        (date(2025, 3, 1), march.id, march.number, retired),
        (date(2025, 4, 1), april.id, april.number, retired),
    ]
    assert invoiced(books, subscription).invoicing_period.start == date(2025, 5, 1)


def test_s02_a_period_that_was_invoiced_today_is_not_invoiced_again_after_a_restore(
    books: Books, tmp_path: Path
) -> None:
    at(books, date(2025, 3, 1))
    subscription = started(books, date(2025, 3, 1))
    archive = books.backup(tmp_path)
    invoiced(books, subscription)
    assert books.restore(archive).held == ()

    with pytest.raises(NotPossible, match=r"period of 2025-03-01 was invoiced by .* in stream 1"):
        invoiced(books, subscription)

    assert resumed(books, subscription).next_date == date(2025, 4, 1)


def test_one_that_moved_goes_on_by_itself_and_another_restore_holds_it_again(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    at(books, date(2025, 3, 1))
    subscription = started(books, date(2025, 2, 1))
    archive = books.backup(tmp_path)
    other = Books(fresh_account())
    at(other, date(2025, 3, 1))

    report = other.restore(archive, subscriptions="moved")

    assert (report.subscriptions, [one.id for one in report.held]) == ("moved", [subscription])
    assert invoiced(other, subscription).invoicing_period.start == date(2025, 2, 1)
    other.restore(archive)
    with pytest.raises(NotPossible, match="held since it came by restore"):
        invoiced(other, subscription)


def test_a_subscription_that_moved_stays_so_when_others_are_added(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    subscription = started(books, date(2024, 11, 1))
    other = Books(fresh_account())
    other.restore(books.backup(tmp_path), subscriptions="moved")
    books.customer("Later")

    other.restore(books.backup(tmp_path), mode="add")

    assert invoiced(other, subscription)


def test_a_period_between_others_that_were_invoiced_is_invoiced_and_they_are_left_out(
    books: Books, tmp_path: Path
) -> None:
    at(books, date(2025, 1, 31))
    subscription = started(books, date(2025, 1, 31))
    archive = books.backup(tmp_path)
    at(books, date(2025, 6, 1))
    invoiced(books, subscription)
    resumed(books, subscription, date(2025, 3, 31))
    invoiced(books, subscription)
    books.restore(archive)

    state = resumed(books, subscription)

    assert [one.start for one in state.left_out] == [date(2025, 1, 31), date(2025, 3, 31)]
    periods = [invoiced(books, subscription).invoicing_period for _ in range(2)]
    assert [(one.start, one.end) for one in periods] == [
        (date(2025, 2, 28), date(2025, 3, 30)),
        (date(2025, 4, 30), date(2025, 5, 30)),
    ]


def test_what_only_a_purged_stream_invoiced_is_left_out_too(books: Books, tmp_path: Path) -> None:
    at(books, date(2025, 3, 1))
    subscription = started(books, date(2025, 3, 1), auto_issue=True)
    archive = books.backup(tmp_path)
    march = invoiced(books, subscription)
    retired = books.restore(archive).retired_stream
    assert retired is not None

    purge(books, retired, tmp_path)

    state = resumed(books, subscription)
    assert state.left_out == (
        PeriodLeftOut(
            start=date(2025, 3, 1),
            next_date=date(2025, 4, 1),
            document=march.id,
            number=march.number,
            stream=retired,
        ),
    )


def purge(books: Books, stream: int, folder: Path) -> None:
    """Purge a retired stream, archived before where that is due."""

    def archive(access: Access, of: int) -> Backup:
        return take_backup(books.application, access, books.actor, folder / f"{of}.zip", SIGNER, stream=of)

    purging.purge(books.application, books.access, books.actor, stream, archive)


Step = tuple[str, int]
VERBS = ["bill", "bill", "bill", "back up", "restore", "resume", "resume at", "change", "purge", "undo"]
# From here on something was invoiced that only a retired stream knows of.
BEGINNING: list[Step] = [("bill", 40), ("bill", 0), ("restore", 0)]
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 40)), min_size=4, max_size=25)


@settings(max_examples=20, deadline=None)
@given(steps=STEPS, weeks=st.booleans())
def test_no_history_of_bills_and_restores_invoices_a_day_twice(
    fresh_account: OpenAccount, tmp_path_factory: pytest.TempPathFactory, steps: list[Step], weeks: bool
) -> None:
    books = Books(fresh_account())
    at(books, date(2025, 1, 31))
    interval = {"n": 2, "unit": "weeks"} if weeks else {"n": 1, "unit": "months"}
    subscription = started(books, date(2025, 1, 31), interval=interval)
    folder = tmp_path_factory.mktemp("archives")
    archives = [books.backup(folder)]
    bills: dict[EntityId, Any] = {}

    for verb, number in [*BEGINNING, *steps]:
        books.clock.now += timedelta(days=number)
        if verb == "back up":
            archives.append(books.backup(folder))
        elif verb == "restore":
            books.restore(archives[number % len(archives)], subscriptions="moved" if number % 3 == 0 else "hold")
        elif verb in ("purge", "undo"):
            for stream in retired_streams(books)[-1:]:
                if verb == "purge":
                    purge(books, stream, folder)
                else:
                    activate(books.application, books.access, books.actor, stream)
        else:
            try_(books, subscription, verb, date(2025, 1, 1) + timedelta(days=number * 7), bills)

    days = [day for bill in bills.values() for day in span(bill.invoicing_period)]
    assert len(days) == len(set(days))
    assert is_sound(books)


def try_(books: Books, subscription: EntityId, verb: str, day: date, bills: dict[EntityId, Any]) -> None:
    try:
        if verb == "bill":
            bill = invoiced(books, subscription)
            bills[bill.id] = bill
        elif verb == "resume":
            resumed(books, subscription)
        elif verb == "resume at":
            resumed(books, subscription, day)
        elif verb == "change":
            interval = {"n": 1 + day.day % 2, "unit": "weeks" if day.day % 3 else "months"}
            fields = {"next_date": day.isoformat(), "interval": interval}
            books.run(lambda work: commands.change(work, Kind.SUBSCRIPTION, subscription, fields))
    except DomainError:
        return


def span(period: Any) -> list[date]:
    return [period.start + timedelta(days=n) for n in range((period.end - period.start).days + 1)]


def retired_streams(books: Books) -> list[int]:
    return [row["stream_id"] for row in books.rows()["streams"] if row["status"] == "retired"]
