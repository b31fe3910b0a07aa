"""The server that answers HTTP: it ends in order when it is told to, and at once when it is told again."""

from __future__ import annotations

from types import FrameType

import uvicorn
from fastapi import FastAPI

from api.settings import Settings


class Serving(uvicorn.Server):
    """uvicorn, told to stop: takes no new connections, answers what is in flight within the grace, then ends."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self._stopping = app.state.stopping
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                timeout_graceful_shutdown=settings.grace_s,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - what signal handlers are given
        """Begin to end, at the first signal; wait for nothing any more, at the second."""
        self._stopping.set()
        self.force_exit = self.should_exit
        self.should_exit = True
