"""What is asked of a job, as bodies give it. Passphrases and private keys are no part of what is kept."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from domain.entity import FieldRefused
from domain.kinds import Kind
from domain.parties import Value
from projections.moments import read_moment
from snapshots.cloning.cloning import CloneChoices
from snapshots.fresh.swap import Subscriptions
from snapshots.generations.undo import ActivationChoices
from snapshots.restoring.report import CustomFields, Doubles, Mode, Numbers, OnErrors, OnMeanwhile
from snapshots.restoring.restore import Choices
from snapshots.restoring.selecting import read_left_out
from snapshots.trust.encryption import Identities, Lock, Passphrase, Recipients, Unlock

SECRETS = ("passphrase", "identity")


class UnlockFields(Value, frozen=True, kw_only=True):
    """What opens an encrypted archive: its *passphrase*, or the *identity* (a private key) of one of its recipients."""

    passphrase: str | None = None
    identity: str | None = None


class BackupFields(Value, frozen=True, kw_only=True):
    """What to back up: a *stream*, live or retired (the live one), and *as_of* which position or time (its head).

    The archive is encrypted to the public keys *encrypt_to*, or with a *passphrase*.
    """

    stream: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    as_of: str | None = None
    encrypt_to: Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)] | None = None
    passphrase: str | None = None


class RehearsalFields(UnlockFields, frozen=True, kw_only=True):
    """Which backup to rehearse: the *archive* (default: the newest that is here and not encrypted).

    An encrypted one is opened by its *passphrase*, or by the *identity* (a private key) of one of its recipients.
    """

    archive: str | None = None


class RestoreFields(UnlockFields, frozen=True, kw_only=True):
    """How to restore: ``overwrite`` or ``add``; on faulty records ``abort`` or ``skip``; ``dry_run`` changes nothing.

    ``change_closed_periods`` lets documents in closed periods change; it is for the account's owner.
    ``from_other_account`` takes an archive of another account than this one. ``accept_edits`` takes files that were
    edited after the archive was signed. ``subscriptions``: ``hold`` those whose next date has passed, or ``moved``
    where this account replaces the archive's. When the account changed ``meanwhile``, overwriting refuses, or it
    discards the changes. The ``numbers`` of lost documents are not given out again, or are. ``custom_fields`` that the
    account does not define are reported, or defined. ``doubles``: what is added is matched, or customers merged too.
    ``user_map`` says whose events are which member's, by id or e-mail address; ``trust_attribution`` believes whom an
    archive names that no trusted key vouches for, and is for the account's owner. An encrypted archive is opened by its
    ``passphrase``, or by the ``identity`` (a private key) of one of its recipients.
    Adding, it can be about ``only`` some kinds, or ``only_entities`` by id, or what the restore of a report
    ``left_out`` (of it, the fields archive, outcome, errors, left_out and faults), each with what it needs. ``as_of``
    a position or time of the archive's timeline.
    """

    mode: Mode = "overwrite"
    errors: OnErrors = "abort"
    dry_run: bool = False
    change_closed_periods: bool = False
    from_other_account: bool = False
    subscriptions: Subscriptions = "hold"
    accept_edits: bool = False
    meanwhile: OnMeanwhile = "refuse"
    numbers: Numbers = "keep-series"
    user_map: dict[str, str] | None = None
    trust_attribution: bool = False
    only: tuple[Kind, ...] = ()
    only_entities: tuple[str, ...] = ()
    left_out: dict[str, Any] | None = None
    as_of: str | None = None
    custom_fields: CustomFields = "report"
    doubles: Doubles = "match"
    token: Annotated[str, Meta(max_length=200)] | None = None


class CloneFields(Value, frozen=True, kw_only=True):
    """Where to: ``into`` an account (its id or short name) or a ``new`` one of that name; and how.

    ``as_of``: which position or time (the present). ``account_at``: where a rehearsal found the account that is cloned
    into; when it is elsewhere by now, the clone is refused. ``change_closed_periods`` is for that account's owner.
    """

    into: str | None = None
    new: str | None = None
    as_of: str | None = None
    dry_run: bool = False
    account_at: str | None = None
    change_closed_periods: bool = False


class ActivationFields(Value, frozen=True, kw_only=True):
    """How to make a stream live again: ``dry_run`` changes nothing.

    ``change_closed_periods`` lets documents in closed periods change; it is for the account's owner. ``meanwhile``:
    ``refuse`` where the account changes while the streams are compared, or ``discard`` those changes. ``account_at``:
    where a rehearsal found the account; when it is elsewhere by now, nothing is changed.
    """

    dry_run: bool = False
    change_closed_periods: bool = False
    meanwhile: OnMeanwhile = "refuse"
    account_at: str | None = None


class PurgeFields(Value, frozen=True, kw_only=True):
    """``dry_run`` changes nothing."""

    dry_run: bool = False


class VerificationFields(UnlockFields, frozen=True, kw_only=True):
    """What to verify: a *stream*, live or retired (the live one), without its snapshots where ``log_only`` is true.

    ``against`` are archives to compare with: backups of the account, or what was sent for it, by their ids.
    Encrypted ones are opened by a ``passphrase``, or by an ``identity`` (a private key) of one of their recipients.
    """

    stream: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    log_only: bool = False
    against: Annotated[tuple[str, ...], Meta(max_length=20)] = ()


def lock_of(given: BackupFields) -> Lock | None:
    """What the backup is encrypted with, if with anything. Raises FieldRefused, KeyMaterialRefused."""
    if given.encrypt_to is not None and given.passphrase is not None:
        raise FieldRefused("passphrase", "it beside encrypt_to", "one of the two")
    if given.encrypt_to is not None:
        return Recipients(given.encrypt_to)
    return None if given.passphrase is None else Passphrase(given.passphrase)


def unlock_of(given: UnlockFields) -> Unlock | None:
    """What opens the archive, if anything was given. Raises FieldRefused for both, KeyMaterialRefused."""
    if given.identity is not None and given.passphrase is not None:
        raise FieldRefused("passphrase", "it beside identity", "one of the two")
    if given.identity is not None:
        return Identities([("identity", given.identity)])
    return None if given.passphrase is None else Passphrase(given.passphrase)


def restore_choices(given: RestoreFields) -> Choices:
    """The choices that *given* makes. Raises FieldRefused, and what reading a report or a moment does."""
    chosen = {name: value for name, value in msgspec.structs.asdict(given).items() if name in Choices._fields}
    chosen["left_out"] = None if given.left_out is None else read_left_out(given.left_out)
    chosen["as_of"] = None if given.as_of is None else read_moment(given.as_of)
    return Choices(**chosen)


def clone_choices(given: CloneFields) -> CloneChoices:
    """The choices that *given* makes. Raises FieldRefused."""
    if (given.into is None) == (given.new is None):
        found = "neither" if given.into is None else "both"
        raise FieldRefused("into", f"{found} of into and new", "one of the two")
    return CloneChoices(
        as_of=None if given.as_of is None else read_moment(given.as_of),
        dry_run=given.dry_run,
        change_closed_periods=given.change_closed_periods,
        account_at=given.account_at,
    )


def activation_choices(given: ActivationFields) -> ActivationChoices:
    """The choices that *given* makes."""
    return ActivationChoices(**msgspec.structs.asdict(given))
