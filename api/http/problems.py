"""Problem details (RFC 9457): one table says which error gets which status; nothing else answers an error.

What is wrong with the request is told in full. What is wrong with us is logged under the request's id, and told without
a stack, a statement or a path.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from decimal import DecimalException
from typing import Any, NamedTuple, TypeVar

import msgspec
import psycopg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.filters import FilterRefused
from api.http import errors as h
from api.http.idempotency import Once
from api.http.observing import template
from api.ubl.errors import ImportRefused, TooLarge, UblError
from domain.accounts import PersonUnknown
from domain.attempts import TooManyTries
from domain.control import AccountClosed, RoleLacking
from domain.credentials import CredentialUnknown
from domain.entity import FieldRefused, NotPossible
from domain.errors import AccessError, ArchiveError, CounterfoilError, DomainError, RestoreError, SetupError
from domain.events import LineRefused
from domain.sign_in import SignInRefused
from domain.store.database import DatabaseUnavailable
from domain.store.streams import AccountUnknown, NumberTaken, StreamUnknown
from domain.tree import OutsideTree
from domain.work import BooksClosed, EntityUnknown, StillReferred, VersionStale
from projections.finding import ListTooLong
from projections.moments import MomentAhead, MomentGone
from projections.timeline import CursorGone
from snapshots.backup import ArchiveNotWritten, BackupNotRecorded
from snapshots.daily.rehearsal import NothingToRehearse, NotRestorable
from snapshots.proving.proving import NothingProven
from snapshots.restoring.restore import NoRoom
from snapshots.restoring.token import TokenStale
from snapshots.shelves.errors import NotOnShelf, StorageFailed, StorageFull, StorageUnavailable, StoredDamaged

T = TypeVar("T")
LOG = logging.getLogger("counterfoil.http")
MEDIA_TYPE = "application/problem+json"

# The class that is nearest in an error's line of ancestors decides.
STATUS: dict[type[CounterfoilError], int] = {
    CounterfoilError: 500,
    DomainError: 422,
    EntityUnknown: 404,
    NotPossible: 409,
    StillReferred: 409,
    BooksClosed: 409,
    AccountClosed: 409,
    LineRefused: 400,
    CursorGone: 410,
    FilterRefused: 400,
    ListTooLong: 503,
    MomentGone: 410,
    MomentAhead: 422,
    AccountUnknown: 404,
    StreamUnknown: 404,
    OutsideTree: 422,
    NothingProven: 409,
    NumberTaken: 409,
    VersionStale: 412,
    DatabaseUnavailable: 503,
    AccessError: 403,
    RoleLacking: 403,
    PersonUnknown: 404,
    SignInRefused: 401,
    CredentialUnknown: 404,
    TooManyTries: 429,
    ArchiveError: 422,
    ArchiveNotWritten: 507,
    NotOnShelf: 404,
    StorageFull: 507,
    StorageFailed: 503,
    StorageUnavailable: 503,
    StoredDamaged: 500,
    BackupNotRecorded: 503,
    NothingToRehearse: 409,
    NotRestorable: 409,
    RestoreError: 409,
    TokenStale: 412,
    NoRoom: 507,
    UblError: 422,
    TooLarge: 413,
    ImportRefused: 409,
    h.HttpRefusal: 400,
    h.TokenMissing: 401,
    h.TokenRefused: 401,
    h.SessionRefused: 401,
    h.OriginRefused: 403,
    h.RouteUnknown: 404,
    h.FileUnknown: 404,
    h.MethodRefused: 405,
    h.StreamReplaced: 410,
    h.UploadsFull: 409,
    h.PreconditionFailed: 412,
    h.RangeRefused: 416,
    h.NoRoom: 507,
    h.TusVersionRefused: 412,
    h.UploadBusy: 423,
    h.FollowedByMany: 429,
    h.UploadElsewhere: 409,
    h.UploadInCrumbs: 409,
    h.UploadDiffers: 422,
    h.BodyTooSlow: 408,
    h.BodyTooLarge: 413,
    h.MediaTypeRefused: 415,
    h.FigureOutOfRange: 422,
    h.IdempotencyKeyBusy: 409,
    h.IdempotencyKeyReused: 422,
    h.IdempotencyKeyOfReplacedStream: 410,
    h.AnswerToldOnce: 409,
}
_HEADERS = {401: {"WWW-Authenticate": 'Bearer realm="counterfoil"'}, 503: {"Retry-After": "5"}}
_OURS = {
    500: "something went wrong here; the request id leads to it in the log",
    503: "the database, or the storage of archives, does not answer",
    507: "there is no room to keep what was sent, or to work on it",
}
_INTERNAL = "http.internal"
_UNEXPECTED = "Something went wrong here"
_MISSING = re.compile(r"missing required field `([^`]+)`")
_UNKNOWN = re.compile(r"contains unknown field `([^`]+)`")
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


class FieldProblem(msgspec.Struct, omit_defaults=True):
    """What is wrong with one field; ``pointer`` (RFC 6901) leads to it in the body."""

    detail: str
    pointer: str | None = None


class Problem(msgspec.Struct, omit_defaults=True):
    """A problem detail as it is answered.

    ``pointer`` (RFC 6901) leads to the part of the body that is meant, ``file`` and ``line`` into an archive or a file
    that was sent. ``errors`` are all the fields that are known to be wrong, the one of ``detail`` among them.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    instance: str
    pointer: str | None = None
    errors: list[FieldProblem] = []
    file: str | None = None
    line: int | None = None
    report: msgspec.Raw | None = None


class ProblemType(NamedTuple):
    """A kind of problem that there is."""

    code: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The URI that it is known by."""
        return f"urn:counterfoil:problem:{self.code}"


def catalogue() -> list[ProblemType]:
    """Every kind of problem that the API can answer, by code."""
    leaves = [one for one in _below(CounterfoilError) if "code" in vars(one) and _is_answered(one)]
    found = {one.code: ProblemType(one.code, _status_of_class(one), _title_of_class(one)) for one in leaves}
    found[_INTERNAL] = ProblemType(_INTERNAL, 500, _UNEXPECTED)
    return [found[code] for code in sorted(found)]


def _is_answered(error: type[CounterfoilError]) -> bool:
    """Whether it can come up behind the API: not setting the service up, not at a command line."""
    return not issubclass(error, SetupError) and not error.__module__.startswith(("api.cli", "tests"))


def _below(error: type[CounterfoilError]) -> Iterator[type[CounterfoilError]]:
    """The leaves of the tree of errors: what is raised."""
    subclasses = error.__subclasses__()
    if not subclasses:
        yield error
    for one in subclasses:
        yield from _below(one)


def install(app: FastAPI) -> None:
    """Let *app* answer every error as a problem."""

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, CounterfoilError), "that is what it is registered for"
        try:
            again = _before(request, error)
        except (CounterfoilError, psycopg.OperationalError) as wrong:
            return answer(request, wrong)
        return again or answer(request, error)

    def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError), "that is what it is registered for"
        first = error.errors()[0]
        return answer(request, h.RequestInvalid(" ".join(str(step) for step in first["loc"]), first["msg"]))

    def foreign(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "that is what it is registered for"
        wrong = _of_http(request, error)
        return answer(request, wrong)

    app.add_exception_handler(CounterfoilError, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, foreign)


def _before(request: Request, error: CounterfoilError) -> Response | None:
    """What the request was answered with when it was sent for the first time, if that is why it is refused now."""
    once: Once | None = getattr(request.state, "once", None)
    return once.kept() if once is not None and status_of(error) < 500 else None


def _of_http(request: Request, error: HTTPException) -> h.HttpRefusal:
    if error.status_code == 405:
        return h.MethodRefused(request.method, methods_at(request.app, request.url.path))
    if error.status_code == 404:
        return h.RouteUnknown(request.url.path)
    return h.RequestInvalid("request", str(error.detail))


def methods_at(app: FastAPI, path: str) -> str:
    """The methods that the address *path* takes, as the document tells them."""
    found = [one for one in app.routes if isinstance(one, APIRoute) and one.path_regex.fullmatch(path)]
    plainest = min((one.path for one in found), key=lambda one: one.count("{"), default=None)  # purge is no stream
    methods = [one.methods or () for one in found if one.path == plainest and one.include_in_schema]
    return ", ".join(sorted(method for of_route in methods for method in of_route))


def answer(request: Request, error: Exception, *, headers: dict[str, str] | None = None) -> Response:
    """*error* as a problem. Logs what is our own fault."""
    request_id = str(request.state.request_id)
    what = f"{request.method} {template(request.scope)}"
    problem = problem_of(error, request_id, what=what, body=getattr(request.state, "body", None))
    more = error.headers if isinstance(error, h.HttpRefusal) else {}
    if isinstance(error, TooManyTries):
        more = {"Retry-After": str(error.retry_after_s)}
    always = getattr(request.state, "headers", {})
    all_headers = {**_HEADERS.get(problem.status, {}), **always, **more, **(headers or {})}
    return Response(msgspec.json.encode(problem), problem.status, all_headers, MEDIA_TYPE)


def problem_of(error: Exception, request_id: str, *, what: str, body: Any) -> Problem:
    """*error* as a problem, which *what* ran into: a request, or a job that was asked for by one with that *body*.

    Logs what is our own fault.
    """
    if isinstance(error, (DecimalException, OverflowError)):  # a sum too long, a due date after the year 9999
        error = h.FigureOutOfRange()
    if isinstance(error, psycopg.OperationalError):
        error = DatabaseUnavailable.because(error)
    status = status_of(error)
    if status >= 500:
        LOG.error("request %s: %s", request_id, what, exc_info=error)
    code = error.code if isinstance(error, CounterfoilError) else _INTERNAL
    return Problem(
        type=f"urn:counterfoil:problem:{code}",
        title=_title(error),
        status=status,
        detail=_OURS[status] if status >= 500 else _writable(str(error)),
        code=code,
        request_id=request_id,
        instance=f"urn:counterfoil:request:{request_id}",
        pointer=pointer(error, body),
        errors=_errors(error, body),
        file=_fact(error, "file", str),
        line=_fact(error, "line", int),
        report=_report(error),
    )


def status_of(error: Exception) -> int:
    """The status that *error* is answered with."""
    return _status_of_class(type(error))


def _status_of_class(error: type[Exception]) -> int:
    return next((STATUS[one] for one in error.__mro__ if one in STATUS), 500)


def _title(error: Exception) -> str:
    """The first sentence of what its class says it is."""
    return _title_of_class(type(error)) if isinstance(error, CounterfoilError) else _UNEXPECTED


def _title_of_class(error: type[CounterfoilError]) -> str:
    return (error.__doc__ or error.__name__).partition("\n")[0].rstrip(".")


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _fact(error: Exception, name: str, type_: type[T]) -> T | None:
    """What an error about a file that was sent says of where it is."""
    fact = getattr(error, name, None) if isinstance(error, (ArchiveError, UblError)) else None
    return fact if isinstance(fact, type_) else None


def _report(error: Exception) -> msgspec.Raw | None:
    report = getattr(error, "report", None)
    return msgspec.Raw(msgspec.json.encode(report)) if report is not None else None


def _errors(error: Exception, body: Any) -> list[FieldProblem]:
    """Each field that is wrong, as far as they are known."""
    if not isinstance(error, FieldRefused):
        return []
    return [FieldProblem(_writable(str(one)), pointer(one, body)) for one in (error, *error.others)]


def pointer(error: Exception, body: Any) -> str | None:
    """Where in *body* the field is that *error* names, as far as it leads there; None when it leads nowhere."""
    field = getattr(error, "field", None)
    if not isinstance(field, str) or not isinstance(body, dict):
        return None
    steps = [number or name for number, name in _STEP.findall(field if field != "the body" else "")]
    found: list[str] = []
    at: Any = body
    for step in steps:
        if isinstance(at, dict) and step in at:
            at = at[step]
        elif isinstance(at, list) and step.isdecimal() and int(step) < len(at):
            at = at[int(step)]
        else:
            break
        found.append(step)
    reason = str(getattr(error, "found", ""))
    named = _MISSING.search(reason) or _UNKNOWN.search(reason)
    if named and len(found) == len(steps):
        found.append(named[1])
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in found) or None
