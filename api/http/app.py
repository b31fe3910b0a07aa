"""The application that uvicorn serves: the routes under ``/v1``, behind the gate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute

from api.http import (
    account_settings,
    accounts,
    archives,
    clones,
    credentials,
    daily,
    entities,
    history,
    imports,
    jobs,
    keys,
    notifications,
    people,
    problems,
    resumable,
    streams,
)
from api.http.access import permitted
from api.http.caller import known_queries, taken_method
from api.http.conditional import Conditional
from api.http.gate import OPENAPI_PATH, Gate
from api.http.observing import Observed
from api.http.openapi import describe
from api.http.probes import Probes
from api.http.unread import Unread
from api.metrics import Metrics
from api.readiness import readiness
from api.settings import Settings
from domain.application import Application
from domain.kinds import Kind
from snapshots.format.manifest import product_version


def create_app(application: Application, settings: Settings) -> FastAPI:
    """The HTTP API of *application*. Opens and closes nothing: the database is the caller's.

    ``app.state.stopping`` is set by whoever runs it when it is told to stop: then streams of events end by themselves.
    """
    app = FastAPI(
        title="Counterfoil",
        version=product_version(),
        description="Invoicing accounts in an append-only event store, backed up while in use, restored without risk.",
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.application = application
    app.state.settings = settings
    _add_routes(app)
    problems.install(app)
    app.state.stopping = threading.Event()
    metrics = Metrics(application.database)
    app.add_middleware(Conditional)
    app.add_middleware(Gate, application=application, settings=settings)
    app.add_middleware(
        Observed,
        metrics=metrics,
        probes=Probes(metrics, readiness(application, settings), settings.metrics_token),
        answer_within_s=settings.answer_within_s,
    )
    app.add_middleware(Unread)
    described: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not described:
            described.update(describe(app))
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI's documentation says to extend it
    return app


def _routers() -> Iterator[tuple[str, APIRouter]]:
    """The rooms' routers in the order in which addresses are compared, and what stands before their addresses."""
    yield "/v1", accounts.people
    yield "/v1", credentials.mine
    yield "/v1", credentials.sessions
    yield "/v1", credentials.passwords
    yield "/v1", credentials.tokens
    yield "/v1", keys.router
    yield "/v1", accounts.router
    yield "/v1", accounts.inside
    yield "/v1", account_settings.router
    yield "/v1", credentials.invitations
    yield "/v1", people.router
    yield "/v1", notifications.router
    for kind in Kind:
        yield "/v1/accounts/{account}", entities.router(kind)
    yield "/v1", daily.router
    yield "/v1", archives.backups
    yield "/v1", resumable.listing
    yield "/v1", resumable.router
    yield "/v1", archives.archives
    yield "/v1", streams.router
    yield "/v1", clones.router
    yield "/v1", imports.router
    yield "/v1", history.router
    yield "/v1", jobs.router


def _add_routes(app: FastAPI) -> None:
    """Every route of every room, side by side: FastAPI compares an included router's anew at each level it passes."""
    of_all = [Depends(permitted), Depends(taken_method), Depends(known_queries)]
    for prefix, router in _routers():
        for route in router.routes:
            assert isinstance(route, APIRoute), "rooms have no other routes"
            app.add_api_route(
                prefix + route.path,
                route.endpoint,
                methods=list(route.methods or ()),
                dependencies=[*of_all, *route.dependencies],
                tags=route.tags,
                summary=route.summary,
                status_code=route.status_code,
                responses=route.responses,
                include_in_schema=route.include_in_schema,
                openapi_extra=route.openapi_extra,
            )
