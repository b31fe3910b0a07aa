"""The command line at a terminal and at the edges of what it prints to: questions, pipes, encodings, signals."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from api.bootstrap import installation
from api.settings import load_settings
from domain import commands
from domain.accounts import ensure_person, find_access, find_person, open_account
from domain.application import Actor
from domain.control import SettingsFields
from domain.kinds import Kind
from snapshots.backup import take_backup
from snapshots.content import read_content
from tests.fixtures.archives import SIGNER
from tests.ubl_documents import invoice

ME = "an@example.com"
PROGRAM = [sys.executable, "-m", "api.cli"]
WAIT_S = 60


@pytest.fixture
def environment(empty_database: str, tmp_path: Path) -> dict[str, str]:
    """The variables of an installation in which ME owns acme-bv, whose archive is acme.zip."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")}
    own = {
        "COUNTERFOIL_HOME": str(tmp_path),
        "COUNTERFOIL_DATABASE_URL": empty_database,
        "COUNTERFOIL_AS": ME,
        "TERM": "xterm",
    }
    with installation(load_settings(own)) as opened:
        owner = ensure_person(opened.database, ME, "Añ\nOpened: all\x1b[2J", at=opened.application.clock())
        settings = SettingsFields(country="BE", currency="EUR", language="nl", time_zone="Europe/Brussels")
        access = open_account(opened.application, "Acme BV", owner, settings, via="cli")
        take_backup(opened.application, access, Actor.person(owner.id, "cli"), tmp_path / "acme.zip", SIGNER)
    return kept | own


def at_terminal(
    environment: dict[str, str],
    arguments: list[str],
    *,
    waits_for: str,
    answer: str,
    meanwhile: Callable[[], object] = lambda: None,
) -> tuple[int, str]:
    """Run the program at a terminal; once it shows *waits_for*, do something *meanwhile*, and *answer*.

    Its exit status and all it showed.
    """
    terminal, side = pty.openpty()
    process = subprocess.Popen([*PROGRAM, *arguments], env=environment, stdin=side, stdout=side, stderr=side)
    os.close(side)
    shown, answered, last = "", False, time.monotonic() + WAIT_S
    while time.monotonic() < last:
        if not select.select([terminal], [], [], 0.5)[0]:
            continue
        try:
            piece = os.read(terminal, 65_536).decode(errors="replace")
        except OSError:  # how Linux says that the other side has closed
            break
        if not piece:
            break
        shown += piece
        if not answered and waits_for in shown:
            meanwhile()
            os.write(terminal, answer.encode())
            answered = True
    else:
        process.kill()
    os.close(terminal)
    return process.wait(WAIT_S), shown


@pytest.mark.slow
def test_a_question_at_a_terminal_stands_still_and_no_leaves_the_account_alone(environment: dict[str, str]) -> None:
    archive = f"{environment['COUNTERFOIL_HOME']}/acme.zip"

    status, shown = at_terminal(
        environment, ["restore", archive, "--into", "acme-bv"], waits_for="Go on? [y/N]: ", answer="n\n"
    )

    question = shown.index("This replaces everything in acme-bv")
    assert status == 1
    assert "Nothing was done." in shown[question:]
    assert not re.search(r"\x1b\[\d*[AK]", shown[question:])  # no bar drew over it
    assert "Restored" not in shown


@pytest.mark.slow
def test_yes_is_not_taken_for_more_than_what_was_shown(environment: dict[str, str]) -> None:
    archive = f"{environment['COUNTERFOIL_HOME']}/acme.zip"
    with installation(load_settings(environment)) as opened:
        owner = find_person(opened.database, ME)
        account = find_access(opened.database, owner.id, "acme-bv").account

        def colleague_works() -> None:
            fields = {"party": {"name": "New while the question stood"}}
            actor = Actor.person(owner.id, "api")
            opened.application.run(account, actor, lambda work: commands.create(work, Kind.CUSTOMER, fields))

        status, shown = at_terminal(
            environment,
            ["restore", archive, "--into", "acme-bv"],
            waits_for="Go on? [y/N]: ",
            answer="y\n",
            meanwhile=colleague_works,
        )

        assert status == 1
        assert "counterfoil: acme-bv changed after it was rehearsed; nothing was restored" in shown
        assert read_content(opened.database, account).counts["customer"] == 1


@pytest.mark.slow
def test_what_was_done_is_told_whatever_the_output_can_encode(environment: dict[str, str]) -> None:
    ascii_only = environment | {"PYTHONIOENCODING": "ascii"}
    command = [*PROGRAM, "member", "list", "acme-bv"]

    as_text = subprocess.run(command, env=ascii_only, capture_output=True, check=False)
    as_json = subprocess.run([*command, "--json"], env=ascii_only, capture_output=True, check=False)

    assert (as_text.returncode, as_json.returncode) == (0, 0)
    assert len(as_text.stdout.splitlines()) == 2  # the head and one member, whatever the name looks like
    assert b"\x1b" not in as_text.stdout
    assert "Añ" in as_json.stdout.decode("utf-8")


@pytest.mark.slow
def test_a_file_that_is_not_there_stops_an_import_before_it_begins(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "one.xml").write_bytes(invoice())
    files = [str(tmp_path / "one.xml"), str(tmp_path / "two.xml")]

    ran = subprocess.run(
        [*PROGRAM, "import", "ubl", "--account", "acme-bv", "--any-supplier", *files, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 1
    assert "two.xml: No such file" in ran.stderr
    assert '"code": "file.refused"' in ran.stdout
    with installation(load_settings(environment)) as opened:
        owner = find_person(opened.database, ME)
        access = find_access(opened.database, owner.id, "acme-bv")
        assert read_content(opened.database, access.account).events == 0


@pytest.mark.slow
def test_a_server_ends_well_when_told_to_and_says_when_its_address_is_taken(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = subprocess.run(
            [*PROGRAM, "serve", "--port", str(port)], env=environment, capture_output=True, text=True, check=False
        )
    server = subprocess.Popen([*PROGRAM, "serve", "--port", str(port)], env=environment, stderr=subprocess.PIPE)
    assert server.stderr is not None
    listening = server.stderr.readline()
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as asking:
        asking.sendall(b"GET /v1/accounts HTTP/1.0\r\n\r\n")
        answer = asking.recv(100)
    server.terminate()

    assert refused.returncode == 1
    assert refused.stderr == f"counterfoil: cannot listen on 127.0.0.1 port {port}: is in use already\n"
    assert listening == f"counterfoil listens on http://127.0.0.1:{port}/v1\n".encode()
    assert b" 401 " in answer
    assert server.wait(WAIT_S) == 0
    assert [json.loads(said)["status"] for said in server.stderr.read().splitlines()] == [401]
