"""Every command that the README and the how-to pages show does what it says, on an installation made for it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from api.cli.program import run
from tests.ubl_documents import invoice

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
_COMMAND = re.compile(r"^counterfoil .*$", re.MULTILINE)
_NOT_ENDING = ("serve", "demo")


def commands_of(page: Path) -> list[str]:
    """The commands that a page shows in its code blocks, without comments."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in _COMMAND.findall(block)]


@pytest.fixture
def installation(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with the account acme-bv, its archive acme.zip, and an invoice to import; its folder."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("HOME", str(tmp_path / "home")), ("DATABASE_URL", empty_database), ("AS", "an@example.com")):
        monkeypatch.setenv(f"COUNTERFOIL_{name}", value)
    (tmp_path / "invoices").mkdir()
    (tmp_path / "invoices" / "one.xml").write_bytes(invoice())
    assert run(["account", "open", "Acme BV", "--vat", "BE0417497106"]) == 0
    assert run(["backup", "acme-bv", "-o", "acme.zip"]) == 0
    return tmp_path


@pytest.mark.slow
def test_every_command_that_is_shown_works(installation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = [command for page in PAGES for command in commands_of(page)]
    assert len(shown) > 10

    for command in shown:
        words = shlex.split(command)[1:]
        if words[0] in _NOT_ENDING:
            continue
        words = [{"FILE.zip": "acme.zip", "ACCOUNT": "acme-bv"}.get(word, word) for word in words]
        words = [part for word in words for part in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
        if words[0] == "restore" and "--dry-run" not in words:
            words.append("--yes")
        if words[:2] == ["import", "ubl"] and "--any-supplier" not in words:
            words.append("--any-supplier")
        status = run(words)

        assert status == 0, (command, capsys.readouterr().err)


def test_every_command_has_its_page_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")

    for name in ("account open", "member add", "backup", "inspect", "restore", "timeline", "import ubl", "rebuild"):
        assert f"## counterfoil {name}\n" in page


def test_pages_lead_to_pages_that_are_there() -> None:
    for page in [*PAGES, *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!\w+:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page, target)
