"""Faults at numbered points of a run: every statement, commit and file operation of this process counts one.

What is planted happens for real where it can: the process is killed, the server's backend is terminated, the server is
killed and started again, its file system is full, the server itself reports the deadlock.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection, Copy, Cursor, Transaction

from api.postgres import join_server
from snapshots.reading import spool
from snapshots.shelves import folder as shelf

# What the server is made to report, and what it calls it.
SQLSTATES = {
    "serialization failure": "40001",
    "deadlock": "40P01",
    "lock timeout": "55P03",
    "statement timeout": "57014",
}
AT_STATEMENTS = (*SQLSTATES, "backend terminated", "server killed", "database full")
AT_FILES = ("disk full",)
AT_BOTH = ("worker killed", "SIGTERM")
OVER_WIRE = {"request lost": "request", "answer lost": "answer"}
CLIENT_GONE = "client gone"
# After these nothing more is met: "from then on" is what they are.
FINAL = ("worker killed", "SIGTERM", CLIENT_GONE)


def alike(kind: str) -> str:
    """A kind that has the same points."""
    for kinds in ((*SQLSTATES, "database full"), ("backend terminated", "server killed"), AT_BOTH, tuple(OVER_WIRE)):
        if kind in kinds:
            return kinds[0] if kinds is not AT_BOTH else "SIGTERM"
    return kind


class Server(NamedTuple):
    """The server that is the sweep's own: where it lives, and, where that is a file system of its own, how large."""

    home: Path
    dsn: str
    kib: int | None


class Plant(NamedTuple):
    """A fault: of which kind, at which point, counted from 1, and whether at every later one as well."""

    kind: str
    at: int
    for_good: bool = False

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}{' and from then on' if self.for_good else ''}"


class Planted:
    """Counts the points that a plant of its kind has, and lets it happen at its own."""

    def __init__(self, plant: Plant, server: Server, hang_up: Callable[[], None] | None = None) -> None:
        self.points = 0
        self.met = 0
        self._plant = plant
        self._server = server
        self._hang_up = hang_up
        self._at_work = False
        self._full = False

    def statement(self, connection: Connection[Any] | None, *, is_copy: bool = False) -> None:
        """A statement, a piece of a COPY, or a commit, is about to be sent."""
        if self._plant.kind in (*AT_STATEMENTS, *AT_BOTH, CLIENT_GONE):
            self._point(lambda: self._fail_statement(connection, is_copy=is_copy))

    def file(self) -> None:
        """A file is about to be opened, written, read, synced, renamed or removed."""
        if self._plant.kind in (*AT_FILES, *AT_BOTH):
            self._point(self._fail_file)

    def committed(self) -> None:
        """A commit came back: who dies here dies before it can say so."""
        if self._plant.kind in (*AT_BOTH, "backend terminated", "server killed"):
            self._point(lambda: self._fail_statement(None, is_copy=False))

    def end(self) -> None:
        """The run is over: what was full has room again, and a server that stayed down comes back."""
        if self._full:
            self._resize(self._server.kib)
        if self._plant.kind == "server killed" and self._plant.for_good and self.met:
            join_server(self._server.home, durable=False).leave()

    def _point(self, fail: Callable[[], None]) -> None:
        if self._at_work:
            return
        self._at_work = True
        try:
            self.points += 1
            is_due = self.points == self._plant.at or (self._plant.for_good and self.points > self._plant.at)
            if self._full and not is_due:
                self._resize(self._server.kib)
            if is_due:
                self.met += 1
                fail()
        finally:
            self._at_work = False

    def _fail_file(self) -> None:
        if self._plant.kind in AT_BOTH:
            self._end_process()
        raise OSError(28, "No space left on device")

    def _fail_statement(self, connection: Connection[Any] | None, *, is_copy: bool) -> None:
        match self._plant.kind:
            case "worker killed" | "SIGTERM":
                self._end_process()
            case "backend terminated":
                self._terminate(connection)
            case "server killed":
                if self.met == 1:
                    kill_server(self._server.home)
                    if not self._plant.for_good:
                        join_server(self._server.home, durable=False).leave()
            case "database full":
                self._resize(_used_kib(self._server.home))
            case "client gone":
                assert self._hang_up is not None, "a client is what this kind needs"
                self._hang_up()
            case state if connection is not None:
                _report(connection, SQLSTATES[state], is_copy=is_copy)

    def _end_process(self) -> None:
        number = signal.SIGKILL if self._plant.kind == "worker killed" else signal.SIGTERM
        os.kill(os.getpid(), number)

    def _terminate(self, connection: Connection[Any] | None) -> None:
        if connection is None or connection.closed:
            return
        with psycopg.connect(self._server.dsn, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))

    def _resize(self, kib: int | None) -> None:
        assert kib is not None, "the server has no file system of its own"
        options = f"remount,size={kib}k"
        subprocess.run(["mount", "-o", options, self._server.home], check=True, capture_output=True)
        self._full = kib != self._server.kib


def _report(connection: Connection[Any], state: str, *, is_copy: bool) -> None:
    """Let the server itself fail what the connection is at, and say that it is *state*."""
    if is_copy:
        connection.cancel()
        return
    raised = f"DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '{state}'; END $$"
    connection.cursor().execute(raised.encode())


def _used_kib(folder: Path) -> int:
    found = os.statvfs(folder)
    return -(-(found.f_blocks - found.f_bfree) * found.f_frsize // 1024)


def kill_server(home: Path) -> None:
    """Kill the server's processes, all of them, as a crash of the machine would end them."""
    postmaster = int((home / "postgresql/data/postmaster.pid").read_text().splitlines()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    for number in (postmaster, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


GIVEN = "given.zip"  # an archive that the caller opens, and whose opening is the caller's affair
_WATCHED = ("open", "os.rename", "os.remove", "os.mkdir")  # what Python audits anyway, and a hook of ours may refuse
_watching: list[tuple[Planted, tuple[str, ...]]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _WATCHED and _watching:
        planted, folders = _watching[0]
        name = os.fspath(arguments[0]) if isinstance(arguments[0], str | os.PathLike) else b""
        if isinstance(name, str) and name.startswith(folders) and not name.endswith(GIVEN):
            planted.file()


@contextmanager
def planted_in(planted: Planted, folders: tuple[Path, ...]) -> Iterator[None]:
    """Every statement, and every operation on a file in *folders*, is a point. For a process that ends after it."""
    if not _watching:
        sys.addaudithook(_watch)

    def stepping(real: Any, step: Callable[[Any], None]) -> Any:
        def call(self: Any, *args: Any, **more: Any) -> Any:
            step(self)
            return real(self, *args, **more)

        return call

    real_exit = Transaction.__exit__

    def leave(self: Any, kind: Any, error: Any, trace: Any) -> Any:
        if kind is not None:
            return real_exit(self, kind, error, trace)
        try:
            planted.statement(self.connection)
        except BaseException as wrong:
            real_exit(self, type(wrong), wrong, wrong.__traceback__)
            raise
        left = real_exit(self, kind, error, trace)
        planted.committed()
        return left

    def statement(self: Any) -> None:
        planted.statement(self.connection)

    def piece(self: Any) -> None:
        planted.statement(self.connection, is_copy=True)

    def file(_: Any) -> None:
        planted.file()

    places: list[tuple[Any, str, Any]] = [
        (Cursor, "execute", stepping(Cursor.execute, statement)),
        (Cursor, "executemany", stepping(Cursor.executemany, statement)),
        (Cursor, "copy", stepping(Cursor.copy, statement)),
        (Copy, "write", stepping(Copy.write, piece)),
        (Transaction, "__exit__", leave),
        (shelf._Writing, "write", stepping(shelf._Writing.write, file)),
        (spool.Spool, "__init__", stepping(spool.Spool.__init__, file)),
        (spool.Spool, "_write", stepping(spool.Spool._write, file)),
        (spool, "_pread", stepping(spool._pread, file)),
        (os, "fsync", stepping(os.fsync, file)),
    ]
    _watching.append((planted, tuple(f"{folder}/" for folder in folders)))
    try:
        with _patched(places):
            yield
    finally:
        _watching.clear()
        planted.end()


@contextmanager
def _patched(places: list[tuple[Any, str, Any]]) -> Iterator[None]:
    kept = [(holder, name, getattr(holder, name)) for holder, name, _ in places]
    for holder, name, made in places:
        setattr(holder, name, made)
    try:
        yield
    finally:
        for holder, name, real in kept:
            setattr(holder, name, real)
