"""A large account made of real events: invoices of four events each, as the domain's rules decide them, by COPY.

Documents overlap as in life: one is drafted while older ones wait for their payment. The same seed makes the same
account, but for its ids.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from domain import commands
from domain import control as c
from domain.accounts import Access, ensure_person, open_account
from domain.application import Actor, Application, entity_row
from domain.documents import events as e
from domain.events import TYPE_VERSIONS, encode_data, line, type_of, written_time
from domain.ids import EntityId, new_id
from domain.kinds import Kind
from domain.lines import Line, Vat, with_net_amounts
from domain.parties import Address, Party, PaymentTerms, Value
from domain.rules import RULES
from domain.store.database import BUILDER, Database
from domain.store.streams import load
from domain.tree import Frontier, leaf_hash
from domain.tree import append as append_leaves
from domain.work import Work

SEED = 20261124
FIRST_DAY = datetime(2023, 1, 2, 8, tzinfo=UTC)
DAYS = 3 * 365
_LEAVES_A_BATCH = 10_000  # the tree is cheapest in batches of thousands

COMPANY = Party(
    name="Bakkerij Meulemans BV",
    vat_identifier="BE0123456749",
    address=Address(lines=("Kerkstraat 12",), city="Leuven", post_code="3000", country="BE"),
)
SETTINGS = c.SettingsFields(company=COMPANY, country="BE", currency="EUR", language="nl", time_zone="Europe/Brussels")
_WORDS = [
    "volkoren",
    "desem",
    "rogge",
    "speltbrood",
    "croissant",
    "koffiekoek",
    "taart",
    "baguette",
    "pistolet",
    "sandwich",
    "ciabatta",
    "brioche",
    "rozijnenbrood",
    "notenbrood",
    "stokbrood",
    "wafel",
    "cake",
    "eclair",
    "soes",
    "merveilleux",
]
_STREETS = [
    "Kerkstraat",
    "Stationsstraat",
    "Molenweg",
    "Dorpsplein",
    "Nieuwstraat",
    "Veldstraat",
    "Bondgenotenlaan",
    "Schoolstraat",
]
_CITIES = (("3000", "Leuven"), ("2800", "Mechelen"), ("9000", "Gent"), ("1000", "Brussel"), ("2000", "Antwerpen"))
_S21, _S6 = Vat(category="S", rate=Decimal(21)), Vat(category="S", rate=Decimal(6))


class Account(NamedTuple):
    """An account to measure on."""

    access: Access
    actor: Actor
    events: int


class Size(NamedTuple):
    """How many entities an account has, beside documents of four events each."""

    customers: int = 400
    items: int = 200
    ledger_accounts: int = 60


class MasterData(NamedTuple):
    """What documents refer to."""

    customers: list[tuple[EntityId, Party]]
    items: list[Line]


class Fact(NamedTuple):
    """An event that happens to an invoice, and the state that it leads to."""

    at: datetime
    version: int
    type: str
    data: bytes
    state: Any


def make_account(database: Database, *, documents: int, name: str = "bench", size: Size = Size()) -> Account:  # noqa: B008
    """Open an account and fill it with *documents* invoices, 4 events each, beside some other entities."""
    application = Application(database, clock=lambda: FIRST_DAY)
    person = ensure_person(database, "bench@example.com", "Bench", at=FIRST_DAY)
    access = open_account(application, name, person, SETTINGS, via="cli")
    actor = Actor.person(person.id, "cli")
    chance = random.Random(SEED)
    master: MasterData = application.run(access.account, actor, lambda work: _master_data(work, chance, size))
    events = _copy_documents(database, access, actor, _documents(chance, master, documents))
    with database.session("postgres") as connection:
        connection.execute("VACUUM (ANALYZE) events, entities")
        connection.execute("CHECKPOINT")
    return Account(access, actor, events)


def _master_data(work: Work, chance: random.Random, size: Size) -> MasterData:
    ledger = [
        commands.create(work, Kind.LEDGER_ACCOUNT, {"number": f"70{n:04}", "name": f"Verkoop {n}", "type": "income"})
        for n in range(size.ledger_accounts)
    ]
    items = []
    for n in range(size.items):
        name = f"{chance.choice(_WORDS)} {chance.choice(_WORDS)} {n}"
        price, vat, account = (
            Decimal(chance.randrange(150, 9000)) / 100,
            chance.choice((_S21, _S6)),
            chance.choice(ledger),
        )
        fields = {
            "number": f"ART{n:05}",
            "name": name,
            "net_price": str(price),
            "vat": msgspec.to_builtins(vat),
            "ledger_account": account,
        }
        item = commands.create(work, Kind.ITEM, fields)
        items.append(
            Line(
                line_id="1",
                item=item,
                name=name,
                quantity=Decimal(1),
                unit="C62",
                net_price=price,
                vat=vat,
                ledger_account=account,
            )
        )
    customers = []
    for n in range(size.customers):
        code, city = chance.choice(_CITIES)
        street = f"{chance.choice(_STREETS)} {chance.randrange(1, 200)}"
        party = Party(
            name=f"Klant {n:04} {chance.choice(_WORDS).title()} NV",
            vat_identifier=_vat_identifier(chance.randrange(10**6, 10**7)),
            address=Address(lines=(street,), city=city, post_code=code, country="BE"),
        )
        fields = {"number": f"K{n:05}", "party": msgspec.to_builtins(party), "payment_terms": {"days": 30}}
        customers.append((commands.create(work, Kind.CUSTOMER, fields), party))
    return MasterData(customers, items)


def _vat_identifier(number: int) -> str:
    """A Belgian VAT number: eight digits and their check digits."""
    return f"BE{number:08}{97 - number % 97:02}"


def _documents(chance: random.Random, master: MasterData, documents: int) -> Iterator[tuple[EntityId, Fact]]:
    """The events of all invoices in the order of time."""
    gap = timedelta(days=DAYS) / documents
    numbers: Counter[int] = Counter()
    waiting: list[tuple[datetime, int, EntityId, Iterator[Fact], Fact]] = []
    for ordinal in range(1, documents + 1):
        start = FIRST_DAY + gap * ordinal
        id_ = new_id(start)
        life = _life(chance, master, id_, start, numbers)
        heapq.heappush(waiting, (start, ordinal, id_, life, next(life)))
        while waiting and waiting[0][0] <= start:
            _, first, whose, life, fact = heapq.heappop(waiting)
            yield whose, fact
            following = next(life, None)
            if following is not None:
                heapq.heappush(waiting, (following.at, first, whose, life, following))
    while waiting:
        _, first, whose, life, fact = heapq.heappop(waiting)
        yield whose, fact
        following = next(life, None)
        if following is not None:
            heapq.heappush(waiting, (following.at, first, whose, life, following))


def _life(
    chance: random.Random, master: MasterData, id_: EntityId, start: datetime, numbers: Counter[int]
) -> Iterator[Fact]:
    """Drafted, issued, sent, paid."""
    rules = RULES[Kind.INVOICE]
    customer, party = chance.choice(master.customers)
    lines = tuple(
        msgspec.structs.replace(chance.choice(master.items), line_id=str(n), quantity=Decimal(chance.randrange(1, 40)))
        for n in range(1, chance.choice((1, 1, 1, 2)) + 1)
    )
    drafted = e.Drafted(
        customer=customer,
        currency="EUR",
        language="nl",
        lines=with_net_amounts(lines, "EUR"),
        payment_terms=PaymentTerms(days=30),
        type_code="380",
    )
    state: Any = None
    version, at = 0, start

    def then(data: Value) -> Fact:
        nonlocal state, version
        rules.admit(state, data)
        version += 1
        state = rules.evolve(state, data, id_, version)
        return Fact(at, version, type_of(Kind.INVOICE, data), encode_data(data), state)

    yield then(drafted)
    at += timedelta(minutes=chance.randrange(1, 90))
    totals, day = state.totals, at.date()
    numbers[day.year] += 1
    ordinal = numbers[day.year]  # by the time of the payment others have had theirs
    yield then(
        e.Issued(
            number=f"{day.year}-{ordinal:05}",
            issue_date=day,
            due_date=day + timedelta(days=30),
            seller=COMPANY,
            buyer=party,
            totals=totals,
            vat_breakdown=state.vat_breakdown,
        )
    )
    at += timedelta(seconds=chance.randrange(5, 600))
    yield then(e.Sent(how="email", recipients=(f"boekhouding@{customer[-12:]}.example.com",)))
    at += timedelta(hours=chance.randrange(24, 24 * 45))
    yield then(
        e.PaymentRegistered(
            id=new_id(at),
            date=at.date(),
            amount=totals.due,
            means="30",
            reference=_structured(day.year * 100_000 + ordinal),
        )
    )


def _structured(number: int) -> str:
    """The reference that a Belgian customer pays with: ten digits of the invoice's number and their check digits."""
    digits = f"{number:010}{number % 97 or 97:02}"
    return f"+++{digits[:3]}/{digits[3:7]}/{digits[7:]}+++"


def _copy_documents(database: Database, access: Access, actor: Actor, facts: Iterator[tuple[EntityId, Fact]]) -> int:
    """Write events, then snapshots, by COPY, and the stream's new head. The number of events in the account."""
    with database.connection() as connection:
        head = load(connection, access.account, [], control_known=-1, lock=False).head
    position, frontier, at = head.position, head.frontier, ""
    snapshots, leaves = [], []
    common = (access.account, head.stream)
    with database.session(BUILDER) as connection:
        with connection.cursor().copy(_COPY_EVENTS) as copy:
            for position, (id_, fact) in enumerate(facts, head.position + 1):
                at = written_time(fact.at)
                leaf = leaf_hash(
                    line(
                        type_name=fact.type,
                        entity=id_,
                        version=fact.version,
                        at=at,
                        actor=actor.name,
                        via=actor.via,
                        data=fact.data,
                    )
                )
                values = (fact.type, actor.name, actor.via, fact.data.decode(), leaf)
                copy.write_row((*common, TYPE_VERSIONS[fact.type], fact.version, position, id_, at, *values))
                leaves.append(leaf)
                if len(leaves) == _LEAVES_A_BATCH:
                    frontier, leaves = append_leaves(frontier, leaves), []
                if fact.version == 4:
                    snapshots.append(entity_row(Kind.INVOICE, position, fact.state))
        with connection.cursor().copy(_COPY_ENTITIES) as copy:
            for row in snapshots:
                copy.write_row(
                    (*common, row.version, row.position, row.id, row.deleted, row.kind, row.number, row.state)
                )
    frontier = append_leaves(frontier, leaves)
    _set_head(database, access, head.stream, frontier, at)
    return frontier.size


def _set_head(database: Database, access: Access, stream: int, frontier: Frontier, at: str) -> None:
    with database.transaction(access.account) as connection:
        connection.execute(
            "UPDATE streams SET head_position = %s, frontier = %s, last_at = %s"
            " WHERE account_id = %s AND stream_id = %s",
            (frontier.size, frontier.to_bytes(), at, access.account, stream),
        )


_COPY_EVENTS = (
    "COPY events (account_id, stream_id, type_version, version, position, entity_id, at, type, actor, via, data, leaf)"
    " FROM STDIN"
)
_COPY_ENTITIES = (
    "COPY entities (account_id, stream_id, version, position, entity_id, deleted, kind, number, state) FROM STDIN"
)
