"""Keys as their operator handles them: between two installations, and when they are gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.cli.program import run
from snapshots.trust.keys import Keys
from tests.fixtures.archives import Edited
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor

Ask = Callable[..., Any]


@pytest.fixture
def ask(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ask:
    """Runs a command in the installation *home*; what it printed as JSON, with its status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERFOIL_DATABASE_URL", empty_database)
    monkeypatch.setenv("COUNTERFOIL_AS", "an@example.com")

    def asked(home: str, *words: str, status: int = 0) -> Any:
        monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / home))
        capsys.readouterr()
        found = run([*words, "--json"])
        said = capsys.readouterr()
        assert found == status, said.err
        return json.loads(said.out) if said.out else None

    return asked


def test_an_installation_believes_another_one_once_it_is_told_to_and_until_it_is_told_not_to(ask: Ask) -> None:
    ask("here", "account", "open", "Acme BV")
    ask("here", "backup", "acme-bv", "-o", "acme.zip")
    ask("here", "keys", "show", "-o", "here.pem")

    def verdict(status: int = 0) -> tuple[str, str | None]:
        found = ask("there", "inspect", "acme.zip", status=status)["authenticity"]
        return found["verdict"], found.get("key_name")

    assert ask("here", "inspect", "acme.zip")["authenticity"]["verdict"] == "authentic"
    assert verdict() == ("unsigned", None)
    ask("there", "keys", "trust", "head office", "here.pem")
    assert verdict() == ("authentic", "head office")
    ask("there", "keys", "distrust", "head office", "--from", "2020-01-01")
    assert verdict()[0] == "unsigned"
    ask("there", "keys", "distrust", "head office", "--from", "2999-01-01T00:00:00+02:00")
    assert verdict()[0] == "authentic"
    ask("there", "keys", "distrust", "head office")
    assert [key["believed"] for key in ask("there", "keys", "list")] == ["never"]
    ask("there", "keys", "believe", "head office")
    assert verdict()[0] == "authentic"

    edited = Edited(Path("acme.zip").read_bytes())
    edited.files["README.txt"] += b"mended"
    Path("acme.zip").write_bytes(edited.as_signed())
    assert verdict(status=1) == ("edited", "head office")
    assert ask("here", "restore", "acme.zip", "--into", "acme-bv", "--yes", status=1)["code"] == "archive.edited"
    report = ask("here", "restore", "acme.zip", "--into", "acme-bv", "--yes", "--accept-edits")
    assert report["authenticity"]["verdict"] == "edited"


def test_f23_without_its_key_an_installation_takes_no_backup_and_says_why(ask: Ask, tmp_path: Path) -> None:
    ask("here", "account", "open", "Acme BV")
    (tmp_path / "here" / "keys" / "signing.pem").unlink()

    refused = ask("here", "backup", "acme-bv", "-o", "acme.zip", status=1)

    assert refused["code"] == "key.missing"
    assert not Path("acme.zip").exists()
    assert ask("here", "keys", "show", status=1)["code"] == "key.missing"
    ask("here", "keys", "rotate")
    ask("here", "backup", "acme-bv", "-o", "acme.zip")
    assert ask("here", "inspect", "acme.zip")["authenticity"]["verdict"] == "authentic"


def test_the_command_line_refuses_what_is_no_date_and_no_key(ask: Ask) -> None:
    Path("no.pem").write_text("hello")

    assert ask("here", "keys", "trust", "them", "no.pem", status=1)["code"] == "key.unusable"
    assert ask("here", "keys", "distrust", "them", status=1)["code"] == "key.unknown"
    ask("here", "keys", "distrust", "them", "--from", "2026-02-30", status=2)
    ask("here", "keys", "distrust", "them", "--from", "2026-02-01T10:00:00", status=2)


def test_the_api_hands_out_the_public_key_that_its_archives_are_authentic_by(
    served: Served, visitor: Visitor, books: AccountOverHttp
) -> None:
    found = visitor.http.get("/v1/key").json()

    taken = books.make("backups")
    archive = Edited(books.get(f"backups/{taken['archive']}").content)
    assert json.loads(archive.signature)["key"] == found["key"]
    assert found["public_key"].startswith("-----BEGIN PUBLIC KEY-----\n")
    sent = books.ask(
        "POST", "archives", content=archive.as_signed(), headers={"Content-Type": "application/zip"}
    ).json()
    inspected = books.get(f"archives/{sent['id']}/inspection").json()
    assert inspected["authenticity"]["verdict"] == "authentic"


def test_f23_the_api_takes_no_backup_without_its_key_and_shows_none(served: Served, books: AccountOverHttp) -> None:
    keys = Keys(served.settings.home / "keys")
    keys.signer()
    kept = keys.path.read_bytes()
    keys.path.write_bytes(b"")
    try:
        refused = books.post("backups")
    finally:
        keys.path.write_bytes(kept)

    assert (refused.status_code, refused.json()["code"]) == (500, "key.unusable")
    assert str(keys.path) not in refused.text
    assert books.get("backups").json() == {"items": []}


def test_the_api_takes_an_edited_archive_only_where_that_is_meant(books: AccountOverHttp) -> None:
    archive = Edited(books.get(f"backups/{books.make('backups')['archive']}").content)
    archive.files["README.txt"] += b"mended"
    sent = books.ask(
        "POST", "archives", content=archive.as_signed(), headers={"Content-Type": "application/zip"}
    ).json()

    refused = books.post(f"archives/{sent['id']}/restore", {})
    taken = books.make(f"archives/{sent['id']}/restore", {"accept_edits": True})

    assert (refused.status_code, refused.json()["code"], refused.json()["file"]) == (
        422,
        "archive.edited",
        "README.txt",
    )
    assert taken["authenticity"]["verdict"] == "edited"
