"""Every kind of entity lives its life over HTTP, and whoever saw an older version is told so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.kinds import Kind
from tests.fixtures.http_api import LINE, WITH_VAT, AccountOverHttp, Visitor

ITEM = {"number": "E1", "name": "Eik", "net_price": "12.50", "vat": {"category": "S", "rate": "21"}}
LAYOUT = {"name": "Strak", "document_kinds": ["invoice"], "template": {}}
LEDGER_ACCOUNT = {"number": "700", "name": "Verkopen", "type": "income"}
MASTER_DATA: dict[str, dict[str, Any]] = {
    "customers": {"party": {"name": "Klant"}},
    "items": ITEM,
    "layouts": LAYOUT,
    "ledger-accounts": LEDGER_ACCOUNT,
}
CHANGE = {
    "customers": {"notes": "belt graag"},
    "items": {"name": "Beuk"},
    "layouts": {"name": "Sierlijk"},
    "ledger-accounts": {"name": "Omzet"},
}


@pytest.mark.parametrize("collection", MASTER_DATA)
def test_master_data_is_made_read_changed_and_deleted(books: AccountOverHttp, collection: str) -> None:
    made = books.post(collection, MASTER_DATA[collection])
    address = made.headers["location"]
    changed = books.ask("PATCH", address, CHANGE[collection])
    read = books.get(address)
    deleted = books.ask("DELETE", address)

    assert (made.status_code, made.headers["etag"]) == (201, '"1.1"')
    assert changed.json() == read.json() == {**made.json(), **CHANGE[collection], "version": 2}
    assert changed.headers["etag"] == read.headers["etag"] == '"1.2"'
    assert (deleted.status_code, books.get(address).status_code) == (204, 404)


@pytest.mark.parametrize("collection", MASTER_DATA)
def test_master_data_is_archived_and_offered_again(books: AccountOverHttp, collection: str) -> None:
    address = books.post(collection, MASTER_DATA[collection]).headers["location"]

    archived = books.make(f"{address}/archive")
    again = books.make(f"{address}/unarchive")

    assert (archived["archived"], again.get("archived", False)) == (True, False)


def test_a_customer_that_is_merged_names_who_stands_for_it(books: AccountOverHttp) -> None:
    double, kept = books.customer(), books.customer()

    merged = books.make(f"customers/{double}/merge", {"into": kept})

    assert merged["merged_into"] == kept


def test_a_customer_is_merged_into_nothing_but_a_customer(books: AccountOverHttp) -> None:
    item = books.make("items", ITEM)["id"]

    answer = books.post(f"customers/{books.customer()}/merge", {"into": item})

    assert (answer.status_code, answer.json()["pointer"]) == (422, "/into")


def test_an_optional_field_is_taken_away_by_null(books: AccountOverHttp) -> None:
    customer = books.customer(notes="belt graag")

    changed = books.ask("PATCH", f"customers/{customer}", {"notes": None})

    assert "notes" not in changed.json()


def test_a_change_of_nothing_makes_no_version(books: AccountOverHttp) -> None:
    customer = books.customer()

    assert books.ask("PATCH", f"customers/{customer}", {}).headers["etag"] == '"1.1"'


@pytest.mark.slow
def test_an_invoice_is_drafted_issued_sent_paid_and_credited(books: AccountOverHttp) -> None:
    path = books.draft()
    issued = books.make(f"{path}/issue", {"issue_date": "2026-01-31"})
    sent = books.make(f"{path}/sent", {"how": "email", "recipients": ["klant@example.com"]})
    reminded = books.make(f"{path}/reminders", {"level": 1})
    partly = books.make(f"{path}/payments", {"amount": "5.38", "means": "30"})
    paid = books.make(f"{path}/payments", {"amount": "40.00", "means": "30"})
    reversed_ = books.make(f"{path}/payments/{paid['payments'][1]['id']}/reverse", {"reason": "bounced"})
    note = books.post(f"{path}/credit")
    books.make(f"{note.headers['location']}/issue")

    assert (issued["number"], issued["totals"]["with_vat"]) == ("2026-00001", WITH_VAT)
    assert (sent["sent"], reminded["reminders"][0]["level"]) == (1, 1)
    assert [one["state"] for one in (partly, paid, reversed_)] == ["partly_paid", "paid", "partly_paid"]
    assert note.status_code == 201
    assert "/credit-notes/" in note.headers["location"]
    assert books.get(path).json()["state"] == "credited"


def test_a_credit_note_that_refers_to_nothing_is_given_back(books: AccountOverHttp) -> None:
    path = books.issued("credit-notes")

    settled = books.make(f"{path}/payments", {"amount": WITH_VAT, "means": "30"})

    assert settled["state"] == "settled"


def test_a_receipt_is_issued_with_the_payment_it_was_paid_with(books: AccountOverHttp) -> None:
    path = books.draft("receipts")

    issued = books.make(f"{path}/issue", {"payments": [{"amount": WITH_VAT, "means": "10"}]})

    assert (issued["state"], issued["payments"][0]["amount"]) == ("issued", WITH_VAT)


def test_a_quote_is_accepted_and_becomes_an_invoice(books: AccountOverHttp) -> None:
    path = books.issued("quotes")
    accepted = books.make(f"{path}/accepted", {"signed_by": "de klant"})

    invoice = books.post(f"{path}/convert", {"to": "invoice"})

    assert accepted["state"] == "accepted"
    assert invoice.json()["kind"] == "invoice"
    assert books.get(invoice.headers["location"]).json()["derived_from"] == [{"document": accepted["id"]}]
    assert books.get(path).json()["state"] == "converted"


@pytest.mark.slow
def test_a_quote_is_declined_or_expires(books: AccountOverHttp) -> None:
    gone = "2024-02-29"
    declined = books.make(f"{books.issued('quotes')}/declined", {"reason": "te duur"})
    old = books.draft("quotes", issue_date=gone, valid_until=gone)
    books.make(f"{old}/issue")

    expired = books.make(f"{old}/expired")

    assert (declined["state"], expired["state"]) == ("declined", "expired")


@pytest.mark.slow
def test_an_order_becomes_a_delivery_note_and_that_an_invoice(books: AccountOverHttp) -> None:
    order = books.issued("purchase-orders")
    partly = books.make(f"{order}/delivered", {"partly": True})
    note = books.post(f"{order}/convert", {"to": "delivery_note"}).headers["location"]
    books.make(f"{note}/issue")
    delivered = books.make(f"{note}/delivered")
    invoice = books.make(f"{note}/convert", {"to": "invoice"})

    assert (partly["state"], delivered["state"], invoice.get("state", "draft")) == (
        "partly_delivered",
        "delivered",
        "draft",
    )
    assert books.get(note).json()["state"] == "invoiced"


@pytest.mark.parametrize("collection", ["purchase-orders", "delivery-notes"])
def test_an_order_or_delivery_note_is_called_off(books: AccountOverHttp, collection: str) -> None:
    cancelled = books.make(f"{books.issued(collection)}/cancel", {"reason": "niet nodig"})

    assert cancelled["state"] == "cancelled"


def test_a_subscription_is_paused_resumed_invoiced_and_ended(books: AccountOverHttp) -> None:
    start = datetime.now(UTC).date()
    interval = {"n": 1, "unit": "months"}
    fields = {"customer": books.customer(), "lines": [LINE], "interval": interval, "next_date": start.isoformat()}
    path = books.post("subscriptions", fields).headers["location"]

    paused = books.make(f"{path}/pause", {"reason": "vakantie"})
    resumed = books.make(f"{path}/resume")
    invoice = books.make(f"{path}/invoice-period")
    again = books.post(f"{path}/invoice-period")
    ended = books.make(f"{path}/end")

    assert [one.get("state", "active") for one in (paused, resumed, ended)] == ["paused", "active", "ended"]
    assert invoice["invoicing_period"]["start"] == start.isoformat()
    assert (again.status_code, again.json()["code"]) == (409, "domain.not-possible")


def test_a_step_that_a_kind_does_not_know_has_no_address(books: AccountOverHttp) -> None:
    answer = books.post(f"{books.issued('invoices')}/accepted")

    assert (answer.status_code, answer.json()["code"]) == (404, "http.route-unknown")


def test_an_issued_invoice_is_neither_changed_nor_deleted(books: AccountOverHttp) -> None:
    path = books.issued()

    answers = [books.ask("PATCH", path, {"lines": []}), books.ask("DELETE", path)]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "domain.not-possible")] * 2


def test_a_customer_with_invoices_stays(books: AccountOverHttp) -> None:
    customer = books.get(books.issued()).json()["customer"]

    answer = books.ask("DELETE", f"customers/{customer}")

    assert (answer.status_code, answer.json()["code"]) == (409, "domain.still-referred")


def test_a_number_is_borne_once(books: AccountOverHttp) -> None:
    books.make("items", ITEM)

    answer = books.post("items", ITEM)

    assert (answer.status_code, answer.json()["code"]) == (409, "store.number-taken")


@pytest.mark.parametrize("tag", ['"1.1"', '"2.2"', 'W/"1.2"', '"other"'])
def test_who_saw_another_version_changes_nothing(books: AccountOverHttp, tag: str) -> None:
    path = f"customers/{books.customer()}"
    books.ask("PATCH", path, {"notes": "eerste"})
    before = books.get(path).content

    answers = [
        books.ask("PATCH", path, {"notes": "tweede"}, headers={"If-Match": tag}),
        books.post(f"{path}/archive", headers={"If-Match": tag}),
        books.ask("DELETE", path, headers={"If-Match": tag}),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(412, "store.version-stale")] * 3
    assert books.get(path).content == before


@pytest.mark.parametrize("tag", ['"1.1"', "*"])
def test_who_saw_this_version_or_does_not_mind_may_change_it(books: AccountOverHttp, tag: str) -> None:
    path = f"customers/{books.customer()}"

    answer = books.ask("PATCH", path, {"notes": "eerste"}, headers={"If-Match": tag})

    assert answer.headers["etag"] == '"1.2"'


def test_an_unknown_entity_is_unknown_whatever_version_was_seen(books: AccountOverHttp) -> None:
    answer = books.ask("PATCH", f"customers/{books.id}", {"notes": "x"}, headers={"If-Match": '"1.1"'})

    assert answer.json()["code"] == "domain.entity-unknown"


@pytest.mark.slow
def test_a_list_is_read_page_by_page_and_in_the_order_of_making(books: AccountOverHttp) -> None:
    made = [books.customer(f"Klant {number}") for number in range(5)]

    pages, address = [], "customers?limit=2"
    while address:
        answer = books.get(address)
        pages.append([one["id"] for one in answer.json()["items"]])
        address = answer.links.get("next", {}).get("url", "")

    assert pages == [made[:2], made[2:4], made[4:]]


def test_a_list_has_no_deleted_ones_and_says_which_stream_it_is_of(books: AccountOverHttp) -> None:
    kept, gone = books.customer(), books.customer()
    books.ask("DELETE", f"customers/{gone}")

    answer = books.get("customers").json()

    assert (answer["stream"], [one["id"] for one in answer["items"]]) == (1, [kept])


def test_a_document_is_found_by_its_number(books: AccountOverHttp) -> None:
    books.issued()
    second = books.issued()
    number = books.get(second).json()["number"]

    found = books.get("invoices", params={"number": number}).json()["items"]

    assert [f"invoices/{one['id']}" for one in found] == [second]


def test_a_list_holds_snapshots_as_they_are_stored(books: AccountOverHttp) -> None:
    path = books.issued()

    assert books.get(path).content in books.get("invoices").content


@pytest.mark.slow
def test_every_kind_has_a_collection_that_begins_empty(books: AccountOverHttp) -> None:
    names = [kind.value.replace("_", "-") + "s" for kind in Kind]

    answers = [books.get(name) for name in names]

    assert [answer.json() for answer in answers] == [{"stream": 1, "items": []}] * 11


def test_an_account_is_listed_shown_renamed_and_closed(visitor: Visitor) -> None:
    books = visitor.open_account("Houtwerk")
    renamed = books.ask("PATCH", "", {"name": "Houtatelier", "settings": {"closed_until": "2020-12-31"}}).json()
    closed = books.make("close", {"reason": "gestopt"})
    late = books.post("customers", {"party": {"name": "Klant"}})

    listed = visitor.http.get("/v1/accounts").json()["items"]

    assert (renamed["name"], renamed["settings"]["closed_until"]) == ("Houtatelier", "2020-12-31")
    assert (closed["closed"], late.status_code, late.json()["code"]) == (True, 409, "account.closed")
    assert [(one["id"], one["name"], one["role"]) for one in listed] == [(books.id, "Houtatelier", "owner")]
    assert books.get("customers").status_code == 200
    assert datetime.fromisoformat(closed["erase_after"]) - datetime.now(UTC) > timedelta(days=29)


def test_a_closed_account_is_reopened(books: AccountOverHttp) -> None:
    books.make("close")

    reopened = books.make("reopen")
    again = books.post("reopen")

    assert (reopened["closed"], reopened["erase_after"]) == (False, None)
    assert (again.status_code, again.json()["code"]) == (409, "domain.not-possible")
    assert books.customer()
    assert [one["type"] for one in books.get("notifications").json()["items"]] == ["account.reopened", "account.closed"]


def test_members_come_change_role_and_go(books: AccountOverHttp) -> None:
    added = books.make("members", {"email": f"{books.id}@example.com", "name": "Bert", "role": "viewer"})

    changed = books.ask("PATCH", f"members/{added['person']}", {"role": "editor"}).json()
    gone = books.ask("DELETE", f"members/{added['person']}")
    left = books.get("members").json()["items"]

    assert (added["role"], changed["role"], gone.status_code) == ("viewer", "editor", 204)
    assert [member["name"] for member in left] == ["An"]


def test_the_only_owner_stays(books: AccountOverHttp) -> None:
    answer = books.ask("DELETE", f"members/{books.visitor.person}")

    assert (answer.status_code, answer.json()["code"]) == (409, "domain.not-possible")


def test_custom_fields_are_defined_used_changed_and_removed(books: AccountOverHttp) -> None:
    fields = {"kind": "customer", "key": "sector", "label": "Sector", "type": "choice", "choices": ["bouw"]}
    defined = books.post("custom-fields", fields)
    customer = books.make("customers", {"party": {"name": "K"}, "custom_fields": {"sector": "bouw"}})
    wrong = books.post("customers", {"party": {"name": "K"}, "custom_fields": {"sector": "zorg"}})
    changed = books.ask("PUT", defined.headers["location"], {"label": "Branche", "type": "text"})
    removed = books.ask("DELETE", defined.headers["location"])

    assert customer["custom_fields"] == {"sector": "bouw"}
    assert (wrong.status_code, wrong.json()["pointer"]) == (422, "/custom_fields/sector")
    assert (changed.json()["label"], removed.status_code) == ("Branche", 204)
    assert books.get("custom-fields").json()["items"] == []


def test_modules_are_switched_on_and_off_as_often_as_one_likes(books: AccountOverHttp) -> None:
    on = [books.ask("PUT", "modules/stock").status_code for _ in range(2)]
    used = books.get("modules").json()["items"]
    off = [books.ask("DELETE", "modules/stock").status_code for _ in range(2)]

    assert (on, used, off) == ([204, 204], ["stock"], [204, 204])
    assert books.get("modules").json()["items"] == []


def test_a_token_says_whose_it_is(visitor: Visitor) -> None:
    me = visitor.http.get("/v1/people/me").json()

    assert me == {"id": visitor.person, "email": visitor.email, "name": "An"}


@pytest.mark.slow
def test_of_two_who_saw_the_same_version_one_changes_it(books: AccountOverHttp) -> None:
    path = f"customers/{books.customer()}"

    def change(who: int) -> int:
        fields = {"notes": f"van {who}"}
        return books.ask("PATCH", path, fields, headers={"If-Match": '"1.1"'}).status_code

    with ThreadPoolExecutor(8) as people:
        answers = sorted(people.map(change, range(8)))

    assert answers == [200] + [412] * 7
    assert books.get(path).headers["etag"] == '"1.2"'


@pytest.mark.slow
def test_invoices_that_are_issued_at_once_are_numbered_without_a_gap(books: AccountOverHttp) -> None:
    paths = [books.draft() for _ in range(8)]

    with ThreadPoolExecutor(8) as people:
        numbers = sorted(people.map(lambda path: books.make(f"{path}/issue")["number"][-5:], paths))

    assert numbers == [f"{number:05}" for number in range(1, 9)]
