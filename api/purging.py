"""How much of an account's past is kept, and where what is purged goes before."""

from __future__ import annotations

from api.bootstrap import keys
from api.settings import Settings
from api.storage import backup_place
from domain.accounts import Access
from domain.application import Actor, Application
from snapshots.backup import Backup, take_backup
from snapshots.generations.purging import Archiver, Quota


def quota(settings: Settings) -> Quota:
    """How much of an account's past is kept, by the settings."""
    return Quota(settings.most_retired_streams, settings.most_retired_bytes)


def archiver(application: Application, settings: Settings, actor: Actor) -> Archiver:
    """What writes a stream that is to be purged to a signed archive, among the account's backups."""

    def archive(access: Access, stream: int) -> Backup:
        target = backup_place(settings, access, application.clock())
        return take_backup(application, access, actor, target, keys(settings).signer(), stream=stream)

    return archive
