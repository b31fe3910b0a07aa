"""People go on working while an account is restored: nobody waits, and nothing that was acknowledged is lost."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from domain import commands
from domain.application import Expected
from domain.ids import EntityId
from domain.kinds import Kind
from domain.work import VersionStale, Work, decode_state
from projections.listing import list_entities
from snapshots.content import Content, read_content
from snapshots.fresh.building import StreamBuilder
from snapshots.fresh.swap import CountDiffers
from snapshots.reading.checking import Checked
from snapshots.restoring.restore import ChangedMeanwhile, Choices, restore_archive
from tests.fixtures.accounts import OpenAccount
from tests.integration.restoring import Books, as_file, is_sound


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


@contextmanager
def somebody_writing(books: Books) -> Iterator[list[str]]:
    """The ids of customers that somebody goes on making, each noted once its making was acknowledged."""
    acknowledged: list[str] = []
    enough = threading.Event()

    def write() -> None:
        while not enough.is_set():
            acknowledged.append(books.customer())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield acknowledged
    finally:
        enough.set()
        writer.join()


def found(books: Books, *, live: bool) -> set[str]:
    """The entities of the live stream, or of it and those it replaced."""
    rows = books.rows()
    streams = {row["stream_id"] for row in rows["streams"] if row["status"] == "live" or not live}
    return {row["entity_id"] for row in rows["entities"] if row["stream_id"] in streams}


def test_every_acknowledged_write_is_found_after_restores_beside_it(books: Books, tmp_path: Path) -> None:
    archive = books.backup(tmp_path)
    outcomes: list[Any] = []

    with somebody_writing(books) as acknowledged:
        while len(acknowledged) < 3 or len(outcomes) < 8:
            try:
                outcomes.append(books.restore(archive).outcome)
            except ChangedMeanwhile as refused:
                outcomes.append(refused.report.outcome)

    assert set(outcomes) <= {"restored", "refused"}
    assert set(acknowledged) <= found(books, live=False)
    assert is_sound(books)


def test_what_is_written_beside_additions_is_all_there(
    books: Books, fresh_account: OpenAccount, tmp_path: Path
) -> None:
    sources = [Books(fresh_account()) for _ in range(3)]
    theirs = [source.customer() for source in sources]
    outcomes: list[Any] = []

    with somebody_writing(books) as acknowledged:
        for number, source in enumerate(sources):
            try:
                outcomes.append((books.restore(source.backup(tmp_path), mode="add").outcome, theirs[number]))
            except ChangedMeanwhile:
                outcomes.append(("refused", theirs[number]))

    there = found(books, live=True)
    assert set(acknowledged) <= there
    assert {id_ for outcome, id_ in outcomes if outcome == "restored"} == there - set(acknowledged)
    assert is_sound(books)


def test_readers_and_writers_go_on_while_the_fresh_stream_is_built(books: Books, tmp_path: Path) -> None:
    customer = books.customer("Before")
    archive = books.backup(tmp_path)
    seen: list[Any] = []

    def progress(_phase: str, _done: int, _of: int) -> None:
        if seen:
            return

        def work() -> None:
            seen.append(books.state(Kind.CUSTOMER, customer).party.name)
            books.run(lambda work: commands.change(work, Kind.CUSTOMER, customer, {"notes": "meanwhile"}))
            seen.append(books.state(Kind.CUSTOMER, customer).notes)

        somebody = threading.Thread(target=work)  # who waited for the restore would wait for ever
        somebody.start()
        somebody.join()

    with pytest.raises(ChangedMeanwhile) as refused:
        restore_archive(
            books.application, books.access, books.actor, as_file(archive), choices=Choices(), progress=progress
        )

    assert seen == ["Before", "meanwhile"]
    assert refused.value.report.changed_meanwhile == 1
    assert books.state(Kind.CUSTOMER, customer).notes == "meanwhile"


def test_s03_a_page_that_is_read_while_swaps_commit_is_of_one_stream(books: Books, tmp_path: Path) -> None:
    customers = [books.customer() for _ in range(20)]
    archives = []
    for said in ("one", "other"):
        for customer in customers:
            books.run(lambda work, id_=customer, said=said: commands.change(work, Kind.CUSTOMER, id_, {"notes": said}))
        archives.append(books.backup(tmp_path))
    enough = threading.Event()
    pages: list[tuple[int, set[str]]] = []

    def read() -> None:
        while not enough.is_set():
            page = list_entities(books.application.database, books.access.account, Kind.CUSTOMER)
            assert len(page.states) == len(customers)
            pages.append((page.stream, {decode_state(Kind.CUSTOMER, state).notes for state in page.states}))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(6):
            books.restore(archives[number % 2])
    finally:
        enough.set()
        reader.join()

    assert len({stream for stream, _ in pages}) > 1
    assert all(said == ({"other"} if stream % 2 else {"one"}) for stream, said in pages)


@pytest.mark.parametrize("whose", ["one row more", "another account's row"])
def test_s05_rows_that_the_builder_did_not_count_are_found_by_the_swap(
    books: Books, fresh_account: OpenAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    books.customer()
    archive = books.backup(tmp_path)
    other = Books(fresh_account())
    other.customer()
    before, others = books.rows(), content(other)
    real = StreamBuilder.entities

    def written(builder: StreamBuilder, rows: bytes, count: int, held: list[Checked]) -> None:
        mine, theirs = (uuid.UUID(one.access.account).bytes for one in (books, other))
        if whose == "one row more":
            real(builder, rows, count, held)
            builder.sent_entities -= 1
        else:
            real(builder, rows.replace(mine, theirs), count, held)

    monkeypatch.setattr(StreamBuilder, "entities", written)
    with pytest.raises(CountDiffers, match="entities"):
        books.restore(archive)

    assert books.rows() == before
    assert content(other) == others
    assert is_sound(other)


def content(books: Books) -> Content:
    return read_content(books.application.database, books.access.account)


def test_several_additions_at_once_all_come_in(books: Books, fresh_account: OpenAccount, tmp_path: Path) -> None:
    sources = [Books(fresh_account()) for _ in range(3)]
    theirs = {source.customer() for source in sources}
    archives = [source.backup(tmp_path) for source in sources]
    outcomes: list[str] = []
    together = threading.Barrier(len(archives))

    def add(archive: bytes) -> None:
        together.wait()
        try:
            outcomes.append(books.restore(archive, mode="add").outcome)
        except ChangedMeanwhile as refused:
            outcomes.append(refused.code)

    threads = [threading.Thread(target=add, args=(archive,)) for archive in archives]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == ["restored"] * 3
    assert found(books, live=True) == theirs
    assert is_sound(books)


def test_r03_a_write_that_was_decided_before_a_swap_goes_into_the_stream_that_is_live_after_it(
    books: Books, tmp_path: Path
) -> None:
    archive = books.backup(tmp_path)
    decided = 0

    def decide(work: Work) -> EntityId:
        nonlocal decided
        decided += 1
        if decided == 1:
            books.restore(archive)
        return commands.create(work, Kind.CUSTOMER, {"party": {"name": "Decided before"}})

    made = books.run(decide)

    assert decided == 2
    assert made in found(books, live=True)
    assert is_sound(books)


def test_s01_the_same_version_of_a_stream_that_was_replaced_is_stale(books: Books, tmp_path: Path) -> None:
    customer = books.customer()
    books.restore(books.backup(tmp_path))

    def note(work: Work) -> None:
        commands.change(work, Kind.CUSTOMER, customer, {"notes": "seen in stream 1"})

    with pytest.raises(VersionStale):
        books.application.run(books.access.account, books.actor, note, expected=Expected(customer, 1, 1))
    books.application.run(books.access.account, books.actor, note, expected=Expected(customer, 2, 1))
