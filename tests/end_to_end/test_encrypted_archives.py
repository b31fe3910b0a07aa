"""Encrypted archives by command line and over HTTP: no plain text on disk, and no secret where it could be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest

from api.cli.program import run
from snapshots.trust import encryption
from tests.fixtures.http_api import AccountOverHttp, Served

IDENTITY = pyrage.x25519.Identity.generate()
PUBLIC = str(IDENTITY.to_public())
Ask = Callable[..., Any]


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A try of a passphrase costs a millisecond."""
    monkeypatch.setattr(encryption, "WORK_FACTOR", 5)


@pytest.fixture
def ask(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ask:
    """Runs a command in an installation with the account acme-bv; what it printed as JSON."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERFOIL_DATABASE_URL", empty_database)
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COUNTERFOIL_AS", "an@example.com")
    Path("passphrase").write_text("correct horse\n")
    Path("identity").write_text(f"{IDENTITY}\n")

    def asked(*words: str, status: int = 0) -> Any:
        capsys.readouterr()
        found = run([*words, "--json"])
        said = capsys.readouterr()
        assert found == status, said.err
        assert "correct horse" not in said.out + said.err
        return json.loads(said.out) if said.out else None

    asked("account", "open", "Acme BV")
    return asked


@pytest.mark.parametrize(
    ("lock", "unlock"),
    [
        (["--passphrase", "file:passphrase"], ["--passphrase", "env:ACME_PASSPHRASE"]),
        (["--encrypt-to", PUBLIC], ["--identity", "identity"]),
        (["--encrypt-to", "recipients"], ["-i", "identity"]),
    ],
    ids=["passphrase", "key", "file of keys"],
)
def test_a_backup_is_encrypted_inspected_and_restored(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, lock: list[str], unlock: list[str]
) -> None:
    monkeypatch.setenv("ACME_PASSPHRASE", "correct horse")
    Path("recipients").write_text(f"# the safe\n{PUBLIC}\n")

    taken = ask("backup", "acme-bv", "-o", "acme.zip.age", *lock)

    assert taken["encrypted"] is True
    assert Path("acme.zip.age").read_bytes().startswith(b"age-encryption.org/v1\n")
    assert ask("inspect", "acme.zip.age", status=1)["code"] == "archive.locked"
    assert ask("inspect", "acme.zip.age", *unlock)["authenticity"]["verdict"] == "authentic"
    assert ask("restore", "acme.zip.age", "--into", "acme-bv", "--yes", status=1)["code"] == "archive.locked"
    assert ask("timeline", "verify", "acme-bv", "--against", "acme.zip.age", *unlock)["is_sound"]
    token = ask("restore", "acme.zip.age", "--into", "acme-bv", "--dry-run", *unlock)["token"]
    words = ["restore", "acme.zip.age", "--into", "acme-bv", "--yes", "--token", token, *unlock]
    assert ask(*words)["outcome"] == "restored"
    assert ask(*words, status=1)["code"] == "restore.token-stale"


def test_a_wrong_passphrase_or_identity_is_a_clear_error(ask: Ask) -> None:
    ask("backup", "acme-bv", "-o", "by-passphrase.age", "--passphrase", "file:passphrase")
    ask("backup", "acme-bv", "-o", "by-key.age", "--encrypt-to", PUBLIC)
    Path("other").write_text("correct house\n")
    Path("stranger").write_text(str(pyrage.x25519.Identity.generate()))

    assert ask("inspect", "by-passphrase.age", "--passphrase", "file:other", status=1)["code"] == (
        "archive.passphrase-wrong"
    )
    assert ask("inspect", "by-key.age", "-i", "stranger", status=1)["code"] == "archive.identity-wrong"
    assert ask("inspect", "by-key.age", "-i", "passphrase", status=1)["code"] == "encryption.refused"


@pytest.mark.parametrize("given", ["correct horse", "file:", "env:", "stdin"])
def test_a_passphrase_given_as_an_argument_is_refused_and_not_repeated(
    ask: Ask, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    assert run(["backup", "acme-bv", "-o", "a.age", "--passphrase", given]) == 2

    said = capsys.readouterr()
    assert "prompt, file:PATH or env:NAME" in said.err
    assert "correct horse" not in said.out + said.err
    assert not Path("a.age").exists()


def test_a_passphrase_that_cannot_be_had_is_told(ask: Ask) -> None:
    Path("empty").write_text("\n")

    for source in ("prompt", "env:NO_SUCH_VARIABLE", "file:empty"):
        refused = ask("backup", "acme-bv", "-o", "a.age", "--passphrase", source, status=1)
        assert refused["code"] == "encryption.refused"
    assert ask("backup", "acme-bv", "-o", "a.age", "--passphrase", "file:none", status=1)["code"] == "file.refused"
    assert ask("backup", "acme-bv", "-o", "a.age", "--encrypt-to", "age1junk", status=1)["code"] == "encryption.refused"
    ask("backup", "acme-bv", "-o", "a.age", "--encrypt-to", PUBLIC, "--passphrase", "file:passphrase", status=2)


def test_what_is_encrypted_is_never_on_disk_under_a_name_as_plain_text(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    seen: list[bytes] = []
    real = {name: getattr(encryption, name) for name in ("seal_box", "open_box")}

    def look() -> None:
        seen.extend(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    def looking(name: str) -> Callable[..., bytes]:
        def call(*parts: Any) -> bytes:
            look()
            done: bytes = real[name](*parts)
            return done

        return call

    for name in real:
        monkeypatch.setattr(encryption, name, looking(name))

    ask("backup", "acme-bv", "-o", "acme.zip.age", "--passphrase", "file:passphrase")
    ask("restore", "acme.zip.age", "--into", "acme-bv", "--yes", "--passphrase", "file:passphrase")

    assert len(seen) > 5
    assert not any(b"PK\x03\x04" in content or b"manifest.json" in content for content in seen)


def sent(books: AccountOverHttp, archive: bytes) -> str:
    """The path of an archive that was sent."""
    answer = books.ask("POST", "archives", content=archive, headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 201, answer.text
    return f"archives/{answer.json()['id']}"


@pytest.mark.parametrize(
    ("lock", "unlock", "wrong"),
    [
        ({"passphrase": "correct horse"}, {"passphrase": "correct horse"}, {"passphrase": "correct house"}),
        (
            {"encrypt_to": [PUBLIC]},
            {"identity": str(IDENTITY)},
            {"identity": str(pyrage.x25519.Identity.generate())},
        ),
    ],
    ids=["passphrase", "key"],
)
def test_the_api_encrypts_inspects_and_restores(
    books: AccountOverHttp, lock: dict[str, Any], unlock: dict[str, str], wrong: dict[str, str]
) -> None:
    books.customer("Jan")

    taken = books.make("backups", lock)

    assert taken["encrypted"] is True
    assert taken["file"].endswith(".zip.age")
    downloaded = books.get(f"backups/{taken['archive']}")
    assert downloaded.headers["content-type"] == "application/octet-stream"
    assert downloaded.content.startswith(b"age-encryption.org/v1\n")
    path = sent(books, downloaded.content)
    assert books.get(f"{path}/inspection").json()["code"] == "archive.locked"
    refused = books.post(f"{path}/inspection", wrong)
    assert (refused.status_code, refused.json()["code"].rpartition("-")[2]) == (422, "wrong")
    assert next(iter(wrong.values())) not in refused.text
    assert books.make(f"{path}/inspection", unlock)["counts"]["customer"] == 1
    assert books.post(f"{path}/restore", wrong).status_code == 422
    assert books.make(f"{path}/restore", {**unlock, "dry_run": True})["outcome"] == "would_restore"
    verified = books.make("timeline/verification", {**unlock, "against": [taken["archive"]]})
    assert verified["is_sound"]
    assert books.make(f"backups/{taken['archive']}/restore", unlock)["outcome"] == "restored"


def test_a_refused_secret_is_neither_answered_nor_kept(books: AccountOverHttp, served: Served) -> None:
    secret = "AGE-SECRET-KEY-1NOTONEATALL"
    path = sent(books, books.get(f"backups/{books.make('backups')['archive']}").content)

    answers = [
        books.post(f"{path}/restore", {"identity": secret}),
        books.post(f"{path}/restore", {"identity": secret, "passphrase": secret}),
        books.post(f"{path}/inspection", {"passphrase": [secret]}),
        books.post("backups", {"encrypt_to": [secret]}),
        books.post("backups", {"encrypt_to": [PUBLIC], "passphrase": secret}),
        books.post("backups", {"passphrase": ""}),
        books.get(f"{path}/inspection", params={"passphrase": secret}),
    ]

    assert {answer.status_code for answer in answers} <= {400, 422}
    assert not any(secret in answer.text for answer in answers)
    with served.application.database.transaction(books.id) as connection:  # type: ignore[arg-type]
        events = connection.execute("SELECT data::text FROM control_events").fetchall()
    assert not any(secret in str(event) for event in events)


def test_a_restore_that_could_not_be_unlocked_is_on_record(books: AccountOverHttp, served: Served) -> None:
    taken = books.make("backups", {"passphrase": "correct horse"})

    assert books.post(f"backups/{taken['archive']}/restore").json()["code"] == "archive.locked"

    with served.application.database.transaction(books.id) as connection:  # type: ignore[arg-type]
        types = connection.execute("SELECT type FROM control_events ORDER BY position").fetchall()
    assert types[-1] == ("restore.failed",)
