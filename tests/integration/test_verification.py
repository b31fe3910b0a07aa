"""Every change of rows behind the service's back is found, as a superuser makes it; the first bad position is named."""

from __future__ import annotations

import copy
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domain import commands
from domain.documents.fields import Attachment
from domain.kinds import Kind
from domain.store.streams import StreamUnknown
from domain.tree import EMPTY, append
from domain.work import Work
from projections.verification import Verification
from snapshots.format.errors import ArchiveEdited, FileDiffers
from snapshots.proving.verification import Given, Verified, verify_timeline
from tests.fixtures import tampering
from tests.fixtures.accounts import OpenAccount
from tests.fixtures.archives import KEYS, Edited
from tests.fixtures.tampering import Kept, Rows, leaf_of, tree_over
from tests.integration.restoring import LINE, Books, as_file


@dataclass(repr=False)
class Watched:
    """An account of ten events, backed up at the sixth and at the last, and what the database held of it then."""

    books: Books
    early: bytes
    late: bytes
    kept: Kept


@pytest.fixture(scope="module")
def watched(fresh_account: OpenAccount, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    books = Books(fresh_account())
    folder = tmp_path_factory.mktemp("archives")
    for name in ("Jan", "Piet", "Joris"):
        books.customer(name)
    books.issued(books.customer("Els"))
    early = books.backup(folder)
    books.issued(books.customer("Ann"))
    books.customer("Korneel")
    return Watched(books, early, books.backup(folder), tampering.read(books))


@pytest.fixture(autouse=True)
def put_back(watched: Watched) -> Iterator[None]:
    yield
    tampering.write(watched.books, watched.kept)


def verified(books: Books, *archives: bytes, **choices: Any) -> Verified:
    against = [Given(f"{number}.zip", as_file(archive)) for number, archive in enumerate(archives)]
    database, account = books.application.database, books.access.account
    return verify_timeline(database, account, against=against, keys=KEYS, **{"log_only": True, **choices})


def test_an_account_that_nobody_tampered_with_is_sound(watched: Watched) -> None:
    found = verified(watched.books, watched.early, watched.late, log_only=False)

    assert found.is_sound
    assert found.log.findings == ()
    assert [(one.relation, one.common) for one in found.archives] == [("continues", 6), ("continues", 10)]
    assert {(one.by, one.size, one.agrees) for one in found.log.heads} == {
        ("stream", 10, True),
        ("history", 6, True),
        ("history", 10, True),
        ("archive", 6, True),
        ("archive", 10, True),
    }


def change_data(rows: Rows, at: int) -> None:
    rows[at]["data"] = rows[at]["data"].replace("{", '{"changed":true,', 1)


def change_time(rows: Rows, at: int) -> None:
    rows[at]["at"] -= timedelta(microseconds=1)


def change_actor(rows: Rows, at: int) -> None:
    rows[at]["actor"] = "person:01890000-0000-7000-8000-000000000000"


def change_version(rows: Rows, at: int) -> None:
    rows[at]["version"] += 100


def remove(rows: Rows, at: int) -> None:
    del rows[at]


def remove_and_close_up(rows: Rows, at: int) -> None:
    del rows[at]
    number(rows)


def cut_off(rows: Rows, at: int) -> None:
    del rows[at:]


def insert(rows: Rows, at: int) -> None:
    rows.insert(at, {**rows[at], "entity_id": uuid.UUID(int=7)})
    number(rows)


def exchange(rows: Rows, at: int) -> None:
    assume(at + 1 < len(rows))
    rows[at], rows[-1] = rows[-1], rows[at]
    number(rows)


def move_away(rows: Rows, at: int) -> None:
    rows[at]["position"] = 1_000_000_000_000


def number(rows: Rows) -> None:
    for position, row in enumerate(rows, 1):
        row["position"] = position


TAMPERINGS = [
    change_data, change_time, change_actor, change_version, remove, remove_and_close_up, cut_off, insert, exchange,
    move_away,
]  # fmt: skip


def tamper(
    watched: Watched, change: Callable[[Rows, int], None], at: int, *, leaves: bool, tree: bool, history: bool
) -> None:
    """Change rows from one on; let leaves, stream row and the account's own history go along with it, where asked."""
    kept = copy.deepcopy(watched.kept)
    change(kept.events, at)
    if leaves:
        for row in kept.events:
            row["leaf"] = leaf_of(row)
    if tree:
        frontier = tree_over(kept.events)
        kept.streams[0] |= {"head_position": frontier.size, "frontier": frontier.to_bytes()}
    if history:
        made = [leaf_of(row) for row in sorted(kept.events, key=lambda row: row["position"])]
        for event in kept.history:
            if event["type"] == "backup.taken":
                data = json.loads(event["data"])
                size = min(data["position"], len(made))
                event["data"] = json.dumps({**data, "position": size, "root": append(EMPTY, made[:size]).root().hex()})
    tampering.write(watched.books, kept)


def named(found: Verification) -> tuple[int, int]:
    assert found.first_bad is not None
    assert found.first_bad_by_then is not None
    return found.first_bad, found.first_bad_by_then


@given(st.sampled_from(TAMPERINGS), st.integers(0, 9), st.booleans(), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_t18_a_row_changed_by_a_superuser_is_found_and_the_first_bad_position_is_named(
    watched: Watched, change: Callable[[Rows, int], None], at: int, leaves: bool, tree: bool
) -> None:
    tamper(watched, change, at, leaves=leaves, tree=tree, history=False)

    first, by_then = named(verified(watched.books).log)

    assert first <= at + 1 <= by_then


@given(st.sampled_from(TAMPERINGS), st.integers(0, 9), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_t18_beside_an_archive_the_first_bad_position_is_exact_whatever_else_was_changed_with_it(
    watched: Watched, change: Callable[[Rows, int], None], at: int, leaves: bool, tree: bool, history: bool
) -> None:
    tamper(watched, change, at, leaves=leaves, tree=tree, history=history)

    found = verified(watched.books, watched.early, watched.late)

    assert not found.is_sound
    assert named(found.log) == (at + 1, at + 1)


BESIDE_THE_ROWS: list[tuple[str, str, str]] = [
    ("UPDATE streams SET frontier = sha256(frontier) || sha256(frontier) WHERE {account}", "stream", "backup"),
    ("UPDATE streams SET frontier = '' WHERE {account}", "stream", "0 bytes of hashes; expected 64 for 10"),
    ("UPDATE streams SET head_position = 7 WHERE {account}", "stream", "64 bytes of hashes; expected 96 for 7"),
    ('UPDATE control_events SET data = replace(data, \'"root":"\', \'"root":"00\') WHERE {account}', "history", "root"),
    ("UPDATE control_events SET data = '[]' WHERE {account} AND position = 4", "history", "event 4, 'backup.taken'"),
    ("UPDATE control_events SET type = 'x' WHERE {account} AND position = 3", "history", "event 3, 'x'"),
    ("DELETE FROM control_events WHERE {account} AND position = 2", "history", "event 3 after 1"),
    ("DELETE FROM control_events WHERE {account} AND position = 5", "history", "4 events; expected 5"),
    ("UPDATE accounts SET control = replace(control, 'Trapgevel', 'Zadeldak') WHERE {account}", "history", "account"),
    ("UPDATE accounts SET control = '' WHERE {account}", "history", "an account kept as"),
    ("UPDATE members SET role = 'owner' WHERE {account}", "members", "let in as owner; expected editor"),
    ("DELETE FROM members WHERE {account} AND role = 'editor'", "members", "let in as nobody"),
    ("UPDATE segments SET came_by = 'restore' WHERE {account}", "segments", "expected recorded from here"),
]


@pytest.mark.parametrize(("statement", "wrong", "said"), BESIDE_THE_ROWS)
def test_t18_what_stands_beside_the_rows_is_held_against_them_too(
    watched: Watched, statement: str, wrong: str, said: str
) -> None:
    before = tampering.read_beside(watched.books)
    tampering.execute(watched.books, statement)

    found = verified(watched.books, watched.early)

    tampering.write_beside(watched.books, before)
    assert not found.is_sound
    assert {one.wrong for one in found.log.findings} - {"extra"} == {wrong}
    assert any(said in str(one) for one in found.log.findings)


def test_t18_a_head_that_was_set_back_leaves_rows_behind_it(watched: Watched) -> None:
    kept = copy.deepcopy(watched.kept)
    frontier = tree_over(kept.events[:7])
    kept.streams[0] |= {"head_position": 7, "frontier": frontier.to_bytes()}
    tampering.write(watched.books, kept)

    found = verified(watched.books).log

    assert [str(one) for one in found.findings] == [
        "extra at position 8: found 3 rows behind the head; expected none behind 7"
    ]


def test_t18_rows_at_positions_that_there_are_not_are_found(watched: Watched) -> None:
    kept = copy.deepcopy(watched.kept)
    kept.events.insert(0, {**kept.events[0], "position": -5, "entity_id": uuid.UUID(int=7)})
    tampering.write(watched.books, kept)

    found = verified(watched.books).log

    assert (found.first_bad, {one.wrong for one in found.findings}) == (-5, {"extra", "row"})


def test_a_row_that_was_changed_without_its_leaf_leaves_the_tree_of_the_leaves_as_it_was(watched: Watched) -> None:
    tamper(watched, change_data, 3, leaves=False, tree=False, history=False)

    found = verified(watched.books).log

    assert [(one.wrong, one.position) for one in found.findings] == [("row", 4)]
    assert {one.agrees for one in found.heads} == {True}


def test_a_leaf_that_was_changed_alone_is_told_at_its_position(watched: Watched) -> None:
    tampering.execute(watched.books, "UPDATE events SET leaf = sha256(leaf) WHERE {account} AND position = 4")

    found = verified(watched.books, watched.late)

    assert [(one.wrong, one.position) for one in found.log.findings] == [("row", 4)]
    assert [one.relation for one in found.archives] == [
        "continues",
    ]


def test_snapshots_are_derived_anew_unless_only_the_log_is_asked_for(watched: Watched) -> None:
    tampering.execute(watched.books, "UPDATE entities SET state = replace(state, 'Jan', 'Jon') WHERE {account}")

    whole, log = verified(watched.books, log_only=False), verified(watched.books)

    tampering.execute(watched.books, "UPDATE entities SET state = replace(state, 'Jon', 'Jan') WHERE {account}")
    assert (whole.is_sound, log.is_sound) == (False, True)
    assert whole.snapshots is not None
    assert [(one.table, one.field) for one in whole.snapshots.differences] == [("entities", "state")]


def test_an_archive_is_continued_also_by_what_was_restored_from_it(
    watched: Watched, fresh_account: OpenAccount
) -> None:
    other = Books(fresh_account())
    other.restore(watched.early, from_other_account=True)
    other.customer()

    found = verified(other, watched.early, watched.late)

    assert found.is_sound
    assert [str(one).partition("): ")[2] for one in found.archives] == [
        "the stream continues it",
        "another stream's; this one has its first 6",
    ]


def test_a_stream_that_was_set_back_by_a_restore_is_older_and_one_that_was_cut_off_is_bad(
    watched: Watched, fresh_account: OpenAccount
) -> None:
    other = Books(fresh_account())
    other.restore(watched.early, from_other_account=True)
    tamper(watched, cut_off, 6, leaves=True, tree=True, history=True)

    set_back, cut = verified(other, watched.late), verified(watched.books, watched.late)

    assert [one.relation for one in (*set_back.archives, *cut.archives)] == ["is older", "is older"]
    assert (set_back.is_sound, cut.is_sound) == (True, False)
    assert str(cut.log.findings[0]).startswith("missing at position 7: found no row behind position 6; expected 10 ev")


def test_a_retired_stream_can_be_verified_too(fresh_account: OpenAccount, tmp_path: Path) -> None:
    books = Books(fresh_account())
    books.customer()
    archive = books.backup(tmp_path)
    books.restore(archive)
    tampering.execute(books, "UPDATE events SET leaf = sha256(data::bytea) WHERE {account} AND stream_id = 1")

    live, retired = verified(books, archive, log_only=False), verified(books, stream=1, log_only=False)

    assert (live.log.stream, live.log.status, live.is_sound) == (2, "live", True)
    assert (retired.log.stream, retired.log.status, retired.log.first_bad) == (1, "retired", 1)
    assert retired.snapshots is None
    with pytest.raises(StreamUnknown, match="no stream 3 of this account is live or retired"):
        verified(books, stream=3)


def test_an_archive_whose_lines_are_not_its_own_trees_proves_nothing(watched: Watched) -> None:
    edited = Edited(watched.late)
    root = edited.manifest["tree_head"]["root"]
    edited.manifest["tree_head"]["root"] = root[::-1]

    with pytest.raises(FileDiffers, match=f"tree root {root}"):
        verified(watched.books, edited.zipped().read())


def test_each_archive_is_told_with_who_vouches_for_it(watched: Watched) -> None:
    found = verified(watched.books, watched.late, Edited(watched.late).unsigned())

    assert [one.authenticity.verdict for one in found.archives] == ["authentic", "unsigned"]
    assert "10 events, authentic (signed by tests, key " in str(found.archives[0])


def test_an_archive_that_was_edited_since_it_was_signed_proves_nothing(watched: Watched) -> None:
    edited = Edited(watched.late)
    edited.files["timeline.jsonl"] = edited.files["timeline.jsonl"].replace(b"Piet", b"Paul")
    tamper(watched, change_data, 1, leaves=True, tree=True, history=True)

    with pytest.raises(ArchiveEdited, match=r"edited since tests signed it: timeline.jsonl"):
        verified(watched.books, edited.as_signed())


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE attachments SET bytes = 'other' WHERE {account}", "found other bytes; expected those of SHA-256"),
        ("DELETE FROM attachments WHERE {account}", "found no such file; expected SHA-256"),
    ],
)
def test_t18_attached_files_that_were_changed_or_removed_are_found(
    fresh_account: OpenAccount, statement: str, said: str
) -> None:
    books = Books(fresh_account())
    customer = books.customer()

    def attach(work: Work) -> None:
        made = commands.create(work, Kind.INVOICE, {"customer": customer, "lines": [LINE]})
        content = b"what was agreed"
        sha256 = hashlib.sha256(content).hexdigest()
        file = Attachment(id="1", name="a.txt", media_type="text/plain", size=len(content), sha256=sha256)
        commands.attach(work, Kind.INVOICE, made, file, content)

    books.run(attach)
    sound = verified(books, log_only=False)
    tampering.execute(books, statement)

    found = verified(books, log_only=False)

    assert (sound.is_sound, found.is_sound, found.log.findings) == (True, False, ())
    assert [said in str(one) for one in found.files] == [True]


@pytest.mark.parametrize("rows_a_block", [1, 3, 7])
def test_t18_blocks_do_not_hide_anything(watched: Watched, rows_a_block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.verification.ROWS_A_BLOCK", rows_a_block)
    sound = verified(watched.books, watched.late)
    tamper(watched, remove, 5, leaves=False, tree=False, history=False)

    found = verified(watched.books, watched.late)

    assert sound.is_sound
    assert named(found.log) == (6, 6)
    assert [one.wrong for one in found.log.findings] == ["missing", "tree"]
