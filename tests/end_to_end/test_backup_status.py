"""The daily backups of an account as people see them: their status, and rehearsing one, by HTTP and at the terminal."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from api.bootstrap import Installation
from api.cli.program import run
from api.daily import each_minute, night
from domain.application import Application
from domain.ids import AccountId
from tests.fixtures.http_api import AccountOverHttp, Served


def a_day_later(served: Served) -> Installation:
    """The installation by a clock that is a day ahead: what was due by night is due by then."""
    database = served.application.database
    clock = served.application.clock
    return Installation(served.settings, database, Application(database, lambda: clock() + timedelta(days=1, hours=2)))


def test_a_night_is_seen_in_the_status_and_in_the_list(served: Served, books: AccountOverHttp) -> None:
    books.issued()
    before = books.get("backups/status").json()
    night(served_now(served), longest_s=60)  # finds the account
    planned = books.get("backups/status").json()

    night(a_day_later(served), longest_s=60)

    found = books.get("backups/status").json()
    (listed,) = books.get("backups").json()["items"]
    assert before["rule"] == {"daily": 14, "weekly": 8, "monthly": 12}
    assert (before["newest"], before["next_at"]) == (None, None)
    assert planned["next_at"] is not None
    assert (listed["archive"], listed["daily"], listed["available"]) == (found["newest"]["archive"], True, True)
    assert found["kept"] == [
        {"archive": listed["archive"], "taken_at": found["newest"]["taken_at"], "size": listed["size"]}
    ]
    assert not found["newest_is_proven"]


def served_now(served: Served) -> Installation:
    return Installation(served.settings, served.application.database, served.application)


def test_the_rule_is_a_setting_of_the_account(books: AccountOverHttp) -> None:
    rule = {"daily": 3, "weekly": 2, "monthly": 1}

    answer = books.ask("PATCH", "settings", {"backups_kept": rule})

    assert answer.is_success, answer.text
    assert books.get("backups/status").json()["rule"] == rule


@pytest.mark.parametrize("rule", [{"daily": 0}, {"daily": 3, "hourly": 1}, {"weekly": -1}])
def test_a_rule_that_is_none_is_refused(books: AccountOverHttp, rule: dict[str, int]) -> None:
    answer = books.ask("PATCH", "settings", {"backups_kept": rule})

    assert answer.status_code == 422
    assert "backups_kept" in answer.text


def test_a_rehearsal_is_a_job_that_proves_the_newest_backup(served: Served, books: AccountOverHttp) -> None:
    books.issued()
    night(served_now(served), longest_s=60)
    older, newest = (books.make("backups")["archive"] for _ in range(2))

    proven = books.make("backups/rehearsal")
    of_older = books.make("backups/rehearsal", {"archive": older})

    assert (proven["archive"], of_older["archive"]) == (newest, older)
    assert books.get("backups/status").json()["proven"]["archive"] == older


def test_an_encrypted_backup_is_rehearsed_by_what_opens_it(books: AccountOverHttp) -> None:
    books.issued()
    secret = {"passphrase": "correct horse"}
    archive = books.make("backups", secret)["archive"]

    nothing = books.post("backups/rehearsal")
    unopened = books.post("backups/rehearsal", {"archive": archive})
    opened = books.make("backups/rehearsal", {"archive": archive, **secret})

    assert (nothing.status_code, nothing.json()["code"]) == (409, "backup.nothing-to-rehearse")
    assert unopened.status_code == 422
    assert opened["archive"] == archive


def test_the_rehearsals_of_the_day_are_jobs_of_their_accounts(served: Served, books: AccountOverHttp) -> None:
    books.issued()
    night(served_now(served), longest_s=60)
    night(a_day_later(served), longest_s=60)
    with served.application.database.transaction(AccountId(books.id)) as connection:
        connection.execute("UPDATE daily_backups SET rehearse_at = now() - interval '1 minute'")

    each_minute(served_now(served))

    (job,) = books.get("jobs", params={"kind": "rehearsal"}).json()["items"]
    done = books.ended(f"{books.path}/jobs/{job['id']}")
    found = books.get("backups/status").json()
    assert (done["state"], done["requested_by"]) == ("succeeded", "system:daily-backup")
    assert found["newest_is_proven"]


def test_what_is_kept_is_read_again_each_week_by_a_job_of_the_account_and_when_asked(
    served: Served, books: AccountOverHttp
) -> None:
    night(served_now(served), longest_s=60)
    first, second = (books.make("backups") for _ in range(2))
    (served.settings.backups / books.id / first["file"]).unlink()
    with served.application.database.transaction(AccountId(books.id)) as connection:
        connection.execute("UPDATE daily_backups SET read_at = now() - interval '1 minute'")

    for _ in range(2):
        each_minute(served_now(served))
    (job,) = books.get("jobs", params={"kind": "backup-verification"}).json()["items"]
    weekly = books.ended(f"{books.path}/jobs/{job['id']}")
    asked = books.make("backups/verification")

    (missing,) = asked["damaged"]
    assert (missing["archive"], missing["state"]) == (first["archive"], "missing")
    assert (asked["archives"], asked["size_bytes"]) == (2, first["size"] + second["size"])
    assert (weekly["requested_by"], weekly["result"]) == ("system:read-again", asked)


def test_the_terminal_says_the_same(
    empty_database: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    for name, value in (("HOME", str(tmp_path_factory.mktemp("cli"))), ("DATABASE_URL", empty_database)):
        monkeypatch.setenv(f"COUNTERFOIL_{name}", value)
    monkeypatch.setenv("COUNTERFOIL_AS", "an@example.com")
    assert run(["account", "open", "Acme BV", "--vat", "BE0417497106"]) == 0
    capsysbinary.readouterr()
    nothing = run(["backup", "rehearse", "acme-bv", "--json"])
    refused = json.loads(capsysbinary.readouterr().out)
    assert run(["backup", "acme-bv"]) == 0
    capsysbinary.readouterr()

    assert run(["backup", "rehearse", "acme-bv", "--json"]) == 0
    proven = json.loads(capsysbinary.readouterr().out)
    assert run(["backup", "status", "acme-bv"]) == 0
    status = capsysbinary.readouterr().out.decode()
    assert run(["account", "settings", "acme-bv", "--keep-daily", "30", "--keep-monthly", "0", "--json"]) == 0
    settings = json.loads(capsysbinary.readouterr().out)

    assert (nothing, refused["code"]) == (1, "backup.nothing-to-rehearse")
    assert proven["position"] == 0
    assert "No daily backup yet." in status
    assert settings["backups_kept"] == {"daily": 30, "weekly": 8, "monthly": 0}
