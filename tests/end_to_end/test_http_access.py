"""Nobody without a token gets an answer, and nobody learns of an account they have no access to."""

from __future__ import annotations

import re
import uuid
from typing import Any

import httpx
import pytest

from api.http.access import OPEN
from api.http.app import create_app
from api.settings import Settings
from domain.accounts import find_access
from domain.application import Application, utc_now
from domain.credentials import create_token
from domain.ids import AccountId, PersonId, new_id
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor


def described() -> dict[str, Any]:
    """The OpenAPI document; describing needs no database."""
    return create_app(Application(None), Settings(home=None, backups=None)).openapi()  # type: ignore[arg-type]


ROUTES = [(method.upper(), path) for path, found in sorted(described()["paths"].items()) for method in sorted(found)]
BELOW_AN_ACCOUNT = [(method, path) for method, path in ROUTES if "{account}" in path]


def filled(path: str, **ids: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda part: ids.get(part[1], "01a20cc9-0000-7000-8000-000000000001"), path)


def same(answer: httpx.Response, other: httpx.Response, asked: str, other_asked: str) -> bool:
    """Whether two answers say the same, but for the id that each was asked for and the request's own."""

    def plain(one: httpx.Response, name: str) -> tuple[Any, ...]:
        body = {key: value for key, value in one.json().items() if key not in ("request_id", "instance")}
        return one.status_code, sorted(set(one.headers) - {"x-request-id", "date"}), str(body).replace(name, "*")

    return plain(answer, asked) == plain(other, other_asked)


def test_the_routes_are_all_below_v1() -> None:
    assert len(ROUTES) > 100
    assert all(path.startswith("/v1/") for _, path in ROUTES)


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route not in OPEN])
def test_a_route_answers_nothing_without_a_token(nobody: httpx.Client, method: str, path: str) -> None:
    answer = nobody.request(method, filled(path))

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "http.token-missing"


@pytest.fixture(scope="module")
def foreign(served: Served) -> AccountOverHttp:
    """Somebody else's account."""
    return Visitor(served).open_account("Van een ander")


@pytest.fixture(scope="module")
def stranger(served: Served) -> Visitor:
    """Somebody who has an account too, but not that one."""
    stranger = Visitor(served)
    stranger.open_account()
    return stranger


@pytest.mark.parametrize(("method", "path"), BELOW_AN_ACCOUNT)
def test_t01_a_foreign_account_looks_like_one_that_is_not_there(
    stranger: Visitor, foreign: AccountOverHttp, method: str, path: str
) -> None:
    none = str(new_id())

    answer = stranger.http.request(method, filled(path, account=foreign.id))
    other = stranger.http.request(method, filled(path, account=none))

    assert answer.status_code == 404
    assert answer.json()["code"] == "account.unknown"
    assert same(answer, other, foreign.id, none)


def test_t01_a_foreign_account_is_no_more_known_by_its_slug(stranger: Visitor, foreign: AccountOverHttp) -> None:
    slug = foreign.get().json()["slug"]

    answer = stranger.http.get(f"/v1/accounts/{slug}")

    assert answer.json()["code"] == "account.unknown"


def test_t01_an_entity_of_another_account_looks_like_one_that_is_not_there(
    books: AccountOverHttp, foreign: AccountOverHttp
) -> None:
    theirs, none = foreign.customer(), str(new_id())

    answer, other = books.get(f"customers/{theirs}"), books.get(f"customers/{none}")

    assert answer.status_code == 404
    assert same(answer, other, theirs, none)


@pytest.mark.parametrize("field", ["customer", "layout"])
def test_t01_a_document_cannot_refer_to_another_accounts_entity(
    books: AccountOverHttp, foreign: AccountOverHttp, field: str
) -> None:
    answer = books.post("invoices", {"customer": books.customer(), field: foreign.customer()})

    assert answer.status_code == 422
    assert answer.json()["pointer"] == f"/{field}"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda token: f"Bearer {token[:-1]}",
        lambda token: f"Bearer {token.swapcase()}",
        lambda token: f"Basic {token}",
        lambda token: token,
        lambda token: "Bearer",
        lambda token: f"Bearer {token}, Bearer {token}",
        lambda token: f"Bearer {token}\xff",
    ],
    ids=["cut short", "other case", "other scheme", "no scheme", "no token", "twice", "not ASCII"],
)
def test_a_token_that_is_not_just_right_is_refused(nobody: httpx.Client, visitor: Visitor, wrong: Any) -> None:
    header = wrong(visitor.token).encode("latin-1")

    answer = nobody.get("/v1/people/me", headers={b"Authorization": header})

    assert answer.status_code == 401


def test_w01_two_tokens_at_once_are_refused(nobody: httpx.Client, visitor: Visitor) -> None:
    headers = [("Authorization", f"Bearer {visitor.token}")] * 2

    assert nobody.get("/v1/people/me", headers=headers).status_code == 401


@pytest.mark.parametrize("name", ["access_token", "token", "authorization"])
def test_w01_a_token_in_the_address_is_not_taken(nobody: httpx.Client, visitor: Visitor, name: str) -> None:
    assert nobody.get("/v1/people/me", params={name: visitor.token}).status_code == 401


def test_a_token_that_was_revoked_opens_nothing_any_more(served: Served, visitor: Visitor) -> None:
    other = create_token(served.application.database, visitor.person, at=utc_now(), name="other")
    headers = {"Authorization": f"Bearer {other.secret}"}
    before = visitor.http.get("/v1/people/me", headers=headers).status_code

    visitor.http.delete(f"/v1/tokens/{other.id}")

    assert before == 200
    assert visitor.http.get("/v1/people/me", headers=headers).json()["code"] == "http.token-refused"
    assert visitor.http.get("/v1/people/me").status_code == 200


def test_a_member_who_is_removed_loses_access_at_once(served: Served, books: AccountOverHttp) -> None:
    guest = Visitor(served, "Bert")
    books.make("members", {"email": guest.email, "role": "editor"})
    before = guest.http.get(books.path).status_code

    books.ask("DELETE", f"members/{guest.person}")

    assert (before, guest.http.get(books.path).status_code) == (200, 404)


def test_an_unknown_address_says_nothing_without_a_token(nobody: httpx.Client) -> None:
    assert nobody.get("/v1/nowhere").status_code == 401
    assert nobody.get("/").status_code == 401


def test_anybody_may_read_how_the_api_works(nobody: httpx.Client) -> None:
    answer = nobody.get("/openapi.json")

    assert answer.json()["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_t08_nothing_below_an_account_is_kept_in_a_cache(books: AccountOverHttp) -> None:
    answer = books.get("customers")

    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_only_those_who_administer_an_account_change_it(served: Served, books: AccountOverHttp) -> None:
    guest = Visitor(served, "Bert")
    books.make("members", {"email": guest.email, "role": "editor"})
    theirs = AccountOverHttp(guest, books.id)

    answers = [
        theirs.ask("PATCH", "", {"name": "Anders"}),
        theirs.post("close"),
        theirs.post("members", {"email": "x@example.com", "role": "owner"}),
        theirs.ask("PATCH", f"members/{guest.person}", {"role": "owner"}),
        theirs.ask("DELETE", f"members/{books.visitor.person}"),
        theirs.post("custom-fields", {"kind": "item", "key": "k", "label": "K", "type": "text"}),
        theirs.ask("PUT", "modules/stock"),
    ]

    assert {answer.json()["code"] for answer in answers} == {"access.role-lacking"}
    assert {answer.status_code for answer in answers} == {403}


def test_a_random_token_of_the_right_shape_is_nobodys(nobody: httpx.Client) -> None:
    headers = {"Authorization": f"Bearer cf_{uuid.uuid4().hex}"}

    assert nobody.get("/v1/people/me", headers=headers).json()["code"] == "http.token-refused"


@pytest.mark.parametrize("role", ["viewer", "auditor"])
def test_who_may_only_look_changes_nothing(books: AccountOverHttp, visitor: Visitor, served: Served, role: str) -> None:
    customer = books.customer()
    draft = books.draft()
    guest = Visitor(served)
    books.make("members", {"email": guest.email, "role": role})
    theirs = AccountOverHttp(guest, books.id)

    answers = [
        theirs.post("customers", {"party": {"name": "Klant"}}),
        theirs.ask("PATCH", f"customers/{customer}", {"notes": "x"}),
        theirs.post(f"{draft}/issue"),
        theirs.ask("DELETE", draft),
        theirs.post("archives", content=b"PK", headers={"Content-Type": "application/zip"}),
        theirs.ask("PATCH", "", {"name": "Mine"}),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert {answer.json()["code"] for answer in answers} == {"access.role-lacking"}
    assert "number" not in theirs.get(draft).json()
    assert theirs.get(f"customers/{customer}").json()["version"] == 1


def test_t08_an_account_that_is_called_as_anothers_id_shows_nothing_of_it(served: Served, stranger: Visitor) -> None:
    theirs = Visitor(served, "Van een ander").open_account("Van een ander")
    theirs.get().raise_for_status()  # the service knows by now what that account looks like

    mine = stranger.open_account(theirs.id)
    told = [stranger.http.get(f"/v1/accounts/{theirs.id}{rest}").text for rest in ("", "/members", "/settings")]

    assert mine.id != theirs.id
    assert not [text for text in told if theirs.visitor.email in text or "Van een ander" in text]


def test_t01_an_accounts_id_means_that_account_whatever_another_is_called(served: Served, stranger: Visitor) -> None:
    theirs = Visitor(served).open_account()
    theirs.ask("PATCH", "", {"name": "Een ander"}).raise_for_status()
    mine = stranger.open_account(theirs.id)
    mine.make("members", {"email": theirs.visitor.email, "role": "owner"})
    with served.application.database.transaction(AccountId(mine.id)) as connection:
        connection.execute("SET LOCAL ROLE NONE")
        connection.execute("UPDATE accounts SET slug = %s WHERE account_id = %s", (theirs.id, mine.id))

    found = find_access(served.application.database, PersonId(theirs.visitor.person), theirs.id)

    assert (theirs.get().json()["id"], found.account) == (theirs.id, theirs.id)
    assert stranger.http.get(f"/v1/accounts/{theirs.id}").json()["id"] == mine.id
    assert theirs.visitor.email not in stranger.http.get(f"/v1/accounts/{theirs.id}/settings").text
