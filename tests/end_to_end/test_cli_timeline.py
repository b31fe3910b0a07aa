"""The timeline by command line: listed, verified, proven; and an entity as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.cli.program import run
from tests.ubl_documents import invoice

Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Say:
    """Runs a command on an installation with an account of one invoice; its exit status and what it said."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("HOME", str(tmp_path / "home")), ("DATABASE_URL", empty_database), ("AS", "an@example.com")):
        monkeypatch.setenv(f"COUNTERFOIL_{name}", value)

    def say_one(*words: str) -> tuple[int, str]:
        status = run(list(words))
        said = capsys.readouterr()
        return status, said.out + said.err

    Path("one.xml").write_bytes(invoice())
    assert say_one("account", "open", "Acme BV", "--vat", "BE0417497106")[0] == 0
    assert say_one("import", "ubl", "--account", "acme-bv", "--any-supplier", "one.xml")[0] == 0
    assert say_one("backup", "acme-bv", "-o", "acme.zip")[0] == 0
    return say_one


def entries(say: Say, *words: str) -> Any:
    return json.loads(say("timeline", *words, "--json")[1])["entries"]


@pytest.mark.slow
def test_the_timeline_is_verified_and_the_first_bad_position_named(say: Say, empty_database: str) -> None:
    sound = say("timeline", "verify", "acme-bv", "--against", "acme.zip")
    with psycopg.connect(empty_database) as connection:
        connection.execute("UPDATE events SET actor = 'person:01890000-0000-7000-8000-000000000000' WHERE position = 2")

    bad = say("timeline", "verify", "acme-bv", "--log-only")
    exact = say("timeline", "verify", "acme-bv", "--against", "acme.zip", "--json")

    assert sound[0] == 0
    assert "the stream continues it" in sound[1]
    assert "Sound: all of it is as it was recorded." in sound[1]
    assert bad[0] == 1
    assert "row at position 2: found a row of leaf" in bad[1]
    assert "the first bad position is 2." in bad[1]
    assert (exact[0], json.loads(exact[1])["log"]["first_bad"]) == (1, 2)


@pytest.mark.slow
def test_an_archive_vouches_for_what_was_restored_from_it(say: Say) -> None:
    assert "nothing vouches" not in say("timeline", "verify", "acme-bv", "--against", "acme.zip")[1]
    assert say("restore", "acme.zip", "--into", "acme-bv", "--yes")[0] == 0

    restored = say("timeline", "verify", "acme-bv", "--against", "acme.zip")

    assert restored[0] == 0
    assert "of stream 1," in restored[1]
    assert "nothing vouches" not in restored[1]


@pytest.mark.slow
def test_proofs_are_made_and_checked_and_a_forged_one_fails(say: Say) -> None:
    made = say("timeline", "prove", "acme-bv", "--position", "1", "--archive", "acme.zip", "-o", "proof.json")
    held = say("timeline", "check-proof", "proof.json", "--manifest", "acme.zip")
    proof = json.loads(Path("proof.json").read_bytes())
    Path("forged.json").write_text(json.dumps({**proof, "line": "x\x1b[31m"}), "utf-8")
    forged = say("timeline", "check-proof", "forged.json", "--manifest", "acme.zip")
    grown = say("timeline", "prove", "acme-bv", "--from", "1")
    Path("none.json").write_text("[]", "utf-8")
    none = say("timeline", "check-proof", "none.json", "--manifest", "acme.zip", "--json")

    assert (made[0], held[0], forged[0], grown[0], none[0]) == (0, 0, 1, 0, 1)
    assert "authentic (signed by" in held[1]
    assert "The proof holds: position 1 of" in held[1]
    assert "THE PROOF FAILS" in forged[1]
    assert "\x1b" not in forged[1]
    assert json.loads(grown[1])["earlier"]["size"] == 1
    assert '"code": "proof.refused"' in none[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--position", "1", "--from", "1"],
        ["--position", "1", "--to", "1"],
        ["--from", "1", "--size", "1"],
        ["--from", "1", "--from-archive", "acme.zip"],
        ["--position", "1", "--size", "1", "--archive", "acme.zip"],
    ],
)
def test_a_proof_of_two_things_is_wrong_usage(say: Say, words: list[str]) -> None:
    assert say("timeline", "prove", "acme-bv", *words)[0] == 2


@pytest.mark.slow
def test_without_a_command_the_timeline_is_listed_wherever_the_account_stands(say: Say) -> None:
    listed = entries(say, "list", "acme-bv")

    assert listed == entries(say, "acme-bv")
    assert entries(say, "--kind", "invoice", "acme-bv") == [one for one in listed if one["kind"] == "invoice"]


@pytest.mark.slow
def test_an_entity_is_shown_by_number_or_id_as_it_is_or_was(say: Say) -> None:
    (issued, *_, drafted) = entries(say, "acme-bv", "--kind", "invoice")
    id_ = drafted["entity"]

    now = json.loads(say("show", "acme-bv", "invoice", id_, "--json")[1])
    then = json.loads(say("show", "acme-bv", "invoice", id_, "--as-of", str(drafted["position"]), "--json")[1])
    by_number = say("show", "acme-bv", "invoice", now["state"]["number"])

    assert (then["state"].get("number"), then["state"]["version"]) == (None, 1)
    assert now["state"]["version"] == issued["version"]
    assert f"invoice {id_}, version {issued['version']}, at position 1." in by_number[1]
    assert say("show", "acme-bv", "invoice", id_, "--as-of", "2026-01-01")[0] == 1
    assert say("show", "acme-bv", "elephant", id_)[0] == 2
