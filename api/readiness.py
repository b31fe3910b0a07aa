"""What must hold for an instance to be sent requests: each check by its name."""

from __future__ import annotations

import os
from collections.abc import Callable

from api.settings import Settings
from domain.application import Application
from domain.errors import SetupError


class NotWritable(SetupError):
    """The folder for backups cannot be written to."""

    code = "setup.not-writable"

    def __str__(self) -> str:
        return "the folder for backups cannot be written to"


def readiness(application: Application, settings: Settings) -> dict[str, Callable[[], None]]:
    """Checks that return when all is well, and raise what is not."""

    def archives() -> None:
        if settings.storage != "folder":
            return  # all instances share it: sending requests to another one helps nobody
        settings.backups.mkdir(parents=True, exist_ok=True)
        if not os.access(settings.backups, os.W_OK | os.X_OK):
            raise NotWritable

    def database() -> None:
        application.database.check_ready()

    return {"database": database, "archives": archives}
