"""Clones by command line and over HTTP: the same report, the same refusals, the same rights."""

from __future__ import annotations

import msgspec
import pytest

from api.cli.program import run
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor


def test_a_clone_over_http_is_reported_with_its_address(books: AccountOverHttp) -> None:
    books.issued()

    rehearsed = books.post("clones", {"new": "Houtwerk two", "dry_run": True})
    made = books.post("clones", {"new": f"Houtwerk {books.id}"})

    assert (rehearsed.status_code, rehearsed.json()["outcome"]) == (200, "would_clone")
    copy = f"/v1/accounts/{made.json()['account_id']}"
    shown = books.get(copy).json()
    assert (shown["name"], shown["role"]) == (f"Houtwerk {books.id}", "owner")
    assert books.get(f"{copy}/counts").json() == books.get("counts").json()


def test_a_clone_over_an_account_goes_on_only_where_the_rehearsal_found_it(
    visitor: Visitor, books: AccountOverHttp
) -> None:
    target = visitor.open_account("Target")
    lost = target.issued()
    body = {"into": target.id}

    rehearsed = books.post("clones", {**body, "dry_run": True}).json()
    target.customer()
    late = books.post("clones", {**body, "account_at": rehearsed["account_at"]})

    assert rehearsed["lost_documents_count"] == 1
    assert (late.status_code, late.json()["code"]) == (409, "restore.account-changed")
    assert late.json()["report"]["outcome"] == "refused"
    assert target.get(lost).status_code == 200
    assert books.post("clones", body).status_code == 200
    assert target.get(lost).status_code == 404


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 422, "domain.field-refused"),
        ({"into": "nowhere", "new": "x"}, 422, "domain.field-refused"),
        ({"into": "nowhere"}, 404, "account.unknown"),
        ({"new": "x", "as_of": "yesterday"}, 422, "domain.field-refused"),
        ({"new": "x", "as_of": "99"}, 422, "moment.ahead"),
        ({"new": ""}, 422, "domain.field-refused"),
    ],
)
def test_what_cannot_be_cloned_is_refused(
    books: AccountOverHttp, fields: dict[str, str], status: int, code: str
) -> None:
    answer = books.post("clones", fields)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_account_is_never_cloned_into_itself_nor_into_anothers(served: Served, books: AccountOverHttp) -> None:
    other = Visitor(served, "Bo").open_account()

    itself = books.post("clones", {"into": books.id})
    foreign = books.post("clones", {"into": other.id})

    assert (itself.status_code, itself.json()["code"]) == (409, "clone.into-itself")
    assert (foreign.status_code, foreign.json()["code"]) == (404, "account.unknown")


def test_a_clone_by_command_line(
    empty_database: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    home = tmp_path_factory.mktemp("cli")
    for name, value in (("HOME", str(home)), ("DATABASE_URL", empty_database), ("AS", "an@example.com")):
        monkeypatch.setenv(f"COUNTERFOIL_{name}", value)
    assert run(["account", "open", "Acme BV", "--vat", "BE0417497106"]) == 0
    capsysbinary.readouterr()

    assert run(["clone", "acme-bv", "--new", "Sandbox", "--json"]) == 0
    report = msgspec.json.decode(capsysbinary.readouterr().out)
    assert (report["outcome"], report["account"], report["is_new"]) == ("cloned", "sandbox", True)
    assert run(["clone", "acme-bv", "--new", "Sandbox"]) == 1
    assert b"short name sandbox is taken" in capsysbinary.readouterr().err
    assert run(["clone", "acme-bv", "--into", "sandbox"]) == 1
    assert b"say --yes" in capsysbinary.readouterr().err
    assert run(["clone", "acme-bv", "--into", "sandbox", "--yes"]) == 0
    assert b"sandbox now lives in stream 2" in capsysbinary.readouterr().out
    assert run(["clone", "acme-bv"]) == 2
