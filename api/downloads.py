"""Putting downloads of archives on record: nobody gets a byte of one before its account's history says so."""

from __future__ import annotations

from datetime import timedelta

from domain.accounts import Access
from domain.application import Actor, Application
from domain.control import ArchiveDownloaded
from domain.store.statements import statements

SQL = statements("api", "downloads.sql")
ONE_DOWNLOAD = timedelta(hours=24)  # parts that are asked for within it go on with what was begun


def record_download(
    application: Application,
    access: Access,
    actor: Actor,
    *,
    archive: str,
    file: str,
    address: str | None = None,
    is_part: bool = False,
) -> None:
    """Record that *actor* downloads an archive, to that network *address*; administrators are told.

    A part of it (a Range) counts once a day together with the others that the same person asks for; the whole counts
    every time.
    """
    if is_part and _is_begun(application, access, actor, archive):
        return
    downloaded = ArchiveDownloaded(archive=archive, file=file, address=address)
    application.record_control(access.account, actor, downloaded)


def _is_begun(application: Application, access: Access, actor: Actor, archive: str) -> bool:
    parameters = {
        "account": access.account,
        "actor": actor.name,
        "archive": archive,
        "since": application.clock() - ONE_DOWNLOAD,
    }
    with application.database.transaction(access.account) as connection:
        return connection.execute(SQL["find_download"], parameters).fetchone() is not None
