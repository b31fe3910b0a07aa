"""An account in its archive: the very lines, their tree, and snapshots that are their folds, whatever the history."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from domain.application import Actor
from domain.events import read_line
from domain.ids import EntityId
from domain.kinds import Kind
from domain.tree import leaf_hash, root_of
from domain.work import is_gone
from snapshots.backup import Backup, take_backup
from snapshots.format.manifest import SNAPSHOT_FILES
from snapshots.restoring.restore import Choices, restore_archive
from tests.fixtures.accounts import OpenAccount, OpenedAccount
from tests.fixtures.archives import KEYS, SIGNER
from tests.histories import History, Played, histories, play

pytestmark = pytest.mark.slow

few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where archives go; each example overwrites the one before it."""
    return tmp_path_factory.mktemp("archives")


def actor(opened: OpenedAccount) -> Actor:
    return Actor.person(opened.access.control.members[0].person, "api")


def backed_up(opened: OpenedAccount, target: Path) -> Backup:
    return take_backup(opened.application, opened.access, actor(opened), target, SIGNER)


def lived(fresh_account: OpenAccount, history: History) -> tuple[OpenedAccount, Played]:
    opened = fresh_account()
    return opened, play(opened.application, opened.access, history)


def lines_of(archive: zipfile.ZipFile, name: str) -> list[bytes]:
    """A file's lines, ended by line feeds and by nothing else; none where the archive lacks the file."""
    return archive.read(name).split(b"\n")[:-1] if name in archive.namelist() else []


@few
@given(histories())
def test_an_archives_snapshots_are_the_folds_of_its_timeline(
    fresh_account: OpenAccount, folder: Path, history: History
) -> None:
    opened, played = lived(fresh_account, history)

    backed_up(opened, folder / "folds.zip")

    folds: dict[EntityId, Any] = {}
    kinds: dict[EntityId, Kind] = {}
    with zipfile.ZipFile(folder / "folds.zip") as archive:
        for raw in lines_of(archive, "timeline.jsonl"):
            event = read_line(raw)
            folds[event.entity] = event.rules.evolve(folds.get(event.entity), event.data, event.entity, event.version)
            kinds[event.entity] = event.rules.kind
        for kind, name in SNAPSHOT_FILES.items():
            kept = [json.loads(raw)["id"] for raw in lines_of(archive, name)]
            there = {id_ for id_, fold in folds.items() if kinds[id_] is kind and not is_gone(fold)}
            assert set(kept) == there
            assert len(kept) == len(there)
            for raw in lines_of(archive, name):
                assert raw == msgspec.json.encode(folds[json.loads(raw)["id"]])
    assert folds == played.now


@few
@given(histories())
def test_an_archives_timeline_is_what_its_tree_head_vouches_for(
    fresh_account: OpenAccount, folder: Path, history: History
) -> None:
    opened, _ = lived(fresh_account, history)

    backup = backed_up(opened, folder / "tree.zip")

    with zipfile.ZipFile(folder / "tree.zip") as archive:
        lines = lines_of(archive, "timeline.jsonl")
        for file in json.loads(archive.read("manifest.json"))["files"]:
            assert hashlib.sha256(archive.read(file["name"])).hexdigest() == file["sha256"]
    leaves = [leaf_hash(one) for one in lines]
    assert (backup.position, backup.root) == (len(leaves), root_of(leaves).hex())
    with psycopg.connect(opened.application.database.dsn) as connection:
        stored = connection.execute(
            "SELECT leaf FROM events WHERE account_id = %s ORDER BY position", [opened.access.account]
        ).fetchall()
    assert [bytes(leaf) for (leaf,) in stored] == leaves


@few
@given(histories(), histories())
def test_a_later_archive_continues_an_earlier_one(
    fresh_account: OpenAccount, folder: Path, history: History, more: History
) -> None:
    opened, _ = lived(fresh_account, history)
    backed_up(opened, folder / "earlier.zip")
    play(opened.application, opened.access, more)

    backed_up(opened, folder / "later.zip")

    with zipfile.ZipFile(folder / "earlier.zip") as earlier, zipfile.ZipFile(folder / "later.zip") as later:
        assert later.read("timeline.jsonl").startswith(earlier.read("timeline.jsonl"))


def content(target: Path) -> dict[str, bytes]:
    """The files of an archive that hold what an account is: lines, snapshots, attachments."""
    with zipfile.ZipFile(target) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jsonl") or name.startswith("attachments/")]
        return {name: archive.read(name) for name in names}


@few
@given(histories(), histories())
def test_a_backup_of_a_restored_account_is_the_backup_it_was_restored_from(
    fresh_account: OpenAccount, folder: Path, history: History, later: History
) -> None:
    opened, _ = lived(fresh_account, history)
    before = backed_up(opened, folder / "before.zip")
    play(opened.application, opened.access, later)

    with (folder / "before.zip").open("rb") as file:
        restore_archive(opened.application, opened.access, actor(opened), file, keys=KEYS)
    after = backed_up(opened, folder / "after.zip")

    assert (after.position, after.root) == (before.position, before.root)
    assert content(folder / "after.zip") == content(folder / "before.zip")
    assert after.stream > before.stream


@few
@given(histories())
def test_an_account_restored_into_another_is_the_same_there(
    fresh_account: OpenAccount, folder: Path, history: History
) -> None:
    opened, _ = lived(fresh_account, history)
    before = backed_up(opened, folder / "source.zip")
    other = fresh_account()

    with (folder / "source.zip").open("rb") as file:
        choices = Choices(from_other_account=True)
        restore_archive(other.application, other.access, actor(other), file, choices=choices, keys=KEYS)
    after = backed_up(other, folder / "target.zip")

    assert (after.position, after.root) == (before.position, before.root)
    assert content(folder / "target.zip") == content(folder / "source.zip")
