"""Jobs over HTTP: asked for, followed, cancelled; their results and problems."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.http import jobs
from api.jobs import enqueue
from domain.application import Actor
from domain.ids import AccountId
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor


def later(served: Served, books: AccountOverHttp) -> str:
    """The path of a job of the owner's that waits until tomorrow."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    actor = Actor.person(books.visitor.person, "api")
    queued = enqueue(
        served.application, served.settings, AccountId(books.id), actor, "backup", request={}, due_at=tomorrow
    )
    return queued.path


def told(lines: Iterator[str]) -> list[tuple[str, int, dict[str, Any]]]:
    """The events of a stream to its end: name, id and data of each."""
    found: list[tuple[str, int, dict[str, Any]]] = []
    event: dict[str, str] = {}
    for line in lines:
        if not line and "event" in event:
            found.append((event["event"], int(event["id"]), json.loads(event["data"])))
        name, _, value = line.partition(": ")
        event = {**event, name: value} if line else {}
    return found


def upto_second_blank(lines: Iterator[str]) -> Iterator[str]:
    """How long to wait before trying again, and the first event."""
    blanks = 0
    for line in lines:
        yield line
        blanks += not line
        if blanks == 2:
            return


def follow(books: AccountOverHttp, job: str, **headers: str) -> list[tuple[str, int, dict[str, Any]]]:
    with books.visitor.http.stream("GET", f"{job}/events", headers=headers) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        return told(answer.iter_lines())


def test_a_backup_is_a_job_whose_result_is_the_backup(books: AccountOverHttp) -> None:
    books.issued()

    answer = books.asked("POST", "backups", {})
    job = books.ended(answer.headers["Location"])

    assert answer.status_code == 202
    assert answer.json()["state"] == "queued"
    assert answer.headers["Location"] == f"{books.path}/jobs/{answer.json()['id']}"
    assert (job["state"], job["kind"], job["attempt"]) == ("succeeded", "backup", 1)
    assert job["result"] in books.get("backups").json()["items"]


def test_a_job_says_when_to_look_again_until_it_has_ended(served: Served, books: AccountOverHttp) -> None:
    path = later(served, books)

    waiting = books.get(path)
    books.post(f"{path}/cancel")
    ended = books.get(path)

    assert waiting.headers["Retry-After"] == "1"
    assert "Retry-After" not in ended.headers
    assert waiting.headers["ETag"] != ended.headers["ETag"]
    assert books.get(path, headers={"If-None-Match": ended.headers["ETag"]}).status_code == 304


def test_a_job_that_waits_is_cancelled_at_once_and_for_good(served: Served, books: AccountOverHttp) -> None:
    path = later(served, books)

    answers = [books.post(f"{path}/cancel") for _ in range(2)]

    assert [(one.status_code, one.json()["state"]) for one in answers] == [(202, "cancelled")] * 2
    assert books.get(path).json()["ended_at"] is not None
    assert books.make("backups") in books.get("backups").json()["items"]


def test_the_problem_of_a_job_is_the_one_that_a_request_would_have_got(books: AccountOverHttp) -> None:
    answer = books.asked("POST", "backups", {"stream": 7})
    job = books.ended(answer.headers["Location"])

    assert (job["state"], job["result"]) == ("failed", None)
    assert job["problem"]["status"] == 404
    assert job["problem"]["code"] == "stream.unknown"
    assert job["problem"]["request_id"] == answer.headers["X-Request-Id"]


def test_following_a_job_tells_how_far_it_is_and_ends_with_all_of_it(books: AccountOverHttp) -> None:
    books.issued()
    job = books.asked("POST", "backups", {}).headers["Location"]

    events = follow(books, job)

    assert [name for name, _, _ in events][-1] == "ended"
    assert {name for name, _, _ in events[:-1]} <= {"progress"}
    assert [id_ for _, id_, _ in events] == sorted({id_ for _, id_, _ in events})
    assert events[-1][2] == books.get(job).json()


def test_whoever_was_cut_off_goes_on_after_what_they_have(served: Served, books: AccountOverHttp) -> None:
    path = later(served, books)
    with books.visitor.http.stream("GET", f"{path}/events") as answer:
        first = told(upto_second_blank(answer.iter_lines()))
    books.post(f"{path}/cancel")

    events = follow(books, path, **{"Last-Event-ID": str(first[0][1])})

    assert [(name, data["state"]) for name, _, data in events] == [("ended", "cancelled")]


@pytest.mark.parametrize("lost", ["token", "access", "role"])
def test_r12_whoever_loses_what_let_them_in_hears_no_more_of_a_job(
    served: Served, books: AccountOverHttp, lost: str
) -> None:
    guest = Visitor(served, "Bo")
    books.make("members", {"email": guest.email, "role": "auditor"})
    path = later(served, books)
    with guest.http.stream("GET", f"{path}/events") as answer:
        lines = answer.iter_lines()
        told(upto_second_blank(lines))
        if lost == "token":
            token = guest.http.get("/v1/tokens").json()["items"][0]["id"]
            guest.http.delete(f"/v1/tokens/{token}").raise_for_status()
        elif lost == "access":
            books.ask("DELETE", f"members/{guest.person}").raise_for_status()
        else:
            books.ask("PATCH", f"members/{guest.person}", {"role": "viewer"}).raise_for_status()
        books.post(f"{path}/cancel")

        assert told(lines) == []


def test_w11_so_many_follow_jobs_at_a_time_and_no_more(
    served: Served, books: AccountOverHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MOST_OF_AN_ACCOUNT", 2)
    path = later(served, books)
    heard = []  # as long as it is kept, its connection is
    with ExitStack() as followers:
        for _ in range(2):
            answer = followers.enter_context(books.visitor.http.stream("GET", f"{path}/events"))
            heard.append(answer.iter_lines())
            told(upto_second_blank(heard[-1]))

        refused = books.get(f"{path}/events")

    assert (refused.status_code, refused.json()["code"]) == (429, "http.followed-by-many")
    assert refused.headers["retry-after"] == "5"
    ends = time.monotonic() + 20
    while jobs._following[AccountId(books.id)] and time.monotonic() < ends:
        time.sleep(0.02)
    books.post(f"{path}/cancel")
    assert [name for name, _, _ in follow(books, path)] == ["ended"]


def test_jobs_are_listed_newest_first_by_state_and_kind(served: Served, books: AccountOverHttp) -> None:
    first, second = later(served, books), later(served, books)
    books.post(f"{first}/cancel")

    page = books.get("jobs", params={"limit": 1})
    rest = books.visitor.http.get(page.links["next"]["url"])
    queued = books.get("jobs", params={"state": "queued"}).json()["items"]

    assert [one["id"] for one in page.json()["items"] + rest.json()["items"]] == [
        path.rpartition("/")[2] for path in (second, first)
    ]
    assert "next" not in rest.links
    assert [one["state"] for one in queued] == ["queued"]
    assert books.get("jobs", params={"kind": "restore"}).json()["items"] == []


def test_another_accounts_job_is_not_there(served: Served, books: AccountOverHttp) -> None:
    theirs = later(served, Visitor(served).open_account()).rpartition("/")[2]

    answers = [books.get(f"jobs/{theirs}"), books.get(f"jobs/{theirs}/events"), books.post(f"jobs/{theirs}/cancel")]

    assert {(one.status_code, one.json()["code"]) for one in answers} == {(404, "http.file-unknown")}


def test_who_lost_their_access_meanwhile_is_refused_when_their_job_begins(
    served: Served, books: AccountOverHttp
) -> None:
    editor = Visitor(served, "Bo")
    books.make("members", {"email": editor.email, "role": "editor"})
    theirs = AccountOverHttp(editor, books.id)
    tomorrow = datetime.now(UTC) + timedelta(seconds=1)
    job = enqueue(
        served.application,
        served.settings,
        AccountId(books.id),
        Actor.person(theirs.visitor.person, "api"),
        "backup",
        request={},
        due_at=tomorrow,
    )
    assert books.ask("DELETE", f"members/{editor.person}").is_success

    ended = books.ended(job.path)

    assert (ended["state"], ended["problem"]["code"]) == ("failed", "account.unknown")
    assert books.get("backups").json()["items"] == []


def test_no_secret_of_a_job_lies_in_the_database_as_it_was_given(served: Served, books: AccountOverHttp) -> None:
    secret = f"correct horse {uuid.uuid4().hex}"
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    actor = Actor.person(books.visitor.person, "api")
    job = enqueue(
        served.application,
        served.settings,
        AccountId(books.id),
        actor,
        "backup",
        request={},
        secrets={"passphrase": secret},
        due_at=tomorrow,
    )

    with served.application.database.transaction(AccountId(books.id)) as connection:
        rows = connection.execute("SELECT jobs::text, sealed FROM jobs").fetchall()
    shown = books.get(job.path).text
    books.post(f"{job.path}/cancel")
    with served.application.database.transaction(AccountId(books.id)) as connection:
        after = connection.execute("SELECT sealed FROM jobs WHERE job_id = %s", (job.id,)).fetchall()

    assert [sealed is not None for _, sealed in rows] == [True]
    assert secret not in str(rows)
    assert secret.encode() not in rows[0][1]
    assert secret not in shown
    assert after == [(None,)]
    key = served.settings.home / "keys" / "jobs.key"
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_request_for_a_job_that_is_sent_again_asks_for_one_job(books: AccountOverHttp) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}

    answers: list[httpx.Response] = [books.asked("POST", "backups", {}, headers=key) for _ in range(2)]

    assert len({one.headers["Location"] for one in answers}) == 1
    assert books.ended(answers[0].headers["Location"])["state"] == "succeeded"
    assert len(books.get("backups").json()["items"]) == 1
