"""What an entity leads to, over HTTP: payments, conversions and credits, periods that fall due, what is not paid."""

from __future__ import annotations

from datetime import UTC, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from api.bootstrap import Installation
from api.invoicing import AT_HOUR, each_hour
from domain.application import Application, utc_now
from snapshots.daily.schedule import schedule_new
from tests.fixtures.http_api import LINE, WITH_VAT, AccountOverHttp, Served, Visitor

TODAY = utc_now().date()


def subscription(books: AccountOverHttp, *, weeks_ago: int, **fields: Any) -> str:
    made = {
        "customer": books.customer(),
        "lines": [LINE],
        "interval": {"n": 1, "unit": "weeks"},
        "next_date": (TODAY - timedelta(weeks=weeks_ago)).isoformat(),
        **fields,
    }
    return str(books.make("subscriptions", made)["id"])


def test_payments_are_listed_with_what_they_come_to(books: AccountOverHttp) -> None:
    path = books.issued()
    books.make(f"{path}/payments", {"amount": "5.38", "means": "30"})

    found = books.get(f"{path}/payments").json()

    assert [one["amount"] for one in found["items"]] == ["5.38"]
    assert (found["paid"], found["due"], found["currency"]) == ("5.38", "40.00", "EUR")
    assert books.get(f"quotes/{path.partition('/')[2]}/related").status_code == 404


def test_a_document_says_what_it_came_from_and_what_came_of_it(books: AccountOverHttp) -> None:
    quote = books.issued("quotes")
    books.make(f"{quote}/accepted")
    invoice = books.make(f"{quote}/convert", {"to": "invoice"})
    books.make(f"invoices/{invoice['id']}/issue")
    credit = books.make(f"invoices/{invoice['id']}/credit")
    books.make(f"credit-notes/{credit['id']}/issue")

    of_quote, of_invoice, of_credit = (
        books.get(f"{path}/related").json()
        for path in (quote, f"invoices/{invoice['id']}", f"credit-notes/{credit['id']}")
    )

    assert [(one["relation"], one["id"], one["state"]) for one in of_quote["led_to"]] == [
        ("made", invoice["id"], "credited")
    ]
    assert [(one["relation"], one["kind"]) for one in of_invoice["came_from"]] == [("made_from", "quote")]
    assert [(one["relation"], one["amount"]) for one in of_invoice["led_to"]] == [("credited_by", WITH_VAT)]
    assert [one["relation"] for one in of_credit["came_from"]] == ["corrects"]
    assert books.get(of_credit["came_from"][0]["address"]).json()["id"] == invoice["id"]


def test_a_statement_is_what_a_customer_has_not_paid(books: AccountOverHttp) -> None:
    jan = books.customer("Jan")
    late = books.issued(customer=jan, issue_date="2026-01-01", due_date="2026-01-15")
    books.issued(customer=jan, due_date=(TODAY + timedelta(days=30)).isoformat())
    paid = books.issued(customer=jan)
    books.make(f"{paid}/payments", {"amount": WITH_VAT, "means": "30"})
    books.draft(customer=jan)
    books.issued()

    found = books.get(f"customers/{jan}/statement").json()

    assert [(one["open"], one.get("overdue", False)) for one in found["items"]] == [(WITH_VAT, True), (WITH_VAT, False)]
    assert found["items"][0]["id"] == late.partition("/")[2]
    assert found["totals"] == [{"currency": "EUR", "open": "90.76", "overdue": WITH_VAT}]
    assert books.get("customers/nobody/statement").status_code == 404


def test_periods_are_invoiced_due_or_to_come(books: AccountOverHttp) -> None:
    id_ = subscription(books, weeks_ago=2)
    books.make(f"subscriptions/{id_}/invoice-period")

    found = books.get(f"subscriptions/{id_}/periods").json()

    first = TODAY - timedelta(weeks=2)
    assert [one["start"] for one in found["invoiced"]] == [first.isoformat()]
    assert [(one["start"], one["end"]) for one in found["due"]] == [
        ((first + timedelta(days=days)).isoformat(), (first + timedelta(days=days + 6)).isoformat()) for days in (7, 14)
    ]
    assert found["next"]["start"] == (first + timedelta(days=21)).isoformat()
    assert "waits" not in found


def test_a_period_that_cannot_be_invoiced_says_why(books: AccountOverHttp) -> None:
    id_ = subscription(books, weeks_ago=1)
    books.make(f"subscriptions/{id_}/pause")

    found = books.get(f"subscriptions/{id_}/periods").json()

    assert (found["state"], len(found["due"])) == ("paused", 2)
    assert "paused" in found["waits"]


def test_all_that_has_fallen_due_is_invoiced_at_once_and_only_once(books: AccountOverHttp) -> None:
    issued = subscription(books, weeks_ago=1, auto_issue=True)
    ends = subscription(books, weeks_ago=3, until=(TODAY - timedelta(weeks=2)).isoformat())
    subscription(books, weeks_ago=-1)
    paused = subscription(books, weeks_ago=1)
    books.make(f"subscriptions/{paused}/pause")

    found = books.make("subscriptions/invoice-due")
    again = books.make("subscriptions/invoice-due")

    assert [(one["subscription"], "number" in one) for one in found["made"]] == [(issued, True)] * 2 + [
        (ends, False)
    ] * 2
    assert "waiting" not in found
    assert "more" not in found
    assert again.get("made", []) == []
    invoices = books.get("invoices", params={"limit": 1000}).json()["items"]
    assert sorted(one["id"] for one in invoices) == sorted(one["document"] for one in found["made"])


def test_what_cannot_be_invoiced_keeps_nothing_else_from_being(books: AccountOverHttp) -> None:
    stuck = subscription(books, weeks_ago=5)
    goes = subscription(books, weeks_ago=0)
    books.ask("PATCH", "settings", {"closed_until": (TODAY - timedelta(weeks=4)).isoformat()})

    found = books.make("subscriptions/invoice-due")

    assert [one["subscription"] for one in found["made"]] == [goes]
    assert [(one["subscription"], one["code"]) for one in found["waiting"]] == [(stuck, "domain.books-closed")]


def test_settings_are_a_resource_of_their_own(books: AccountOverHttp) -> None:
    changed = books.ask("PATCH", "settings", {"number_formats": {"invoice": "F{year}-{number:03}"}})
    series = {one["kind"]: one for one in books.get("number-series").json()["items"]}

    assert changed.json() == books.get("settings").json() == books.get().json()["settings"]
    assert series["invoice"] == {
        "kind": "invoice",
        "format": "F{year}-{number:03}",
        "next": f"F{TODAY.year}-001",
    }
    assert books.make(f"{books.draft()}/issue")["number"] == f"F{TODAY.year}-001"
    refused = books.ask("PATCH", "settings", {"currency": "euro"})
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/currency")


def test_a_member_and_a_custom_field_have_addresses(books: AccountOverHttp, visitor: Visitor) -> None:
    field = {"kind": "customer", "key": "region", "label": "Region", "type": "text"}
    books.make("custom-fields", field)

    assert books.get(f"members/{visitor.person}").json()["email"] == visitor.email
    assert books.get("members/nobody").status_code == 404
    assert books.get("custom-fields/customer/region").json()["label"] == "Region"
    assert books.get("custom-fields/customer/none").status_code == 404


@pytest.mark.parametrize("role", ["viewer", "auditor"])
def test_who_only_looks_makes_no_invoices(books: AccountOverHttp, visitor: Visitor, role: str) -> None:
    id_ = subscription(books, weeks_ago=1)
    books.make("members", {"email": "other@example.com", "name": "Bo", "role": "owner"})
    assert books.ask("PATCH", f"members/{visitor.person}", {"role": role}).is_success

    assert books.post("subscriptions/invoice-due").json()["code"] == "access.role-lacking"
    assert len(books.get(f"subscriptions/{id_}/periods").json()["due"]) == 2


def test_an_account_that_wishes_it_has_its_invoices_made_in_the_morning(
    served: Served, books: AccountOverHttp, visitor: Visitor
) -> None:
    other = visitor.open_account()
    subscription(books, weeks_ago=0)
    subscription(other, weeks_ago=0)
    books.ask("PUT", "modules/daily-invoices")
    schedule_new(served.application)

    asked = {}
    for hour in (AT_HOUR - 1, AT_HOUR):  # in Brussels, in winter and in summer
        local = utc_now().astimezone(ZoneInfo("Europe/Brussels")).replace(hour=hour)
        application = Application(served.application.database, partial(local.astimezone, UTC))
        each_hour(Installation(served.settings, served.application.database, application))
        asked[hour] = [one["id"] for account in (books, other) for one in account.get("jobs").json()["items"]]

    assert (len(asked[AT_HOUR - 1]), len(asked[AT_HOUR])) == (0, 1)
    job = books.ended(f"{books.path}/jobs/{asked[AT_HOUR][0]}")
    assert (job["state"], job["requested_by"]) == ("succeeded", "system:subscriptions")
    made = books.get("timeline", params={"type": "invoice.drafted"}).json()["entries"]
    assert [(one["actor"], one["via"]) for one in made] == [("system:subscriptions", "subscription")]
    assert other.get("invoices").json()["items"] == []


def test_an_account_that_is_erased_at_that_very_moment_keeps_no_other_from_its_invoices(
    served: Served, visitor: Visitor
) -> None:
    gone, other = visitor.open_account(), visitor.open_account()
    for account in (gone, other):
        subscription(account, weeks_ago=0)
        account.ask("PUT", "modules/daily-invoices")
    schedule_new(served.application)
    with psycopg.connect(served.application.database.dsn) as connection:
        connection.execute("UPDATE accounts SET erased_at = now() WHERE account_id = %s", (gone.id,))

    local = utc_now().astimezone(ZoneInfo("Europe/Brussels")).replace(hour=AT_HOUR)
    application = Application(served.application.database, partial(local.astimezone, UTC))
    each_hour(Installation(served.settings, served.application.database, application))

    assert len(other.get("jobs").json()["items"]) == 1
