"""Filling the sample account: what stands on its first day, and the three years that follow."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any, NamedTuple

from api.sample import stories
from api.sample.catalogue import ARTICLES
from api.sample.chart import CHART, parent_of
from api.sample.customers import belgian_number
from api.sample.desk import Desk, Who
from domain import commands
from domain import control as c
from domain.accounts import Access, Person, ensure_person, open_account
from domain.application import Actor, Application, utc_now
from domain.kinds import DOCUMENT_KINDS, Kind
from domain.parties import Address, Contact, Identifier, Party
from domain.store.database import Database
from domain.work import Work

NAME = "Trapgevel Fietsen BV"
YEARS = 3
COLLEAGUES = (("joris@trapgevel.example", "Joris Segers"), ("nele@trapgevel.example", "Nele Claes"))
_NUMBER = belgian_number(9_912_345)
COMPANY = Party(
    name=NAME,
    trading_name="Trapgevel",
    legal_registration=Identifier(scheme="0208", value=_NUMBER),
    vat_identifier=f"BE{_NUMBER}",
    legal_form="BV, RPR Antwerpen, afdeling Mechelen",
    electronic_address=Identifier(scheme="0208", value=_NUMBER),
    address=Address(lines=("Vlietkaai 12",), city="Mechelen", post_code="2800", country="BE"),
    contact=Contact(name="Ines Maes", phone="+32 15 00 00 00", email="winkel@trapgevel.example"),
)
NUMBER_FORMATS = {
    "quote": "OFF-{year}-{number:04}",
    "purchase_order": "BE-{year}-{number:04}",
    "delivery_note": "LB-{year}-{number:04}",
    "receipt": "KAS-{year}-{number:05}",
    "credit_note": "CN-{year}-{number:04}",
}
CUSTOM_FIELDS = (
    c.CustomFieldDefined(
        kind="customer",
        key="channel",
        label="Hoe bij ons gekomen",
        type="choice",
        choices=("winkel", "webshop", "beurs", "mond-tot-mond"),
    ),
    c.CustomFieldDefined(kind="customer", key="fleet", label="Aantal bedrijfsfietsen", type="number"),
    c.CustomFieldDefined(kind="item", key="in_shop_window", label="In de etalage", type="yes_no"),
    c.CustomFieldDefined(kind="item", key="list_price", label="Adviesprijs met btw", type="money"),
    c.CustomFieldDefined(kind="invoice", key="salesperson", label="Verkoper", type="text"),
    c.CustomFieldDefined(kind="line", key="frame_number", label="Framenummer", type="text"),
    c.CustomFieldDefined(kind="subscription", key="first_talk", label="Eerste gesprek", type="date"),
)


class SampleSummary(NamedTuple):
    """What the account holds now: entities per kind (deleted ones aside), events, and the last day of its history."""

    counts: dict[Kind, int]
    events: int
    last_day: date


Progress = Callable[[int, int], None]
"""Called with the days that were played and the days there are, at most once a day."""


def open_sample_account(
    database: Database,
    owner: Person,
    *,
    last_day: date | None = None,
    documents: int = 1500,
    seed: int = 1,
    progress: Progress | None = None,
) -> tuple[Access, SampleSummary]:
    """Open the sample account, three years before *last_day* (default: yesterday), with *owner* and two colleagues."""
    last_day = last_day or utc_now().date() - timedelta(days=1)
    opened_at = datetime.combine(_first_day(last_day), time(6), UTC)
    application = Application(database, clock=lambda: opened_at)
    settings = c.SettingsFields(
        company=COMPANY,
        country="BE",
        currency="EUR",
        language="nl",
        time_zone="Europe/Brussels",
        number_formats=NUMBER_FORMATS,
    )
    access = open_account(application, NAME, owner, settings, via="cli")
    colleagues = [ensure_person(database, email, name, at=opened_at) for email, name in COLLEAGUES]
    summary = fill_sample_account(
        database, access, [owner, *colleagues], last_day=last_day, documents=documents, seed=seed, progress=progress
    )
    return access, summary


def fill_sample_account(
    database: Database,
    access: Access,
    people: Sequence[Person],
    *,
    last_day: date | None = None,
    documents: int = 1500,
    seed: int = 1,
    progress: Progress | None = None,
) -> SampleSummary:
    """Fill the account, empty so far, with three years up to *last_day* (default: yesterday) and about *documents*.

    *people* are its owner, who sells and who keeps the books; those without access get it. The same *seed* and day give
    the same content, ids aside. Nobody else may write to the account meanwhile.
    """
    last_day = last_day or utc_now().date() - timedelta(days=1)
    first_day = _first_day(last_day)
    owner, sales, bookkeeper = people
    actors = {
        Who.CONTRACTS: Actor.system("subscriptions", "subscription"),
        Who.OWNER: Actor.person(owner.id, "web"),
        Who.SALES: Actor.person(sales.id, "web"),
        Who.BOOKKEEPER: Actor.person(bookkeeper.id, "api"),
    }
    desk = Desk(database, access.account, actors, Random(seed), first_day)
    _settle_in(desk, access, (sales, bookkeeper))
    _furnish(desk)
    _play(desk, last_day, documents, progress or (lambda _played, _days: None))
    _close_books(desk, last_day)
    return _summary(desk, last_day)


def _first_day(last_day: date) -> date:
    return last_day - timedelta(days=365 * YEARS)


# The first day --------------------------------------------------------------------------------------------------------


def _settle_in(desk: Desk, access: Access, colleagues: Sequence[Person]) -> None:
    """Access, custom fields, modules and settings, as far as they are not there yet."""
    control = desk.application.control(access.account)
    roles = (c.Role.EDITOR, c.Role.ADMINISTRATOR)
    events: list[Any] = [
        c.AccessGranted(person=person.id, name=person.name, email=person.email, role=role)
        for person, role in zip(colleagues, roles, strict=True)
        if control.member(person.id) is None
    ]
    events += [one for one in CUSTOM_FIELDS if (one.kind, one.key) not in control.defined_fields()]
    events += [c.ModuleEnabled(module=module) for module in ("subscriptions", "point-of-sale", "e-invoicing")]
    events.append(c.SettingsChanged(company=COMPANY, number_formats=NUMBER_FORMATS))
    desk.application.record_control(access.account, desk.actors[Who.OWNER], *events)


def _furnish(desk: Desk) -> None:
    """The chart of accounts, the items and the layouts, by the owner."""

    def furnish(work: Work) -> None:
        _enter_chart(desk, work)
        _enter_items(desk, work)
        _enter_layouts(desk, work)

    desk.application.run(desk.account, desk.actors[Who.OWNER], furnish)


def _enter_chart(desk: Desk, work: Work) -> None:
    accounts = desk.stock.ledger_accounts
    for entry in CHART:
        fields: dict[str, Any] = {"number": entry.number, "name": entry.name, "type": entry.type}
        parent = parent_of(entry.number)
        if parent is not None:
            fields["parent"] = accounts[parent]
        if entry.type == "income" and len(entry.number) == 4:
            fields["vat_default"] = {"category": "S", "rate": "6" if entry.number == "7002" else "21"}
        accounts[entry.number] = commands.create(work, Kind.LEDGER_ACCOUNT, fields)


def _enter_items(desk: Desk, work: Work) -> None:
    for article in ARTICLES:
        fields: dict[str, Any] = {
            "number": article.number,
            "name": article.name,
            "unit": article.unit,
            "net_price": article.price,
            "vat": {"category": "S", "rate": article.rate},
            "ledger_account": desk.stock.ledger_accounts[article.account],
            "custom_fields": {"in_shop_window": article.number.endswith("0")},
        }
        if article.cost is not None:
            fields["cost"] = article.cost
        if article.number.startswith("F"):
            fields["classifications"] = [{"list": "STI", "code": "25161500"}]
            fields["origin_country"] = "BE"
        desk.stock.items[article.number] = commands.create(work, Kind.ITEM, fields)


_TEXTS = {
    "nl": ("Trapgevel, fietsen sinds 1987", "Te betalen vóór {due_date} met vermelding van {number}."),
    "fr": ("Trapgevel, vélos depuis 1987", "À payer avant le {due_date} en mentionnant {number}."),
    "de": ("Trapgevel, Fahrräder seit 1987", "Zahlbar bis {due_date} unter Angabe von {number}."),
    "en": ("Trapgevel, bicycles since 1987", "Due by {due_date}, quoting {number}."),
}


def _enter_layouts(desk: Desk, work: Work) -> None:
    kinds = [kind.value for kind in DOCUMENT_KINDS]
    logo = {"media_type": "image/png", "data": b64encode(_logo()).decode()}
    for language, (top, bottom) in _TEXTS.items():
        fields = {
            "name": f"Huisstijl {language}",
            "document_kinds": kinds,
            "language": language,
            "default_for": kinds,
            "template": {
                "fields": ["number", "issue_date", "due_date", "buyer", "lines", "totals"],
                "colour": "#1f4e5f",
                "accent_colour": "#e07a1f",
                "logo": logo,
                "top": top,
                "bottom": bottom,
            },
        }
        desk.stock.layouts[language] = commands.create(work, Kind.LAYOUT, fields)


def _logo() -> bytes:
    """A stepped gable, 16 by 16 pixels, as PNG."""
    steps = (14, 12, 12, 10, 10, 8, 8, 6, 6, 4, 4, 2, 2, 0, 0, 0)
    rows = bytearray()
    for blank in steps:
        half = blank // 2
        rows += b"\0" + b"\xff" * half + b"\x4e" * (16 - 2 * half) + b"\xff" * half
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data)) for tag, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# The years ------------------------------------------------------------------------------------------------------------

_AFFAIRS = ((stories.sale, 46), (stories.offer, 18), (stories.order, 12), (stories.counter_sale, 20), (stories.loan, 4))
_CONTRACTS = (
    (1, True, "running"), (1, True, "running"), (1, False, "running"), (3, True, "running"), (12, False, "running"),
    (1, True, "paused"), (3, False, "paused"), (1, True, "resumed"), (1, True, "ended"), (1, False, "ended"),
    (3, True, "ended"), (1, True, "resumed"),
)  # fmt: skip


def _play(desk: Desk, last_day: date, documents: int, progress: Progress) -> None:
    """Day by day: new customers, what was due, and as many new affairs as the pace towards *documents* asks for."""
    random, days = desk.random, (last_day - desk.today).days + 1
    customers = max(12, documents // 5)
    entered = 0
    contracts = list(_CONTRACTS[: max(3, documents // 60)])
    for played in range(days):
        if played:
            desk.pass_a_day()
        share = (played + 1) / days
        if desk.today.weekday() < 5:
            while entered < customers * (0.35 + 0.65 * share):
                entered += 1
                desk.begin(stories.newcomer(desk, entered))
            desk.play_day()
            if contracts and share > 0.5 - len(contracts) / 30:
                months, auto_issue, ending = contracts.pop()
                story = stories.contract(
                    desk, random.choice(desk.stock.buyers), months=months, auto_issue=auto_issue, ending=ending
                )
                desk.begin(story)
            _upkeep(desk, played, customers)
            _begin_affairs(desk, documents * share)
        desk.play_day()
        progress(played + 1, days)


def _begin_affairs(desk: Desk, wanted: float) -> None:
    begun = 0
    while desk.documents + begun < wanted:
        (tell,) = desk.random.choices([tell for tell, _ in _AFFAIRS], [weight for _, weight in _AFFAIRS])
        desk.begin(tell(desk, desk.random.choice(desk.stock.buyers)))
        begun += 1


def _upkeep(desk: Desk, played: int, customers: int) -> None:
    """What happens to the master data now and then."""
    buyers = desk.stock.buyers
    ordinal = customers + 1 + played
    if played % 45 == 20:
        desk.begin(stories.double(desk, desk.random.choice(buyers), ordinal))
    if played % 30 == 11:
        desk.begin(stories.move(desk, desk.random.choice(buyers)))
    if played % 80 == 33:
        desk.begin(stories.mistaken_entry(desk, ordinal))
    if played % 60 == 41 and len(buyers) > 10:
        desk.begin(stories.farewell(desk, desk.random.choice(buyers)))
    if desk.today.month == 1 and desk.today.day in (2, 3, 4) and desk.today.weekday() == 0:
        desk.begin(stories.price_rise(desk))


def _close_books(desk: Desk, last_day: date) -> None:
    """The bookkeeper closes the year before last, and the owner tidies up what is no longer sold."""
    closed_until = date(last_day.year - 2, 12, 31)
    settled = c.SettingsChanged(closed_until=closed_until)
    desk.application.record_control(desk.account, desk.actors[Who.BOOKKEEPER], settled)

    def tidy(work: Work) -> None:
        commands.archive(work, Kind.ITEM, desk.stock.items["F-180"])
        commands.merge(work, Kind.ITEM, desk.stock.items["O-202"], desk.stock.items["O-200"])
        commands.archive(work, Kind.LEDGER_ACCOUNT, desk.stock.ledger_accounts["58"])
        commands.delete(work, Kind.LEDGER_ACCOUNT, desk.stock.ledger_accounts["75"])

    desk.application.run(desk.account, desk.actors[Who.OWNER], tidy)


def _summary(desk: Desk, last_day: date) -> SampleSummary:
    def count(work: Work) -> dict[Kind, int]:
        return {kind: len(work.reader.of_kind(kind)) for kind in Kind}

    outcome = desk.application.outcome(desk.account, Actor.system("reader"), count)
    return SampleSummary(outcome.result, outcome.position, last_day)
