"""Runs of an operation with a fault planted, each on a copy of a prepared database, and what is looked at after it."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, NamedTuple, get_args

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from api.housekeeping import clean_up
from api.postgres import embedded_server
from domain.errors import CounterfoilError
from domain.store.database import Database, DatabaseUnavailable
from snapshots.proving.verification import Given, verify_timeline
from snapshots.trust.signing import KeyRing
from tests.faults.sweep.operations import (
    MIGRATION,
    OPERATIONS,
    WRITES,
    Known,
    World,
    migrated_only_to,
    migrations_applied,
    prepare,
)
from tests.faults.sweep.over_http import asked
from tests.faults.sweep.planting import CLIENT_GONE, FINAL, OVER_WIRE, Plant, Planted, Server, alike, planted_in
from tests.fixtures.accounts import open_in
from tests.fixtures.archives import TRUSTED
from tests.fixtures.server import new_home, remove_home
from tests.fixtures.wire import Lost, Wire, wire_to
from tests.integration.restoring import Books

NEVER = 1 << 40
_OLDER_SCHEMA = 3
_FILE_SYSTEM_KIB = 768 * 1024
_PATIENCE_S = 90
_CONNECTS_WITHIN_S = 1.2  # instead of ten: a server that stays away does so on purpose here
# A live stream that nothing on record made live, or that has no segment for what is recorded in it.
_UNTOLD = """
SELECT stream_id FROM streams s WHERE status = 'live' AND (
    stream_id <> coalesce((SELECT (data::json ->> 'live')::integer FROM control_events
                           WHERE type = 'stream.swapped' ORDER BY position DESC LIMIT 1), 1)
    OR NOT EXISTS (SELECT 1 FROM segments g WHERE g.stream_id = s.stream_id AND g.came_by = 'recorded'))"""
_STREAM_TABLES = ("segments", "attributions", "events", "entities", "series")


class Task(NamedTuple):
    """What a process of its own does: an operation, maybe after cleaning up, with a fault."""

    operation: str
    dsn: str
    known: Known | None
    folder: Path
    plant: Plant
    server: Server
    cleans_up: bool = False


class Said(NamedTuple):
    """How a process ended: ``done``, an error's code, ``raised …`` what has none, or ``killed``; the points that there
    were and the faults that it met."""

    how: str
    points: int
    met: int


class Result(NamedTuple):
    """A run: what was planted, how it ended, whether it was done, and what was found wrong after it."""

    operation: str
    plants: tuple[Plant, ...]
    said: tuple[Said, ...]
    done: bool
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        planted = ", then ".join(map(str, self.plants))
        how = ", ".join(one.how for one in self.said)
        return f"{self.operation}, {planted} ({how}): {'; '.join(self.wrong) or 'nothing wrong'}"


class Prepared(NamedTuple):
    """A database and a folder to copy, and what an operation leads from and to there."""

    database: str
    folder: Path
    known: Known | None
    before: Any
    after: Any
    bystander: Any


def perform(task: Task, pipe: Pipe) -> None:
    """What the process of its own does."""
    tempfile.tempdir = str(task.folder / "tmp")
    how = "done"
    planted = Planted(task.plant, task.server)
    try:
        with ExitStack() as stack:
            if task.known is None:
                pipe.send(None)
                pipe.recv()
                with planted_in(planted, (task.folder,)):
                    stack.enter_context(Database(task.dsn))
            else:
                database = stack.enter_context(Database(task.dsn))
                database._pool.timeout = _CONNECTS_WITHIN_S
                world = World(database, task.known, task.folder)
                access = world.access(task.known.subject)
                pipe.send(None)
                pipe.recv()
                if task.plant.kind == CLIENT_GONE:
                    how, planted = asked(task.operation, world, task.plant, task.server)
                else:
                    with planted_in(planted, (task.folder,)):
                        if task.cleans_up:
                            clean_up(world.installed)
                        OPERATIONS[task.operation].run(world, access)
    except CounterfoilError as wrong:
        how = wrong.code
    except psycopg.OperationalError:
        how = DatabaseUnavailable.code  # what both edges make of it
    except BaseException as wrong:  # noqa: BLE001 - that there are no others is what is found out
        how = f"raised {type(wrong).__name__}: {str(wrong).partition(chr(10))[0]}"
    pipe.send(Said(how, planted.points, planted.met))


class Sweep:
    """A server of the sweep's own, prepared databases on it, and runs of operations on copies of these."""

    def __init__(self, server: Server, wire: Wire, folder: Path) -> None:
        self.server = server
        self._wire = wire
        self._folder = folder
        self._prepared: dict[str, Prepared] = {}
        self._points: dict[tuple[str, str], int] = {}
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["tests.faults.sweep.running"])

    def points(self, operation: str, kind: str) -> int:
        """How many points of that kind an undisturbed run of the operation has."""
        key = (operation, alike(kind))
        if key not in self._points:
            with self._copy(operation) as (dsn, folder):
                self._points[key] = self._run(operation, dsn, folder, Plant(key[1], NEVER)).points
        return self._points[key]

    def run(self, operation: str, *plants: Plant) -> Result:
        """Run an operation with the first fault, and, with a second, clean up and run it again with that one; then
        clean up, look at everything, and run it again undisturbed."""
        prepared = self.prepared(operation)
        with self._copy(operation) as (dsn, folder):
            said = []
            for number, plant in enumerate(plants):
                said.append(self._run(operation, dsn, folder, plant, cleans_up=number > 0))
            done, wrong = self._judged(operation, prepared, dsn, folder, plants, said)
        return Result(operation, plants, tuple(said), done, tuple(wrong))

    def prepared(self, operation: str) -> Prepared:
        """What there is before the operation; made once."""
        if operation not in self._prepared:
            self._prepared[operation] = self._prepare(operation)
        return self._prepared[operation]

    def _prepare(self, operation: str) -> Prepared:
        name, folder = f"before_{uuid.uuid4().hex}", self._folder / uuid.uuid4().hex
        dsn = self._made(name)
        if operation == MIGRATION:
            (folder / "tmp").mkdir(parents=True)
            with migrated_only_to(_OLDER_SCHEMA), Database(dsn):
                pass
            before = migrations_applied(dsn)
            self._prepared[operation] = Prepared(name, folder, None, before, None, None)
            with self._copy(operation) as (copy, _), Database(copy):
                return self._prepared[operation]._replace(after=migrations_applied(copy))
        known = prepare(OPERATIONS[operation], dsn, folder)
        self._prepared[operation] = Prepared(name, folder, known, None, None, None)
        seen = OPERATIONS[operation].seen
        with self._copy(operation) as (copy, there), Database(copy) as database:
            world = World(database, known, there)
            before, bystander = seen(world), _rows(world)
            OPERATIONS[operation].run(world, world.access(known.subject))
            return Prepared(name, folder, known, before, seen(world), bystander)

    def _made(self, name: str, like: str = "template1") -> str:
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
            connection.execute(copy.format(sql.Identifier(name), sql.Identifier(like)))
        return make_conninfo(self.server.dsn, dbname=name)

    @contextmanager
    def _copy(self, operation: str) -> Iterator[tuple[str, Path]]:
        prepared = self.prepared(operation)
        name, folder = f"run_{uuid.uuid4().hex}", self._folder / uuid.uuid4().hex
        shutil.copytree(prepared.folder, folder)
        try:
            yield self._made(name, prepared.database), folder
        finally:
            with psycopg.connect(self.server.dsn, autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            shutil.rmtree(folder)

    def _run(self, operation: str, dsn: str, folder: Path, plant: Plant, *, cleans_up: bool = False) -> Said:
        lost = OVER_WIRE.get(plant.kind)
        there = make_conninfo(self._wire.dsn, dbname=psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]) if lost else dsn
        task = Task(operation, there, self.prepared(operation).known, folder, plant, self.server, cleans_up)
        ours, theirs = self._processes.Pipe()
        process = self._processes.Process(target=perform, args=(task, theirs))
        process.start()
        theirs.close()
        said = Said("killed", 0, 1)
        with ours:
            try:
                assert ours.recv() is None
                breaking = self._wire.broken(plant.at, _lost(lost), for_good=plant.for_good) if lost else nullcontext()
                with breaking:
                    ours.send(None)
                    if ours.poll(_PATIENCE_S):
                        said = ours.recv()
                    if lost:
                        said = said._replace(points=self._wire.steps, met=int(self._wire.broke))
            except EOFError:
                pass
            process.join(_PATIENCE_S)
            if process.exitcode is None:
                process.kill()
                process.join()
                said = said._replace(how="raised nothing, and did not end")
        self._wait_until_left(dsn)
        return said

    def _wait_until_left(self, dsn: str) -> None:
        """The server has seen that whoever was killed is gone."""
        ends = time.monotonic() + _PATIENCE_S
        name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            while connection.execute("SELECT 1 FROM pg_stat_activity WHERE datname = %s", (name,)).fetchone():
                assert time.monotonic() < ends, "a session outlives its process"
                time.sleep(0.005)

    def _judged(
        self, operation: str, prepared: Prepared, dsn: str, folder: Path, plants: tuple[Plant, ...], said: list[Said]
    ) -> tuple[bool, list[str]]:
        wrong = [one.how for one in said if one.how.startswith("raised")]
        if prepared.known is None:
            found = migrations_applied(dsn)
            if not prepared.before <= found <= prepared.after:  # each is wholly there or not; the next start goes on
                wrong.append(f"migrated to {found}")
            _use(dsn)
            if migrations_applied(dsn) != prepared.after:
                wrong.append("the next start did not go on")
            return found == prepared.after, wrong
        with Database(dsn) as database:
            world = World(database, prepared.known, folder)
            wrong += _cleaned(world)
            seen = OPERATIONS[operation].seen(world)
            done = seen == prepared.after
            wrong += _state(operation, world, prepared, seen)
            if seen != prepared.before or not done:
                wrong += _words(operation, plants, said, done=done)
            wrong += _unsound(world) + _left(world, dsn)
            if _rows(world) != prepared.bystander:
                wrong.append("another account is not as it was")
            access = world.access(prepared.known.subject)
            try:
                if not done:
                    OPERATIONS[operation].run(world, access)
                    if OPERATIONS[operation].seen(world) != prepared.after:
                        wrong.append("run again it leads elsewhere")
                world.books(prepared.known.subject).customer("The next write")
            except (CounterfoilError, psycopg.Error, OSError) as again:
                wrong.append(f"run again it fails: {again}")
            wrong += _unsound(world)
        return done, wrong


def _lost(name: str) -> Lost:
    return next(one for one in get_args(Lost) if one == name)


def _use(dsn: str) -> None:
    """What the service does first after a migration works."""
    with Database(dsn) as database:
        books = Books(open_in(database))
        books.issued(books.customer())


def _cleaned(world: World) -> list[str]:
    return [f"cleaning up fails: {one.reason}" for one in clean_up(world.installed).failures]


def _state(operation: str, world: World, prepared: Prepared, seen: Any) -> list[str]:
    if operation != "write":
        return [] if seen in (prepared.before, prepared.after) else [f"neither as before nor done: {seen}"]
    acknowledged = world.acknowledged.read_text().split() if world.acknowledged.exists() else []
    found = [name for name in WRITES if name in seen]
    lost = [name for name in acknowledged if name not in found]
    wrong = [f"acknowledged and lost: {lost}"] if lost else []
    if found != list(WRITES[: len(found)]) or sorted([*prepared.before, *found]) != seen:
        wrong.append(f"writes out of order, or twice: {seen}")
    return wrong


def _words(operation: str, plants: tuple[Plant, ...], said: list[Said], *, done: bool) -> list[str]:
    """What was said is so. From-then-on faults may keep a process from knowing that it is done; a purge goes on."""
    is_part = operation == "write" and plants[-1].kind == CLIENT_GONE  # over HTTP, the first of its three
    if said[-1].how == "done" and not done and not is_part:
        return ["it says that it is done, and is not"]
    may_not_know = plants[-1].for_good or plants[-1].kind in FINAL or len(plants) > 1 or operation in ("purge", "write")
    if done and said[-1].how not in ("done", "killed", "archive.not-recorded") and not may_not_know:
        return [f"it says {said[-1].how}, and is done"]
    return []


def _unsound(world: World) -> list[str]:
    wrong = []
    for account in (world.known.subject, world.known.other, world.known.bystander):
        access = world.access(account)
        if not verify_timeline(world.database, access.account).is_sound:
            wrong.append(f"the timeline or snapshots of {access.slug} do not verify")
        with world.database.transaction(access.account) as connection:
            row = connection.execute(_UNTOLD).fetchone()
        if row is not None:
            wrong.append(f"{access.slug} lives in stream {row[0]}, of which its history or its segments do not tell")
    keys = KeyRing((TRUSTED, *world.installed.keys.trusted()))
    for archive in world.archives():
        access = world.access(world.known.subject)
        with archive.open("rb") as file:
            given = [Given("taken", file)]
            found = verify_timeline(world.database, access.account, against=given, log_only=True, keys=keys)
        if not found.is_sound:
            wrong.append("the archive is not of this account")
    return wrong


def _left(world: World, dsn: str) -> list[str]:
    """What nobody will ever need, and is still there."""
    wrong = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table in _STREAM_TABLES:
            row = connection.execute(
                f"SELECT count(*) FROM {table} LEFT JOIN streams USING (account_id, stream_id)"
                " WHERE status IS NULL OR status NOT IN ('live', 'retired')"
                + (" AND status <> 'purged'" if table == "segments" else "")
            ).fetchone()
            if row and row[0]:
                wrong.append(f"{row[0]} rows of {table} are of no use")
        row = connection.execute("SELECT count(*) FROM streams WHERE status = 'building'").fetchone()
        if row and row[0]:
            wrong.append("a stream is still building")
        row = connection.execute(
            "SELECT count(*) FROM accounts a WHERE NOT EXISTS (SELECT FROM members m WHERE m.account_id = a.account_id)"
        ).fetchone()
        if row and row[0]:
            wrong.append("an account was never opened")
    partial = [path.name for path in world.folder.rglob("*.partial")]
    partial += [path.name for path in (world.folder / "tmp").iterdir()]
    return wrong + [f"a file was left behind: {name}" for name in partial]


def _rows(world: World) -> Any:
    """Every row of the account that nobody touches."""
    return world.books(world.known.bystander).rows()


@contextmanager
def sweeping(*, own_file_system: bool) -> Iterator[Sweep]:
    """A sweep on a server of its own, in a file system of its own where that is asked for and may be had."""
    home = new_home()
    mounted = own_file_system and _mounted(home)
    folder = Path(tempfile.mkdtemp(prefix="counterfoil-sweep-"))
    try:
        with embedded_server(home, durable=False) as address:
            # A killed server's writes are with the kernel; what it had not written when it said so would be lost.
            dsn = make_conninfo(address, options="-c synchronous_commit=on")
            server = Server(home, dsn, _FILE_SYSTEM_KIB if mounted else None)
            with wire_to(dsn) as wire:
                yield Sweep(server, wire, folder)
    finally:
        shutil.rmtree(folder)
        if mounted:
            subprocess.run(["umount", home], check=True)
        remove_home(home)


def _mounted(folder: Path) -> bool:
    """Whether *folder* is a file system of its own now; that is for root alone, and not everywhere."""
    options = f"size={_FILE_SYSTEM_KIB}k,mode=0711"
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True
        )
    except OSError:
        return False
    return done.returncode == 0
