"""Undo by command line and over HTTP: the same facts, the same refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.cli.program import run
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor


class Typed:
    """Commands run in this process, and what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str]:
        """Exit status and output of a command."""
        self._capsys.readouterr()
        return run(list(words)), self._capsys.readouterr().out

    def json(self, *words: str) -> Any:
        """What a command that succeeds prints as JSON."""
        status, out = self(*words, "--json")
        assert status == 0, out
        return json.loads(out)


@pytest.fixture
def typed(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Typed:
    """A command line with the account acme-bv, which was restored once."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("HOME", str(tmp_path / "home")), ("DATABASE_URL", empty_database), ("AS", "an@example.com")):
        monkeypatch.setenv(f"COUNTERFOIL_{name}", value)
    for words in (
        ["account", "open", "Acme BV", "--vat", "BE0417497106"],
        ["backup", "acme-bv", "-o", "acme.zip"],
        ["restore", "acme.zip", "--into", "acme-bv", "--yes"],
    ):
        assert run(words) == 0
    return Typed(capsys)


@pytest.mark.slow
def test_streams_are_listed_shown_and_made_live_again_by_command_line(typed: Typed) -> None:
    status, listed = typed("streams", "acme-bv")
    shown = typed.json("streams", "show", "acme-bv", "1")
    unasked, _ = typed("streams", "activate", "acme-bv", "1")
    rehearsed = typed.json("streams", "activate", "acme-bv", "1", "--dry-run")
    elsewhere, _ = typed("streams", "activate", "acme-bv", "1", "--yes", "--account-at", "1.0")
    _, done = typed("streams", "activate", "acme-bv", "1", "--yes", "--account-at", rehearsed["account_at"])
    again, _ = typed("streams", "activate", "acme-bv", "1", "--yes")
    after = typed.json("streams", "list", "acme-bv")

    assert (status, unasked, elsewhere, again) == (0, 1, 1, 1)
    assert "Stream 1 against the live one: 0 entities only here" in listed
    assert shown["difference"]["live_stream"] == 2
    assert rehearsed["outcome"] == "would_activate"
    assert done.startswith("Live again.\nStream 1 of acme-bv: 0 events")
    assert {one["stream"]: one["status"] for one in after} == {1: "live", 2: "retired"}


def restored(books: AccountOverHttp) -> str:
    """The path of an invoice that a restore of the account loses."""
    taken = books.make("backups")
    invoice = books.issued()
    books.make(f"backups/{taken['archive']}/restore")
    return invoice


def test_a_restore_is_undone_over_http(books: AccountOverHttp) -> None:
    invoice = restored(books)
    customer = books.customer("Since then")
    tag = books.get(f"customers/{customer}").headers["etag"]
    cursor = books.get("timeline", params={"limit": 1}).json()["cursor"]

    listed = books.get("streams").json()["items"]
    shown = books.get("streams/1").json()
    rehearsed = books.make("streams/1/activation", {"dry_run": True})
    assert books.get(invoice).status_code == 404
    report = books.make("streams/1/activation")

    assert [(one["stream"], one["status"], one["made_by"]) for one in listed] == [
        (2, "live", "restore"),
        (1, "retired", "recorded"),
    ]
    assert shown["difference"]["regained_documents_count"] == rehearsed["difference"]["regained_documents_count"] == 1
    assert (report["outcome"], report["retired_stream"]) == ("activated", 2)
    assert books.get(invoice).status_code == 200
    assert books.get(f"customers/{customer}").status_code == 404
    assert tag.startswith('"2.')
    mine = books.customer("In stream 1")
    stale = books.ask("PATCH", f"customers/{mine}", {"notes": "x"}, headers={"If-Match": tag})
    assert stale.status_code == 412
    gone = books.get("timeline", params={"cursor": cursor})
    assert (gone.status_code, gone.json()["code"]) == (410, "cursor.gone")


@pytest.mark.parametrize(
    ("stream", "status", "code"),
    [("2", 409, "stream.not-retired"), ("9", 404, "stream.unknown"), ("0", 400, "http.request-invalid")],
)
def test_what_cannot_be_made_live_is_refused_by_name(
    books: AccountOverHttp, stream: str, status: int, code: str
) -> None:
    restored(books)

    answer = books.post(f"streams/{stream}/activation")

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_s01_an_undo_goes_on_only_where_its_rehearsal_found_the_account(books: AccountOverHttp) -> None:
    restored(books)
    rehearsed = books.make("streams/1/activation", {"dry_run": True})
    books.customer("Since then")

    late = books.post("streams/1/activation", {"account_at": rehearsed["account_at"]})

    assert (late.status_code, late.json()["code"]) == (409, "activation.account-changed")
    assert late.json()["report"]["account_at"] != rehearsed["account_at"]
    again = books.make("streams/1/activation", {"account_at": late.json()["report"]["account_at"]})
    assert again["outcome"] == "activated"


def test_a_closed_period_is_a_problem_that_holds_the_report(books: AccountOverHttp) -> None:
    restored(books)
    assert books.ask("PATCH", "", {"settings": {"closed_until": "2999-12-31"}}).is_success

    answer = books.post("streams/1/activation")

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "activation.books-closed")
    assert problem["report"]["difference"]["in_closed_periods_count"] == 1
    assert books.make("streams/1/activation", {"change_closed_periods": True})["outcome"] == "activated"


def test_a_closed_account_is_looked_into_and_brought_back_no_more(books: AccountOverHttp) -> None:
    restored(books)
    books.make("close")

    answer = books.post("streams/1/activation")

    assert (answer.status_code, answer.json()["code"]) == (409, "account.closed")
    assert [one["stream"] for one in books.get("streams").json()["items"]] == [2, 1]


def test_a_stranger_sees_no_streams(books: AccountOverHttp, served: Served) -> None:
    restored(books)
    stranger = AccountOverHttp(Visitor(served), books.id)

    answers = [stranger.get("streams"), stranger.get("streams/1"), stranger.post("streams/1/activation")]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "account.unknown")}


def test_a_retired_stream_is_purged_over_http_and_what_only_it_had_can_be_downloaded(books: AccountOverHttp) -> None:
    restored(books)

    rehearsed = books.ask("DELETE", "streams/1", {"dry_run": True}).json()
    answer = books.ask("DELETE", "streams/1")
    again = books.ask("DELETE", "streams/2")
    due = books.make("streams/purge")

    (purged,) = answer.json()["streams"]
    assert (rehearsed["outcome"], answer.json()["outcome"], due["outcome"]) == (
        "would_purge",
        "purged",
        "nothing_to_purge",
    )
    assert purged["documents_only_here"] == 1
    assert books.get(f"backups/{purged['archive']}").status_code == 200
    assert (again.status_code, again.json()["code"]) == (409, "stream.not-retired")
    assert [(one["stream"], one["status"]) for one in books.get("streams").json()["items"]] == [
        (2, "live"),
        (1, "purged"),
    ]
    activation = books.post("streams/1/activation")
    assert (activation.status_code, activation.json()["code"]) == (409, "stream.not-retired")


@pytest.mark.slow
def test_streams_are_purged_by_command_line(typed: Typed) -> None:
    nothing = typed.json("streams", "purge", "acme-bv")
    unasked, _ = typed("streams", "purge", "acme-bv", "1")
    _, rehearsed = typed("streams", "purge", "acme-bv", "1", "--dry-run")
    _, done = typed("streams", "purge", "acme-bv", "1", "--yes")
    refused, _ = typed("streams", "activate", "acme-bv", "1", "--yes")
    cleaned = typed("cleanup")

    assert nothing["outcome"] == "nothing_to_purge"
    assert (unasked, refused) == (1, 1)
    assert rehearsed.startswith("Would be purged (rehearsal: nothing was changed):\n  stream 1, retired ")
    assert done.startswith("Purged:\n  stream 1")
    assert cleaned == (0, "Nothing to clean up.\n")
