"""Where an account's files are: its backups, and the archives that were sent for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from api.settings import Settings
from domain.accounts import Access
from domain.ids import AccountId, new_id


def backup_path(settings: Settings, access: Access, at: datetime, *, encrypted: bool = False) -> Path:
    """Where a backup of the account goes: a name of its own, which tells account and time."""
    name = f"{access.slug}-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{new_id(at)[-12:]}.zip{'.age' if encrypted else ''}"
    return settings.backups / access.account / name


def all_uploads(settings: Settings) -> Path:
    """Where what is sent is kept, in a folder for each account."""
    return settings.home / "uploads"


def uploads_folder(settings: Settings, account: AccountId) -> Path:
    """Where what is sent for the account is kept."""
    return all_uploads(settings) / account
