"""Who asks, and for which account: the dependencies that every endpoint under an account has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_type_hints

from fastapi import Depends, params
from starlette.requests import Request

from api.http.errors import RequestInvalid
from api.settings import Settings
from domain.accounts import Access, Person, find_access, require_administrator
from domain.application import Actor, Application
from domain.control import Control
from domain.parties import Value
from domain.store.streams import AccountUnknown


@dataclass(frozen=True)
class Who:
    """A known person, and what their requests are answered with."""

    application: Application
    settings: Settings
    person: Person

    @property
    def actor(self) -> Actor:
        """The person as events name them."""
        return Actor.person(self.person.id, "api")


@dataclass(frozen=True)
class Caller(Who):
    """A person inside an account that they have access to."""

    access: Access

    def administrate(self, what: str, *events: Value) -> Control:
        """Record *events* on the account's own history; *what* the person wants to do, should their role lack it.

        Raises RoleLacking, AccountClosed, and what the rules of that history say.
        """
        require_administrator(self.access, what)
        return self.application.record_control(self.access.account, self.actor, *events)


def who(request: Request) -> Who:
    """Whoever makes the request, as the gate found out."""
    return Who(request.app.state.application, request.app.state.settings, request.state.person)


def caller(asking: Annotated[Who, Depends(who)], account: str) -> Caller:
    """Whoever makes the request, in the account of that id or slug. Raises AccountUnknown, whichever it lacks."""
    if "\0" in account:
        raise AccountUnknown(account)
    access = find_access(asking.application.database, asking.person.id, account)
    return Caller(asking.application, asking.settings, asking.person, access)


def known_queries(request: Request) -> None:
    """That the address asks for nothing the route does not know, and for nothing twice. Raises RequestInvalid.

    A filter with a slip of the pen would otherwise give all there is.
    """
    known = _queries_of(request.scope["endpoint"])
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
            expected = ", ".join(sorted(known)) or "none"
            raise RequestInvalid(f"query {name[:60]}", f"found a parameter that is not known; expected {expected}")
        if given.count(name) > 1:
            raise RequestInvalid(f"query {name}", "found it more than once; expected it once")


@cache
def _queries_of(endpoint: Callable[..., Any]) -> frozenset[str]:
    """The names of the query parameters that an endpoint declares, each annotated with Query."""
    annotated = get_type_hints(endpoint, include_extras=True)
    return frozenset(
        name
        for name, hint in annotated.items()
        if any(isinstance(part, params.Query) for part in getattr(hint, "__metadata__", ()))
    )


Asking = Annotated[Who, Depends(who)]
Inside = Annotated[Caller, Depends(caller)]
