"""Every command that the README and the how-to pages show does what it says, on an installation made for it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyrage
import pytest
import typer
from psycopg.conninfo import conninfo_to_dict

from api.cli.program import app, run
from api.cli.session import session
from api.settings import load_settings, settings_in_force
from domain import commands
from domain.control import SettingsFields
from domain.events import DATA_TYPES
from domain.ids import EntityId
from domain.kinds import Kind
from domain.rules import RULES
from projections.control_totals import ControlTotals
from snapshots.format.manifest import FileListed, Manifest, PersonNamed, Segment
from snapshots.trust.signing import public_pem
from tests.fixtures.archives import SIGNER
from tests.fixtures.server import own_database
from tests.integration.restoring import LINE
from tests.ubl_documents import invoice

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-backup.md"
FORMAT = ROOT / "docs" / "archive-format.md"
_COMMAND = re.compile(r"^counterfoil .*$", re.MULTILINE)
_NOT_ENDING = ("serve", "demo")


def programs_of(page: Path) -> list[str]:
    """The Python programs that a page shows."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def run_program(program: str, folder: Path) -> str:
    """What *program* prints when it runs in *folder*, without any package of ours."""
    done = subprocess.run([sys.executable, "-I", "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commands_of(page: Path) -> list[str]:
    """The commands that a page shows in its code blocks, without comments."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in _COMMAND.findall(block)]


class Prepared(NamedTuple):
    """What pages need: a database, the folder to be in, and what the words that they leave open stand for."""

    database: str
    folder: Path
    meant: dict[str, str]


def settle_in(folder: Path, database: str, patch: pytest.MonkeyPatch) -> None:
    """Be in *folder*, with an installation there that has this database, acting for An."""
    patch.chdir(folder)
    for name, value in (("HOME", str(folder / "home")), ("DATABASE_URL", database), ("AS", "an@example.com")):
        patch.setenv(f"COUNTERFOIL_{name}", value)


@pytest.fixture
def installation(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with the account acme-bv, its archive acme.zip, and an invoice to import; its folder."""
    settle_in(tmp_path, empty_database, monkeypatch)
    (tmp_path / "invoices").mkdir()
    (tmp_path / "invoices" / "one.xml").write_bytes(invoice())
    assert run(["account", "open", "Acme BV", "--vat", "BE0417497106"]) == 0
    assert run(["backup", "acme-bv", "-o", "acme.zip"]) == 0
    return tmp_path


@pytest.fixture(scope="module")
def prepared(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """An installation whose account acme-bv was restored from acme.zip once, and the files that pages speak of."""
    folder = tmp_path_factory.mktemp("prepared")
    with own_database(server_dsn) as dsn, pytest.MonkeyPatch.context() as patch:
        settle_in(folder, dsn, patch)
        (folder / "invoices").mkdir()
        (folder / "invoices" / "next.xml").write_bytes(invoice("2026-00002"))
        (folder / "earlier.xml").write_bytes(invoice())
        (folder / "head-office.pem").write_text(public_pem(SIGNER.public))
        identity = pyrage.x25519.Identity.generate()
        (folder / "key.txt").write_text(str(identity))
        (folder / "recipients.txt").write_text(str(identity.to_public()))
        (folder / "passphrase.txt").write_text("correct horse")
        (folder / "password.txt").write_text("a few words that do not belong together\n")
        assert run(["account", "open", "Acme BV", "--vat", "BE0417497106"]) == 0
        customer, *_ = [entered(Kind.CUSTOMER, party={"name": "Klant"}) for _ in range(4)]
        assert run(["import", "ubl", "--account", "acme-bv", "--any-supplier", "earlier.xml"]) == 0
        every = {"interval": {"n": 1, "unit": "months"}, "next_date": "2026-01-01", "lines": [LINE]}
        subscription = entered(Kind.SUBSCRIPTION, customer=customer, **every)
        assert run(["backup", "acme-bv", "-o", "acme.zip"]) == 0
        assert run(["restore", "acme.zip", "--into", "acme-bv", "--yes"]) == 0
        meant = {"FILE.zip": "acme.zip", "ACCOUNT": "acme-bv", "CUSTOMER": customer, "SUBSCRIPTION": subscription}
        yield Prepared(dsn, folder, meant)


def entered(kind: Kind, **fields: object) -> EntityId:
    """The id of an entity that was entered into acme-bv."""
    with session(None) as who:
        account = who.access("acme-bv").account
        return who.installation.application.run(account, who.actor, lambda work: commands.create(work, kind, fields))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_command_that_a_page_shows_works(
    page: Path,
    prepared: Prepared,
    server_dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "here"
    shutil.copytree(prepared.folder, folder)
    shown = commands_of(page)
    assert shown

    with own_database(server_dsn, like=str(conninfo_to_dict(prepared.database)["dbname"])) as dsn:
        settle_in(folder, dsn, monkeypatch)
        for command in shown:
            words, redirected = shlex.split(command)[1:], ""
            if ">" in words:
                words, redirected = words[: words.index(">")], words[-1]
            if words[0] in _NOT_ENDING:
                continue
            status = run(as_meant(words, prepared.meant))

            told = capsys.readouterr()
            assert status == 0, (command, told.err)
            if redirected:
                Path(redirected).write_text(told.out, "utf-8")


def as_meant(words: list[str], meant: dict[str, str]) -> list[str]:
    """The words of a command, with what they stand for, and with the answers that nobody is there to give."""
    words = [meant.get(word, word) for word in words]
    words = [part for word in words for part in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
    asks = words[0] == "restore" or words[:2] in (["streams", "activate"], ["account", "close"])
    if asks and not {"--dry-run", "--yes"} & {*words}:
        words.append("--yes")
    if words[:2] == ["import", "ubl"] and "--any-supplier" not in words:
        words.append("--any-supplier")
    return words


def test_every_command_has_its_help_in_the_reference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    shown = dict(re.findall(r"^## counterfoil ([a-z -]+)\n\n```\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    monkeypatch.setenv("COLUMNS", "80")
    commands = dict(_commands(typer.main.get_command(app)))

    assert shown.keys() == commands.keys()
    for name, text in shown.items():
        run([*name.split(), "--help"])
        assert capsys.readouterr().out.split() == text.split(), name


def _commands(of: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not hasattr(of, "commands"):
        yield name.strip(), of
    for part, command in getattr(of, "commands", {}).items():
        yield from _commands(command, f"{name} {part}")


def test_every_setting_is_in_the_reference(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")

    for setting in settings_in_force(load_settings({"COUNTERFOIL_HOME": str(tmp_path)})):
        assert f"`COUNTERFOIL_{setting.name.upper()}`" in page
        assert setting.name == "home" or f"| `{setting.name}` |" in page


def test_the_settings_file_that_is_shown_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")
    (shown,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "counterfoil.toml").write_text(shown, "utf-8")

    settings = load_settings({"COUNTERFOIL_HOME": str(tmp_path)})

    assert settings.acting_as == "an@example.com"
    assert settings.upload_limit_bytes == 1024**3


def test_pages_lead_to_pages_that_are_there() -> None:
    for page in [*PAGES, *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!\w+:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page, target)


def test_a_decision_has_a_number_of_its_own_and_all_its_parts() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    parts = ["Context", "Decision", "Consequences", "Alternatives", "What would change our mind", "Kept by"]
    for record in records:
        text = record.read_text("utf-8")
        assert text.startswith(f"# {record.name[:4]} "), record
        assert re.findall("^## (.*)$", text, re.MULTILINE) == parts, record


def test_the_writer_of_the_format_page_writes_a_sound_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check, writer = programs_of(FORMAT)
    monkeypatch.chdir(tmp_path)
    run_program(writer, tmp_path)

    assert run(["inspect", "written.zip"]) == 0, capsys.readouterr()
    assert run_program(check.replace("acme.zip", "written.zip"), tmp_path) == "True"


@pytest.mark.slow
def test_the_program_of_the_format_page_finds_the_root_of_a_backup(installation: Path) -> None:
    assert run_program(programs_of(FORMAT)[0], installation) == "True", "an account that is empty yet"

    assert run(["import", "ubl", "--account", "acme-bv", "--any-supplier", "invoices/one.xml"]) == 0
    assert run(["backup", "acme-bv", "-o", "acme.zip"]) == 0

    assert run_program(programs_of(FORMAT)[0], installation) == "True"


@pytest.mark.slow
def test_the_program_that_checks_a_proof_says_yes_to_it_and_no_to_another(installation: Path) -> None:
    (program,) = programs_of(ROOT / "docs" / "how-to" / "prove-an-event.md")
    assert run(["import", "ubl", "--account", "acme-bv", "--any-supplier", "invoices/one.xml"]) == 0
    assert run(["backup", "acme-bv", "-o", "acme.zip"]) == 0
    with zipfile.ZipFile("acme.zip") as archive:
        manifest = archive.read("manifest.json")
    Path("manifest.json").write_bytes(manifest)
    size = json.loads(manifest)["tree_head"]["size"]

    for position in range(1, size + 1):
        assert run(["timeline", "prove", "acme-bv", "--position", str(position), "-o", "proof.json"]) == 0
        proof = json.loads(Path("proof.json").read_bytes())
        assert run_program(program, installation) == "True"
        for changed in (
            {"line": proof["line"] + " "},
            {"position": position + 1},
            {"position": 0},
            {"path": proof["path"][1:]},
            {"path": [*proof["path"], "00" * 32]},
        ):
            Path("proof.json").write_text(json.dumps({**proof, **changed}), "utf-8")
            assert run_program(program, installation) == "False", changed


def test_the_format_page_names_every_event_and_every_field() -> None:
    page = FORMAT.read_text("utf-8")
    structs = [*DATA_TYPES.values(), *(rules.state for rules in RULES.values())]
    structs += [Manifest, Segment, PersonNamed, FileListed, SettingsFields, ControlTotals]

    facts = {name.partition(".")[2] for name in DATA_TYPES}
    fields = {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)}
    named = {part for words in re.findall(r"`([^`\n]+)`", page) for part in re.split(r"[^a-z0-9_]+", words)}

    assert sorted((facts | fields) - named) == []


@pytest.mark.slow
def test_the_tutorial_leads_where_it_says(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COUNTERFOIL_DATABASE_URL", empty_database)
    page = TUTORIAL.read_text("utf-8")
    (xml,) = re.findall(r"^```xml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    Path("first.xml").write_text(xml, "utf-8")
    Path("second.xml").write_text(xml.replace("2026-00001", "2026-00002"), "utf-8")

    roots = []
    for command in commands_of(TUTORIAL):
        words = shlex.split(command)[1:]
        if words[0] == "restore" and "--dry-run" not in words:
            words.append("--yes")
        assert run(words) == 0, (command, capsys.readouterr().err)
        said = capsys.readouterr().out
        roots += re.findall(r"tree root (\w+)", said)
        if words[0] == "restore":
            assert "LOST: 1 issued documents" in said
            assert "2026-00002 only in retired stream 1" in said
            assert "receivables EUR: 242.00 → 121.00" in said

    assert len(roots) == 2, "a backup and a restore"
    assert len(set(roots)) == 1
