"""A request with an Idempotency-Key that is sent again does nothing again, and is answered as the first time."""

from __future__ import annotations

import json
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from api.http.idempotency import sweep_keys
from tests.fixtures.http_api import LINE, SETTINGS, AccountOverHttp, Served, Visitor

CUSTOMER = {"party": {"name": "Klant"}}


def key() -> dict[str, str]:
    return {"Idempotency-Key": f'"{uuid.uuid4()}"'}


def same(first: httpx.Response, again: httpx.Response) -> bool:
    """Whether *again* is the first answer, and says that it is."""
    named = ("etag", "location", "content-type")
    return (
        again.headers.get("idempotent-replayed") == "true"
        and "idempotent-replayed" not in first.headers
        and (first.status_code, first.content) == (again.status_code, again.content)
        and [first.headers.get(name) for name in named] == [again.headers.get(name) for name in named]
    )


def events(served: Served, account: str) -> int:
    """How many events the account has, its own history among them."""
    with psycopg.connect(served.application.database.dsn) as connection:
        row = connection.execute(
            "SELECT control_position + (SELECT sum(head_position) FROM streams s WHERE s.account_id = a.account_id)"
            " FROM accounts a WHERE account_id = %s",
            (account,),
        ).fetchone()
    assert row is not None
    return int(row[0])


def age(served: Served, account: str) -> None:
    """Let a day and a minute go by for the account's keys."""
    with psycopg.connect(served.application.database.dsn) as connection:
        connection.execute(
            "UPDATE idempotency_keys SET at = at - interval '1441 minutes' WHERE account_id = %s", (account,)
        )


def kept_keys(served: Served, account: str) -> int:
    with psycopg.connect(served.application.database.dsn) as connection:
        found = connection.execute("SELECT 1 FROM idempotency_keys WHERE account_id = %s", (account,)).fetchall()
    return len(found)


def replace_live_stream(served: Served, account: str) -> None:
    """What a swap does to the account's streams, as far as keys can tell."""
    with psycopg.connect(served.application.database.dsn) as connection:
        connection.execute("UPDATE streams SET status = 'retired' WHERE account_id = %s", (account,))
        connection.execute(
            "INSERT INTO streams (account_id, stream_id, status, created_at, created_by)"
            " VALUES (%s, 2, 'live', now(), 'system:test')",
            (account,),
        )


WRITES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "customers", CUSTOMER),
    ("PATCH", "customers/{customer}", {"notes": "x"}),
    ("DELETE", "customers/{customer}", None),
    ("POST", "customers/{customer}/archive", None),
    ("POST", "invoices", {"customer": "{customer}", "lines": [LINE]}),
    ("POST", "invoices/{draft}/issue", {}),
    ("POST", "members", {"email": "{customer}@example.com", "role": "viewer"}),
    ("POST", "custom-fields", {"kind": "customer", "key": "depot", "label": "Depot", "type": "text"}),
    ("PATCH", "", {"name": "Anders"}),
    ("POST", "close", {"reason": "moved"}),
]


@pytest.mark.parametrize(("method", "path", "fields"), WRITES, ids=[f"{method} {path}" for method, path, _ in WRITES])
def test_what_is_sent_again_does_nothing_again_and_is_answered_alike(
    served: Served, books: AccountOverHttp, method: str, path: str, fields: dict[str, Any] | None
) -> None:
    names = {"customer": books.customer(), "draft": books.draft().partition("/")[2]}
    said = None if fields is None else json.dumps(fields)
    for name, id_ in names.items():
        path, said = path.replace(f"{{{name}}}", id_), said and said.replace(f"{{{name}}}", id_)
    body = {"content": said, "headers": key() | {"Content-Type": "application/json"}} if said else {"headers": key()}
    before = events(served, books.id)

    first, again = (books.ask(method, path, **body) for _ in range(2))

    assert first.is_success, first.text
    assert same(first, again)
    assert events(served, books.id) == before + 1


def test_an_account_is_opened_once(visitor: Visitor) -> None:
    wanted = {"name": "Houtwerk", "settings": SETTINGS}
    named = key()

    first, again = (visitor.http.post("/v1/accounts", json=wanted, headers=named) for _ in range(2))

    assert same(first, again)
    assert len(visitor.http.get("/v1/accounts").json()["items"]) == 1


def test_a_file_is_attached_once(books: AccountOverHttp) -> None:
    path = books.draft()
    sent = {"content": b"%PDF-", "headers": key() | {"Content-Type": "application/pdf"}}

    first, again = (books.post(f"{path}/attachments?name=a.pdf", **sent) for _ in range(2))
    other = books.post(f"{path}/attachments?name=a.pdf", **(sent | {"content": b"%PDF-2"}))

    assert same(first, again)
    assert other.json()["code"] == "http.idempotency-key-reused"
    assert len(books.get(path).json()["attachments"]) == 1


def test_r02_a_key_fifty_times_at_once_is_one_event_and_fifty_times_the_same_answer(
    served: Served, books: AccountOverHttp
) -> None:
    before, named = events(served, books.id), key()

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: books.post("customers", CUSTOMER, headers=named), range(50)))

    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert events(served, books.id) == before + 1


def test_r02_two_bodies_under_one_key_at_once_are_one_event_and_the_other_is_told(
    served: Served, books: AccountOverHttp
) -> None:
    before, named = events(served, books.id), key()
    bodies = [{"party": {"name": name}} for name in ("A", "B")]

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda at: books.post("customers", bodies[at % 2], headers=named), range(20)))

    done = [answer.is_success for answer in answers]
    refused = {answer.json()["code"] for answer in answers if not answer.is_success}
    assert done in ([True, False] * 10, [False, True] * 10)
    assert refused == {"http.idempotency-key-reused"}
    assert events(served, books.id) == before + 1


def test_a_key_with_another_body_method_or_address_is_refused(served: Served, books: AccountOverHttp) -> None:
    named, customer = key(), books.customer()
    books.post("customers", CUSTOMER, headers=named)
    before = events(served, books.id)

    others = [
        books.post("customers", {"party": {"name": "Ander"}}, headers=named),
        books.ask("PATCH", f"customers/{customer}", CUSTOMER, headers=named),
        books.post("items", CUSTOMER, headers=named),
        books.post("customers", content=b"{", headers=named | {"Content-Type": "application/json"}),
    ]

    said = [(answer.status_code, answer.json()["code"]) for answer in others]
    assert said == [(422, "http.idempotency-key-reused")] * 4
    assert events(served, books.id) == before


def test_a_refusal_is_not_remembered(books: AccountOverHttp) -> None:
    named, customer = key(), books.customer()
    issue = {"customer": customer, "lines": [LINE], "layout": customer}

    refused = books.post("invoices", issue, headers=named)
    made = books.post("invoices", {"customer": customer, "lines": [LINE]}, headers=named)

    assert (refused.status_code, made.status_code) == (422, 201)


def test_a_key_is_its_persons_own(served: Served, books: AccountOverHttp) -> None:
    other = Visitor(served)
    books.make("members", {"email": other.email, "role": "editor"})
    named = key()

    mine = books.post("customers", CUSTOMER, headers=named)
    theirs = AccountOverHttp(other, books.id).post("customers", CUSTOMER, headers=named)

    assert theirs.status_code == 201
    assert mine.json()["id"] != theirs.json()["id"]


def test_t08_a_key_is_of_one_account(visitor: Visitor) -> None:
    named = key()

    made = [visitor.open_account().post("customers", CUSTOMER, headers=named) for _ in range(2)]

    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].content != made[1].content


def test_who_has_no_access_any_more_is_not_answered_again(served: Served, books: AccountOverHttp) -> None:
    other, named = Visitor(served), key()
    books.make("members", {"email": other.email, "role": "editor"})
    AccountOverHttp(other, books.id).post("customers", CUSTOMER, headers=named)
    books.ask("DELETE", f"members/{other.person}")

    again = AccountOverHttp(other, books.id).post("customers", CUSTOMER, headers=named)

    assert again.json()["code"] == "account.unknown"


@pytest.mark.parametrize("given", ['"a"', "a", '"with \\"quotes\\" and blanks"', "x" * 255])
def test_a_key_may_be_quoted_or_bare(served: Served, books: AccountOverHttp, given: str) -> None:
    before = events(served, books.id)

    first, again = (books.post("customers", CUSTOMER, headers={"Idempotency-Key": given}) for _ in range(2))

    assert same(first, again)
    assert events(served, books.id) == before + 1


def test_a_key_is_the_same_quoted_and_bare(books: AccountOverHttp) -> None:
    first, again = (books.post("customers", CUSTOMER, headers={"Idempotency-Key": one}) for one in ("k-1", '"k-1"'))

    assert same(first, again)


@pytest.mark.parametrize("given", ["", '""', "two words", '"open', "x" * 256, b"\xc3\xa9"])
def test_what_is_no_key_is_refused(books: AccountOverHttp, given: str | bytes) -> None:
    answer = books.post("customers", CUSTOMER, headers={b"Idempotency-Key": given})

    assert (answer.status_code, answer.json()["code"]) == (400, "http.idempotency-key-refused")
    assert books.get("customers").json()["items"] == []


def test_two_keys_are_refused(books: AccountOverHttp) -> None:
    answer = books.post("customers", CUSTOMER, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "a")])

    assert answer.json()["code"] == "http.idempotency-key-refused"


def test_a_key_is_forgotten_after_a_day(served: Served, books: AccountOverHttp) -> None:
    named = key()
    first = books.post("customers", CUSTOMER, headers=named)
    age(served, books.id)

    later = books.post("customers", CUSTOMER, headers=named)

    assert later.status_code == 201
    assert later.json()["id"] != first.json()["id"]
    assert same(later, books.post("customers", CUSTOMER, headers=named))


def test_keys_whose_day_is_over_are_removed_and_others_stay(served: Served, books: AccountOverHttp) -> None:
    books.post("customers", CUSTOMER, headers=key())
    age(served, books.id)
    books.post("customers", CUSTOMER, headers=key())

    sweep_keys(served.application.database)

    assert kept_keys(served, books.id) == 1


def test_s01_a_key_of_a_replaced_stream_is_gone_and_says_which_is_live(served: Served, books: AccountOverHttp) -> None:
    named, member = key(), key()
    given = {"email": f"{books.id}@example.com", "role": "viewer"}
    books.post("customers", CUSTOMER, headers=named)
    added = books.post("members", given, headers=member)
    replace_live_stream(served, books.id)

    gone, still = books.post("customers", CUSTOMER, headers=named), books.post("members", given, headers=member)

    assert (gone.status_code, gone.json()["code"]) == (410, "http.idempotency-key-of-replaced-stream")
    assert "stream 2 is live" in gone.json()["detail"]
    assert books.get("customers").json()["items"] == []
    assert same(added, still)


def test_f01_a_request_whose_reply_was_lost_is_done_once_when_sent_again(
    served: Served, visitor: Visitor, books: AccountOverHttp
) -> None:
    before, named, at = events(served, books.id), key(), urlsplit(served.url)
    said = json.dumps(CUSTOMER, separators=(",", ":"))
    head = {"Host": "x", "Authorization": f"Bearer {visitor.token}", "Content-Type": "application/json", **named}
    lines = [f"POST {books.path}/customers HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    with socket.create_connection((at.hostname, at.port)) as connection:
        connection.sendall("\r\n".join([*lines, f"Content-Length: {len(said)}", "", said]).encode())
        connection.recv(1)  # it was answered; the answer goes nowhere

    again = books.post("customers", content=said, headers=named | {"Content-Type": "application/json"})

    assert again.headers["idempotent-replayed"] == "true"
    assert [one["id"] for one in books.get("customers").json()["items"]] == [again.json()["id"]]
    assert events(served, books.id) == before + 1


def test_neither_the_key_nor_the_request_is_kept_in_clear(served: Served, books: AccountOverHttp) -> None:
    books.post("customers", CUSTOMER, headers={"Idempotency-Key": "my-own-key"})

    with psycopg.connect(served.application.database.dsn) as connection:
        (row,) = connection.execute(
            "SELECT key_hash, fingerprint FROM idempotency_keys WHERE account_id = %s", (books.id,)
        ).fetchall()

    assert all(len(value) == 32 for value in row)


def test_a_job_is_asked_for_once_and_sending_again_gives_the_same_job(books: AccountOverHttp) -> None:
    named, http, at = key(), books.visitor.http, f"{books.path}/backups"

    first, again = (http.post(at, json={"passphrase": "a secret of four words"}, headers=named) for _ in range(2))
    other = http.post(at, json={"passphrase": "another secret"}, headers=named)

    assert first.status_code == 202
    assert same(first, again)
    assert [job["id"] for job in books.get("jobs").json()["items"]] == [first.json()["id"]]
    assert other.json()["code"] == "http.idempotency-key-reused"


def test_a_token_is_made_once_and_told_once(visitor: Visitor) -> None:
    named, wanted = key(), {"name": "nightly export", "scopes": ["read"], "days": 90}
    before = len(visitor.http.get("/v1/tokens").json()["items"])

    first, again = (visitor.http.post("/v1/tokens", json=wanted, headers=named) for _ in range(2))

    assert first.status_code == 201, first.text
    assert (again.status_code, again.json()["code"]) == (409, "http.answer-told-once")
    assert len(visitor.http.get("/v1/tokens").json()["items"]) == before + 1


def test_a_token_that_was_told_is_not_kept(served: Served, visitor: Visitor) -> None:
    wanted = {"name": "export", "scopes": ["read"], "days": 90}
    token = visitor.http.post("/v1/tokens", json=wanted, headers=key()).json()["token"]

    with psycopg.connect(served.application.database.dsn) as connection:
        kept = connection.execute(
            "SELECT t::text FROM idempotency_keys_of_people t WHERE person_id = %s", (visitor.person,)
        ).fetchall()

    assert len(kept) == 1
    assert token not in str(kept)


def test_an_archive_is_kept_once_and_another_under_its_key_is_not(books: AccountOverHttp) -> None:
    named = key() | {"Content-Type": "application/zip"}

    first, again = (books.asked("POST", "archives", content=b"PK one", headers=named) for _ in range(2))
    other = books.asked("POST", "archives", content=b"PK two", headers=named)

    assert first.status_code == 201
    assert same(first, again)
    assert other.json()["code"] == "http.idempotency-key-reused"
    assert [one["id"] for one in books.get("archives").json()["items"]] == [first.json()["id"]]
