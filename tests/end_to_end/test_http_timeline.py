"""The timeline over HTTP: verified, proven, and what an account holds as it was."""

from __future__ import annotations

import io
from typing import Any

import psycopg
import pytest

from snapshots.proving.proofs import check_proof, read_proof, read_stated
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor
from tests.integration.restoring import as_file


@pytest.fixture
def kept(books: AccountOverHttp) -> str:
    """The id of a backup of two events; a third came after it."""
    books.issued()
    taken = books.make("backups")
    books.customer("Later")
    return str(taken["archive"])


def verification(books: AccountOverHttp, **fields: Any) -> dict[str, Any]:
    return books.make("timeline/verification", fields)


def test_a_sound_account_is_verified_beside_a_backup_and_what_was_sent(books: AccountOverHttp, kept: str) -> None:
    content = books.get(f"backups/{kept}").content
    sent = books.ask("POST", "archives", content=content, headers={"Content-Type": "application/zip"}).json()["id"]

    found = verification(books, against=[kept, sent])
    log = verification(books, log_only=True, stream=1)

    assert found["is_sound"]
    assert [one["relation"] for one in found["archives"]] == ["continues", "continues"]
    assert found["snapshots"]["entities"] == 3
    assert (log["is_sound"], log.get("snapshots"), log["log"]["events"]) == (True, None, found["log"]["events"])


def test_t18_a_row_changed_by_a_superuser_is_named_to_whoever_may_read(
    books: AccountOverHttp, served: Served, kept: str
) -> None:
    auditor = Visitor(served, "Au")
    books.make("members", {"email": auditor.email, "role": "auditor"})
    with psycopg.connect(served.application.database.dsn) as connection:
        connection.execute(
            "UPDATE events SET data = replace(data, 'Klant', 'Klent') WHERE account_id = %s AND position = 1",
            (books.id,),
        )

    found = verification(AccountOverHttp(auditor, books.id), against=[kept])

    assert not found["is_sound"]
    assert (found["log"]["first_bad"], found["log"]["first_bad_by_then"]) == (1, 1)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"stream": 9}, 404, "stream.unknown"),
        ({"stream": 0}, 422, "domain.field-refused"),
        ({"against": ["../../etc/passwd"]}, 404, "http.file-unknown"),
        ({"against": "x"}, 422, "domain.field-refused"),
        ({"unknown": 1}, 422, "domain.field-refused"),
    ],
)
def test_what_cannot_be_verified_is_refused(
    books: AccountOverHttp, fields: dict[str, Any], status: int, code: str
) -> None:
    answer = books.post("timeline/verification", fields)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_proofs_hold_under_the_manifest_of_the_backup(books: AccountOverHttp, kept: str) -> None:
    stated = read_stated(as_file(books.get(f"backups/{kept}").content), "a.zip")
    size = stated.tree_head.size

    included = books.get("timeline/proofs/inclusion", params={"position": 2})
    grown = books.get("timeline/proofs/consistency", params={"from_size": size})

    for answer in (included, grown):
        proof = read_proof(io.BytesIO(answer.content))
        assert check_proof(proof, [stated]).holds


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("inclusion", 400, "http.request-invalid"),
        ("inclusion?position=0", 400, "http.request-invalid"),
        ("inclusion?position=x", 400, "http.request-invalid"),
        ("inclusion?position=9", 422, "store.outside-tree"),
        ("inclusion?position=1&size=9", 422, "store.outside-tree"),
        ("inclusion?position=1&stream=9", 404, "stream.unknown"),
        ("consistency?from_size=9", 422, "store.outside-tree"),
        ("consistency?from_size=1&to_size=0", 422, "store.outside-tree"),
    ],
)
def test_what_cannot_be_proven_is_refused(books: AccountOverHttp, path: str, status: int, code: str) -> None:
    books.issued()

    answer = books.get(f"timeline/proofs/{path}")

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_nobody_else_verifies_or_proves(books: AccountOverHttp, served: Served) -> None:
    other = AccountOverHttp(Visitor(served, "Ot"), books.id)

    answers = [
        other.post("timeline/verification", {}),
        other.get("timeline/proofs/inclusion?position=1"),
        other.get("timeline/proofs/consistency?from_size=0"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_an_entity_is_read_as_it_was(books: AccountOverHttp) -> None:
    customer = books.customer("Jan")
    books.ask("PATCH", f"customers/{customer}", {"party": {"name": "Piet"}})
    at = books.get("timeline?limit=1").json()["entries"][0]["at"]

    then, by_time, now = (
        books.get(f"customers/{customer}", params=params) for params in ({"as_of": "1.1"}, {"as_of": at}, {})
    )

    assert (then.json()["party"]["name"], then.headers["ETag"]) == ("Jan", '"1.1"')
    assert by_time.content == now.content
    assert by_time.headers["ETag"] == now.headers["ETag"]


def test_a_list_is_read_as_it_was_page_by_page(books: AccountOverHttp) -> None:
    made = [books.customer(name) for name in ("Jan", "Piet", "Klaas")]
    books.ask("PATCH", f"customers/{made[0]}", {"party": {"name": "Jans"}})
    books.ask("DELETE", f"customers/{made[2]}")

    first = books.get("customers", params={"as_of": "1.3", "limit": 2})
    second = books.get(first.headers["Link"].partition("?")[2].partition(">")[0].join(("customers?", "")))

    names = [item["party"]["name"] for page in (first, second) for item in page.json()["items"]]
    assert names == ["Jan", "Piet", "Klaas"]
    assert [item["party"]["name"] for item in books.get("customers").json()["items"]] == ["Jans", "Piet"]
    assert books.get("customers", params={"as_of": "1", "number": "x"}).status_code == 400


@pytest.mark.parametrize(
    ("as_of", "status", "code"),
    [
        ("0", 404, "domain.entity-unknown"),
        ("9", 422, "moment.ahead"),
        ("2.1", 410, "moment.gone"),
        ("2999-01-01T00:00:00Z", 422, "moment.ahead"),
        ("2024-01-01T00:00:00", 422, "domain.field-refused"),
        ("yesterday", 422, "domain.field-refused"),
        ("9" * 61, 400, "http.request-invalid"),
    ],
)
def test_a_moment_that_is_none_is_refused(books: AccountOverHttp, as_of: str, status: int, code: str) -> None:
    customer = books.customer("Jan")

    answer = books.get(f"customers/{customer}", params={"as_of": as_of})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
