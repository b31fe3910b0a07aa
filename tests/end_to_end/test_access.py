"""docs/access.md is what the service does: each of its rows is tried with every role, every scope, and none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from fastapi.routing import APIRoute

from api.http.access import ANY_SCOPE, ANYBODY, ROLES, RULES, SIGNED_IN, Rule, row_of
from api.http.app import create_app
from api.settings import Settings
from domain.application import Application, utc_now
from domain.control import Role
from domain.credentials import Scope, create_token
from tests.end_to_end.test_http_access import ROUTES, filled
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor, anonymous

PAGE = Path(__file__).parents[2] / "docs" / "access.md"
_ROW = re.compile(r"^\| `([A-Z]+ /\S*)` \| ([a-z ]+) \| ([a-z]+) \|$", re.MULTILINE)
_WHO = re.compile(r"^\| ([a-z]+) \| ((?:owner|administrator|editor|viewer|auditor)(?:, [a-z]+)*) \|$", re.MULTILINE)
TABLE = {asked: Rule(who, scope) for asked, who, scope in _ROW.findall(PAGE.read_text("utf-8"))}
UNHEARD = {"no_such_field": True}  # whoever is let through is refused for this


def rows(rules: dict[str, Rule]) -> str:
    """Rows of the page, to be copied into it."""
    return "\n".join(f"| `{asked}` | {rule.who} | {rule.scope} |" for asked, rule in rules.items())


def all_routes() -> list[tuple[str, str]]:
    """Those below /v1, also what the OpenAPI document does not tell of."""
    app = create_app(Application(None), Settings(home=None, backups=None))  # type: ignore[arg-type]
    routes = [one for one in app.routes if isinstance(one, APIRoute)]
    return [(method, route.path_format) for route in routes for method in sorted(route.methods or ())]


def test_every_route_has_a_row() -> None:
    forgotten = [f"{method} {path}" for method, path in all_routes() if row_of(method, path) is None]

    assert not forgotten, "say in RULES of api/http/access.py who may use these, and in docs/access.md:\n" + "\n".join(
        forgotten
    )


def test_every_row_has_a_route() -> None:
    left = set(RULES) - {row_of(method, path) for method, path in ROUTES}

    assert not left, f"no route is asked for by these rows of api/http/access.py: {sorted(left)}"


def test_the_page_has_the_rows_that_are_enforced() -> None:
    missing = {asked: rule for asked, rule in RULES.items() if TABLE.get(asked) != rule}
    gone = sorted(set(TABLE) - set(RULES))

    assert not missing, f"docs/access.md lacks these rows, or has them otherwise:\n{rows(missing)}"
    assert not gone, f"docs/access.md has rows that api/http/access.py lacks: {gone}"


def test_the_page_says_who_is_meant() -> None:
    told = {name: frozenset(map(Role, roles.split(", "))) for name, roles in _WHO.findall(PAGE.read_text("utf-8"))}

    assert told == ROLES


class Askers(NamedTuple):
    """An account, and clients of all who might ask something of it."""

    account: AccountOverHttp
    roles: dict[Role, httpx.Client]
    scopes: dict[Scope, httpx.Client]  # of its owner
    stranger: httpx.Client
    nobody: httpx.Client


@pytest.fixture(scope="module")
def askers(served: Served) -> Askers:
    owner = Visitor(served)
    account = owner.open_account()
    roles = {Role.OWNER: owner.http}
    for role in set(Role) - {Role.OWNER}:
        member = Visitor(served)
        account.make("members", {"email": member.email, "role": role})
        roles[role] = member.http
    scopes = {}
    for scope in Scope:
        made = create_token(served.application.database, owner.person, at=utc_now(), name=scope, scopes=[scope])
        scopes[scope] = anonymous(served.url)
        scopes[scope].headers["Authorization"] = f"Bearer {made.secret}"
    return Askers(account, roles, scopes, Visitor(served).http, anonymous(served.url))


def outcome(client: httpx.Client, method: str, address: str) -> str:
    """What becomes of a request that would change nothing: let through, or not and why."""
    body = UNHEARD if method in ("POST", "PUT", "PATCH", "DELETE") else None
    answer = client.request(method, address, json=body)
    code = answer.json().get("code", "") if answer.content and answer.status_code >= 400 else ""
    if answer.status_code in (401, 403) or code == "account.unknown":
        return f"{answer.status_code} {code}"
    assert answer.status_code < 500, answer.text
    return "let through"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_w02_the_table_is_what_happens(askers: Askers, method: str, path: str) -> None:
    rule = TABLE[row_of(method, path) or ""]
    address = filled(path, account=askers.account.id)
    inside = "{account}" in path
    allowed = ROLES.get(rule.who, frozenset(Role))
    expected = {role.value: "let through" if role in allowed else "403 access.role-lacking" for role in Role}
    for scope in Scope:
        expected[scope.value] = "let through" if rule.scope in (scope, ANY_SCOPE) else "403 access.scope-lacking"

    found = {role.value: outcome(client, method, address) for role, client in askers.roles.items()}
    found |= {scope.value: outcome(client, method, address) for scope, client in askers.scopes.items()}

    assert found == expected
    assert outcome(askers.stranger, method, address) == ("404 account.unknown" if inside else "let through")
    assert outcome(askers.nobody, method, address) == (
        "let through" if rule.who == ANYBODY else "401 http.token-missing"
    )
    assert inside == (rule.who not in (ANYBODY, SIGNED_IN))
