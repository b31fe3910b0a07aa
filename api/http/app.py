"""The application that uvicorn serves: the routes under ``/v1``, behind the gate."""

from __future__ import annotations

import threading
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends, FastAPI

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
    streams,
)
from api.http.access import permitted
from api.http.caller import known_queries, taken_method
from api.http.conditional import Conditional
from api.http.gate import OPENAPI_PATH, Gate
from api.http.observing import Observed
from api.http.openapi import describe
from api.http.probes import Probes
from api.metrics import Metrics
from api.readiness import readiness
from api.settings import Settings
from domain.application import Application
from domain.kinds import Kind


def create_app(application: Application, settings: Settings) -> FastAPI:
    """The HTTP API of *application*. Opens and closes nothing: the database is the caller's.

    ``app.state.stopping`` is set by whoever runs it when it is told to stop: then streams of events end by themselves.
    """
    app = FastAPI(
        title="Counterfoil",
        version=version("counterfoil"),
        description="Invoicing accounts in an append-only event store, backed up while in use, restored without risk.",
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.application = application
    app.state.settings = settings
    app.include_router(_routes())
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
    described: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not described:
            described.update(describe(app))
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI's documentation says to extend it
    return app


def _routes() -> APIRouter:
    routes = APIRouter(prefix="/v1", dependencies=[Depends(permitted), Depends(taken_method), Depends(known_queries)])
    routes.include_router(accounts.people)
    routes.include_router(credentials.mine)
    routes.include_router(credentials.sessions)
    routes.include_router(credentials.passwords)
    routes.include_router(credentials.tokens)
    routes.include_router(keys.router)
    routes.include_router(accounts.router)
    routes.include_router(accounts.inside)
    routes.include_router(account_settings.router)
    routes.include_router(credentials.invitations)
    routes.include_router(people.router)
    routes.include_router(notifications.router)
    for kind in Kind:
        routes.include_router(entities.router(kind), prefix="/accounts/{account}")
    routes.include_router(daily.router)
    routes.include_router(archives.backups)
    routes.include_router(archives.archives)
    routes.include_router(streams.router)
    routes.include_router(clones.router)
    routes.include_router(imports.router)
    routes.include_router(history.router)
    routes.include_router(jobs.router)
    return routes
