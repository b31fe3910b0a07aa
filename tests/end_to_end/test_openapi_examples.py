"""Every example of the OpenAPI document works: sent to a real server, it does what its operation is for."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from api.http import actions
from api.http.operations import CUSTOMER, OPERATIONS, OTHER
from api.http.schemas import COLLECTIONS
from domain.kinds import Kind
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor

AT = "/v1/accounts/{account}"
STEPS = [(kind, action.path) for kind in Kind for action in actions.of(kind) if action.body is not None]
# What an entity must have come to before a step.
BEFORE = {
    (Kind.SUBSCRIPTION, "resume"): "pause",
    (Kind.QUOTE, "convert"): "accepted",
    (Kind.DELIVERY_NOTE, "convert"): "delivered",
}
# Of these the example is right by itself, and whether it is done depends on what the account has come to.
BY_STATE = {
    "link_person",
    "activate_stream",
    "purge_stream",
    "restore_archive",
    "inspect_locked_archive",
    "sign_in",
    "redeem_code",
    "change_password",
}
OTHERS = [
    line
    for line, operation in OPERATIONS.items()
    if operation.example is not None and not any(f"/{one}" in line for one in COLLECTIONS.values())
]


def example(line: str, **ids: str) -> Any:
    """The example of an operation, about these entities instead of its own."""
    said = json.dumps(OPERATIONS[line].example)
    for own, name in ((CUSTOMER, "customer"), (OTHER, "other")):
        said = said.replace(own, ids.get(name, own))
    return json.loads(said)


def made(books: AccountOverHttp, kind: Kind, customer: str, *, number: str | None = None) -> str:
    """The id of an entity that the example of its kind makes."""
    fields = example(f"POST {AT}/{COLLECTIONS[kind]}", customer=customer)
    if number is not None and "number" in fields:
        fields["number"] = number
    answer = books.asked("POST", COLLECTIONS[kind], fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("kind", Kind)
def test_the_examples_of_making_and_changing_work(books: AccountOverHttp, kind: Kind) -> None:
    entity = made(books, kind, books.customer())

    changed = books.asked(
        "PATCH", f"{COLLECTIONS[kind]}/{entity}", example(f"PATCH {AT}/{COLLECTIONS[kind]}/{{entity}}")
    )

    assert changed.status_code == 200, changed.text
    assert changed.json()["version"] == 2


@pytest.mark.parametrize(("kind", "path"), STEPS, ids=[f"{kind.value} {path}" for kind, path in STEPS])
def test_the_example_of_an_action_works(books: AccountOverHttp, kind: Kind, path: str) -> None:
    customer, collection = books.customer(), COLLECTIONS[kind]
    entity = made(books, kind, customer)
    other = made(books, kind, customer, number="9000") if path == "merge" else ""
    if kind.is_document and path != "issue":
        issue = example(f"POST {AT}/{collection}/{{entity}}/issue")
        assert books.asked("POST", f"{collection}/{entity}/issue", issue).is_success
    if before := BEFORE.get((kind, path)):
        books.asked("POST", f"{collection}/{entity}/{before}", example(f"POST {AT}/{collection}/{{entity}}/{before}"))

    answer = books.asked(
        "POST", f"{collection}/{entity}/{path}", example(f"POST {AT}/{collection}/{{entity}}/{path}", other=other)
    )

    assert answer.is_success, answer.text


def test_the_example_of_reversing_a_payment_works(books: AccountOverHttp) -> None:
    entity = made(books, Kind.INVOICE, books.customer())
    books.asked("POST", f"invoices/{entity}/issue", example(f"POST {AT}/invoices/{{entity}}/issue"))
    paid = books.asked("POST", f"invoices/{entity}/payments", example(f"POST {AT}/invoices/{{entity}}/payments"))
    payment = paid.json()["payments"][0]["id"]

    answer = books.asked(
        "POST",
        f"invoices/{entity}/payments/{payment}/reverse",
        example(f"POST {AT}/invoices/{{entity}}/payments/{{payment}}/reverse"),
    )

    assert answer.status_code == 200, answer.text


@pytest.fixture
def ids(served: Served, books: AccountOverHttp) -> dict[str, str]:
    """What the addresses of an account's operations name."""
    member = books.make("members", {"email": Visitor(served).email, "role": "viewer"})
    field = books.make("custom-fields", {"kind": "item", "key": "shelf", "label": "Shelf", "type": "text"})
    return {
        "account": books.id,
        "person": str(member["person"]),
        "kind": str(field["kind"]),
        "key": str(field["key"]),
        "stream": "1",
    }


@pytest.mark.parametrize("line", OTHERS)
def test_the_example_of_any_other_operation_works(books: AccountOverHttp, ids: dict[str, str], line: str) -> None:
    method, path = line.split(" ")

    if "{archive}" in path:
        ids["archive"] = str(books.make("backups")["archive"])

    answer: httpx.Response = books.asked(method, path.format_map(ids), example(line))

    if OPERATIONS[line].id in BY_STATE:
        assert answer.is_success or answer.json()["code"] not in {"domain.field-refused", "http.body-refused"}
    else:
        assert answer.is_success, answer.text
