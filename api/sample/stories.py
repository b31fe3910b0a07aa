"""What happens at the dealer's: sales, counter sales, contracts, mistakes and their mending, each a story."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from api.sample.catalogue import CONTRACTS, PLAIN, SERVICES, Article
from api.sample.customers import belgian_iban, made_up_customer
from api.sample.desk import Buyer, Desk, Later, Story, Who, line_of
from domain import commands
from domain.documents.document import Document
from domain.documents.fields import Attachment
from domain.ids import EntityId
from domain.kinds import Kind
from domain.work import Work

CREDIT_TRANSFER, CARD, CASH, DIRECT_DEBIT = "30", "48", "10", "59"  # UNCL 4461
HOUSE_IBAN = belgian_iban(9_795_550_042)
_EUROPEAN_UNION = ("NL", "FR", "DE", "LU")
_EXEMPTIONS = {
    "K": {"category": "K", "reason": "Intra-Community supply", "code": "VATEX-EU-IC"},
    "G": {"category": "G", "reason": "Export outside the EU", "code": "VATEX-EU-G"},
}


# Documents ------------------------------------------------------------------------------------------------------------


def _vat(buyer: Buyer, rate: str) -> dict[str, str]:
    if buyer.country == "GB":
        return {"category": "G", "rate": "0"}
    if buyer.is_company and buyer.country in _EUROPEAN_UNION:
        return {"category": "K", "rate": "0"}
    return {"category": "S", "rate": rate}


def _lines(desk: Desk, buyer: Buyer, articles: tuple[Article, ...] = PLAIN, most: int = 6) -> list[dict[str, Any]]:
    random = desk.random
    chosen = random.sample(articles, random.randint(1, min(most, len(articles))))
    lines = []
    for number, article in enumerate(chosen, 1):
        quantity = str(random.choice((1, 1, 1, 2, 2, 3, 5, 10)))
        if article.unit in ("HUR", "LTR", "MTR"):
            quantity = random.choice(("0.5", "0.75", "1", "1.25", "2.5", "4"))
        line = line_of(article, desk.stock, str(number), quantity, _vat(buyer, article.rate))
        if random.random() < 0.08:
            amount = (Decimal(article.price) * Decimal(quantity) / 20).quantize(Decimal("0.01"))
            line["allowances"] = [{"amount": str(amount), "percent": "5", "reason": "Actie"}]
        if random.random() < 0.05:
            line["custom_fields"] = {"frame_number": f"TG{random.randrange(10**8):08}"}
        lines.append(line)
    return lines


def _fields(desk: Desk, buyer: Buyer, **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "customer": buyer.id,
        "language": buyer.language,
        "layout": desk.stock.layouts[buyer.language],
        "lines": _lines(desk, buyer),
        **more,
    }
    categories = {line["vat"]["category"] for line in fields["lines"]}
    exemptions = [exemption for category, exemption in _EXEMPTIONS.items() if category in categories]
    if exemptions:
        fields["vat_exemptions"] = exemptions
    if desk.random.random() < 0.04:
        fields["charges"] = [{"amount": "15.00", "reason": "Levering", "vat": _vat(buyer, "21")}]
    return fields


def _draft(desk: Desk, work: Work, kind: Kind, fields: dict[str, Any]) -> EntityId:
    desk.documents += 1
    return commands.create(work, kind, fields)


def _convert(desk: Desk, work: Work, kind: Kind, id_: EntityId, to: Kind) -> EntityId:
    desk.documents += 1
    return commands.convert(work, kind, id_, to)


def _invoice_facts(desk: Desk) -> dict[str, Any]:
    facts: dict[str, Any] = {"payment_means": [{"code": CREDIT_TRANSFER, "iban": HOUSE_IBAN}]}
    if desk.random.random() < 0.2:
        facts["buyer_reference"] = f"BB-{desk.random.randrange(1000, 9999)}"
    if desk.random.random() < 0.15:
        facts["custom_fields"] = {"salesperson": desk.random.choice(("Ines", "Joris"))}
    return facts


def _send(desk: Desk, work: Work, kind: Kind, id_: EntityId, buyer: Buyer) -> None:
    how = (
        desk.random.choice(("peppol", "peppol", "email")) if buyer.is_company else desk.random.choice(("email", "post"))
    )
    commands.record(work, kind, id_, "sent", {"how": how})


def _attach(work: Work, kind: Kind, id_: EntityId, name: str, text: str) -> None:
    content = text.encode()
    media_type = "text/csv" if name.endswith(".csv") else "text/plain"
    attachment = Attachment(
        id=name, name=name, media_type=media_type, size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    commands.attach(work, kind, id_, attachment, content)


# Sales ----------------------------------------------------------------------------------------------------------------


def sale(desk: Desk, buyer: Buyer) -> Story:
    """An invoice for what was sold or done, and how it was paid."""
    work = yield Later(0, Who.SALES, (buyer.id,))
    invoice = _draft(desk, work, Kind.INVOICE, _fields(desk, buyer, **_invoice_facts(desk)))
    if desk.random.random() < 0.12:
        _attach(work, Kind.INVOICE, invoice, "werkbon.csv", f"datum;uren\n{desk.today};{desk.random.randint(1, 8)}\n")
    if desk.random.random() < 0.15:
        work = yield Later(1, Who.SALES, (invoice,))
        commands.change(work, Kind.INVOICE, invoice, {"lines": _lines(desk, buyer), "allowances": [], "charges": []})
    if desk.random.random() < 0.02:
        work = yield Later(2, Who.OWNER, (invoice,))
        commands.delete(work, Kind.INVOICE, invoice)
        return
    work = yield Later(desk.random.randint(0, 2), Who.BOOKKEEPER, (invoice, buyer.id))
    yield from _issue_and_collect(desk, work, invoice, buyer)


def _issue_and_collect(desk: Desk, work: Work, invoice: EntityId, buyer: Buyer) -> Story:
    commands.issue(work, Kind.INVOICE, invoice)
    _send(desk, work, Kind.INVOICE, invoice, buyer)
    issued: Document = work.get(Kind.INVOICE, invoice)
    assert issued.totals is not None, "an issued invoice has totals"
    if issued.totals.due <= 0:
        return
    yield from desk.random.choices(
        (_paid, _paid_in_parts, _reminded, _bounced, _credited_wholly, _credited_partly),
        (70, 8, 12, 2, 4, 4),
    )[0](desk, invoice, buyer, issued)


def _pay(work: Work, kind: Kind, id_: EntityId, amount: Decimal, means: str = CREDIT_TRANSFER) -> None:
    commands.record(work, kind, id_, "payment_registered", {"amount": str(amount), "means": means})


def _due(work: Work, invoice: EntityId) -> Decimal:
    document: Document = work.get(Kind.INVOICE, invoice)
    assert document.totals is not None, "an issued invoice has totals"
    return document.totals.due


def _paid(desk: Desk, invoice: EntityId, _buyer: Buyer, _issued: Document) -> Story:
    work = yield Later(desk.random.randint(3, 40), Who.BOOKKEEPER, (invoice,))
    _pay(work, Kind.INVOICE, invoice, _due(work, invoice))


def _paid_in_parts(desk: Desk, invoice: EntityId, _buyer: Buyer, issued: Document) -> Story:
    work = yield Later(desk.random.randint(5, 30), Who.BOOKKEEPER, (invoice,))
    assert issued.totals is not None, "an issued invoice has totals"
    half = (issued.totals.due / 2).quantize(Decimal("0.01"))
    if half:
        _pay(work, Kind.INVOICE, invoice, half)
    if desk.random.random() < 0.75:
        work = yield Later(desk.random.randint(15, 50), Who.BOOKKEEPER, (invoice,))
        _pay(work, Kind.INVOICE, invoice, _due(work, invoice))


def _reminded(desk: Desk, invoice: EntityId, _buyer: Buyer, _issued: Document) -> Story:
    for level in (1, 2, 3):
        work = yield Later(desk.random.randint(30, 45) if level == 1 else 15, Who.BOOKKEEPER, (invoice,))
        commands.record(work, Kind.INVOICE, invoice, "reminded", {"level": level})
        if desk.random.random() < 0.6:
            work = yield Later(desk.random.randint(2, 12), Who.BOOKKEEPER, (invoice,))
            _pay(work, Kind.INVOICE, invoice, _due(work, invoice))
            return


def _bounced(desk: Desk, invoice: EntityId, _buyer: Buyer, _issued: Document) -> Story:
    work = yield Later(14, Who.BOOKKEEPER, (invoice,))
    _pay(work, Kind.INVOICE, invoice, _due(work, invoice), DIRECT_DEBIT)
    work = yield Later(4, Who.BOOKKEEPER, (invoice,))
    document: Document = work.get(Kind.INVOICE, invoice)
    reversal = {"payment": document.payments[-1].id, "reason": "Ontoereikend saldo"}
    commands.record(work, Kind.INVOICE, invoice, "payment_reversed", reversal)
    work = yield Later(desk.random.randint(5, 20), Who.BOOKKEEPER, (invoice,))
    _pay(work, Kind.INVOICE, invoice, _due(work, invoice))


def _credited_wholly(desk: Desk, invoice: EntityId, buyer: Buyer, _issued: Document) -> Story:
    work = yield Later(desk.random.randint(2, 20), Who.OWNER, (invoice, buyer.id))
    desk.documents += 1
    note = commands.credit(work, invoice)
    work = yield Later(1, Who.BOOKKEEPER, (invoice, note, buyer.id))
    commands.issue(work, Kind.CREDIT_NOTE, note)
    _send(desk, work, Kind.CREDIT_NOTE, note, buyer)


def _credited_partly(desk: Desk, invoice: EntityId, buyer: Buyer, issued: Document) -> Story:
    """One line was too much: it is credited, and, where it had been paid, given back."""
    assert issued.totals is not None, "an issued invoice has totals"
    line = min(issued.lines, key=lambda one: one.net_amount or Decimal(0))
    paid_first = desk.random.random() < 0.5
    if paid_first:
        work = yield Later(desk.random.randint(5, 25), Who.BOOKKEEPER, (invoice,))
        _pay(work, Kind.INVOICE, invoice, _due(work, invoice))
    work = yield Later(desk.random.randint(2, 15), Who.BOOKKEEPER, (invoice, buyer.id))
    assert line.net_amount is not None, "a document's line has its net amount"
    returned = {
        "line_id": "1",
        "name": f"Retour: {line.name}",
        "quantity": "1",
        "unit": "C62",
        "net_price": str(line.net_amount),
        "vat": {"category": line.vat.category, "rate": str(line.vat.rate)},
    }
    before = {"document": invoice, "number": issued.number, "date": str(issued.issue_date)}
    fields = {"customer": buyer.id, "language": buyer.language, "lines": [returned], "preceding_invoices": [before]}
    note = _draft(desk, work, Kind.CREDIT_NOTE, fields)
    if not line.net_amount:
        return
    commands.issue(work, Kind.CREDIT_NOTE, note)
    _send(desk, work, Kind.CREDIT_NOTE, note, buyer)
    if paid_first:
        work = yield Later(desk.random.randint(1, 9), Who.BOOKKEEPER, (note,))
        total = work.get(Kind.CREDIT_NOTE, note).totals.with_vat
        _pay(work, Kind.CREDIT_NOTE, note, total)
    elif _due(work, invoice):
        yield from _paid(desk, invoice, buyer, issued)


def offer(desk: Desk, buyer: Buyer) -> Story:
    """A quote: accepted and carried out, declined, expired, or still waiting."""
    work = yield Later(0, Who.SALES, (buyer.id,))
    last_day = desk.today + timedelta(days=30)
    quote = _draft(desk, work, Kind.QUOTE, _fields(desk, buyer, valid_until=str(last_day)))
    if desk.random.random() < 0.1:
        _attach(work, Kind.QUOTE, quote, "bestek.txt", f"Bestek bij offerte van {desk.today}: zie de lijnen.\n")
    if desk.random.random() < 0.05:
        return
    commands.issue(work, Kind.QUOTE, quote)
    _send(desk, work, Kind.QUOTE, quote, buyer)
    ending = desk.random.choices(("accepted", "declined", "expired"), (65, 15, 20))[0]
    if ending == "expired":
        work = yield Later(31, Who.SALES, (quote,))
        commands.record(work, Kind.QUOTE, quote, "expired", {})
        return
    work = yield Later(desk.random.randint(1, 20), Who.SALES, (quote,))
    if ending == "declined":
        commands.record(work, Kind.QUOTE, quote, "declined", {"reason": desk.random.choice(("Te duur", "Uitgesteld"))})
        return
    commands.record(work, Kind.QUOTE, quote, "accepted", {})
    work = yield Later(desk.random.randint(0, 5), Who.SALES, (quote, buyer.id))
    if desk.random.random() < 0.5:
        invoice = _convert(desk, work, Kind.QUOTE, quote, Kind.INVOICE)
        work = yield Later(desk.random.randint(0, 3), Who.BOOKKEEPER, (invoice, buyer.id))
        yield from _issue_and_collect(desk, work, invoice, buyer)
        return
    placed = _convert(desk, work, Kind.QUOTE, quote, Kind.PURCHASE_ORDER)
    yield from _carry_out(desk, placed, buyer)


def order(desk: Desk, buyer: Buyer) -> Story:
    """An order that a customer placed: delivered, in parts or at once, and invoiced; or cancelled."""
    work = yield Later(0, Who.SALES, (buyer.id,))
    wanted = str(desk.today + timedelta(days=desk.random.randint(7, 40)))
    placed = _draft(desk, work, Kind.PURCHASE_ORDER, _fields(desk, buyer, requested_delivery=wanted))
    yield from _carry_out(desk, placed, buyer)


def _carry_out(desk: Desk, placed: EntityId, buyer: Buyer) -> Story:
    work = yield Later(desk.random.randint(0, 2), Who.SALES, (placed, buyer.id))
    commands.issue(work, Kind.PURCHASE_ORDER, placed)
    if desk.random.random() < 0.08:
        work = yield Later(desk.random.randint(1, 6), Who.OWNER, (placed,))
        commands.record(work, Kind.PURCHASE_ORDER, placed, "cancelled", {"reason": "Op vraag van de klant"})
        return
    if desk.random.random() < 0.25:
        work = yield Later(desk.random.randint(3, 12), Who.SALES, (placed,))
        commands.record(work, Kind.PURCHASE_ORDER, placed, "delivered", {"partly": True})
    work = yield Later(desk.random.randint(3, 15), Who.SALES, (placed, buyer.id))
    note = _convert(desk, work, Kind.PURCHASE_ORDER, placed, Kind.DELIVERY_NOTE)
    commands.change(work, Kind.DELIVERY_NOTE, note, {"carrier": "Eigen bestelwagen", "parcels": 1})
    commands.issue(work, Kind.DELIVERY_NOTE, note)
    work = yield Later(desk.random.randint(0, 3), Who.SALES, (placed, note))
    handed_over = {"signed_by": desk.random.choice(("de klant", "het onthaal", "een buur"))}
    commands.record(work, Kind.DELIVERY_NOTE, note, "delivered", handed_over)
    commands.record(work, Kind.PURCHASE_ORDER, placed, "delivered", handed_over)
    work = yield Later(desk.random.randint(1, 6), Who.BOOKKEEPER, (placed, note, buyer.id))
    if desk.random.random() < 0.06:
        return
    from_note = desk.random.random() < 0.4
    kind, origin = (Kind.DELIVERY_NOTE, note) if from_note else (Kind.PURCHASE_ORDER, placed)
    invoice = _convert(desk, work, kind, origin, Kind.INVOICE)
    commands.change(work, Kind.INVOICE, invoice, _invoice_facts(desk))
    yield from _issue_and_collect(desk, work, invoice, buyer)


def loan(desk: Desk, buyer: Buyer) -> Story:
    """A delivery note of its own, for a bicycle that was lent: handed over, or called off."""
    work = yield Later(0, Who.SALES, (buyer.id,))
    note = _draft(desk, work, Kind.DELIVERY_NOTE, _fields(desk, buyer, parcels=1))
    commands.issue(work, Kind.DELIVERY_NOTE, note)
    work = yield Later(desk.random.randint(0, 4), Who.SALES, (note,))
    fact = "delivered" if desk.random.random() < 0.8 else "cancelled"
    commands.record(work, Kind.DELIVERY_NOTE, note, fact, {})


def counter_sale(desk: Desk, buyer: Buyer) -> Story:
    """A sale at the counter, paid at once; now and then brought back the week after."""
    work = yield Later(0, Who.SALES, (buyer.id,))
    receipt = _draft(desk, work, Kind.RECEIPT, _fields(desk, buyer))
    total: Decimal = work.get(Kind.RECEIPT, receipt).totals.with_vat
    payments = [(total, CARD)]
    if total > 20 and desk.random.random() < 0.2:
        payments = [(Decimal(20), CASH), (total - 20, CARD)]
    paid = [
        {"id": str(number), "date": str(desk.today), "amount": str(amount), "means": means}
        for number, (amount, means) in enumerate(payments, 1)
    ]
    commands.issue(work, Kind.RECEIPT, receipt, payments=paid)
    if total and desk.random.random() < 0.04:
        work = yield Later(desk.random.randint(1, 10), Who.OWNER, (receipt, buyer.id))
        desk.documents += 1
        note = commands.credit(work, receipt, kind=Kind.RECEIPT)
        commands.issue(work, Kind.CREDIT_NOTE, note)
        _pay(work, Kind.CREDIT_NOTE, note, total, CASH)


# Contracts ------------------------------------------------------------------------------------------------------------


def contract(desk: Desk, buyer: Buyer, *, months: int, auto_issue: bool, ending: str) -> Story:
    """A subscription, invoiced period by period; *ending* is ``running``, ``paused``, ``resumed`` or ``ended``."""
    work = yield Later(0, Who.SALES, (buyer.id,))
    lines = _lines(desk, buyer, CONTRACTS, most=2)
    for line in lines:
        line["quantity"] = str(months * desk.random.randint(1, 6))
    fields = {
        "customer": buyer.id,
        "layout": desk.stock.layouts[buyer.language],
        "lines": lines,
        "interval": {"n": months, "unit": "months"},
        "next_date": str(desk.today),
        "auto_issue": auto_issue,
        "payment_terms": {"days": 14},
    }
    subscription = commands.create(work, Kind.SUBSCRIPTION, fields)
    until_turn = desk.random.randint(4, 9)
    for period in range(200):
        if period == until_turn and ending != "running":
            work = yield Later(1, Who.OWNER, (subscription,))
            if ending == "ended":
                commands.end(work, subscription, "Opgezegd")
                return
            commands.pause(work, subscription, "Fiets in herstelling")
            if ending == "paused":
                return
            work = yield Later(40, Who.OWNER, (subscription,))
            commands.resume(work, subscription, desk.today)
        yield from _period(desk, subscription, buyer, auto_issue=auto_issue)


def _period(desk: Desk, subscription: EntityId, buyer: Buyer, *, auto_issue: bool) -> Story:
    """Wait for the next period's first day, and invoice it; by itself, or as a draft that the bookkeeper issues."""
    work = yield Later(0, Who.CONTRACTS, (subscription, buyer.id))
    next_date: date = work.get(Kind.SUBSCRIPTION, subscription).next_date
    if next_date > desk.today:
        work = yield Later((next_date - desk.today).days, Who.CONTRACTS, (subscription, buyer.id))
    desk.documents += 1
    invoice = commands.invoice_period(work, subscription)
    if not auto_issue:
        work = yield Later(1, Who.BOOKKEEPER, (invoice, buyer.id))
        commands.issue(work, Kind.INVOICE, invoice)
    _send(desk, work, Kind.INVOICE, invoice, buyer)
    if desk.random.random() < 0.93:
        work = yield Later(desk.random.randint(5, 14), Who.BOOKKEEPER, (invoice,))
        _pay(work, Kind.INVOICE, invoice, _due(work, invoice), DIRECT_DEBIT)


# Upkeep ---------------------------------------------------------------------------------------------------------------


def newcomer(desk: Desk, ordinal: int, *, company: bool | None = None) -> Story:
    """A customer who is entered, and can be sold to from then on."""
    work = yield Later(0, Who.SALES)
    fields = made_up_customer(desk.random, ordinal, company=company)
    id_ = commands.create(work, Kind.CUSTOMER, fields)
    party = fields["party"]
    country = party["address"]["country"]
    is_company = "legal_registration" in party or "vat_identifier" in party
    desk.stock.buyers.append(Buyer(id_, fields["language"], country, is_company))


def double(desk: Desk, buyer: Buyer, ordinal: int) -> Story:
    """A customer who is entered a second time, sold to, and merged into the first when it is noticed."""
    work = yield Later(0, Who.SALES, (buyer.id,))
    party = work.get(Kind.CUSTOMER, buyer.id).party
    name = f"{party.name} (nieuw)"
    fields = {"number": f"K{ordinal:04}", "party": {"name": name}, "language": buyer.language}
    twin = Buyer(commands.create(work, Kind.CUSTOMER, fields), buyer.language, buyer.country, buyer.is_company)
    yield from sale(desk, twin)
    work = yield Later(60, Who.OWNER, (twin.id, buyer.id))
    commands.merge(work, Kind.CUSTOMER, twin.id, buyer.id)


def move(_desk: Desk, buyer: Buyer) -> Story:
    """A customer who moves house."""
    work = yield Later(0, Who.SALES, (buyer.id,))
    party = work.get(Kind.CUSTOMER, buyer.id).party
    moved = {"name": party.name, "address": {"lines": ["Nieuwstraat 7"], "city": "Mechelen", "country": "BE"}}
    if party.vat_identifier:
        moved["vat_identifier"] = party.vat_identifier
    commands.change(work, Kind.CUSTOMER, buyer.id, {"party": moved})


def mistaken_entry(_desk: Desk, ordinal: int) -> Story:
    """A customer who is entered by mistake and deleted."""
    work = yield Later(0, Who.SALES)
    fields = {"number": f"K{ordinal:04}", "party": {"name": "Test, niet gebruiken"}}
    id_ = commands.create(work, Kind.CUSTOMER, fields)
    work = yield Later(1, Who.OWNER, (id_,))
    commands.delete(work, Kind.CUSTOMER, id_)


def farewell(desk: Desk, buyer: Buyer) -> Story:
    """A customer who is kept, but no longer offered; one in three comes back."""
    work = yield Later(0, Who.OWNER, (buyer.id,))
    desk.stock.buyers.remove(buyer)
    commands.archive(work, Kind.CUSTOMER, buyer.id)
    if desk.random.random() < 0.33:
        work = yield Later(desk.random.randint(20, 90), Who.OWNER, (buyer.id,))
        commands.unarchive(work, Kind.CUSTOMER, buyer.id)


def price_rise(desk: Desk) -> Story:
    """The year's new hourly rates."""
    items = [desk.stock.items[article.number] for article in SERVICES]
    work = yield Later(0, Who.OWNER, tuple(items))
    for article, item in zip(SERVICES, items, strict=True):
        now: Decimal = work.get(Kind.ITEM, item).net_price
        raised = (now * Decimal("1.03")).quantize(Decimal("0.01"))
        commands.change(
            work, Kind.ITEM, item, {"net_price": str(raised), "description": f"{article.name}, nieuw tarief"}
        )
