"""The command line as a stranger uses it: the real program, its output, its errors, its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from api.cli.program import run
from api.cli.session import session
from domain import commands
from domain.ids import EntityId
from domain.kinds import Kind
from domain.work import Work
from tests.ubl_documents import invoice

ME = "an@example.com"


class Ran(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)


class Program:
    """The program with a home and a database of its own."""

    def __init__(self, home: Path, database: str) -> None:
        self.home = home
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")},
            "COUNTERFOIL_HOME": str(home),
            "COUNTERFOIL_DATABASE_URL": database,
        }

    def __call__(self, *arguments: str, me: str | None = ME) -> Ran:
        """Run a command, by default as ME, without a terminal."""
        environment = {**self.environment, **({"COUNTERFOIL_AS": me} if me else {})}
        ran = subprocess.run(
            [sys.executable, "-m", "api.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in ran.stderr + ran.stdout
        return Ran(ran.returncode, ran.stdout, ran.stderr)


@pytest.fixture
def program(empty_database: str, tmp_path: Path) -> Program:
    """The program, and nobody knows anything yet."""
    return Program(tmp_path, empty_database)


@pytest.fixture
def acme(program: Program) -> Program:
    """The program after Acme was opened."""
    assert program("account", "open", "Acme BV", "--vat", "BE0417497106").status == 0
    return program


@pytest.mark.slow
def test_an_account_is_closed_and_reopened_and_what_its_owner_was_told_is_listed(acme: Program) -> None:
    unasked = acme("account", "close", "acme-bv")
    closed = acme("account", "close", "acme-bv", "--reason", "Sold", "--yes", "--json")
    shown = acme("account", "show", "acme-bv")
    reopened = acme("account", "reopen", "acme-bv")
    again = acme("account", "reopen", "acme-bv", "--json")
    told = acme("notifications", "acme-bv")
    read = acme("notifications", "read", "acme-bv", "--json")
    topics = acme("notifications", "topics", "acme-bv", "restores", "--json")
    unknown = acme("notifications", "topics", "acme-bv", "gossip")

    assert [ran.status for ran in (unasked, closed, shown, reopened, again, unknown)] == [1, 0, 0, 0, 1, 1]
    assert closed.data["closed"]
    assert f"closed, erased after {closed.data['erase_after'][:10]}" in shown.out
    assert again.data["code"] == "domain.not-possible"
    assert [line[0] for line in told.out.splitlines()] == ["*", "*", "2"]
    assert "reopened the account" in told.out.splitlines()[0]
    assert read.data == {"unread": 0}
    assert topics.data == {"topics": ["restores"]}
    assert "closing" in unknown.err


@pytest.mark.slow
def test_an_account_is_opened_shared_and_shown(program: Program) -> None:
    opened = program("account", "open", "Acme BV", "--vat", "BE0417497106", "--json")
    added = program("member", "add", "acme-bv", "bob@example.com", "--name", "Bob")
    listed = program("account", "list", me="bob@example.com")
    defined = program("field", "define", "acme-bv", "customer", "region", "--label", "Region")
    closed = program("account", "settings", "acme-bv", "--closed-until", "2020-12-31", "--city", "Gent")
    shown = program("account", "show", "acme-bv", "--json")
    removed = program("member", "remove", "acme-bv", "bob@example.com")
    gone = program("account", "show", "acme-bv", me="bob@example.com")

    assert opened.data["slug"] == "acme-bv"
    assert [ran.status for ran in (added, listed, defined, closed, shown, removed)] == [0] * 6
    assert "editor" in listed.out
    control = shown.data["control"]
    assert control["settings"]["closed_until"] == "2020-12-31"
    assert control["settings"]["company"]["address"]["city"] == "Gent"
    assert [field["key"] for field in control["custom_fields"]] == ["region"]
    assert (gone.status, gone.out) == (1, "")
    assert "no account 'acme-bv' that you have access to" in gone.err


@pytest.mark.slow
def test_the_main_job_by_command_line(acme: Program) -> None:
    ubl = acme.home / "invoice.xml"
    ubl.write_bytes(invoice())
    archive = acme.home / "acme.zip"

    imported = acme("import", "ubl", "--account", "acme-bv", "--any-supplier", str(ubl), "--json")
    backed_up = acme("backup", "acme-bv", "-o", str(archive), "--json")
    inspected = acme("inspect", str(archive))
    asked = acme("restore", str(archive), "--into", "acme-bv")
    rehearsed = acme("restore", str(archive), "--into", "acme-bv", "--dry-run", "--json")
    restored = acme("restore", str(archive), "--into", "acme-bv", "--yes")
    timeline = acme("timeline", "acme-bv", "--type", "invoice.issued")
    as_json = acme("timeline", "acme-bv", "--limit", "2", "--json")
    checked = acme("rebuild", "acme-bv", "--check")

    assert imported.status == 0, imported.err
    assert backed_up.data["path"] == str(archive)
    assert backed_up.data["position"] > 0
    assert "Sound" in inspected.out
    assert (asked.status, "Nobody is there to ask" in asked.err) == (1, True)
    assert rehearsed.data["outcome"] == "would_restore"
    assert (restored.status, restored.out.splitlines()[0]) == (0, "Restored.")
    assert "number: –" in timeline.out
    assert len(as_json.data["entries"]) == 2
    assert as_json.data["cursor"]
    assert (checked.status, "0 differences" in checked.out) == (0, True)
    assert "timeline.jsonl" in backed_up.err


@pytest.mark.slow
def test_a_refusal_prints_its_report_and_ends_with_1(acme: Program) -> None:
    acme("account", "open", "Other BV")
    ubl = acme.home / "invoice.xml"
    ubl.write_bytes(invoice())
    for account in ("acme-bv", "other-bv"):
        assert acme("import", "ubl", "--account", account, "--any-supplier", str(ubl)).status == 0
    archive = acme.home / "acme.zip"
    acme("backup", "acme-bv", "-o", str(archive))
    damaged = acme.home / "damaged.zip"
    damaged.write_bytes(archive.read_bytes()[:-10])

    into_other = ("restore", str(archive), "--into", "other-bv", "--mode", "add", "--json")
    not_meant = acme(*into_other)
    clash = acme(*into_other, "--from-other-account")
    broken = acme("restore", str(damaged), "--into", "acme-bv", "--yes")
    again = acme("import", "ubl", "--account", "acme-bv", "--any-supplier", str(ubl))
    looked = acme("inspect", str(damaged))
    missing = acme("inspect", str(acme.home / "nothing.zip"))

    assert (not_meant.status, "--from-other-account" in not_meant.err) == (1, True)
    assert (clash.status, clash.data["code"]) == (1, "restore.numbers-clash")
    assert (broken.status, len(broken.err.strip().splitlines())) == (1, 1)
    assert (again.status, "refused" in again.out) == (1, True)
    assert (looked.status, missing.status) == (1, 1)
    assert "No such file" in missing.err


@pytest.mark.slow
def test_wrong_usage_ends_with_2_and_bad_values_with_1_in_one_sentence(
    acme: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in acme.environment.items():
        if name.startswith("COUNTERFOIL_"):
            monkeypatch.setenv(name, value)

    def ran(*arguments: str, me: str = ME) -> Ran:  # in this process: so many starts would take long
        monkeypatch.setenv("COUNTERFOIL_AS", me)
        return Ran(run(list(arguments)), *capsys.readouterr())

    usage = [
        ran("backup"),
        ran("backup", "acme-bv", "--sideways"),
        ran("restore", "a.zip", "--into", "acme-bv", "--mode", "sideways"),
        ran("restore", "a.zip", "--into", "acme-bv", "--subscriptions", "dropped"),
        ran("timeline", "acme-bv", "--since", "yesterday"),
    ]
    values = [
        ran("account", "open", "X", "--country", "Belgium"),
        ran("account", "settings", "acme-bv", "--closed-until", "tomorrow"),
        ran("member", "add", "acme-bv", "nobody"),
        ran("member", "add", "acme-bv", "b@example.com", "--role", "king"),
        ran("timeline", "acme-bv", "--kind", "elephant"),
        ran("subscription", "resume", "acme-bv", "nonsense"),
        ran("subscription", "resume", "acme-bv", "01960000-0000-7000-8000-000000000001"),
        ran("subscription", "resume", "acme-bv", "nonsense", "--next-date", "soon"),
        ran("account", "list", me=""),
        ran("account", "list", me="stranger@example.com"),
    ]

    assert [wrong.status for wrong in usage] == [2] * len(usage)
    for refused in values:
        assert refused.status == 1, refused
        assert refused.err.startswith("counterfoil: ")
        assert refused.out == ""


def test_settings_are_shown_without_the_password(tmp_path: Path) -> None:
    program = Program(tmp_path, "postgresql://me:hunter2@127.0.0.1:1/x")

    shown = program("config", "show", "--json")
    unreachable = program("account", "list")

    assert "hunter2" not in shown.out + unreachable.err
    assert {one["name"] for one in shown.data} >= {"home", "database_url"}
    assert unreachable.status == 1


def test_data_does_not_steer_the_terminal() -> None:
    from api.cli.output import clean

    assert clean("a\x1b[31mb\rc\u202ed\n\te") == "a�[31mb�c�d\n\te"


@pytest.mark.slow
def test_the_demo_shows_that_the_account_is_back(program: Program) -> None:
    folder = program.home / "ubl"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.xml").write_bytes(invoice())

    shown = program("demo", "--ubl", str(folder))
    kept = program("backup", "verify", "--all", "--json")

    assert (kept.data["archives"], kept.data["unknown"]) == (2, [])
    assert shown.status == 0, shown.err
    assert shown.out.count("The account is back exactly.") == 2
    assert "further account: 2.xml" in shown.out


@pytest.mark.slow
def test_what_a_role_may_not_is_refused_at_the_terminal_as_over_http_and_before_anything_is_asked(
    acme: Program,
) -> None:
    acme("member", "add", "acme-bv", "vi@example.com", "--role", "viewer")
    acme("member", "add", "acme-bv", "ed@example.com", "--role", "editor")

    refused = [
        acme("backup", "acme-bv", "--json", me="vi@example.com"),
        acme("backup", "verify", "acme-bv", "--json", me="ed@example.com"),
        acme("account", "close", "acme-bv", "--json", me="ed@example.com"),
    ]

    assert [(ran.status, ran.data["code"]) for ran in refused] == [(1, "access.role-lacking")] * 3
    assert acme("backup", "acme-bv", me="ed@example.com").status == 0


@pytest.mark.slow
def test_resuming_a_subscription_says_which_periods_are_left_out(
    acme: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (*acme.environment.items(), ("COUNTERFOIL_AS", ME)):
        if name.startswith("COUNTERFOIL_"):
            monkeypatch.setenv(name, value)
    archive = str(acme.home / "acme.zip")
    line = {"line_id": "1", "name": "Bell", "quantity": "1", "unit": "C62", "net_price": "10.00"}
    fields = {"interval": {"n": 1, "unit": "months"}, "next_date": "2025-03-01", "until": "2025-04-30"}

    def start(work: Work) -> EntityId:
        customer = commands.create(work, Kind.CUSTOMER, {"party": {"name": "Klant"}})
        lines = [{**line, "vat": {"category": "S", "rate": "21"}}]
        given = {**fields, "customer": customer, "lines": lines, "auto_issue": True}
        return commands.create(work, Kind.SUBSCRIPTION, given)

    with session(None) as who:
        account, application = who.access("acme-bv").account, who.installation.application
        subscription = application.run(account, who.actor, start)
        assert run(["backup", "acme-bv", "-o", archive]) == 0
        application.run(account, who.actor, lambda work: commands.invoice_period(work, subscription))
    assert run(["restore", archive, "--into", "acme-bv", "--yes"]) == 0
    restored = capsys.readouterr().out

    assert run(["subscription", "resume", "acme-bv", subscription]) == 0

    assert f"{subscription}, next date 2025-03-01" in restored
    assert capsys.readouterr().out.splitlines() == [
        "Left out: 2025-03-01, invoiced by 2025-00001 in stream 1.",
        "Goes on with the period of 2025-04-01.",
    ]
