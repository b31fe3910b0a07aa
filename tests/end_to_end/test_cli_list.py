"""``counterfoil list`` and ``counterfoil subscription``: what people look for, and what has fallen due."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.cli.program import run
from api.cli.session import session
from domain import commands
from domain.application import utc_now
from domain.ids import EntityId
from domain.kinds import Kind
from tests.integration.restoring import LINE

TODAY = utc_now().date()


@pytest.fixture
def acme(empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An account, and An who owns it, on a database of their own."""
    for name, value in (("HOME", str(tmp_path)), ("DATABASE_URL", empty_database), ("AS", "an@example.com")):
        monkeypatch.setenv(f"COUNTERFOIL_{name}", value)
    assert run(["account", "open", "Acme BV", "--vat", "BE0417497106"]) == 0
    return "acme-bv"


def entered(kind: Kind, **fields: Any) -> EntityId:
    with session(None) as who:
        account = who.access("acme-bv").account
        return who.installation.application.run(account, who.actor, lambda work: commands.create(work, kind, fields))


def told(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    capsys.readouterr()
    assert run([*words]) == status
    printed = capsys.readouterr()
    return printed.out if status == 0 or printed.out else printed.err


@pytest.mark.slow
def test_a_list_is_filtered_sorted_and_searched(acme: str, capsys: pytest.CaptureFixture[str]) -> None:
    zoe = entered(Kind.CUSTOMER, party={"name": "Zoë", "address": {"city": "Gent", "country": "BE"}}, number="K2")
    jan = entered(Kind.CUSTOMER, party={"name": "Jan"}, number="K10")
    entered(Kind.INVOICE, customer=zoe, lines=[LINE])

    in_order = json.loads(told(capsys, "list", acme, "customer", "--sort", "-number", "--json"))
    first = told(capsys, "list", acme, "customer", "--sort", "name", "--limit", "1")
    found = told(capsys, "list", acme, "customer", "-q", "zoe gent", "--where", "state=active")
    none = told(capsys, "list", acme, "quote")
    draft = told(capsys, "list", acme, "invoice", "--where", f"customer={zoe}", "--search", "zoe")

    assert [one["id"] for one in in_order["items"]] == [jan, zoe]
    assert jan in first
    assert zoe not in first
    assert "and more" in first
    assert [zoe in found, jan in found] == [True, False]
    assert none == "Nothing is there.\n"
    assert "24.20" in draft


@pytest.mark.slow
def test_a_filter_that_the_list_lacks_is_refused_with_those_it_has(
    acme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "expected one of q, state" in told(capsys, "list", acme, "layout", "--where", "city=Gent", status=1)
    assert "such as 1250.00" in told(capsys, "list", acme, "invoice", "--where", "total_from=x", status=1)
    assert "is not NAME=VALUE" in told(capsys, "list", acme, "invoice", "--where", "total", status=2)
    assert "is none of customer" in told(capsys, "list", acme, "bill", status=2)


@pytest.mark.slow
def test_what_has_fallen_due_is_shown_and_invoiced(acme: str, capsys: pytest.CaptureFixture[str]) -> None:
    customer = entered(Kind.CUSTOMER, party={"name": "Jan"})
    first = TODAY - timedelta(weeks=1)
    every = {"interval": {"n": 1, "unit": "weeks"}, "next_date": first.isoformat(), "auto_issue": True}
    subscription = entered(Kind.SUBSCRIPTION, customer=customer, lines=[LINE], **every)

    before = told(capsys, "subscription", "periods", acme, subscription)
    made = told(capsys, "subscription", "invoice-due", acme)
    again = told(capsys, "subscription", "invoice-due", acme)
    after = told(capsys, "subscription", "periods", acme, subscription)

    assert before.count("due") == 2
    assert f"{first}  {subscription}  invoice {first.year}-00001" in made
    assert "2 invoices made, 0 subscriptions wait." in made
    assert "0 invoices made" in again
    assert after.count("invoiced by") == 2
    assert f"Next: {TODAY + timedelta(weeks=1)} to" in after
