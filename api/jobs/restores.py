"""Restores, clones and undo as jobs, and their rehearsals."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import BinaryIO

from api.bootstrap import limits
from api.http import files
from api.jobs.context import JobContext, JobKind
from api.jobs.requests import (
    ActivationFields,
    CloneFields,
    RestoreFields,
    activation_choices,
    clone_choices,
    restore_choices,
    unlock_of,
)
from domain.accounts import find_access
from domain.entity import converted
from domain.ids import PersonId
from snapshots.cloning.clone_report import CloneReport
from snapshots.cloning.cloning import NewAccount, clone_account
from snapshots.generations.stream_report import ActivationReport
from snapshots.generations.undo import activate
from snapshots.restoring.report import RestoreReport
from snapshots.restoring.restore import restore_archive


def _restore(context: JobContext) -> RestoreReport:
    asked = {**context.request, **context.secrets}
    archive = _archive(context, asked)
    given = converted(asked, RestoreFields)
    settings = context.installation.settings
    with archive as file:
        return restore_archive(
            context.application,
            context.access,
            context.actor,
            file,
            choices=restore_choices(given),
            limits=limits(settings),
            keys=context.installation.keys.ring(),
            unlock=unlock_of(given),
            progress=context.progress,
            keep=context.keep,
        )


def _archive(context: JobContext, asked: dict[str, object]) -> AbstractContextManager[BinaryIO]:
    """What is to be restored, taken out of what was *asked*. Raises FileUnknown where it is gone meanwhile."""
    settings = context.installation.settings
    if "backup" in asked:
        return files.backup_copy(context.application, settings, context.account, str(asked.pop("backup")))
    return files.sent_copy(settings, context.account, str(asked.pop("archive")))


def _clone(context: JobContext) -> CloneReport:
    wanted = converted(context.request, CloneFields)
    person = PersonId(context.actor.name.removeprefix("person:"))
    database = context.application.database
    target = NewAccount(wanted.new) if wanted.new is not None else find_access(database, person, wanted.into or "")
    return clone_account(
        context.application,
        context.access,
        context.actor,
        target,
        choices=clone_choices(wanted),
        progress=context.progress,
        keep=context.keep,
    )


def _activate(context: JobContext) -> ActivationReport:
    asked = dict(context.request)
    stream = asked.pop("stream")
    choices = activation_choices(converted(asked, ActivationFields))
    return activate(context.application, context.access, context.actor, stream, choices=choices, keep=context.keep)


RESTORE, CLONE, ACTIVATION = JobKind(_restore), JobKind(_clone), JobKind(_activate)
