"""The one place of wiring: settings → database → application. Nothing connects or reads settings at import."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from api.postgres import database
from api.settings import Settings
from domain.application import Application
from domain.events import LineLimits
from domain.store.database import Database
from snapshots.container import Limits
from snapshots.trust.keys import Keys


class Installation(NamedTuple):
    """What this process works with."""

    settings: Settings
    database: Database
    application: Application

    @property
    def keys(self) -> Keys:
        """What archives are signed and judged with."""
        return keys(self.settings)


@contextmanager
def installation(settings: Settings) -> Iterator[Installation]:
    """The installation that *settings* describe, its database up and migrated, for the length of the ``with``.

    The first time, its signing key is made. Raises SetupError leaves.
    """
    keys(settings).make_first()
    with database(settings) as dsn, Database(dsn, most_connections=settings.database_connections) as opened:
        yield Installation(settings, opened, Application(opened))


def keys(settings: Settings) -> Keys:
    """The keys of the installation that *settings* describe."""
    return Keys(settings.home / "keys", settings.signing_key)


def metrics_token(settings: Settings) -> str:
    """The token that `/metrics` asks for: of the settings, or the one in home, which is made if there is none."""
    if settings.metrics_token is not None:
        return settings.metrics_token
    settings.home.mkdir(parents=True, exist_ok=True)
    file = settings.home / "metrics.token"
    if not file.exists():
        fresh = file.with_name(f"metrics.token.{secrets.token_hex(8)}.partial")
        fresh.touch(mode=0o600)
        fresh.write_text(f"{secrets.token_urlsafe(32)}\n", "ascii")
        with suppress(FileExistsError):  # another process was first: its token is the one
            os.link(fresh, file)
        fresh.unlink()
    return file.read_text("ascii").strip()


def limits(settings: Settings) -> Limits:
    """How much an archive may be, by the settings."""
    return Limits(
        max_archive_bytes=settings.upload_limit_bytes,
        max_entries=settings.entries_limit,
        max_attachments=settings.attachments_limit,
        max_entry_bytes=settings.entry_limit_bytes,
        max_unpacked_bytes=settings.unpacked_limit_bytes,
        max_ratio=settings.ratio_limit,
        max_manifest_bytes=settings.manifest_limit_bytes,
        max_work_factor=settings.work_factor_limit,
        lines=LineLimits(
            max_bytes=settings.line_limit_bytes,
            max_nesting=settings.nesting_limit,
            max_values=settings.values_limit,
            max_string_bytes=settings.string_limit_bytes,
            max_digits=settings.digits_limit,
        ),
    )
