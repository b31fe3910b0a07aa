"""The account's own history: access, settings, modules, custom fields, numbers given out, backups, restores, swaps.

Its control stream is never in an archive and never replaced by a restore. ``Control`` is its fold.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from domain.codes import Country, Currency, Language
from domain.custom_fields import CustomField, FieldKind, check_definition
from domain.entity import FieldRefused, NotPossible, changed_fields, partial
from domain.errors import AccessError, DomainError
from domain.ids import AccountId, EntityId, PersonId
from domain.kinds import DOCUMENT_KINDS
from domain.numbering import DEFAULT_FORMAT, check_format
from domain.parties import Name, Party, Text, Value

TimeZone = Annotated[str, Meta(pattern=r"^[A-Za-z_]+(/[A-Za-z_+-]+[0-9]*)*$", max_length=60)]


class Role(StrEnum):
    """What a person may do in an account."""

    OWNER = "owner"
    ADMINISTRATOR = "administrator"
    EDITOR = "editor"
    VIEWER = "viewer"
    AUDITOR = "auditor"


@dataclass(eq=False)
class RoleLacking(AccessError):
    """The person's role in the account does not allow it."""

    code: ClassVar[str] = "access.role-lacking"
    what: str
    role: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.what} is for {self.allowed}; you are {self.role}"


@dataclass(eq=False)
class AccountClosed(DomainError):
    """The account takes no more changes."""

    code: ClassVar[str] = "account.closed"

    def __str__(self) -> str:
        return "the account is closed and takes no changes"


class BackupRetention(Value, frozen=True, kw_only=True, omit_defaults=False):
    """Of how many days, weeks and months the last daily backup is kept; of those that have one."""

    daily: Annotated[int, Meta(ge=1, le=366)] = 14
    weekly: Annotated[int, Meta(ge=0, le=520)] = 8
    monthly: Annotated[int, Meta(ge=0, le=240)] = 12

    def __str__(self) -> str:
        return f"of {self.daily} days, {self.weekly} weeks and {self.monthly} months"


class SettingsFields(Value, frozen=True, kw_only=True):
    """What the account's data mean: its company, currency, numbers, and the day up to which its books are closed.

    ``time_zone`` decides which calendar day it is for the seller. ``closed_until`` is inclusive. ``retention_days``:
    how long streams that were retired are kept. ``backups_kept``: which of the daily backups are.
    """

    company: Party | None = None
    country: Country
    currency: Currency
    language: Language
    time_zone: TimeZone
    number_formats: dict[str, str] = {}
    closed_until: dt.date | None = None
    retention_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    backups_kept: BackupRetention = BackupRetention()


class Opened(Value, frozen=True, kw_only=True):
    """The account was opened with these settings."""

    name: Name
    settings: SettingsFields


class Renamed(Value, frozen=True, kw_only=True):
    """The account is called otherwise."""

    name: Name


class Closed(Value, frozen=True, kw_only=True):
    """The account takes no more changes, and is erased after a time; without one it is kept until it is closed anew."""

    reason: Text | None = None
    erase_after: dt.datetime | None = None


class Reopened(Value, frozen=True, kw_only=True):
    """The account that was closed takes changes again."""


class ErasureAnnounced(Value, frozen=True, kw_only=True):
    """Whoever has access was told when the account that is closed will be erased, a week before at the latest."""

    erase_after: dt.datetime


class Erased(Value, frozen=True, kw_only=True):
    """All that the account held is gone, and so is its history but for this: no personal data beyond ids.

    ``root`` (hexadecimal) is of the log up to ``position`` of the last live stream: what an archive that somebody kept
    can be held against.
    """

    opened_at: dt.datetime
    opened_by: str
    closed_at: dt.datetime
    closed_by: str
    announced_at: dt.datetime
    stream: int
    position: int
    root: str


class AccessGranted(Value, frozen=True, kw_only=True):
    """A person has access from now on."""

    person: PersonId
    name: Name
    email: Annotated[str, Meta(min_length=3, max_length=254)]
    role: Role


class AccessChanged(Value, frozen=True, kw_only=True):
    """A member's role is another one."""

    person: PersonId
    role: Role


class AccessRevoked(Value, frozen=True, kw_only=True):
    """A person has access no longer."""

    person: PersonId


SettingsChanged = partial(
    "SettingsChanged", SettingsFields, doc="Settings of the account changed: the whole new value of each."
)


class ModuleEnabled(Value, frozen=True, kw_only=True):
    """The account uses a module."""

    module: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class ModuleDisabled(Value, frozen=True, kw_only=True):
    """The account uses a module no longer."""

    module: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class NotificationsChanged(Value, frozen=True, kw_only=True):
    """What a person wants to be told of."""

    person: PersonId
    topics: tuple[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$")], ...]


class NumbersGiven(Value, frozen=True, kw_only=True):
    """The highest number per series that a stream gave out when it was retired: ``<kind>/<series>`` → number.

    ``missing`` are those, the first of them, that documents of that stream alone bear: what a gap is explained by.
    """

    stream: int
    highest: dict[str, int]
    missing: dict[str, tuple[str, ...]] = {}


class NumbersReused(Value, frozen=True, kw_only=True):
    """Numbers of a stream that was retired are given out again, per series from the lowest on.

    ``numbers`` are those, the first of them, that other documents of the retired stream bear.
    """

    stream: int
    lowest: dict[str, int]
    numbers: dict[str, tuple[str, ...]]


class CustomFieldDefined(CustomField, frozen=True, kw_only=True):
    """A custom field exists from now on."""


class CustomFieldChanged(CustomField, frozen=True, kw_only=True):
    """A custom field's label, type or choices are these from now on."""


class CustomFieldRemoved(Value, frozen=True, kw_only=True):
    """A custom field is shown no longer; values that entities have stay in their data."""

    kind: FieldKind
    key: str


class BackupTaken(Value, frozen=True, kw_only=True):
    """An archive was written: of which stream, up to which position, with which tree head (hexadecimal).

    ``daily``: by the service itself, read back and found sound; one of those that the retention rule is about.
    ``taken_at``: when, where that was not told then and its file was found later.
    """

    archive: str
    file: Text
    stream: int
    position: int
    root: str
    size: int
    sha256: str
    encrypted: bool = False
    daily: bool = False
    taken_at: dt.datetime | None = None


class BackupFailed(Value, frozen=True, kw_only=True):
    """No archive came about. ``attempts``: how often a daily backup was tried before it was left for the next night."""

    code: str
    reason: Annotated[str, Meta(max_length=2000)]
    attempts: int | None = None


class BackupsExpired(Value, frozen=True, kw_only=True):
    """Daily backups that the retention rule does not keep any longer: their files are deleted."""

    archives: tuple[str, ...]
    rule: BackupRetention


class FigureShrunk(Value, frozen=True, kw_only=True):
    """A count or sum of the account, as its timeline leads to it and as it is."""

    figure: Text
    expected: str
    found: str


class AccountShrunk(Value, frozen=True, kw_only=True):
    """An alarm: the account has less than at the backup before, and nothing on its timeline says why.

    ``archive``: the one in which that was found, of ``stream`` at ``position``; empty where that is not sound itself
    and was not kept. ``figures`` are the first of them.
    """

    archive: str | None = None
    before: str
    stream: int
    position: int
    figures: tuple[FigureShrunk, ...]
    figures_count: int


class BackupRehearsed(Value, frozen=True, kw_only=True):
    """An archive was built into a stream, found to be the same to the byte, and dropped again: it can be restored."""

    archive: str
    stream: int
    position: int
    root: str
    entities: int


class BackupDamaged(Value, frozen=True, kw_only=True):
    """An archive that is kept was read again, and is not what was taken, or not there: ``found`` says what it is."""

    archive: str
    file: Text
    found: Annotated[str, Meta(max_length=200)]


class RehearsalFailed(Value, frozen=True, kw_only=True):
    """An archive could not be built into a stream, or came out otherwise than it is."""

    archive: str
    code: str
    reason: Annotated[str, Meta(max_length=2000)]


class RestoreBegun(Value, frozen=True, kw_only=True):
    """A fresh stream is being built from an archive."""

    archive: str
    mode: Literal["overwrite", "add"]
    stream: int


class RestoreFinished(Value, frozen=True, kw_only=True):
    """The account lives in the restored stream from here on; counts of what was created, replaced, removed and lost.

    ``discarded`` counts the events that the retired stream got while the restore was at work. ``missing_numbers``: of
    each series that what was added carries on, ``<kind>/<series>``, the first numbers that this leaves out. ``as_of``:
    the position that the archive was restored at, where it was not its last. ``changed_closed_periods``: documents in
    closed periods changed, on the owner's word.
    """

    archive: str
    mode: Literal["overwrite", "add"]
    stream: int
    events: int
    skipped: int
    created: int
    replaced: int
    removed: int
    lost_documents: tuple[str, ...] = ()
    subscriptions: Literal["hold", "moved"] = "hold"
    discarded: int = 0
    missing_numbers: dict[str, tuple[str, ...]] = {}
    as_of: int | None = None
    changed_closed_periods: bool = False


class RestoreFailed(Value, frozen=True, kw_only=True):
    """A restore was refused or broke off; the account is as it was."""

    archive: str
    code: str
    reason: Annotated[str, Meta(max_length=2000)]


class CloneGiven(Value, frozen=True, kw_only=True):
    """A stream of the account, up to a position and with that root (hexadecimal), was copied into another account."""

    account: AccountId
    name: Text
    stream: int
    position: int
    root: str


class CloneReceived(Value, frozen=True, kw_only=True):
    """The account lives in a copy of another account's stream from here on; counts as a restore has them.

    ``numbers_given``: what the other account had given out, beside what its documents bear; numbers go on after that.
    """

    account: AccountId
    name: Text
    source_stream: int
    source_position: int
    source_root: str
    stream: int
    events: int
    paused: int = 0
    created: int = 0
    replaced: int = 0
    removed: int = 0
    lost_documents: tuple[str, ...] = ()
    changed_closed_periods: bool = False
    numbers_given: dict[str, int] = {}


class CloneFailed(Value, frozen=True, kw_only=True):
    """A clone was refused or broke off, and nothing was changed; *into* an account that was there or a new one."""

    source: AccountId
    into: Text
    code: str
    reason: Annotated[str, Meta(max_length=2000)]


class StreamSwapped(Value, frozen=True, kw_only=True):
    """The account points at another stream: *retired* was live, *live* is."""

    retired: int
    live: int
    head_position: int
    root: str


class StreamActivated(Value, frozen=True, kw_only=True):
    """A retired stream is live again, as it was; counts of what that created, replaced, removed and lost.

    ``discarded`` counts the events that the stream it replaces got while the two were compared.
    """

    stream: int
    retired: int
    events: int
    created: int
    replaced: int
    removed: int
    lost_documents: tuple[str, ...] = ()
    changed_closed_periods: bool = False
    discarded: int = 0


class ActivationFailed(Value, frozen=True, kw_only=True):
    """A retired stream could not be made live again; the account is as it was."""

    stream: int
    code: str
    reason: Annotated[str, Meta(max_length=2000)]


class StreamPurged(Value, frozen=True, kw_only=True):
    """A stream that no longer was live is gone, and why: somebody said so, its time was up, or there were too many.

    ``archive`` has it, where it had issued documents that the live stream lacked.
    """

    stream: int
    reason: Literal["asked", "retention", "quota"] | None = None
    archive: str | None = None


class InvoicedPeriod(Value, frozen=True, kw_only=True):
    """A subscription's period, from ``start`` up to before ``next_date``, and the document that invoiced it."""

    subscription: EntityId
    start: dt.date
    next_date: dt.date
    document: EntityId
    number: Text | None = None


class PeriodsInvoiced(Value, frozen=True, kw_only=True):
    """Periods that a stream invoiced and the live one did not: kept when it is purged, so that none is invoiced twice.

    A thousand at most an event.
    """

    stream: int
    periods: tuple[InvoicedPeriod, ...]


class ArchiveDownloaded(Value, frozen=True, kw_only=True):
    """An archive left the installation, as that file and to that network address."""

    archive: str
    file: Text | None = None
    address: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class AttributionTrusted(Value, frozen=True, kw_only=True):
    """The owner vouches for whom an archive that no trusted key vouches for names as the authors of its events."""

    archive: str
    stream: int


class PersonLinkConsented(Value, frozen=True, kw_only=True):
    """A member agrees that what *person* did, where events were brought in, is theirs."""

    person: PersonId
    to: PersonId


class PersonLinked(Value, frozen=True, kw_only=True):
    """What *person* did, where events were brought in, is linked to the member *to*: it is the same person, they agreed
    to it, or the account's owner gave their word for it.
    """

    person: PersonId
    to: PersonId
    ground: Literal["same_person", "consent", "owner"]


class PersonUnlinked(Value, frozen=True, kw_only=True):
    """What *person* did is linked to nobody else any more but to whoever brought it in."""

    person: PersonId


class Member(Value, frozen=True, kw_only=True):
    """A person with access."""

    person: PersonId
    name: str
    email: str
    role: Role
    topics: tuple[str, ...] = ()


class Control(Value, frozen=True, kw_only=True):
    """The account as its control stream tells it."""

    account: AccountId
    name: str
    opened_at: dt.datetime
    closed: bool = False
    erase_after: dt.datetime | None = None
    erasure_announced: bool = False
    settings: SettingsFields
    members: tuple[Member, ...] = ()
    modules: tuple[str, ...] = ()
    custom_fields: tuple[CustomField, ...] = ()
    numbers_given: dict[str, int] = {}
    links: dict[PersonId, PersonId] = {}
    consents: tuple[tuple[PersonId, PersonId], ...] = ()

    def member(self, person: PersonId) -> Member | None:
        """The membership of *person*, or None without access."""
        return next((member for member in self.members if member.person == person), None)

    def local_day(self, at: dt.datetime) -> dt.date:
        """The day on the seller's calendar at a moment."""
        return at.astimezone(ZoneInfo(self.settings.time_zone)).date()

    def defined_fields(self) -> dict[tuple[str, str], CustomField]:
        """The custom fields by kind and key."""
        return {(field.kind, field.key): field for field in self.custom_fields}

    def number_format(self, kind: str) -> str:
        """The format of the numbers of documents of *kind*."""
        return self.settings.number_formats.get(kind, DEFAULT_FORMAT)


CONTROL_EVENTS: dict[str, type[Value]] = {
    "account.opened": Opened,
    "account.renamed": Renamed,
    "account.closed": Closed,
    "account.reopened": Reopened,
    "account.erasure_announced": ErasureAnnounced,
    "account.erased": Erased,
    "access.granted": AccessGranted,
    "access.changed": AccessChanged,
    "access.revoked": AccessRevoked,
    "settings.changed": SettingsChanged,
    "module.enabled": ModuleEnabled,
    "module.disabled": ModuleDisabled,
    "notifications.changed": NotificationsChanged,
    "numbers.given": NumbersGiven,
    "numbers.reused": NumbersReused,
    "custom_field.defined": CustomFieldDefined,
    "custom_field.changed": CustomFieldChanged,
    "custom_field.removed": CustomFieldRemoved,
    "backup.taken": BackupTaken,
    "backup.failed": BackupFailed,
    "backups.expired": BackupsExpired,
    "backup.rehearsed": BackupRehearsed,
    "rehearsal.failed": RehearsalFailed,
    "backup.damaged": BackupDamaged,
    "account.shrunk": AccountShrunk,
    "restore.begun": RestoreBegun,
    "restore.finished": RestoreFinished,
    "restore.failed": RestoreFailed,
    "clone.given": CloneGiven,
    "clone.received": CloneReceived,
    "clone.failed": CloneFailed,
    "stream.swapped": StreamSwapped,
    "stream.activated": StreamActivated,
    "activation.failed": ActivationFailed,
    "stream.purged": StreamPurged,
    "periods.invoiced": PeriodsInvoiced,
    "archive.downloaded": ArchiveDownloaded,
    "attribution.trusted": AttributionTrusted,
    "person.link_consented": PersonLinkConsented,
    "person.linked": PersonLinked,
    "person.unlinked": PersonUnlinked,
}
# Who may look into a closed account can still change, and so can what became of its archives.
_CHANGES_OF_AN_OPEN_ACCOUNT = (
    Renamed,
    Closed,
    SettingsChanged,
    ModuleEnabled,
    ModuleDisabled,
    CustomField,
    CustomFieldRemoved,
    RestoreBegun,
    CloneReceived,
    StreamSwapped,
    StreamActivated,
)
_ADMINISTERED = (
    Renamed,
    Closed,
    Reopened,
    AccessGranted,
    AccessChanged,
    AccessRevoked,
    SettingsChanged,
    ModuleEnabled,
    ModuleDisabled,
    CustomField,
    CustomFieldRemoved,
)
CONTROL_TYPES: dict[type[Value], str] = {data: name for name, data in CONTROL_EVENTS.items()}


def open_account(event: Opened, account: AccountId, at: dt.datetime) -> Control:
    """The account after its first event."""
    return Control(account=account, name=event.name, opened_at=at, settings=event.settings)


def evolve(control: Control, event: Any) -> Control:
    """The account after *event*. Total: what was recorded is never judged again."""
    replace = msgspec.structs.replace
    match event:
        case Renamed():
            return replace(control, name=event.name)
        case Closed():
            return replace(control, closed=True, erase_after=event.erase_after, erasure_announced=False)
        case Reopened():
            return replace(control, closed=False, erase_after=None, erasure_announced=False)
        case ErasureAnnounced():
            return replace(control, erase_after=event.erase_after, erasure_announced=True)
        case Erased():
            bare = SettingsFields(
                country=control.settings.country,
                currency=control.settings.currency,
                language=control.settings.language,
                time_zone=control.settings.time_zone,
            )
            opened = Opened(name="", settings=bare)
            return replace(open_account(opened, control.account, control.opened_at), closed=True)
        case AccessGranted():
            member = Member(person=event.person, name=event.name, email=event.email, role=event.role)
            return replace(control, members=(*_without(control, event.person), member))
        case AccessChanged():
            return replace(control, members=_with(control, event.person, role=event.role))
        case AccessRevoked():
            return replace(control, members=tuple(_without(control, event.person)))
        case NotificationsChanged():
            return replace(control, members=_with(control, event.person, topics=event.topics))
        case ModuleEnabled():
            return replace(control, modules=tuple(sorted({*control.modules, event.module})))
        case ModuleDisabled():
            return replace(control, modules=tuple(name for name in control.modules if name != event.module))
        case NumbersGiven():
            return replace(control, numbers_given=highest_of(control.numbers_given, event.highest))
        case CloneReceived():
            return replace(control, numbers_given=highest_of(control.numbers_given, event.numbers_given))
        case NumbersReused():
            given = {
                series: min(number, event.lowest.get(series, number + 1) - 1)
                for series, number in control.numbers_given.items()
            }
            return replace(control, numbers_given=given)
        case CustomField():
            made = CustomField(**{name: getattr(event, name) for name in CustomField.__struct_fields__})
            return replace(control, custom_fields=(*_other_fields(control, event.kind, event.key), made))
        case CustomFieldRemoved():
            return replace(control, custom_fields=tuple(_other_fields(control, event.kind, event.key)))
        case PersonLinkConsented():
            return replace(control, consents=tuple(dict.fromkeys((*control.consents, (event.person, event.to)))))
        case PersonLinked():
            return replace(control, links={**control.links, event.person: event.to})
        case PersonUnlinked():
            links = {person: to for person, to in control.links.items() if person != event.person}
            return replace(
                control, links=links, consents=tuple(one for one in control.consents if one[0] != event.person)
            )
    if isinstance(event, SettingsChanged):
        return replace(control, settings=replace(control.settings, **changed_fields(event)))
    return control  # a backup, a restore, a swap: history that changes nothing of what the account is


def highest_of(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """The higher number of each series of either."""
    return {series: max(before.get(series, 0), now.get(series, 0)) for series in {**before, **now}}


def _without(control: Control, person: PersonId) -> list[Member]:
    return [member for member in control.members if member.person != person]


def _with(control: Control, person: PersonId, **changes: Any) -> tuple[Member, ...]:
    return tuple(
        msgspec.structs.replace(member, **changes) if member.person == person else member for member in control.members
    )


def _other_fields(control: Control, kind: str, key: str) -> list[CustomField]:
    return [field for field in control.custom_fields if (field.kind, field.key) != (kind, key)]


def check_writes(role: Role, what: str) -> None:
    """That a person in *role* may change what the account holds. Raises RoleLacking, naming *what* they wanted."""
    if role in (Role.VIEWER, Role.AUDITOR):
        raise RoleLacking(what, role.value, "owners, administrators and editors")


def check_member(control: Control, person: PersonId, event: Any) -> None:
    """That *person*, by whom *event* is, may still do that by their role in *control*. Raises RoleLacking.

    Owners make and unmake owners; an account that has no member yet is being opened by whoever will own it.
    """
    if not isinstance(event, _ADMINISTERED) or not control.members:
        return
    member = control.member(person)
    role = member.role if member else None
    if role not in (Role.OWNER, Role.ADMINISTRATOR):
        raise RoleLacking("administering the account", role.value if role else "no member", "owners and administrators")
    if isinstance(event, (Closed, Reopened)) and role is not Role.OWNER:
        raise RoleLacking("closing or reopening the account", role.value, "owners")
    if isinstance(event, (AccessGranted, AccessChanged, AccessRevoked)) and role is not Role.OWNER:
        subject = control.member(event.person)
        if Role.OWNER in (getattr(event, "role", None), subject.role if subject else None):
            raise RoleLacking("making somebody an owner, or no longer one,", role.value, "owners")


def admit(control: Control, event: Any) -> None:
    """The rules of an account's own history. Raises AccountClosed, NotPossible or FieldRefused."""
    if control.closed and isinstance(event, _CHANGES_OF_AN_OPEN_ACCOUNT):
        raise AccountClosed
    match event:
        case Reopened() if not control.closed:
            raise NotPossible("account", "reopened", "open", "it is closed")
        case ErasureAnnounced() | Erased() if control.erase_after is None:
            raise NotPossible("account", "erased", "not to be erased", "it was closed, with the day of its erasure")
        case AccessGranted():
            if control.member(event.person):
                raise NotPossible("member", "added", "a member", "the person has no access yet")
        case AccessChanged() | AccessRevoked() | NotificationsChanged():
            _check_member(control, event)
        case PersonLinked() | PersonLinkConsented():
            if control.member(event.to) is None:
                raise NotPossible("person", "linked", "no member", "whom it is linked to has access")
        case PersonUnlinked():
            if event.person not in control.links and all(of != event.person for of, _ in control.consents):
                raise NotPossible("person", "unlinked", "linked to nobody", "it was linked, or a member agreed to it")
        case CustomFieldDefined():
            check_definition(event)
            if (event.kind, event.key) in control.defined_fields():
                raise FieldRefused("key", event.key, f"a key that no other field of {event.kind} has")
        case CustomFieldChanged():
            check_definition(event)
            _check_field(control, event.kind, event.key)
        case CustomFieldRemoved():
            _check_field(control, event.kind, event.key)
        case Opened():
            _check_settings(event.settings)
    if isinstance(event, SettingsChanged):
        _check_settings(evolve(control, event).settings)


def _check_member(control: Control, event: Any) -> None:
    if control.member(event.person) is None:
        raise NotPossible("member", "changed", "no member", "the person has access")
    demoted = isinstance(event, AccessRevoked) or (isinstance(event, AccessChanged) and event.role is not Role.OWNER)
    owners = [member.person for member in control.members if member.role is Role.OWNER]
    if demoted and owners == [event.person]:
        raise NotPossible("member", "removed", "the only owner", "the account has another owner")


def _check_field(control: Control, kind: str, key: str) -> None:
    if (kind, key) not in control.defined_fields():
        raise FieldRefused("key", key, f"a custom field that is defined for {kind}")


def _check_settings(settings: SettingsFields) -> None:
    try:
        ZoneInfo(settings.time_zone)
    except (KeyError, ValueError, OSError):  # unknown, no key at all, or a folder of zones
        raise FieldRefused("time_zone", settings.time_zone, "a time zone such as Europe/Brussels") from None
    for kind, text in settings.number_formats.items():
        if kind not in DOCUMENT_KINDS:
            raise FieldRefused("number_formats", kind, f"one of {', '.join(one.value for one in DOCUMENT_KINDS)}")
        check_format(text)
