"""Who is told of what happened to an account, and in which words.

What is told are events of the account's own history. Owners and administrators are told of all of them; whoever else is
a member, of the topics that they asked for. The words are plain text on one line, and no promise to programs.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from domain import control as c
from domain.ids import PersonId
from domain.parties import Value


class Topic(StrEnum):
    """What a notice is about."""

    RESTORES = "restores"
    UNDOS = "undos"
    CLONES = "clones"
    DOWNLOADS = "downloads"
    FAILED_BACKUPS = "failed-backups"
    ALARMS = "alarms"
    CLOSING = "closing"


# Dry runs and refusals are not here: they change nothing.
_TOPICS: dict[type[Value], Topic] = {
    c.RestoreFinished: Topic.RESTORES,
    c.StreamActivated: Topic.UNDOS,
    c.CloneGiven: Topic.CLONES,
    c.CloneReceived: Topic.CLONES,
    c.ArchiveDownloaded: Topic.DOWNLOADS,
    c.BackupFailed: Topic.FAILED_BACKUPS,
    c.RehearsalFailed: Topic.FAILED_BACKUPS,
    c.BackupDamaged: Topic.FAILED_BACKUPS,
    c.AccountShrunk: Topic.ALARMS,
    c.Closed: Topic.CLOSING,
    c.Reopened: Topic.CLOSING,
    c.ErasureAnnounced: Topic.CLOSING,
}


def topic_of(event: type[Value]) -> Topic | None:
    """What a notice of an event of that type is about; None for those that nobody is told of."""
    return _TOPICS.get(event)


def told_of(control: c.Control, event: Value) -> list[PersonId]:
    """Who is told of *event*, after which the account is *control*."""
    topic = topic_of(type(event))
    if topic is None:
        return []
    return [member.person for member in control.members if _is_told(member, topic)]


def _is_told(member: c.Member, topic: Topic) -> bool:
    return member.role in (c.Role.OWNER, c.Role.ADMINISTRATOR) or topic in member.topics


def title(event: Any) -> str:
    """What happened, in a few words."""
    match event:
        case c.RestoreFinished():
            return "an archive was restored"
        case c.StreamActivated():
            return "a restore was undone"
        case c.CloneGiven():
            return "the account was copied"
        case c.CloneReceived():
            return "another account was copied into it"
        case c.ArchiveDownloaded():
            return "an archive was downloaded"
        case c.BackupFailed():
            return "a backup failed"
        case c.RehearsalFailed():
            return "a backup could not be restored in a rehearsal"
        case c.BackupDamaged():
            return "a backup is damaged, or gone"
        case c.AccountShrunk():
            return "the account has less than its timeline says"
        case c.Closed():
            return "the account was closed"
        case c.Reopened():
            return "the account was reopened"
        case c.ErasureAnnounced():
            return "the account is about to be erased"
    raise AssertionError(f"nobody is told of {type(event).__name__}")


def sentence(event: Any, who: str) -> str:
    """What happened, in a sentence; *who* did it."""
    match event:
        case c.RestoreFinished():
            how = "over the account" if event.mode == "overwrite" else "into the account, beside what it has"
            return (
                f"{who} restored the archive {event.archive} {how}: {_counts(event)} It lives in stream {event.stream}."
            )
        case c.StreamActivated():
            return f"{who} made stream {event.stream} live again in place of stream {event.retired}: {_counts(event)}"
        case c.CloneGiven():
            return f"{who} copied the account, up to position {event.position:,}, into the account {event.name!r}."
        case c.CloneReceived():
            return f"{who} copied the account {event.name!r} into this one: {_counts(event)}"
        case c.ArchiveDownloaded():
            return f"{who} downloaded the archive {event.file or event.archive}{_origin(event.address)}."
        case c.BackupFailed():
            return f"A backup by {who} failed: {event.reason.rstrip('.')}."
        case c.RehearsalFailed():
            return f"A rehearsal by {who} found that archive {event.archive} fails: {event.reason.rstrip('.')}."
        case c.BackupDamaged():
            return f"The backup {event.file} was read again, and is not what was taken: found {event.found}."
        case c.AccountShrunk():
            first = event.figures[0]
            more = f", and {event.figures_count - 1:,} more figures" if event.figures_count > 1 else ""
            return (
                f"Since backup {event.before}, the account lost what nothing on its timeline explains:"
                f" {first.figure} is {first.found}; expected {first.expected}{more}."
            )
        case c.Closed():
            until = f" {_erasure(event.erase_after)}" if event.erase_after else ""
            return f"{who} closed the account; it takes no more changes.{until}"
        case c.Reopened():
            return f"{who} reopened the account; it is not erased."
        case c.ErasureAnnounced():
            return f"The account is closed. {_erasure(event.erase_after)}"
    raise AssertionError(f"nobody is told of {type(event).__name__}")


def _counts(event: Any) -> str:
    said = f"{event.created:,} entities created, {event.replaced:,} replaced, {event.removed:,} removed."
    lost = len(event.lost_documents)
    return said + (f" {lost:,} issued documents are only in the stream that was replaced." if lost else "")


def _erasure(after: datetime) -> str:
    return (
        f"After {after:%Y-%m-%d %H:%M} UTC all that it holds is erased, its backups here as well;"
        " until then an owner can download a backup, or reopen it."
    )


def _origin(address: str | None) -> str:
    return f" from {address}" if address else ""
