"""The database server: the one whose address was given, or our own PostgreSQL out of a wheel, in the data folder.

Promises: any number of processes may share the embedded server; the last to leave stops it. Whatever is killed, and
whenever, the next process finds a running server or starts one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg.conninfo import make_conninfo

from api.cluster import SOCKET_NAME, SUPERUSER, Cluster, FolderRefused
from api.settings import Settings, masked
from domain.errors import SetupError

LOG = logging.getLogger(__name__)

DATABASE = "counterfoil"
OLDEST_SERVER = 15  # the oldest major version that a server of one's own may have

# Recovery after a crash replays at most max_wal_size; a start that fails is seen at once and does not wait for this.
START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 60
POLL_S = 0.02
LOG_LIMIT_BYTES = 1 << 20  # a longer log is set aside at the next start
LOG_TAIL_LINES = 12

SERVER_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",  # part of the socket's name
    "max_connections": "100",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "wal_level": "minimal",  # nobody replicates this server
    "max_wal_senders": "0",
    "jit": "off",  # compiling costs more than it saves on our queries
    "timezone": "UTC",
    "log_timezone": "UTC",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
}
# For data that may be thrown away after a crash of the machine: a test's.
THROWAWAY_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@dataclass(eq=False)
class ServerNotStarted(SetupError):
    """Our own server ended, or stayed silent, instead of answering."""

    code: ClassVar[str] = "setup.server-not-started"
    problem: str
    log: Path
    tail: str

    def __str__(self) -> str:
        return f"PostgreSQL {self.problem}; the end of {self.log}:\n{self.tail}"


@dataclass(eq=False)
class ServerUnreachable(SetupError):
    """The server whose address was given does not let us in."""

    code: ClassVar[str] = "setup.server-unreachable"
    address: str  # without its password
    problem: str

    def __post_init__(self) -> None:
        self.hint = "correct COUNTERFOIL_DATABASE_URL, or leave it out to use the embedded PostgreSQL"

    def __str__(self) -> str:
        return f"no connection to the database server ({self.address}): {self.problem}"


@dataclass(eq=False)
class ServerTooOld(SetupError):
    """The server whose address was given lacks what we rely on."""

    code: ClassVar[str] = "setup.server-too-old"
    found: int
    expected: int

    def __str__(self) -> str:
        return f"the database server is PostgreSQL {self.found}; expected {self.expected} or newer"


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The address (a libpq DSN) of the database in force, for as long as the block lasts.

    It is the server of the settings, checked to answer and to be new enough, or else the embedded one in their home.
    Raises a SetupError when there is none.
    """
    if settings.database_url is None:
        with embedded_server(settings.home) as dsn:
            yield dsn
    else:
        _check_given_server(settings.database_url)
        yield settings.database_url


def address(settings: Settings) -> str:
    """Where the database in force is, without secrets; nothing is started for it."""
    if settings.database_url is not None:
        return masked(settings.database_url)
    return f"embedded: {make_conninfo(host=str(Cluster(settings.home).socket_folder), dbname=DATABASE)}"


@contextmanager
def embedded_server(home: Path, *, durable: bool = True) -> Iterator[str]:
    """The address (a libpq DSN) of the server in *home*, which runs at least as long as the block lasts."""
    use = join_server(home, durable=durable)
    try:
        yield use.dsn
    finally:
        use.leave()


def join_server(home: Path, *, durable: bool = True) -> ServerUse:
    """One more use of the server in *home*, which is started if need be; for processes that cannot hold a block open.

    *durable* matters to whoever starts the server: without it, a crash of the machine may cost the data.
    A use is also given up by the end of the process, however it ends; then the server keeps running.
    Raises a SetupError, after which nothing of ours is running that was not before.
    """
    cluster = Cluster(home)
    cluster.make_folders()
    with _locked(cluster.run / "start.lock"):
        # Under the start lock nobody stops the server: see ServerUse.leave.
        users = _open_lock(cluster.run / "users.lock")
        try:
            fcntl.flock(users, fcntl.LOCK_SH)
            dsn = _running(cluster, durable=durable)
        except BaseException:
            _stop_if_last(cluster, users)
            os.close(users)
            raise
    return ServerUse(dsn, cluster, users)


class ServerUse:
    """One holder's claim on a running server; *dsn* is its address."""

    def __init__(self, dsn: str, cluster: Cluster, users: int) -> None:
        self.dsn = dsn
        self._cluster = cluster
        self._users: int | None = users

    def leave(self) -> None:
        """Give up the claim; the last to do so stops the server. A second call does nothing.

        Stopping and joining exclude each other by the start lock: who arrives while the last one leaves either has its
        claim already, so that the server stays, or waits until the server is down, and starts it again.
        """
        if self._users is None:
            return
        users, self._users = self._users, None
        try:
            with _locked(self._cluster.run / "start.lock"):
                _stop_if_last(self._cluster, users)
        finally:
            os.close(users)


# Locks. flock belongs to an open file, not to a process: two uses in one process exclude each other like those of two
# processes, and the kernel drops a killed process's locks.


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except PermissionError as error:
        raise FolderRefused(path, "belongs to another user") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = _open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _try_exclusive(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# Starting and stopping, always under the start lock.


def _running(cluster: Cluster, *, durable: bool) -> str:
    """The address of the server, once it answers.

    The server and all its processes inherit the server lock, so a free lock proves that none of them lives: neither a
    stale postmaster.pid nor a killed starter can mislead us. A taken lock without an answer is a server that is
    starting, recovering, or dying after its postmaster was killed; both end by themselves.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    launched = False
    while time.monotonic() < deadline:
        lock = _open_lock(cluster.run / "server.lock")
        try:
            if _try_exclusive(lock):
                if launched:
                    raise _not_started(cluster, "ended while it started")
                _launch(cluster, lock, durable=durable)
                launched = True
        finally:
            os.close(lock)
        dsn = _answering(cluster)
        if dsn is not None:
            return dsn
        time.sleep(POLL_S)
    raise _not_started(cluster, f"did not answer within {START_TIMEOUT_S} s")


def _launch(cluster: Cluster, lock: int, *, durable: bool) -> None:
    cluster.make_data(durable=durable)
    socket = cluster.make_socket_folder()
    for left_over in (cluster.data / "postmaster.pid", socket / f"{SOCKET_NAME}.lock"):
        _drop_misleading(left_over)
    with suppress(FileNotFoundError):
        if cluster.log.stat().st_size > LOG_LIMIT_BYTES:
            cluster.log.replace(cluster.log.with_suffix(".log.1"))
    settings = {
        **SERVER_SETTINGS,
        **({} if durable else THROWAWAY_SETTINGS),
        # A list of quoted names: a comma in the path does not part it.
        "unix_socket_directories": '"' + str(socket).replace('"', '""') + '"',
    }
    # The shell opens the log as the server's account, and leaves the server behind as nobody's child.
    cluster.command(
        *("/bin/sh", "-c", 'log=$1; shift; umask 077; "$@" >>"$log" 2>&1 &', "sh", cluster.log),
        *(cluster.programs / "postgres", "-D", cluster.data),
        *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        pass_fds=[lock],
        detached=True,
    )


def _drop_misleading(lock_file: Path) -> None:
    """Remove a dead server's lock file if its process number would be taken for a living server.

    PostgreSQL sees through a number that nobody has, but takes any process of its account for a server: after a restart
    of a container, where the numbers are small, that may be another program; where process 1 does not bury the dead,
    it is the killed server itself. A living postgres is left for PostgreSQL to judge: somebody may have started it on
    this data by hand. Without a /proc to ask, all is left to PostgreSQL.
    """
    with suppress(OSError, ValueError):
        number = abs(int(lock_file.read_text().splitlines()[0]))
        # "number (name) state …"; the name may hold blanks and parentheses.
        name, _, rest = Path(f"/proc/{number}/stat").read_text().partition(" (")[2].rpartition(") ")
        if name != "postgres" or rest.startswith("Z"):
            lock_file.unlink()


def _answering(cluster: Cluster) -> str | None:
    """The address of the server if it takes commands now, in our own database, which is made if it is missing."""
    try:
        status = (cluster.data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    if len(status) < 8 or status[7].strip() != "ready":
        return None
    # The socket's folder is the one that the server has, which another TMPDIR than ours may have chosen.
    folder = Path(status[4])
    cluster.check_private(folder)
    dsn = make_conninfo(host=str(folder), port=SERVER_SETTINGS["port"], user=SUPERUSER, dbname=DATABASE)
    try:
        with psycopg.connect(dsn, dbname="postgres", autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.OperationalError:
        return None
    return dsn


def _stop_if_last(cluster: Cluster, users: int) -> None:
    """Stop the server in order if nobody else uses it. A failure is logged, and hides no other error."""
    # A conversion that fails may lose the shared lock too; who asks is leaving either way.
    if not _try_exclusive(users):
        return
    if _is_down(cluster, within_s=0):
        return
    try:
        postmaster = int((cluster.data / "postmaster.pid").read_text().splitlines()[0])
        # INT breaks off what still runs and shuts down cleanly. The signal is sent as the server's account, so that
        # it cannot reach beyond that.
        cluster.command("/bin/sh", "-c", 'kill -INT "$1"', "sh", str(postmaster))
    except (OSError, ValueError, IndexError) as error:
        LOG.warning("PostgreSQL in %s could not be told to stop: %s", cluster.data, error)
        return
    if not _is_down(cluster, within_s=STOP_TIMEOUT_S):
        LOG.warning("PostgreSQL in %s did not stop within %d s", cluster.data, STOP_TIMEOUT_S)
    cluster.drop_short_socket_folder()


def _is_down(cluster: Cluster, *, within_s: float) -> bool:
    """Whether the server's last process has ended, or does so in time: each of them holds the server lock."""
    deadline = time.monotonic() + within_s
    lock = _open_lock(cluster.run / "server.lock")
    try:
        while not _try_exclusive(lock):
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
    finally:
        os.close(lock)
    return True


def _not_started(cluster: Cluster, problem: str) -> ServerNotStarted:
    try:
        lines = cluster.log.read_text(errors="replace").splitlines()
    except OSError as error:
        lines = [f"(unreadable: {error.strerror})"]
    return ServerNotStarted(problem, cluster.log, "\n".join(lines[-LOG_TAIL_LINES:]))


def _check_given_server(database_url: str) -> None:
    try:
        with psycopg.connect(database_url) as connection:
            found = connection.info.server_version // 10_000
    except psycopg.OperationalError as error:
        raise ServerUnreachable(masked(database_url), str(error).strip()) from error
    if found < OLDEST_SERVER:
        raise ServerTooOld(found, OLDEST_SERVER)
