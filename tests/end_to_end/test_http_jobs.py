"""Jobs over HTTP: asked for, followed, cancelled; their results and problems."""

from __future__ import annotations

from tests.fixtures.http_api import AccountOverHttp


def test_a_backup_is_a_job_whose_result_is_the_backup(books: AccountOverHttp) -> None:
    books.issued()

    answer = books.asked("POST", "backups", {})
    job = books.ended(answer.headers["Location"])

    assert answer.status_code == 202
    assert answer.json()["state"] == "queued"
    assert answer.headers["Location"] == f"{books.path}/jobs/{answer.json()['id']}"
    assert (job["state"], job["kind"], job["attempt"]) == ("succeeded", "backup", 1)
    assert job["result"] in books.get("backups").json()["items"]
