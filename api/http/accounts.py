"""People and accounts: who asks, which accounts are theirs, and what of an account is in none of its streams."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path
from psycopg import Connection
from starlette.responses import Response

from api.http import replies
from api.http.actions import NoFields
from api.http.bodies import Fields, OptionalFields
from api.http.caller import Asking, Caller, Inside
from api.http.errors import FileUnknown
from api.http.schemas import body_of
from domain import control as c
from domain.accounts import (
    Access,
    Person,
    accounts_of,
    add_member,
    close_account,
    open_account,
    remove_member,
    reopen_account,
)
from domain.custom_fields import CustomField, FieldKind
from domain.entity import FieldRefused, converted
from domain.ids import AccountId
from domain.parties import Name, Text, Value
from domain.store.database import Row

people = APIRouter(prefix="/people", tags=["people"])
router = APIRouter(prefix="/accounts", tags=["accounts"])
inside = APIRouter(prefix="/accounts/{account}", tags=["accounts"])


class OpenFields(Value, frozen=True, kw_only=True):
    """The account to open: its name and settings."""

    name: Name
    settings: c.SettingsFields


class AccountChange(Value, frozen=True, kw_only=True):
    """What of an account is to be otherwise."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    settings: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class CloseFields(Value, frozen=True, kw_only=True):
    """Why the account is closed."""

    reason: Text | None = None


class MemberFields(Value, frozen=True, kw_only=True):
    """Who gets access, and in which role; *name* counts where the person is new here."""

    email: str
    name: Name | None = None
    role: c.Role


class RoleFields(Value, frozen=True, kw_only=True):
    """A member's role from now on."""

    role: c.Role


class FieldChange(Value, frozen=True, kw_only=True):
    """A custom field's label, type and choices from now on."""

    label: Name
    type: Literal["text", "number", "money", "date", "yes_no", "choice"]
    choices: tuple[Name, ...] = ()


class AccountListed(msgspec.Struct, frozen=True):
    """An account in the list of a person's accounts."""

    id: AccountId
    slug: str
    name: str
    role: c.Role
    closed: bool


class AccountShown(AccountListed, frozen=True):
    """An account as it is."""

    opened_at: datetime
    erase_after: datetime | None
    settings: c.SettingsFields
    modules: tuple[str, ...]
    members: tuple[c.Member, ...]
    custom_fields: tuple[CustomField, ...]


@people.get("/me", summary="Who the token belongs to")
def me(asking: Asking) -> Response:
    """The person that the token belongs to."""
    return replies.json({"id": asking.person.id, "email": asking.person.email, "name": asking.person.name})


@router.get("", summary="List the accounts that are yours")
def list_accounts(asking: Asking) -> Response:
    """The accounts that the person has access to, by slug; the one that the token is for, where it is for one."""
    found, only = accounts_of(asking.application.database, asking.person.id), asking.credential.only_account
    return replies.json({"items": [_listed(access) for access in found if only in (None, access.account)]})


@router.post("", status_code=201, summary="Open an account", openapi_extra=body_of(OpenFields))
def open_one(asking: Asking, fields: Fields) -> Response:
    """Open an account that the person owns."""
    wanted = converted(fields, OpenFields)

    def opened(access: Access) -> Response:
        location = {"Location": f"/v1/accounts/{access.account}"}
        return replies.json(_shown(access, access.control), status=201, headers=location)

    def keep(connection: Connection[Row], access: Access) -> None:
        asking.keep(connection, opened(access))

    return opened(open_account(asking.application, wanted.name, asking.person, wanted.settings, via="api", beside=keep))


@inside.get("", summary="Show an account")
def show(asking: Inside) -> Response:
    """The account's name, settings, modules, members and custom fields."""
    return replies.json(_shown(asking.access, asking.access.control))


@inside.patch("", summary="Rename an account, change its settings", openapi_extra=body_of(AccountChange))
def change(asking: Inside, fields: Fields) -> Response:
    """Rename the account, change some of its settings, or both."""
    wanted = converted(fields, AccountChange)
    events: list[Value] = []
    if wanted.name is not msgspec.UNSET:
        events.append(c.Renamed(name=wanted.name))
    if wanted.settings is not msgspec.UNSET:
        events.append(_settings_change(wanted.settings))

    def changed(control: c.Control) -> Response:
        return replies.json(_shown(asking.access, control))

    if not events:
        return changed(asking.access.control)
    return asking.administrate("changing the account", *events, answer=changed)


@inside.post(
    "/close",
    summary="Close an account: it takes no more changes, and is erased later",
    openapi_extra=body_of(CloseFields),
)
def close(asking: Inside, fields: OptionalFields) -> Response:
    """Let the account take no more changes, and be erased after the days that the settings say."""
    wanted = converted(fields, CloseFields)

    def closed(control: c.Control) -> Response:
        return replies.json(_shown(asking.access, control))

    control = close_account(
        asking.application,
        asking.access,
        asking.actor,
        reason=wanted.reason,
        kept_days=asking.settings.closed_account_days,
        beside=lambda connection, control: asking.keep(connection, closed(control)),
    )
    return closed(control)


@inside.post("/reopen", summary="Reopen an account that was closed")
def reopen(asking: Inside, fields: OptionalFields) -> Response:
    """Let the account take changes again; it is not erased."""
    converted(fields, NoFields)

    def reopened(control: c.Control) -> Response:
        return replies.json(_shown(asking.access, control))

    control = reopen_account(
        asking.application,
        asking.access,
        asking.actor,
        beside=lambda connection, control: asking.keep(connection, reopened(control)),
    )
    return reopened(control)


@inside.get("/members", tags=["members"], summary="List who has access")
def list_members(asking: Inside) -> Response:
    """Who has access to the account."""
    return replies.json({"items": asking.access.control.members})


@inside.post("/members", tags=["members"], status_code=201, summary="Give access", openapi_extra=body_of(MemberFields))
def add(asking: Inside, fields: Fields) -> Response:
    """Give a person access, known or new."""
    wanted = converted(fields, MemberFields)

    def added(person: Person) -> Response:
        member = c.Member(person=person.id, name=person.name, email=person.email, role=wanted.role)
        return replies.json(member, status=201, headers={"Location": f"/v1/accounts/{asking.access.account}/members"})

    def keep(connection: Connection[Row], person: Person) -> None:
        asking.keep(connection, added(person))

    return added(
        add_member(
            asking.application,
            asking.access,
            asking.actor,
            email=wanted.email,
            name=wanted.name,
            role=wanted.role,
            beside=keep,
        )
    )


@inside.get("/members/{person}", tags=["members"], summary="Show a member")
def show_member(asking: Inside, person: str) -> Response:
    """A member, with their role."""
    return replies.json(_member(asking, person))


@inside.patch(
    "/members/{person}", tags=["members"], summary="Give a member another role", openapi_extra=body_of(RoleFields)
)
def change_role(asking: Inside, person: str, fields: Fields) -> Response:
    """Give a member another role."""
    member = _member(asking, person)
    wanted = converted(fields, RoleFields)
    changed = c.AccessChanged(person=member.person, role=wanted.role)
    return asking.administrate(
        "changing a role", changed, answer=lambda control: replies.json(control.member(member.person))
    )


@inside.delete("/members/{person}", tags=["members"], status_code=204, summary="Take access away")
def remove(asking: Inside, person: str) -> Response:
    """Take a member's access away."""
    member = _member(asking, person)
    remove_member(asking.application, asking.access, asking.actor, email=member.email)
    return replies.nothing()


@inside.get("/custom-fields", tags=["custom fields"], summary="List the custom fields")
def list_fields(asking: Inside) -> Response:
    """The custom fields that the account defines."""
    return replies.json({"items": asking.access.control.custom_fields})


@inside.post(
    "/custom-fields",
    tags=["custom fields"],
    status_code=201,
    summary="Define a custom field",
    openapi_extra=body_of(c.CustomFieldDefined),
)
def define_field(asking: Inside, fields: Fields) -> Response:
    """Define a custom field of a kind, or of documents' lines."""
    defined = converted(fields, c.CustomFieldDefined)
    location = f"/v1/accounts/{asking.access.account}/custom-fields/{defined.kind}/{defined.key}"
    answer = replies.json(defined, status=201, headers={"Location": location})
    return asking.administrate("defining a custom field", defined, answer=lambda _: answer)


@inside.get("/custom-fields/{kind}/{key}", tags=["custom fields"], summary="Show a custom field")
def show_field(asking: Inside, kind: FieldKind, key: str) -> Response:
    """A custom field as it is defined."""
    _check_field(asking, kind, key)
    return replies.json(asking.access.control.defined_fields()[kind, key])


@inside.put(
    "/custom-fields/{kind}/{key}",
    tags=["custom fields"],
    summary="Change a custom field",
    openapi_extra=body_of(FieldChange),
)
def change_field(asking: Inside, kind: FieldKind, key: str, fields: Fields) -> Response:
    """Give a custom field another label, type or choices."""
    _check_field(asking, kind, key)
    wanted = converted(fields, FieldChange)
    changed = c.CustomFieldChanged(kind=kind, key=key, label=wanted.label, type=wanted.type, choices=wanted.choices)
    return asking.administrate("changing a custom field", changed, answer=lambda _: replies.json(changed))


@inside.delete("/custom-fields/{kind}/{key}", tags=["custom fields"], status_code=204, summary="Remove a custom field")
def remove_field(asking: Inside, kind: FieldKind, key: str) -> Response:
    """Show a custom field no longer; values that entities have stay."""
    _check_field(asking, kind, key)
    removed = c.CustomFieldRemoved(kind=kind, key=key)
    return asking.administrate("removing a custom field", removed, answer=lambda _: replies.nothing())


@inside.get("/modules", tags=["modules"], summary="List the modules in use")
def list_modules(asking: Inside) -> Response:
    """The modules that the account uses."""
    return replies.json({"items": asking.access.control.modules})


_Module = Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


@inside.put("/modules/{module}", tags=["modules"], status_code=204, summary="Use a module")
def enable(asking: Inside, module: _Module) -> Response:
    """Use a module; again changes nothing."""
    if module not in asking.access.control.modules:
        enabled = c.ModuleEnabled(module=module)
        return asking.administrate("enabling a module", enabled, answer=lambda _: replies.nothing())
    return replies.nothing()


@inside.delete("/modules/{module}", tags=["modules"], status_code=204, summary="Use a module no longer")
def disable(asking: Inside, module: _Module) -> Response:
    """Use a module no longer; again changes nothing."""
    if module in asking.access.control.modules:
        disabled = c.ModuleDisabled(module=module)
        return asking.administrate("disabling a module", disabled, answer=lambda _: replies.nothing())
    return replies.nothing()


def _settings_change(settings: dict[str, Any]) -> Value:
    """The change that *settings* ask for. Raises FieldRefused, which names the field as the whole body has it."""
    try:
        return converted(settings, c.SettingsChanged)
    except FieldRefused as wrong:
        within = "settings" if wrong.field == "the body" else f"settings.{wrong.field}"
        raise FieldRefused(within, wrong.found, wrong.expected) from None


def _member(asking: Caller, person: str) -> c.Member:
    found = next((member for member in asking.access.control.members if member.person == person), None)
    if found is None:
        raise FileUnknown("member", person)
    return found


def _check_field(asking: Caller, kind: str, key: str) -> None:
    if (kind, key) not in asking.access.control.defined_fields():
        raise FileUnknown(f"custom field of {kind}", key)


def _listed(access: Access) -> AccountListed:
    return AccountListed(access.account, access.slug, access.control.name, access.role, access.control.closed)


def _shown(access: Access, control: c.Control) -> AccountShown:
    return AccountShown(
        id=access.account,
        slug=access.slug,
        name=control.name,
        role=access.role,
        closed=control.closed,
        opened_at=control.opened_at,
        erase_after=control.erase_after,
        settings=control.settings,
        modules=control.modules,
        members=control.members,
        custom_fields=control.custom_fields,
    )
