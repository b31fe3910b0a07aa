"""Lists over HTTP: filters, order, pages and their links, and answers that are not sent twice."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.fixtures.http_api import LINE, AccountOverHttp


def found(books: AccountOverHttp, address: str, **params: Any) -> list[str]:
    answer = books.get(address, params=params)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["items"]]


def priced(books: AccountOverHttp, price: str, **fields: Any) -> str:
    lines = [{**LINE, "quantity": "1", "net_price": price, "vat": {"category": "Z", "rate": "0"}}]
    return str(books.make("invoices", {"customer": books.customer(), "lines": lines, **fields})["id"])


def test_documents_are_found_by_customer_state_period_and_amount(books: AccountOverHttp) -> None:
    jan = books.customer("Jan")
    dear = priced(books, "1000.00", customer=jan, issue_date="2026-03-15")
    cheap = priced(books, "9.00", issue_date="2026-04-01")
    books.make(f"invoices/{cheap}/issue")

    assert found(books, "invoices", customer=jan) == [dear]
    assert found(books, "invoices", state="issued,partly_paid") == [cheap]
    assert found(books, "invoices", issue_date_from="2026-03-01", issue_date_until="2026-03-31") == [dear]
    assert found(books, "invoices", total_from="9.01") == [dear]
    assert found(books, "invoices", number_prefix="2026-", currency="EUR", q="klant") == [cheap]
    assert found(books, "invoices", sort="total") == [cheap, dear]
    assert found(books, "invoices", sort="-total") == [dear, cheap]


def test_links_lead_through_all_pages_and_back_to_the_first(books: AccountOverHttp) -> None:
    made = [priced(books, price) for price in ("10.00", "9.00", "100.00", "8.50", "0.00")]
    order = [made[number] for number in (2, 0, 1, 3, 4)]

    pages, address = [], "invoices?sort=-total&limit=2&state=draft"
    while address:
        answer = books.get(address)
        pages.append([one["id"] for one in answer.json()["items"]])
        first = answer.links["first"]["url"]
        address = answer.links.get("next", {}).get("url", "")

    assert pages == [order[:2], order[2:4], order[4:]]
    assert [one["id"] for one in books.get(first).json()["items"]] == order[:2]


def test_the_newest_come_first_page_by_page(books: AccountOverHttp) -> None:
    made = [books.customer(str(number)) for number in range(5)]

    pages, address = [], "customers?sort=-id&limit=2"
    while address:
        answer = books.get(address)
        pages.append([one["id"] for one in answer.json()["items"]])
        address = answer.links.get("next", {}).get("url", "")
        oldest = books.get(answer.links["next"]["url"].replace("sort=-id", "sort=id")) if address else None
        assert oldest is None or oldest.json()["code"] == "http.cursor-refused"

    assert pages == [made[:2:-1], made[2:0:-1], made[:1]]


def test_a_cursor_is_for_the_list_it_came_from(books: AccountOverHttp) -> None:
    for name in ("a", "b", "c"):
        books.customer(name)
    cursor = books.get("customers", params={"sort": "name", "limit": 1}).links["next"]["url"].rpartition("cursor=")[2]
    plain = books.get("customers", params={"limit": 1}).links["next"]["url"].rpartition("cursor=")[2]

    for asked in (
        {"cursor": cursor},
        {"cursor": cursor, "sort": "-name"},
        {"cursor": cursor, "sort": "name", "q": "a"},
        {"cursor": plain, "sort": "name"},
    ):
        answer = books.get("customers", params=asked)
        assert (answer.status_code, answer.json()["code"]) == (400, "http.cursor-refused"), asked
    answer = books.get("items", params={"cursor": cursor, "sort": "name"})
    assert answer.json()["code"] == "http.cursor-refused"


@pytest.mark.parametrize("key", ["x", "1e5", "NaN", "2026-13-01", "%00", "%ff", "' OR 1=1", "Infinity", ""])
@pytest.mark.parametrize("sort", ["total", "-issue_date"])
def test_w09_a_cursor_that_was_tampered_with_is_refused(books: AccountOverHttp, key: str, sort: str) -> None:
    for _ in range(2):
        priced(books, "1.00", issue_date="2026-01-01")
    address = books.get("invoices", params={"sort": sort, "limit": 1}).links["next"]["url"]
    cursor = address.rpartition("cursor=")[2]
    parts = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split("|")
    forged = base64.urlsafe_b64encode("|".join([*parts[:3], key]).encode()).decode().rstrip("=")

    answer = books.get("invoices", params={"sort": sort, "cursor": forged})

    assert (answer.status_code, answer.json()["code"]) == (400, "http.cursor-refused")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sort", "total; DROP TABLE listed"),
        ("sort", "created_at"),
        ("state", "issued' OR '1'='1"),
        ("state", "deleted"),
        ("customer", "1 OR 1=1"),
        ("issue_date_from", "2026-01-01T00:00:00"),
        ("issue_date_from", "2026-02-30"),
        ("total_from", "1e9"),
        ("total_from", "NaN"),
        ("total_from", "١"),
        ("total_from", "-"),
        ("overdue", "yes"),
        ("q", "a\x00b"),
        ("colour", "red"),
        ("city", "Gent"),
    ],
)
def test_w09_a_parameter_that_says_nothing_known_is_refused(books: AccountOverHttp, name: str, value: str) -> None:
    answer = books.get("invoices", params={name: value})

    assert (answer.status_code, answer.json()["code"]) == (400, "http.request-invalid")


def test_invoices_are_overdue_by_the_sellers_calendar(books: AccountOverHttp) -> None:
    late = priced(books, "10.00", issue_date="2026-01-01", due_date="2026-01-15")
    books.make(f"invoices/{late}/issue")
    priced(books, "10.00", issue_date="2026-01-01", due_date="2026-01-15")

    assert found(books, "invoices", overdue="true", sort="due_date") == [late]
    assert books.get("quotes", params={"overdue": "true"}).status_code == 400


def test_a_past_list_has_no_filters(books: AccountOverHttp) -> None:
    answer = books.get("customers", params={"as_of": "0", "name": "x"})

    assert (answer.status_code, answer.json()["code"]) == (400, "http.request-invalid")


@pytest.mark.parametrize(
    "path", ["customers", "customers?sort=name", "customers?number=K1", "", "timeline", "streams", "members"]
)
def test_who_has_the_answer_is_told_that_it_still_is_so(books: AccountOverHttp, path: str) -> None:
    books.customer("Jan", number="K1")
    first = books.get(path)

    again = books.get(path, headers={"If-None-Match": first.headers["etag"]})
    others = books.get(path, headers={"If-None-Match": '"no", W/"such"'})
    books.customer("Piet", number="K2")
    books.ask("PATCH", "", {"name": "Anders"})
    books.ask("PUT", "modules/shop")
    later = books.get(path, headers={"If-None-Match": f'"x", {first.headers["etag"]}'})

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert (others.status_code, others.content) == (200, first.content)
    assert later.status_code == (304 if path in ("streams", "members") else 200) or path == "streams"


def test_the_tag_of_one_list_is_not_that_of_another(books: AccountOverHttp) -> None:
    books.customer("Jan")
    tag = books.get("customers", params={"name": "jan"}).headers["etag"]

    others = [books.get(path, headers={"If-None-Match": tag}) for path in ("customers", "customers?name=piet", "items")]

    assert [answer.status_code for answer in others] == [200] * 3


def test_an_entity_is_sent_again_only_when_it_changed(books: AccountOverHttp) -> None:
    path = f"customers/{books.customer('Jan')}"
    tag = books.get(path).headers["etag"]

    assert books.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert books.get(path, headers={"If-None-Match": "*"}).status_code == 304
    books.ask("PATCH", path, {"party": {"name": "Jan B"}})
    assert books.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_a_refusal_and_a_change_are_never_answered_as_unchanged(books: AccountOverHttp) -> None:
    books.customer("Jan")

    assert books.get("customers/nobody", headers={"If-None-Match": "*"}).status_code == 404
    assert books.post("customers", {"party": {"name": "x"}}, headers={"If-None-Match": "*"}).status_code == 201
