"""Who may ask what: one table for every route, checked in one place before anything else is done for a request.

docs/access.md has the same rows for people, and says why; tests/end_to_end/test_access.py holds page, table and service
against each other. The rules of the domain stand behind it: this table opens nothing that they refuse.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from starlette.requests import Request

from api.http.schemas import COLLECTIONS
from domain.control import Role, RoleLacking
from domain.credentials import Entered, ScopeLacking
from domain.store.streams import AccountUnknown

ANYBODY = "anybody"  # without a credential, too
SIGNED_IN = "signed in"  # whoever is known, about what is theirs
ANY_SCOPE = "any"
# Within an account: sets of roles, by the names that the page has for them.
ROLES: dict[str, frozenset[Role]] = {
    "members": frozenset(Role),
    "reviewers": frozenset({Role.OWNER, Role.ADMINISTRATOR, Role.EDITOR, Role.AUDITOR}),
    "editors": frozenset({Role.OWNER, Role.ADMINISTRATOR, Role.EDITOR}),
    "administrators": frozenset({Role.OWNER, Role.ADMINISTRATOR}),
    "owners": frozenset({Role.OWNER}),
}
_IN_WORDS = {
    "reviewers": "owners, administrators, editors and auditors",
    "editors": "owners, administrators and editors",
    "administrators": "owners and administrators",
    "owners": "owners",
}


class Rule(NamedTuple):
    """Who may use a route, and the scope that a token needs for it."""

    who: str
    scope: str


_A = "/v1/accounts/{account}"
# Below an account, {collection} stands for each kind's, {part} for what can be read of an entity, and {action} for each
# step of its life.
RULES: dict[str, Rule] = {
    "GET /v1/people/me": Rule(SIGNED_IN, ANY_SCOPE),
    "GET /v1/people/me/sign-ins": Rule(SIGNED_IN, "administer"),
    "PUT /v1/people/me/password": Rule(SIGNED_IN, "administer"),
    "POST /v1/sessions": Rule(ANYBODY, ANY_SCOPE),
    "GET /v1/sessions": Rule(SIGNED_IN, "administer"),
    "DELETE /v1/sessions/{session}": Rule(SIGNED_IN, "administer"),
    "POST /v1/passwords": Rule(ANYBODY, ANY_SCOPE),
    "GET /v1/tokens": Rule(SIGNED_IN, "administer"),
    "POST /v1/tokens": Rule(SIGNED_IN, "administer"),
    "DELETE /v1/tokens/{token}": Rule(SIGNED_IN, "administer"),
    "GET /v1/key": Rule(SIGNED_IN, ANY_SCOPE),
    "GET /v1/accounts": Rule(SIGNED_IN, "read"),
    "POST /v1/accounts": Rule(SIGNED_IN, "administer"),
    f"GET {_A}": Rule("members", "read"),
    f"PATCH {_A}": Rule("administrators", "administer"),
    f"POST {_A}/close": Rule("owners", "administer"),
    f"POST {_A}/reopen": Rule("owners", "administer"),
    f"GET {_A}/settings": Rule("members", "read"),
    f"PATCH {_A}/settings": Rule("administrators", "administer"),
    f"GET {_A}/number-series": Rule("members", "read"),
    f"GET {_A}/members": Rule("members", "read"),
    f"GET {_A}/members/{{person}}": Rule("members", "read"),
    f"POST {_A}/members": Rule("administrators", "administer"),
    f"PATCH {_A}/members/{{person}}": Rule("administrators", "administer"),
    f"DELETE {_A}/members/{{person}}": Rule("administrators", "administer"),
    f"POST {_A}/members/{{person}}/invitation": Rule("administrators", "administer"),
    f"GET {_A}/custom-fields": Rule("members", "read"),
    f"GET {_A}/custom-fields/{{kind}}/{{key}}": Rule("members", "read"),
    f"POST {_A}/custom-fields": Rule("administrators", "administer"),
    f"PUT {_A}/custom-fields/{{kind}}/{{key}}": Rule("administrators", "administer"),
    f"DELETE {_A}/custom-fields/{{kind}}/{{key}}": Rule("administrators", "administer"),
    f"GET {_A}/modules": Rule("members", "read"),
    f"PUT {_A}/modules/{{module}}": Rule("administrators", "administer"),
    f"DELETE {_A}/modules/{{module}}": Rule("administrators", "administer"),
    f"GET {_A}/people": Rule("reviewers", "read"),
    f"PUT {_A}/people/{{person}}/link": Rule("administrators", "administer"),
    f"DELETE {_A}/people/{{person}}/link": Rule("members", "administer"),
    f"PUT {_A}/people/{{person}}/consent": Rule("members", "administer"),
    f"GET {_A}/notifications": Rule("members", "read"),
    f"POST {_A}/notifications/read": Rule("members", "write"),
    f"PUT {_A}/notifications/topics": Rule("members", "administer"),
    f"GET {_A}/{{collection}}": Rule("members", "read"),
    f"POST {_A}/{{collection}}": Rule("editors", "write"),
    f"GET {_A}/{{collection}}/{{entity}}": Rule("members", "read"),
    f"GET {_A}/{{collection}}/{{entity}}/{{part}}": Rule("members", "read"),
    f"PATCH {_A}/{{collection}}/{{entity}}": Rule("editors", "write"),
    f"DELETE {_A}/{{collection}}/{{entity}}": Rule("editors", "write"),
    f"POST {_A}/{{collection}}/{{entity}}/{{action}}": Rule("editors", "write"),
    f"POST {_A}/{{collection}}/{{entity}}/payments/{{payment}}/reverse": Rule("editors", "write"),
    f"POST {_A}/subscriptions/invoice-due": Rule("editors", "write"),
    f"GET {_A}/{{collection}}/{{entity}}/attachments/{{attachment}}": Rule("members", "read"),
    f"DELETE {_A}/{{collection}}/{{entity}}/attachments/{{attachment}}": Rule("editors", "write"),
    f"POST {_A}/imports/ubl": Rule("editors", "write"),
    f"GET {_A}/counts": Rule("members", "read"),
    f"POST {_A}/backups": Rule("editors", "backup"),
    f"GET {_A}/backups": Rule("reviewers", "read"),
    f"GET {_A}/backups/status": Rule("reviewers", "read"),
    f"POST {_A}/backups/rehearsal": Rule("administrators", "backup"),
    f"POST {_A}/backups/verification": Rule("administrators", "backup"),
    f"GET {_A}/backups/{{archive}}": Rule("administrators", "backup"),
    f"POST {_A}/backups/{{archive}}/restore": Rule("administrators", "restore"),
    f"POST {_A}/archives": Rule("editors", "restore"),
    f"GET {_A}/archives": Rule("reviewers", "read"),
    f"GET {_A}/archives/uploads": Rule("reviewers", "read"),
    f"POST {_A}/archives/uploads": Rule("editors", "restore"),
    f"GET {_A}/archives/uploads/{{upload}}": Rule("editors", "restore"),
    f"PATCH {_A}/archives/uploads/{{upload}}": Rule("editors", "restore"),
    f"DELETE {_A}/archives/uploads/{{upload}}": Rule("editors", "restore"),
    f"GET {_A}/archives/{{archive}}": Rule("administrators", "backup"),
    f"DELETE {_A}/archives/{{archive}}": Rule("editors", "restore"),
    f"GET {_A}/archives/{{archive}}/inspection": Rule("reviewers", "read"),
    f"POST {_A}/archives/{{archive}}/inspection": Rule("reviewers", "read"),
    f"POST {_A}/archives/{{archive}}/restore": Rule("administrators", "restore"),
    f"GET {_A}/jobs": Rule("reviewers", "read"),
    f"GET {_A}/jobs/{{job}}": Rule("reviewers", ANY_SCOPE),
    f"GET {_A}/jobs/{{job}}/events": Rule("reviewers", ANY_SCOPE),
    f"POST {_A}/jobs/{{job}}/cancel": Rule("reviewers", "write"),
    f"GET {_A}/streams": Rule("reviewers", "read"),
    f"GET {_A}/streams/{{stream}}": Rule("reviewers", "read"),
    f"POST {_A}/streams/{{stream}}/activation": Rule("administrators", "restore"),
    f"DELETE {_A}/streams/{{stream}}": Rule("administrators", "restore"),
    f"POST {_A}/streams/purge": Rule("administrators", "restore"),
    f"POST {_A}/clones": Rule("administrators", "restore"),
    f"GET {_A}/timeline": Rule("reviewers", "read"),
    f"POST {_A}/timeline/verification": Rule("reviewers", "read"),
    f"GET {_A}/timeline/proofs/inclusion": Rule("reviewers", "read"),
    f"GET {_A}/timeline/proofs/consistency": Rule("reviewers", "read"),
    f"POST {_A}/rebuild-check": Rule("administrators", "read"),
}
# What the table forgot is for those who may do most; that it was forgotten fails a test.
_FORGOTTEN_INSIDE = Rule("administrators", "administer")
_FORGOTTEN = Rule(SIGNED_IN, "administer")
# Anybody may ask these: the gate lets them pass without a credential.
OPEN = frozenset(tuple(asked.split(" ", 1)) for asked, rule in RULES.items() if rule.who == ANYBODY)


@cache
def row_of(method: str, path: str) -> str | None:
    """The row of the table that a route has, by its method and the template of its path; None when it has none."""
    steps, method = path.split("/"), "GET" if method in {"HEAD", "OPTIONS"} else method
    asked = [f"{method} {path}"]
    if len(steps) > 4 and steps[4] in COLLECTIONS.values():
        steps[4] = "{collection}"
        asked.append(f"{method} {'/'.join(steps)}")
        if len(steps) == 7:
            asked += [f"{method} {'/'.join([*steps[:6], step])}" for step in ("{part}", "{action}")]
    return next((one for one in asked if one in RULES), None)


def template(request: Request) -> str:
    """The path of the route that answers *request*, with its parameters in braces, from the root on."""
    path: str = request.scope["route"].path_format
    return path


async def permitted(request: Request) -> None:
    """That who asks may. Raises AccountUnknown for what is not theirs, else RoleLacking or ScopeLacking."""
    path = template(request)
    row, inside = row_of(request.method, path), "account" in request.path_params
    rule = RULES[row] if row else _FORGOTTEN_INSIDE if inside else _FORGOTTEN
    if rule.who == ANYBODY:
        return
    entered: Entered = request.state.entered
    if inside:
        _check_role(entered, rule, request.path_params["account"])
    credential = entered.credential
    if rule.scope != ANY_SCOPE and rule.scope not in credential.scopes:
        raise ScopeLacking(rule.scope, tuple(sorted(credential.scopes)))
    if not inside and rule.scope == "administer" and credential.only_account is not None:
        raise ScopeLacking("administer for every account", tuple(sorted(credential.scopes)))


async def still_permitted(request: Request) -> None:
    """That who asked for what takes long still may: by token or session, access, role and scope as they are now.

    Raises what the request would be refused with, were it made now.
    """
    request.state.entered = await request.state.enter()
    await permitted(request)


def _check_role(entered: Entered, rule: Rule, account: str) -> None:
    access = entered.access
    if access is None:
        raise AccountUnknown(account)
    if access.role not in ROLES[rule.who]:
        raise RoleLacking("this", access.role.value, _IN_WORDS[rule.who])
