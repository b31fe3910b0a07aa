"""Whatever is wrong with a request gets a problem that says what, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from api.http.app import create_app
from api.http.tags import to_cursor
from domain.application import Application
from domain.store.database import Database
from tests.fixtures.http_api import LINE, SETTINGS, AccountOverHttp, Served, Visitor

JSON = {"Content-Type": "application/json"}
MIB = 1 << 20


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and pointer of a problem that is whole."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    said = answer.json()
    assert said["type"] == f"urn:counterfoil:problem:{said['code']}"
    assert said["status"] == answer.status_code
    assert said["request_id"] == answer.headers["x-request-id"]
    assert said["title"]
    assert said["detail"]
    return answer.status_code, said["code"], said.get("pointer")


@pytest.mark.parametrize(
    "body",
    [
        b'{"party":{"name":"a"},"party":{"name":"b"}}',
        b'{"party":{"name":"a","name":"b"}}',
        b'{"price_list_discount":NaN}',
        b'{"price_list_discount":-Infinity}',
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b'{"party":{"name":"\xff"}}',
        b"\xef\xbb\xbf{}",
        b'{"a":' * 33 + b"1" + b"}" * 33,
        b'{"party":{"name":"\\ud800"}}',
        b'{"party":{"name":"\\u0000"}}',
        b'{"price_list_discount":' + b"9" * 5000 + b"}",
    ],
    ids=[
        "key twice",
        "inner key twice",
        "NaN",
        "Infinity",
        "array",
        "null",
        "string",
        "cut short",
        "not UTF-8",
        "byte order mark",
        "33 deep",
        "half a surrogate pair",
        "U+0000",
        "5,000 digits",
    ],
)
def test_a_body_that_is_not_one_json_object_is_refused(books: AccountOverHttp, body: bytes) -> None:
    answer = books.post("customers", content=body, headers=JSON)

    assert problem(answer)[:2] == (400, "http.body-refused")
    assert books.get("customers").json()["items"] == []


def test_a_body_may_be_32_deep(books: AccountOverHttp) -> None:
    answer = books.post("customers", content=b'{"a":' * 32 + b"1" + b"}" * 32, headers=JSON)

    assert problem(answer) == (422, "domain.field-refused", "/a")


def test_a_body_may_have_lines_ended_as_windows_does(books: AccountOverHttp) -> None:
    answer = books.post("customers", content=b'{\r\n"party":{"name":"K"}\r\n}', headers=JSON)

    assert answer.status_code == 201


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_w12_a_body_of_another_type_is_refused(books: AccountOverHttp, content_type: str) -> None:
    answer = books.post("customers", content=b'{"party":{"name":"K"}}', headers={"Content-Type": content_type})

    assert problem(answer)[:2] == (415, "http.media-type-refused")


def test_w10_a_compressed_body_is_refused(books: AccountOverHttp) -> None:
    answer = books.post("customers", content=b"{}", headers={**JSON, "Content-Encoding": "gzip"})

    assert problem(answer)[:2] == (415, "http.media-type-refused")


@pytest.mark.parametrize("headers", [{}, JSON])
def test_no_body_where_there_must_be_one_is_refused(books: AccountOverHttp, headers: dict[str, str]) -> None:
    assert problem(books.post("customers", headers=headers))[0] in {400, 415}


@pytest.mark.parametrize("chunked", [False, True])
def test_w10_a_body_over_a_mebibyte_is_refused(books: AccountOverHttp, chunked: bool) -> None:
    body = json.dumps({"party": {"name": "K"}, "notes": "x" * MIB}).encode()

    answer = books.post("customers", content=iter([body]) if chunked else body, headers=JSON)

    assert problem(answer)[:2] == (413, "http.body-too-large")


@pytest.mark.parametrize("field", ["id", "version", "actor", "at", "via", "deleted", "position", "stream"])
def test_t15_what_only_we_may_say_is_an_unknown_field(books: AccountOverHttp, field: str) -> None:
    made = books.post("customers", {"party": {"name": "K"}, field: "1"})
    changed = books.ask("PATCH", f"customers/{books.customer()}", {field: "1"})

    assert [problem(answer) for answer in (made, changed)] == [(422, "domain.field-refused", f"/{field}")] * 2


@pytest.mark.parametrize("field", ["number", "state", "totals", "net_amounts", "payments", "kind"])
def test_what_follows_from_the_rules_cannot_be_sent(books: AccountOverHttp, field: str) -> None:
    answer = books.post("invoices", {"customer": books.customer(), field: "1"})

    assert problem(answer) == (422, "domain.field-refused", f"/{field}")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, "/party"),
        ({"party": {}}, "/party/name"),
        ({"party": {"name": ""}}, "/party/name"),
        ({"party": {"name": 1}}, "/party/name"),
        ({"party": {"name": "K", "address": {"country": "XX"}}}, "/party/address/country"),
        ({"party": {"name": "K"}, "bank_accounts": [{"iban": "BE71096123456769"}, {}]}, "/bank_accounts/1/iban"),
        ({"party": {"name": "K"}, "custom_fields": {"a/b~c": "x"}}, "/custom_fields/a~1b~0c"),
    ],
    ids=["no party", "no name", "empty name", "number as name", "no country", "in a list", "undefined custom field"],
)
def test_a_problem_points_to_the_field(books: AccountOverHttp, fields: dict[str, Any], pointer: str) -> None:
    assert problem(books.post("customers", fields)) == (422, "domain.field-refused", pointer)


@pytest.mark.parametrize("quantity", ["NaN", "1e-400", "", "drie", "0.1234567", True, [], {}, None])
def test_a_quantity_that_is_none_is_refused(books: AccountOverHttp, quantity: Any) -> None:
    answer = books.post("invoices", {"customer": books.customer(), "lines": [{**LINE, "quantity": quantity}]})

    status, _, pointer = problem(answer)
    assert (status, pointer) == (422, "/lines/0/quantity")


@pytest.mark.parametrize("quantity", ["sNaN", "Infinity", "1E+999", "9" * 40, "9" * 15])
def test_a_quantity_that_nothing_could_be_computed_with_is_refused(books: AccountOverHttp, quantity: str) -> None:
    line = {**LINE, "quantity": quantity, "net_price": "9" * 15}

    answer = books.post("invoices", {"customer": books.customer(), "lines": [LINE, {**line, "line_id": "2"}]})

    assert problem(answer)[:2] == (422, "domain.field-refused")
    assert quantity[:40] in answer.json()["detail"]


def test_a_due_date_after_the_last_year_is_refused(books: AccountOverHttp) -> None:
    path = books.draft(issue_date="9999-12-31", payment_terms={"days": 30})

    assert problem(books.post(f"{path}/issue"))[:2] == (422, "domain.field-refused")
    assert "number" not in books.get(path).json()


def test_an_account_is_not_called_by_blanks(visitor: Visitor) -> None:
    answer = visitor.http.post("/v1/accounts", json={"name": "   ", "settings": SETTINGS})

    assert problem(answer) == (422, "domain.field-refused", "/name")
    assert visitor.http.get("/v1/accounts").json()["items"] == []


def test_a_number_with_a_point_is_taken_digit_for_digit(books: AccountOverHttp) -> None:
    body = b'{"number":"E1","name":"Eik","net_price":0.1000000000000000055511,"vat":{"category":"S","rate":21}}'
    fine = body.replace(b"0.1000000000000000055511", b"0.10")

    assert problem(books.post("items", content=body, headers=JSON))[2] == "/net_price"
    assert books.post("items", content=fine, headers=JSON).json()["net_price"] == "0.10"


def test_a_reference_to_nothing_is_refused(books: AccountOverHttp) -> None:
    answer = books.post("invoices", {"customer": books.id})

    assert problem(answer) == (422, "domain.reference-unknown", "/customer")


def test_more_than_is_owed_is_not_paid(books: AccountOverHttp) -> None:
    answer = books.post(f"{books.issued()}/payments", {"amount": "45.39", "means": "30"})

    assert problem(answer)[:2] == (422, "domain.too-much")


def test_closed_books_take_nothing(books: AccountOverHttp) -> None:
    books.ask("PATCH", "", {"settings": {"closed_until": "2025-12-31"}})

    answer = books.post("invoices", {"customer": books.customer(), "issue_date": "2025-12-31"})

    assert problem(answer)[:2] == (409, "domain.books-closed")


@pytest.mark.parametrize(
    "fields", [{"settings": {"currency": "XXY"}}, {"settings": {"number_formats": {"invoice": "x"}}}]
)
def test_settings_that_cannot_be_are_refused(books: AccountOverHttp, fields: dict[str, Any]) -> None:
    before = books.get().content

    assert problem(books.ask("PATCH", "", fields))[0] == 422
    assert books.get().content == before


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=1&limit=2",
        "nubmer=1",
        "cursor=x",
        "cursor=",
        "number=%00",
        "cursor=%FF",
    ],
)
def test_w12_a_query_that_cannot_be_is_refused(books: AccountOverHttp, query: str) -> None:
    assert problem(books.get(f"customers?{query}"))[0] == 400


def test_a_cursor_of_a_replaced_stream_is_gone(books: AccountOverHttp) -> None:
    answer = books.get(f"customers?cursor={to_cursor(2, books.customer())}")

    assert problem(answer)[:2] == (410, "http.stream-replaced")


@pytest.mark.parametrize("tag", ["1.1", '"1.1', '"1.1", "1.2"', ""])
def test_an_if_match_that_is_no_tag_is_refused(books: AccountOverHttp, tag: str) -> None:
    answer = books.ask("PATCH", f"customers/{books.customer()}", {"notes": "x"}, headers={"If-Match": tag})

    assert problem(answer)[:2] == (400, "http.if-match-refused")


@pytest.mark.parametrize("id_", ["x", "%00", "..%2f..", "'; DROP TABLE events; --", "%FF", "A" * 5000, "💶"])
def test_an_id_that_is_none_is_an_unknown_entity(books: AccountOverHttp, id_: str) -> None:
    answers = [
        books.get(f"customers/{id_}"),
        books.ask("PATCH", f"customers/{id_}", {"notes": "x"}),
        books.post(f"invoices/{id_}/issue"),
        books.visitor.http.get(f"/v1/accounts/{id_}"),
    ]

    assert {problem(answer)[0] for answer in answers} == {404}


def test_an_entity_of_another_kind_is_unknown(books: AccountOverHttp) -> None:
    assert problem(books.get(f"items/{books.customer()}"))[:2] == (404, "domain.entity-unknown")


def test_an_unknown_address_is_a_problem_too(books: AccountOverHttp) -> None:
    assert problem(books.get("nowhere"))[:2] == (404, "http.route-unknown")


def test_a_method_that_is_not_taken_says_which_are(books: AccountOverHttp) -> None:
    answer = books.ask("PUT", "customers")

    assert problem(answer)[:2] == (405, "http.method-refused")
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("role", ["king", "", None])
def test_a_role_that_there_is_not_is_refused(books: AccountOverHttp, role: Any) -> None:
    answer = books.post("members", {"email": "x@example.com", "role": role})

    assert problem(answer) == (422, "domain.field-refused", "/role")


def test_a_person_becomes_a_member_once(books: AccountOverHttp) -> None:
    member = {"email": f"{books.id}@example.com", "role": "viewer"}
    books.make("members", member)

    assert problem(books.post("members", member))[:2] == (409, "domain.not-possible")


def test_a_request_that_breaks_off_leaves_the_server_answering(served: Served, visitor: Visitor) -> None:
    books = visitor.open_account()
    at = urlsplit(served.url)
    with socket.create_connection((at.hostname, at.port)) as connection:
        said = f"POST {books.path}/customers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {visitor.token}\r\n"
        connection.sendall(f"{said}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())

    assert books.get("customers").json()["items"] == []


def test_w13_an_error_that_nobody_expected_tells_nothing_but_the_requests_id(
    served: Served, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    """A table that is not there is an error that no rule names: its text holds the statement."""
    books = visitor.open_account()
    with psycopg.connect(served.application.database.dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE entities RENAME TO entities_away")
        try:
            with caplog.at_level(logging.ERROR):
                answer = books.get("customers")
        finally:
            connection.execute("ALTER TABLE entities_away RENAME TO entities")

    assert problem(answer) == (500, "http.internal", None)
    assert not any(word in answer.text for word in ("entities", "SELECT", "psycopg", "Traceback", ".py"))
    assert answer.json()["request_id"] in caplog.text


def test_a_database_that_is_away_is_said_to_be(served: Served) -> None:
    async def ask() -> httpx.Response:
        app = create_app(Application(Database("host=127.0.0.1 port=1")), served.settings)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://there") as client:
            return await client.get("/v1/people/me", headers={"Authorization": f"Bearer cf_{43 * 'x'}"})

    answer = asyncio.run(ask())

    assert problem(answer)[0] == 503
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize("path", ["customers", "nowhere"])
def test_a_request_keeps_the_id_that_its_client_gave_it(books: AccountOverHttp, path: str) -> None:
    answer = books.get(path, headers={"X-Request-Id": "web-1.2_3"})

    assert answer.headers["x-request-id"] == "web-1.2_3"
    assert answer.is_success or answer.json()["request_id"] == "web-1.2_3"


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b', "a/b", "<script>", "\x7f"])
def test_an_id_that_could_trouble_a_log_is_replaced(books: AccountOverHttp, given: str) -> None:
    answer = books.get("nowhere", headers={"X-Request-Id": given})

    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert problem(answer)[0] == 404


def test_two_ids_are_none(books: AccountOverHttp) -> None:
    answer = books.get("nowhere", headers=[("X-Request-Id", "a"), ("X-Request-Id", "b")])

    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize(("path", "allowed"), [("streams/purge", "POST"), ("subscriptions/invoice-due", "POST")])
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS"])
def test_an_address_of_its_own_is_no_entitys(books: AccountOverHttp, method: str, path: str, allowed: str) -> None:
    answer = books.ask(method, path)

    assert problem(answer)[:2] == (405, "http.method-refused")
    assert answer.headers["allow"] == allowed


def test_a_problem_tells_of_every_field_that_is_wrong(books: AccountOverHttp) -> None:
    line = {**LINE, "unit": "", "quantity": "three"}
    fields = {"issue_date": "soon", "lines": [LINE, line], "state": "issued", "delivery": {"date": 1, "name": ""}}

    said = books.post("invoices", fields).json()

    assert {one["pointer"] for one in said["errors"]} == {
        "/customer",
        "/issue_date",
        "/lines/1/quantity",
        "/lines/1/unit",
        "/state",
        "/delivery/date",
        "/delivery/name",
    }
    assert (said["pointer"], said["detail"]) in [(one["pointer"], one["detail"]) for one in said["errors"]]
    assert said["instance"] == f"urn:counterfoil:request:{said['request_id']}"


def test_a_problem_tells_of_a_bounded_number_of_fields(books: AccountOverHttp) -> None:
    fields = {"customer": books.customer(), "lines": [{**LINE, "unit": ""}] * 1_000}

    assert len(books.post("invoices", fields).json()["errors"]) == 20


def test_w12_a_field_of_the_body_is_not_taken_from_the_address(books: AccountOverHttp) -> None:
    answer = books.post("customers?notes=x", {"party": {"name": "K"}, "notes": "y"})

    assert problem(answer)[:2] == (400, "http.request-invalid")
    assert books.get("customers").json()["items"] == []


@pytest.mark.parametrize("name", ["X-Actor", "X-User", "X-Account", "X-Tenant", "X-Role", "X-Forwarded-User", "X-Via"])
def test_t15_no_header_says_who_acts_or_where(books: AccountOverHttp, name: str) -> None:
    other = books.visitor.open_account("Ander")

    made = books.post("customers", {"party": {"name": "K"}}, headers={name: other.id})

    (entry,) = books.get("timeline?kind=customer").json()["entries"]
    assert made.status_code == 201
    assert other.get("customers").json()["items"] == []
    assert (entry["actor"], entry["via"]) == (f"person:{books.visitor.person}", "api")
