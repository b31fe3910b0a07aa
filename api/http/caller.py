"""Who asks, and for which account: the dependencies that every endpoint under an account has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Annotated, Any, get_type_hints

from fastapi import Depends, params
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.http.errors import MethodRefused, RequestInvalid
from api.http.idempotency import Once, once
from api.http.observing import READING_WITHIN_S
from api.http.problems import methods_at
from api.logs import about
from api.settings import Settings
from domain.accounts import Access, Person, find_access, require_administrator
from domain.application import Actor, Application, Expected, Outcome
from domain.control import Control
from domain.credentials import Credential, Entered
from domain.ids import EntityId
from domain.parties import Value
from domain.store.database import Row
from domain.store.streams import AccountUnknown
from domain.work import Work


@dataclass(frozen=True)
class Who:
    """A known person, what their requests are answered with, and the key of this one if it has one."""

    application: Application
    settings: Settings
    person: Person
    credential: Credential
    once: Once | None

    @property
    def actor(self) -> Actor:
        """The person as events name them."""
        return Actor.person(self.person.id, "api")

    def keep(
        self, connection: Connection[Row], answer: Response, *, stream: int | None = None, secret: bool = False
    ) -> None:
        """Remember *answer* for the case that the request is sent again, if it has a key: in the transaction that does
        what was asked. *stream* is the one that the answer speaks of; a *secret* one is not kept.
        """
        if self.once is not None:
            self.once.keep(connection, answer, stream=stream, secret=secret)

    def reach(self, account: str) -> Access:
        """The account of that id or slug, beside the one that the address names. Raises AccountUnknown.

        A token that is for one account reaches no other.
        """
        found = find_access(self.application.database, self.person.id, account.replace("\0", ""))
        if self.credential.only_account not in (None, found.account):
            raise AccountUnknown(account)
        return found


@dataclass(frozen=True)
class Caller(Who):
    """A person inside an account that they have access to."""

    access: Access

    @property
    def today(self) -> date:
        """The day on the seller's calendar."""
        return self.access.control.local_day(self.application.clock())

    def run(
        self,
        command: Callable[[Work], Any],
        answer: Callable[[Outcome], Response],
        *,
        reads: Iterable[EntityId] = (),
        expected: Expected | None = None,
    ) -> Response:
        """Run a command and *answer* its outcome; an answer to a request with a key is kept beside the events."""

        def keep(connection: Connection[Row], outcome: Outcome) -> None:
            self.keep(connection, answer(outcome), stream=outcome.stream)

        beside = None if self.once is None else keep
        account, actor = self.access.account, self.actor
        return answer(self.application.outcome(account, actor, command, reads=reads, expected=expected, beside=beside))

    def administrate(self, what: str, *events: Value, answer: Callable[[Control], Response]) -> Response:
        """Record *events* on the account's own history and *answer* with the account after them; *what* the person
        wants to do, should their role lack it.

        Raises RoleLacking, AccountClosed, and what the rules of that history say.
        """
        require_administrator(self.access, what)

        def keep(connection: Connection[Row], control: Control) -> None:
            self.keep(connection, answer(control))

        return answer(self.application.record_control(self.access.account, self.actor, *events, beside=keep))


async def who(request: Request) -> Who:
    """Whoever makes the request, as the gate found out."""
    entered: Entered = request.state.entered
    application: Application = request.app.state.application
    asked_once = once(request, application.database, entered.person.id)
    if "account" not in request.path_params:
        request.state.once = asked_once
    return Who(application, request.app.state.settings, entered.person, entered.credential, asked_once)


async def caller(request: Request, asking: Annotated[Who, Depends(who)], account: str) -> Caller:
    """Whoever makes the request, in the account of that id or slug. Raises AccountUnknown, whichever it lacks."""
    entered: Entered = request.state.entered
    if entered.access is None:
        raise AccountUnknown(account)
    about(account=entered.access.account)
    if request.method == "GET":
        request.state.deadline.extend(READING_WITHIN_S)
    asked_once = None if asking.once is None else replace(asking.once, account=entered.access.account)
    request.state.once = asked_once
    return Caller(asking.application, asking.settings, asking.person, asking.credential, asked_once, entered.access)


async def known_queries(request: Request) -> None:
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


# Last steps of addresses that would be some entity's or stream's, were there no route of their own.
_WORDS = frozenset({"purge", "invoice-due"})


async def taken_method(request: Request) -> None:
    """That an address of its own is not taken for an entity's with another method. Raises MethodRefused."""
    if not _WORDS.isdisjoint(request.path_params.values()):
        allowed = methods_at(request.app, request.url.path)
        if request.method not in allowed.split(", "):
            raise MethodRefused(request.method, allowed)


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
