"""Jobs: what was asked for that takes long, how far it has come, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlencode

import msgspec
import psycopg
from anyio import sleep
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.http import replies
from api.http.access import still_permitted
from api.http.caller import Caller, Inside
from api.http.errors import CursorRefused, FileUnknown, FollowedByMany
from api.http.tags import from_cursor, to_cursor
from api.jobs import enqueue
from api.jobs.cancelling import cancel_job
from api.jobs.requests import SECRETS
from api.jobs.shown import JobListed, JobShown, find_job, list_jobs, look_at_job, read_job
from domain.application import Application
from domain.control import check_writes
from domain.errors import CounterfoilError
from domain.ids import AccountId, is_canonical
from domain.store.database import Deadline, answering_by

router = APIRouter(prefix="/accounts/{account}/jobs", tags=["jobs"])

T = TypeVar("T")
State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
_LOOK_AGAIN_S = 1
_LOOK_EVERY_S = 0.5  # for whoever follows a job: no more often is anything written down
_SILENT_S = 15.0  # what is silent for longer, something on the way may take for dead
_TRY_AGAIN_MS = 2_000
_LOOK_WITHIN_S = 5.0  # a database that does not answer keeps no thread for longer
# Whoever follows a job has the database asked twice a second: so many at once in a process, and of one account.
MOST_FOLLOWING = 200
MOST_OF_AN_ACCOUNT = 20
_following: Counter[AccountId] = Counter()
_encode = msgspec.json.Encoder().encode


def accepted(request: Request, asking: Caller, kind: str, fields: dict[str, Any]) -> Response:
    """Ask for a job of *kind* in the caller's name, and say where it is. What of *fields* is secret is kept sealed."""
    wanted = {name: value for name, value in fields.items() if name not in SECRETS}
    secrets = {name: value for name, value in fields.items() if name in SECRETS and value is not None}
    account = asking.access.account
    with asking.application.database.transaction(account) as connection:
        queued = enqueue(
            asking.application,
            asking.settings,
            account,
            asking.actor,
            kind,
            request=wanted,
            secrets=secrets,
            request_id=request.state.request_id,
            within=connection,
        )
        job = find_job(connection, account, queued.id)
        assert job is not None, "it was asked for just now"
        answer = replies.json(job, status=202, headers={"Location": queued.path, **_follow(job)})
        asking.keep(connection, answer)
    return answer


@router.get("", summary="List the jobs, newest first")
def listed(
    request: Request,
    asking: Inside,
    state: Annotated[State | None, Query()] = None,
    kind: Annotated[str | None, Query(max_length=40, pattern="^[a-z-]+$")] = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Those of the last 30 days, in one state or of one kind."""
    before = None if cursor is None else from_cursor(cursor, parts=1)[0]
    if before is not None and not is_canonical(before):
        raise CursorRefused(str(cursor)[:80])
    jobs, is_more = list_jobs(
        asking.application, asking.access.account, state=state, kind=kind, before=before, limit=limit
    )
    headers = None
    if is_more:
        which = {name: value for name, value in (("state", state), ("kind", kind)) if value is not None}
        query = urlencode({**which, "limit": limit, "cursor": to_cursor(jobs[-1].id)})
        headers = {"Link": f'<{request.url.path}?{query}>; rel="next"'}
    return replies.json({"items": jobs}, headers=headers)


@router.get("/{job}", summary="How far a job has come, and what came of it")
def shown(asking: Inside, job: str) -> Response:
    """Its result is what it was asked for, its problem what kept it from that."""
    found = _job(asking, job)
    return replies.json(found, headers=_follow(found))


@router.get("/{job}/events", summary="Follow a job as it goes")
async def followed(request: Request, asking: Inside, job: str) -> Response:
    """Server-sent events: ``progress`` each time it has come further, and ``ended`` with all of it as the last one.

    Whoever was cut off says in ``Last-Event-ID`` what they have.
    """
    found = await run_sync(_job, asking, job)
    account = asking.access.account
    if _following.total() >= MOST_FOLLOWING or _following[account] >= MOST_OF_AN_ACCOUNT:
        raise FollowedByMany
    given = request.headers.get("last-event-id", "")
    seen = int(given) if given.isdecimal() and len(given) <= 18 else 0
    return _Followed(account, _events(request, asking, found, seen))


class _Followed(EventSourceResponse):
    """An answer that counts for as long as somebody listens to it."""

    def __init__(self, account: AccountId, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, headers={"X-Accel-Buffering": "no"})
        self._account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until they end, or nobody listens any more."""
        _following[self._account] += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            _following[self._account] -= 1
            if not _following[self._account]:
                del _following[self._account]


async def _events(request: Request, asking: Caller, job: JobListed, seen: int) -> AsyncIterator[bytes]:
    """What there is to tell of *job* from its revision *seen* on. No thread waits with the caller.

    Nothing is told to who may not hear it any more: then the stream ends, and who asks again is told why.
    """
    silent_s = 0.0
    yield format_sse_event(retry=_TRY_AGAIN_MS)
    try:
        while not job.has_ended:
            if job.revision > seen:
                await _may_hear(request)
                seen, silent_s = job.revision, 0.0
                yield format_sse_event(event="progress", id=str(seen), data_str=_encode(job).decode())
            elif silent_s >= _SILENT_S:
                await _may_hear(request)
                silent_s = 0.0
                yield format_sse_event(comment="")
            if request.app.state.stopping.is_set():
                return
            await sleep(_LOOK_EVERY_S)
            silent_s += _LOOK_EVERY_S
            looked = await _looked(look_at_job, asking, job.id)
            if looked is None:
                return
            job = looked
        await _may_hear(request)
        whole = await _looked(read_job, asking, job.id)
        if whole is not None:
            yield format_sse_event(event="ended", id=str(whole.revision), data_str=_encode(whole).decode())
    except (CounterfoilError, psycopg.OperationalError):
        return


async def _may_hear(request: Request) -> None:
    with answering_by(Deadline(_LOOK_WITHIN_S)):
        await still_permitted(request)


async def _looked(look: Callable[[Application, AccountId, str], T], asking: Caller, job: str) -> T:
    with answering_by(Deadline(_LOOK_WITHIN_S)):
        return await run_sync(look, asking.application, asking.access.account, job)


@router.post("/{job}/cancel", status_code=202, summary="Cancel a job")
def cancelled(asking: Inside, job: str) -> Response:
    """One that waits is cancelled at once, one that runs is broken off soon; one that has ended stays as it is."""
    found = _job(asking, job)
    if found.requested_by != asking.actor.name:
        check_writes(asking.access.role, "cancelling another's job")
    cancel_job(asking.application, asking.access.account, job)
    found = _job(asking, job)
    return replies.json(found, status=202, headers=_follow(found))


def _job(asking: Caller, job: str) -> JobShown:
    found = read_job(asking.application, asking.access.account, job) if is_canonical(job) else None
    if found is None:
        raise FileUnknown("job", job)
    return found


def _follow(job: JobListed) -> dict[str, str]:
    """The headers of a job's answer: which revision of it this is, and when it is worth asking again."""
    headers = {"ETag": f'"{job.revision}"'}
    return headers if job.has_ended else {**headers, "Retry-After": str(_LOOK_AGAIN_S)}
