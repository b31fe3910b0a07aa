"""What people are let in by: sessions, passwords and API tokens, each person their own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

import msgspec
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter
from msgspec import Meta
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response

from api.http import replies
from api.http.bodies import Fields
from api.http.caller import Asking, Inside
from api.http.gate import check_origin, cookie_name, csrf_token, is_secure, origin
from api.http.schemas import body_of
from api.settings import Settings
from domain import credentials as t
from domain import sign_in as s
from domain.accounts import Person
from domain.attempts import TooManyTries
from domain.entity import converted
from domain.ids import AccountId, PersonId
from domain.parties import Name, Value
from domain.store.database import Row

sessions = APIRouter(prefix="/sessions", tags=["sessions"])
passwords = APIRouter(prefix="/passwords", tags=["sessions"])
tokens = APIRouter(prefix="/tokens", tags=["tokens"])
mine = APIRouter(prefix="/people/me", tags=["people"])
invitations = APIRouter(prefix="/accounts/{account}/members/{person}/invitation", tags=["members"])

# Each hash takes 64 MiB and a core: so many at once in a process, and so many waiting for about as many seconds.
AT_ONCE = 2
MOST_WAITING = 20
_HASHING = CapacityLimiter(AT_ONCE)
T = TypeVar("T")
Secret = Annotated[str, Meta(min_length=1, max_length=1_000)]
Email = Annotated[str, Meta(min_length=3, max_length=254)]


class SignInFields(Value, frozen=True, kw_only=True):
    """Who signs in."""

    email: Email
    password: Secret


class PasswordFields(Value, frozen=True, kw_only=True):
    """Another password than the *current* one."""

    current: Secret
    new: Secret


class CodeFields(Value, frozen=True, kw_only=True):
    """The *password* to set, by the one-time *code* that was made for that person."""

    email: Email
    code: Secret
    password: Secret


class TokenFields(Value, frozen=True, kw_only=True):
    """A token for programs: what it is called, what it may be used for, and for how many *days*.

    With *account*, its id or short name, it is for that account only.
    """

    name: Name
    scopes: tuple[t.Scope, ...]
    account: str | None = None
    days: Annotated[int, Meta(ge=1, le=t.MOST_DAYS)] = 365


class SessionMade(msgspec.Struct, frozen=True):
    """A session that just began; the cookie has its secret. ``csrf_token`` goes with every change."""

    id: str
    person: PersonId
    expires_at: datetime
    csrf_token: str


class SessionListed(s.Session, frozen=True):
    """A session in the list of a person's own; *current*: the one that asks."""

    current: bool


class TokenMade(msgspec.Struct, frozen=True):
    """A token that was just made: *token* is not shown again."""

    id: str
    token: str
    name: str
    scopes: tuple[t.Scope, ...]
    account: AccountId | None
    expires_at: datetime


class CodeMade(msgspec.Struct, frozen=True):
    """A one-time code that was just made: it is not shown again."""

    code: str
    email: str
    expires_at: datetime


@sessions.post("", status_code=201, summary="Sign in with a password", openapi_extra=body_of(SignInFields))
async def sign_in(request: Request, fields: Fields) -> Response:
    """Begin a session, kept in a cookie that scripts cannot read."""
    wanted = converted(fields, SignInFields)
    settings: Settings = request.app.state.settings
    application = request.app.state.application
    if "origin" in request.headers:  # a page of another site signs nobody in
        check_origin(request, settings, None)

    def begin() -> tuple[Person, t.Made]:
        at = application.clock()
        return s.sign_in(
            application.database, wanted.email, wanted.password, at=at, idle=idle(settings), origin=origin(request)
        )

    person, made = await hashing(begin)
    shown = SessionMade(made.id, person.id, made.expires_at, csrf_token(made.secret))
    answer = replies.json(shown, status=201, headers={"Location": f"/v1/sessions/{made.id}"})
    _set_cookie(answer, request, settings, made.secret)
    return answer


@sessions.get("", summary="List your sessions")
def list_sessions(asking: Asking) -> Response:
    """Those that have not ended, oldest first."""
    at, lasting = asking.application.clock(), idle(asking.settings)
    found = s.list_sessions(asking.application.database, asking.person.id, at=at, idle=lasting)
    listed = [SessionListed(**msgspec.structs.asdict(one), current=one.id == asking.credential.id) for one in found]
    return replies.json({"items": listed})


@sessions.delete("/{session}", status_code=204, summary="End a session: sign out")
def end_session(request: Request, asking: Asking, session: str) -> Response:
    """One of yours by its id, or the one that asks as ``current``."""
    own = asking.credential.is_session and session in ("current", asking.credential.id)
    id_ = asking.credential.id if own else session
    database, at = asking.application.database, asking.application.clock()
    s.end_session(database, asking.person.id, id_, at=at, own=own, origin=origin(request))
    answer = replies.nothing()
    if own:
        _set_cookie(answer, request, asking.settings, None)
    return answer


@passwords.post("", status_code=204, summary="Set a password by a one-time code", openapi_extra=body_of(CodeFields))
async def redeem(request: Request, fields: Fields) -> Response:
    """What an invitation's code is for; it works once, and ends the person's sessions."""
    wanted = converted(fields, CodeFields)
    application = request.app.state.application
    if "origin" in request.headers:
        check_origin(request, request.app.state.settings, None)

    def set_it() -> None:
        at, by = application.clock(), origin(request)
        s.redeem_code(application.database, wanted.email, wanted.code, wanted.password, at=at, origin=by)

    await hashing(set_it)
    return replies.nothing()


@mine.put("/password", status_code=204, summary="Change your password", openapi_extra=body_of(PasswordFields))
async def change_password(request: Request, asking: Asking, fields: Fields) -> Response:
    """By the current one; every session of yours ends, this one too."""
    wanted = converted(fields, PasswordFields)
    application, person = asking.application, asking.person

    def change() -> None:
        at, by = application.clock(), origin(request)
        s.change_password(application.database, person, wanted.current, wanted.new, at=at, origin=by)

    await hashing(change)
    return replies.nothing()


@mine.get("/sign-ins", summary="What became of your credentials, newest first")
def list_sign_ins(asking: Asking) -> Response:
    """Sign-ins and failed ones, sessions, tokens and passwords: what was done, when, and from which address."""
    return replies.json({"items": t.list_sign_ins(asking.application.database, asking.person.id)})


@tokens.get("", summary="List your API tokens")
def list_tokens(asking: Asking) -> Response:
    """Oldest first, without the tokens themselves."""
    return replies.json({"items": t.list_tokens(asking.application.database, asking.person.id)})


@tokens.post("", status_code=201, summary="Make an API token", openapi_extra=body_of(TokenFields))
def create_token(request: Request, asking: Asking, fields: Fields) -> Response:
    """It is shown this once."""
    wanted = converted(fields, TokenFields)
    account = None if wanted.account is None else asking.reach(wanted.account).account

    def answered(made: t.Made) -> Response:
        scopes = tuple(sorted(set(wanted.scopes)))
        shown = TokenMade(made.id, made.secret, wanted.name, scopes, account, made.expires_at)
        return replies.json(shown, status=201, headers={"Location": f"/v1/tokens/{made.id}"})

    def keep(connection: Connection[Row], made: t.Made) -> None:
        asking.keep(connection, answered(made), secret=True)

    made = t.create_token(
        asking.application.database,
        asking.person.id,
        at=asking.application.clock(),
        name=wanted.name,
        scopes=wanted.scopes,
        account=account,
        days=wanted.days,
        by=asking.credential,
        origin=origin(request),
        beside=keep,
    )
    return answered(made)


@tokens.delete("/{token}", status_code=204, summary="Revoke an API token")
def revoke_token(request: Request, asking: Asking, token: str) -> Response:
    """By its id; it opens nothing from then on."""
    at = asking.application.clock()
    t.revoke_token(asking.application.database, asking.person.id, token, at=at, origin=origin(request))
    return replies.nothing()


@invitations.post("", status_code=201, summary="Make a one-time code by which a new member sets a password")
def invite(request: Request, asking: Inside, person: str) -> Response:
    """For a member who was never let in before; it is shown this once, and not sent to anybody."""
    answers: list[Response] = []

    def answer(connection: Connection[Row], made: t.Made) -> None:
        email = next(one.email for one in asking.access.control.members if one.person == person)
        answers.append(replies.json(CodeMade(made.secret, email, made.expires_at), status=201))
        asking.keep(connection, answers[-1], secret=True)

    s.invite(
        asking.application.database,
        asking.access,
        PersonId(person),
        at=asking.application.clock(),
        by=asking.person,
        origin=origin(request),
        beside=answer,
    )
    return answers[-1]


def idle(settings: Settings) -> s.Idle:
    """When sessions end, by the settings."""
    return s.Idle(timedelta(minutes=settings.session_idle_minutes), timedelta(days=settings.session_days))


async def hashing(work: Callable[[], T]) -> T:
    """*work* in one of the few threads that may hash passwords. Raises TooManyTries where too many wait for that."""
    if _HASHING.statistics().tasks_waiting >= MOST_WAITING:
        raise TooManyTries(1)
    return await run_sync(work, limiter=_HASHING)


def _set_cookie(answer: Response, request: Request, settings: Settings, secret: str | None) -> None:
    """Have the browser keep the session's secret, or with None keep it no longer."""
    name, secure = cookie_name(request, settings), is_secure(request, settings)
    lasting = 0 if secret is None else settings.session_days * 86_400
    answer.set_cookie(name, secret or "", max_age=lasting, path="/", secure=secure, httponly=True, samesite="lax")
