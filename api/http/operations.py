"""What the OpenAPI document says of each operation beside what its code says: its id, what it answers, and an example.

A route without a line here fails ``tests/unit/test_openapi.py``, which says what to write. The ids name the functions
of generated clients, and stay as they are; each example is sent to a real server by
``tests/end_to_end/test_openapi_examples.py``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import Struct

from api.http import account_settings, accounts, actions, credentials, files, keys, related, resumable
from api.http.schemas import COLLECTIONS, SCHEMAS
from api.jobs.shown import JobListed, JobShown
from api.ubl import ImportReport
from domain import control as c
from domain.credentials import SignIn, Token
from domain.custom_fields import CustomField
from domain.documents.fields import Attachment
from domain.due import Periods
from domain.ids import PersonId
from domain.kinds import Kind
from domain.people import Named
from domain.rules import RULES
from projections.notices import NoticesPage
from projections.timeline import TimelinePage
from snapshots.daily.status import BackupStatus
from snapshots.generations.stream_report import StreamListed, StreamShown
from snapshots.proving.proofs import Consistency, Inclusion
from snapshots.reading.inspection import Inspection


class Items(NamedTuple):
    """An answer that is ``{"items": […]}``; with *stream* and a ``Link`` to the next page when it is a page."""

    of: Any
    is_page: bool = False


class File(NamedTuple):
    """An answer that is a file, of one of these media types."""

    media_types: tuple[str, ...]


class Operation(NamedTuple):
    """What is said of an operation: *answer* is what a success holds (None: nothing), *example* a body that works.

    *headers* are those of a success beside the ones that follow from what it is; *also* are other statuses of success;
    *description* stands for the docstring of an endpoint that is made at run time.
    """

    id: str
    answer: Any = None
    example: dict[str, Any] | None = None
    headers: tuple[str, ...] = ()
    also: tuple[int, ...] = ()
    description: str | None = None


class Me(Struct, frozen=True):
    """Who the token belongs to."""

    id: PersonId
    email: str
    name: str


class NoticesLeft(Struct, frozen=True):
    """How many notices are left to read."""

    unread: int


class Topics(Struct, frozen=True):
    """What a member asked to be told of."""

    topics: tuple[str, ...]


class Link(Struct, frozen=True):
    """What came of a link: from whom to whom, on what ground (none: it was taken back), and in how many segments."""

    person: PersonId
    to: PersonId | None
    ground: str | None
    segments: int


# The ids of an example, which stand for what the reader has.
CUSTOMER = "01a20cc9-0000-7000-8000-000000000001"
OTHER = "01a20cc9-0000-7000-8000-000000000002"
STREAM_POSITION = "1.3"
_LINE = {
    "line_id": "1",
    "name": "Oak table",
    "quantity": "2",
    "unit": "C62",
    "net_price": "349.00",
    "vat": {"category": "S", "rate": "21"},
}
_PARTY = {
    "name": "Van Dijk Interieur BV",
    "vat_identifier": "BE0428759497",
    "address": {"lines": ["Kaai 12"], "city": "Gent", "post_code": "9000", "country": "BE"},
    "contact": {"name": "Els van Dijk", "email": "els@example.com"},
}
_MAKE: dict[Kind, dict[str, Any]] = {
    Kind.CUSTOMER: {"number": "C-1001", "party": _PARTY, "payment_terms": {"days": 30}},
    Kind.ITEM: {
        "number": "TABLE-OAK",
        "name": "Oak table",
        "unit": "C62",
        "net_price": "349.00",
        "vat": {"category": "S", "rate": "21"},
    },
    Kind.LAYOUT: {
        "name": "Plain",
        "document_kinds": ["invoice", "credit_note"],
        "language": "en",
        "template": {"fields": ["number", "issue_date", "lines", "totals"], "colour": "#224466"},
    },
    Kind.LEDGER_ACCOUNT: {"number": "8000", "name": "Sales", "type": "income"},
    Kind.QUOTE: {"customer": CUSTOMER, "issue_date": "2026-01-31", "valid_until": "2026-02-28", "lines": [_LINE]},
    Kind.SUBSCRIPTION: {
        "customer": CUSTOMER,
        "lines": [_LINE],
        "interval": {"n": 1, "unit": "months"},
        "next_date": "2026-02-01",
    },
}
_CHANGE: dict[Kind, dict[str, Any]] = {
    Kind.CUSTOMER: {"notes": "Pays on time.", "payment_terms": {"days": 14}},
    Kind.ITEM: {"net_price": "359.00"},
    Kind.LAYOUT: {"name": "Plain, without colour"},
    Kind.LEDGER_ACCOUNT: {"name": "Sales at home"},
    Kind.SUBSCRIPTION: {"until": "2027-01-31"},
}
_ACT: dict[str, dict[str, Any]] = {
    "merge": {"into": OTHER},
    "pause": {"reason": "Away for the summer"},
    "resume": {"next_date": "2026-09-01"},
    "end": {"reason": "Moved away"},
    "issue": {"issue_date": "2026-01-31"},
    "sent": {"how": "email", "recipients": ["els@example.com"]},
    "payments": {"date": "2026-02-14", "amount": "100.00", "means": "30", "reference": "C-1001"},
    "reminders": {"level": 1, "date": "2026-03-15"},
    "accepted": {"date": "2026-02-03", "signed_by": "Els van Dijk"},
    "declined": {"date": "2026-02-03", "reason": "Found it cheaper"},
    "expired": {"date": "2026-03-01"},
    "delivered": {"date": "2026-02-05", "signed_by": "Els van Dijk"},
    "cancel": {"date": "2026-02-05", "reason": "Ordered twice"},
}
_CONVERT_TO = {
    Kind.QUOTE: "purchase_order",
    Kind.PURCHASE_ORDER: "delivery_note",
    Kind.DELIVERY_NOTE: "invoice",
}
_VERBS = {
    "sent": "mark_{}_sent",
    "payments": "register_{}_payment",
    "reminders": "record_{}_reminder",
    "accepted": "mark_{}_accepted",
    "declined": "mark_{}_declined",
    "expired": "mark_{}_expired",
    "delivered": "mark_{}_delivered",
    "invoice-period": "invoice_{}_period",
}
_LIST = "A page at a time, as they are, or as they were at a position or a time."
_READ = "As it is, or as it was at a position or a time."
_MAKING = "Answered with what was made, and its address; what the body lacks and the account's settings say is theirs."
_CHANGING = "Sets the fields that are given; null takes an optional one away, and a list is set as a whole."
_DELETING = "It is no longer there; the timeline goes on telling of it."
_ACTING = "Answered with the entity as it is after it."
_ATTACHING = "The body is the file, under its own media type; what it is called is in the address."
_DOWNLOADING = "To be saved, never shown."
_PAYMENTS = "Those that turned out not to stand are on the timeline."
_RELATED = "Each with its kind, number and state by now, and its address; of one that is no longer there the id alone."
_OWED = "By due date; what is late is so by the seller's calendar."
_PERIODS = "What has begun and cannot be invoiced says why."
_INVOICING = "A job; each period is invoiced at most once, however often or at once this is asked."
_JOB_MADE = ("Location", "ETag", "Retry-After")
_STATE_OF_MAKING = {"credit": Kind.CREDIT_NOTE, "invoice-period": Kind.INVOICE, "convert": Kind.INVOICE}


def _of_kind(kind: Kind) -> dict[str, Operation]:
    """The operations of a collection."""
    at = f"/v1/accounts/{{account}}/{COLLECTIONS[kind]}"
    one, plural = kind.value, COLLECTIONS[kind].replace("-", "_")
    state = SCHEMAS[kind].state
    make = _MAKE.get(kind, {"customer": CUSTOMER, "issue_date": "2026-01-31", "lines": [_LINE]})
    change = _CHANGE.get(kind, {"buyer_reference": "PO-4711"})
    events = RULES[kind].events
    item = f"{at}/{{entity}}"
    found = {
        f"GET {at}": Operation(f"list_{plural}", Items(state, is_page=True), description=_LIST),
        f"POST {at}": Operation(f"make_{one}", state, make, description=_MAKING),
        f"GET {item}": Operation(f"read_{one}", state, description=_READ),
        f"PATCH {item}": Operation(f"change_{one}", state, change, description=_CHANGING),
    }
    if "deleted" in events or "draft_deleted" in events:
        found[f"DELETE {item}"] = Operation(f"delete_{one}", description=_DELETING)
    for action in actions.of(kind):
        found[f"POST {item}/{action.path}"] = _of_action(kind, action)
    if "payment_reversed" in events:
        example = {"date": "2026-02-20", "reason": "Charged back by the bank"}
        reverse = Operation(f"reverse_{one}_payment", state, example, description=_ACTING)
        found[f"POST {item}/payments/{{payment}}/reverse"] = reverse
    if kind in related.PAYABLE:
        found[f"GET {item}/payments"] = Operation(f"list_{one}_payments", related.Payments, description=_PAYMENTS)
    if kind is Kind.CUSTOMER:
        found[f"GET {item}/statement"] = Operation("read_customer_statement", related.Statement, description=_OWED)
    if kind is Kind.SUBSCRIPTION:
        found[f"GET {item}/periods"] = Operation("list_subscription_periods", Periods, description=_PERIODS)
        invoicing = Operation("invoice_due_periods", JobShown, headers=_JOB_MADE, description=_INVOICING)
        found[f"POST {at}/invoice-due"] = invoicing
    if kind.is_document:
        found[f"GET {item}/related"] = Operation(f"read_{one}_relations", related.Relations, description=_RELATED)
        of = f"{item}/attachments"
        attach = Operation(f"attach_to_{one}", Attachment, headers=("ETag",), description=_ATTACHING)
        download = Operation(f"download_{one}_attachment", File(("*/*",)), description=_DOWNLOADING)
        detach = Operation(f"detach_from_{one}", state, description=_ACTING)
        found |= {f"POST {of}": attach, f"GET {of}/{{attachment}}": download, f"DELETE {of}/{{attachment}}": detach}
    return found


def _of_action(kind: Kind, action: actions.Action) -> Operation:
    """What may be done to an entity beside changing it."""
    example = {"to": _CONVERT_TO[kind]} if action.path == "convert" else _ACT.get(action.path)
    if kind is Kind.RECEIPT and action.path == "issue":
        example = {"issue_date": "2026-01-31", "payments": [{"amount": "844.58", "means": "48"}]}
    answer = SCHEMAS[_STATE_OF_MAKING[action.path] if action.makes else kind].state
    id_ = _VERBS.get(action.path, action.path + "_{}").format(kind.value)
    return Operation(id_, answer, example if action.body else None, description=_MAKING if action.makes else _ACTING)


_AT = "/v1/accounts/{account}"
_SETTINGS = {
    "company": {"name": "Houtwerk BV", "vat_identifier": "BE0123456749", "address": {"country": "BE"}},
    "country": "BE",
    "currency": "EUR",
    "language": "en",
    "time_zone": "Europe/Brussels",
}
_FIELD = {"kind": "customer", "key": "depot", "label": "Depot", "type": "text"}
_ZIP = ("application/zip", "application/octet-stream")
_RESTORE = {"mode": "add", "dry_run": True}

OPERATIONS: dict[str, Operation] = {
    "GET /v1/people/me": Operation("read_me", Me),
    "PUT /v1/people/me/password": Operation(
        "change_password", None, {"current": "seven cups of green tea", "new": "a bicycle without a bell"}
    ),
    "GET /v1/people/me/sign-ins": Operation("list_sign_ins", Items(SignIn)),
    "POST /v1/sessions": Operation(
        "sign_in",
        credentials.SessionMade,
        {"email": "an@example.com", "password": "seven cups of green tea"},
        headers=("Location", "Set-Cookie"),
    ),
    "GET /v1/sessions": Operation("list_sessions", Items(credentials.SessionListed)),
    "DELETE /v1/sessions/{session}": Operation("end_session"),
    "POST /v1/passwords": Operation(
        "redeem_code",
        None,
        {"email": "jo@example.com", "code": "dG9vIGVhc3kgdG8gZ3Vlc3M", "password": "a bicycle without a bell"},
    ),
    "GET /v1/tokens": Operation("list_tokens", Items(Token)),
    "POST /v1/tokens": Operation(
        "create_token", credentials.TokenMade, {"name": "nightly export", "scopes": ["read"], "days": 90}
    ),
    "DELETE /v1/tokens/{token}": Operation("revoke_token"),
    "GET /v1/key": Operation("read_public_key", keys.PublicKey),
    "GET /v1/accounts": Operation("list_accounts", Items(accounts.AccountListed)),
    "POST /v1/accounts": Operation("open_account", accounts.AccountShown, {"name": "Houtwerk", "settings": _SETTINGS}),
    f"GET {_AT}": Operation("read_account", accounts.AccountShown),
    f"PATCH {_AT}": Operation(
        "change_account", accounts.AccountShown, {"name": "Houtwerk & Zonen", "settings": {"retention_days": 60}}
    ),
    f"POST {_AT}/close": Operation("close_account", accounts.AccountShown, {"reason": "The company was sold"}),
    f"POST {_AT}/reopen": Operation("reopen_account", accounts.AccountShown),
    f"GET {_AT}/members": Operation("list_members", Items(c.Member)),
    f"POST {_AT}/members": Operation(
        "add_member", c.Member, {"email": "jo@example.com", "name": "Jo", "role": "editor"}
    ),
    f"GET {_AT}/members/{{person}}": Operation("read_member", c.Member),
    f"PATCH {_AT}/members/{{person}}": Operation("change_member", c.Member, {"role": "administrator"}),
    f"DELETE {_AT}/members/{{person}}": Operation("remove_member"),
    f"POST {_AT}/members/{{person}}/invitation": Operation("invite_member", credentials.CodeMade),
    f"GET {_AT}/custom-fields": Operation("list_custom_fields", Items(CustomField)),
    f"POST {_AT}/custom-fields": Operation("define_custom_field", CustomField, _FIELD),
    f"GET {_AT}/custom-fields/{{kind}}/{{key}}": Operation("read_custom_field", CustomField),
    f"PUT {_AT}/custom-fields/{{kind}}/{{key}}": Operation(
        "change_custom_field", CustomField, {"label": "Depot", "type": "choice", "choices": ["Gent", "Utrecht"]}
    ),
    f"DELETE {_AT}/custom-fields/{{kind}}/{{key}}": Operation("remove_custom_field"),
    f"GET {_AT}/modules": Operation("list_modules", Items(str)),
    f"PUT {_AT}/modules/{{module}}": Operation("enable_module"),
    f"DELETE {_AT}/modules/{{module}}": Operation("disable_module"),
    f"GET {_AT}/settings": Operation("read_settings", c.SettingsFields),
    f"PATCH {_AT}/settings": Operation("change_settings", c.SettingsFields, {"retention_days": 60}),
    f"GET {_AT}/number-series": Operation("list_number_series", Items(account_settings.NumberSeries)),
    f"GET {_AT}/people": Operation("list_people", Items(Named)),
    f"PUT {_AT}/people/{{person}}/link": Operation("link_person", Link, {"email": "jo@example.com"}),
    f"DELETE {_AT}/people/{{person}}/link": Operation("unlink_person", Link),
    f"PUT {_AT}/people/{{person}}/consent": Operation("consent_to_link"),
    f"GET {_AT}/notifications": Operation("list_notifications", NoticesPage, headers=("Link",)),
    f"POST {_AT}/notifications/read": Operation("mark_notifications_read", NoticesLeft, {}),
    f"PUT {_AT}/notifications/topics": Operation("choose_topics", Topics, {"topics": ["restores", "failed-backups"]}),
    **{line: operation for kind in Kind for line, operation in _of_kind(kind).items()},
    f"POST {_AT}/backups": Operation("take_backup", JobShown, {}, headers=_JOB_MADE),
    f"GET {_AT}/backups": Operation("list_backups", Items(files.BackupListed)),
    f"GET {_AT}/backups/status": Operation("show_backup_status", BackupStatus),
    f"POST {_AT}/backups/rehearsal": Operation("rehearse_backup", JobShown, {}, headers=_JOB_MADE),
    f"POST {_AT}/backups/verification": Operation("verify_backups", JobShown, headers=_JOB_MADE),
    f"GET {_AT}/backups/{{archive}}": Operation("download_backup", File(_ZIP)),
    f"POST {_AT}/backups/{{archive}}/restore": Operation("restore_backup", JobShown, _RESTORE, headers=_JOB_MADE),
    f"POST {_AT}/archives": Operation("send_archive", files.Uploaded),
    f"GET {_AT}/archives": Operation("list_archives", Items(files.Uploaded)),
    f"DELETE {_AT}/archives/{{archive}}": Operation("delete_archive"),
    f"GET {_AT}/archives/uploads": Operation("list_uploads", Items(resumable.Going)),
    f"POST {_AT}/archives/uploads": Operation("begin_upload", resumable.Going),
    f"GET {_AT}/archives/uploads/{{upload}}": Operation("read_upload", resumable.Going),
    f"PATCH {_AT}/archives/uploads/{{upload}}": Operation("send_to_upload"),
    f"DELETE {_AT}/archives/uploads/{{upload}}": Operation("give_up_upload"),
    f"GET {_AT}/archives/{{archive}}": Operation("download_archive", File(_ZIP)),
    f"GET {_AT}/archives/{{archive}}/inspection": Operation("inspect_archive", Inspection),
    f"POST {_AT}/archives/{{archive}}/inspection": Operation("inspect_locked_archive", Inspection, {}),
    f"POST {_AT}/archives/{{archive}}/restore": Operation("restore_archive", JobShown, _RESTORE, headers=_JOB_MADE),
    f"GET {_AT}/streams": Operation("list_streams", Items(StreamListed)),
    f"GET {_AT}/streams/{{stream}}": Operation("read_stream", StreamShown),
    f"DELETE {_AT}/streams/{{stream}}": Operation("purge_stream", JobShown, {"dry_run": True}, headers=_JOB_MADE),
    f"POST {_AT}/streams/{{stream}}/activation": Operation(
        "activate_stream", JobShown, {"dry_run": True}, headers=_JOB_MADE
    ),
    f"POST {_AT}/streams/purge": Operation("purge_due_streams", JobShown, {"dry_run": True}, headers=_JOB_MADE),
    f"POST {_AT}/clones": Operation("clone_account", JobShown, {"new": "Sandbox", "dry_run": True}, headers=_JOB_MADE),
    f"POST {_AT}/imports/ubl": Operation("import_ubl", ImportReport),
    f"GET {_AT}/timeline": Operation("read_timeline", TimelinePage, headers=("Link",)),
    f"POST {_AT}/timeline/verification": Operation("verify_timeline", JobShown, {}, headers=_JOB_MADE),
    f"GET {_AT}/timeline/proofs/inclusion": Operation("prove_inclusion", Inclusion),
    f"GET {_AT}/timeline/proofs/consistency": Operation("prove_consistency", Consistency),
    f"GET {_AT}/counts": Operation("count_entities", dict[str, int]),
    f"POST {_AT}/rebuild-check": Operation("check_rebuild", JobShown, headers=_JOB_MADE),
    f"GET {_AT}/jobs": Operation("list_jobs", Items(JobListed), headers=("Link",)),
    f"GET {_AT}/jobs/{{job}}": Operation("read_job", JobShown, headers=("Retry-After",)),
    f"GET {_AT}/jobs/{{job}}/events": Operation("follow_job", File(("text/event-stream",))),
    f"POST {_AT}/jobs/{{job}}/cancel": Operation("cancel_job", JobShown, headers=("ETag", "Retry-After")),
}
