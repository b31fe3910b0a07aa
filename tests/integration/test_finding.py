"""Finding: whatever is filtered by and sorted by, the pages together are what a look at every entity would give."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import commands
from domain.entity import FieldRefused
from domain.ids import EntityId
from domain.kinds import Kind
from domain.work import decode_state
from projections import finding, listed
from projections.finding import Found, ListTooLong, Sort, Spot, Wanted, find_entities
from projections.folding import fold, in_order, squeeze
from projections.listing import list_entities
from projections.rebuild import rebuild
from projections.timeline import CursorGone
from tests.fixtures.accounts import OpenAccount, OpenedAccount
from tests.histories import History, histories, play
from tests.integration.restoring import Books
from tests.integration.test_histories import few


@pytest.fixture
def books(fresh_account: OpenAccount) -> Books:
    return Books(fresh_account())


MADE = Sort()


def find(
    books: Books, kind: Kind, sort: Sort = MADE, *, after: Spot | None = None, limit: int = 100, **wanted: Any
) -> Found:
    database, account = books.application.database, books.access.account
    return find_entities(database, account, kind, Wanted(**wanted), sort, after=after, limit=limit)


def ids(found: Found) -> list[str]:
    return [msgspec.json.decode(state)["id"] for state in found.states]


def customer(books: Books, name: str, **party: Any) -> EntityId:
    return books.make(Kind.CUSTOMER, party={"name": name, **party})


# The oracle: what each filter and sort means, on states as the domain has them.

Says = Callable[[Any, Any], bool]


def date_of(state: Any) -> date | None:
    found: date | None = getattr(state, "next_date", None) or getattr(state, "issue_date", None)
    return found


def amount_of(state: Any) -> Decimal | None:
    if hasattr(state, "net_price"):
        return Decimal(state.net_price)
    totals = getattr(state, "totals", None)
    return totals.with_vat if totals else None


def condition(state: Any) -> str:
    if hasattr(state, "state"):
        return str(state.state)
    return "merged" if state.merged_into else "archived" if state.archived else "active"


def name_of(state: Any) -> str | None:
    if hasattr(state, "party"):
        return str(state.party.name)
    return getattr(state, "name", None)


def origins(state: Any) -> list[Any]:
    return [one.document for one in (*getattr(state, "derived_from", ()), *getattr(state, "preceding_invoices", ()))]


FILTERS: dict[str, tuple[Callable[[Any], Any], Says]] = {
    "state": (lambda state: (condition(state),), lambda state, value: condition(state) in value),
    "customer": (
        lambda state: getattr(state, "customer", None),
        lambda state, value: bool(getattr(state, "customer", None) == value),
    ),
    "number": (
        lambda state: getattr(state, "number", None),
        lambda state, value: bool(getattr(state, "number", None) == value),
    ),
    "number_prefix": (
        lambda state: (getattr(state, "number", None) or "")[:5] or None,
        lambda state, value: (getattr(state, "number", None) or "").startswith(value),
    ),
    "name": (
        lambda state: (name_of(state) or "")[2:].strip().upper() or None,
        lambda state, value: fold(value) in fold(name_of(state) or ""),
    ),
    "currency": (
        lambda state: getattr(state, "currency", None),
        lambda state, value: bool(getattr(state, "currency", None) == value),
    ),
    "date_from": (date_of, lambda state, value: (date_of(state) or date.min) >= value),
    "date_until": (date_of, lambda state, value: (date_of(state) or date.max) <= value),
    "amount_from": (amount_of, lambda state, value: (found := amount_of(state)) is not None and found >= value),
    "amount_until": (amount_of, lambda state, value: (found := amount_of(state)) is not None and found <= value),
    "origin": (
        lambda state: next((one for one in origins(state) if one), None),
        lambda state, value: value in origins(state),
    ),
}
LEAST = Decimal("-Infinity")
SORTS: dict[str, Callable[[Any], Any]] = {
    "id": lambda state: "",
    "number": lambda state: (
        (state.number or "") if hasattr(state, "parent") else in_order(getattr(state, "number", None) or "")
    ),
    "name": lambda state: "" if hasattr(state, "customer") else fold(name_of(state) or ""),
    "date": lambda state: date_of(state) or date.min,
    "amount": lambda state: LEAST if (found := amount_of(state)) is None else found,
}


def all_states(opened: OpenedAccount, kind: Kind) -> list[Any]:
    page = list_entities(opened.application.database, opened.access.account, kind, limit=1_000)
    return [decode_state(kind, state) for state in page.states]


# An example is a history and some tens of pages, with writes between them.
@settings(few, max_examples=4)
@given(histories(least=30, most=50), st.data())
def test_the_pages_of_any_list_are_what_a_look_at_every_entity_would_give(
    fresh_account: OpenAccount, history: History, data: st.DataObject
) -> None:
    opened = fresh_account()
    play(opened.application, opened.access, history)
    books = Books(opened)
    merged = {one.id: one.merged_into for one in all_states(opened, Kind.CUSTOMER) if one.merged_into}
    for _ in range(8):
        kind = data.draw(st.sampled_from(list(Kind)))
        states = all_states(opened, kind)
        wanted: dict[str, Any] = {}
        for name in data.draw(st.lists(st.sampled_from(sorted(FILTERS)), max_size=2, unique=True)):
            values = [value for state in states if (value := FILTERS[name][0](state)) is not None]
            if values:
                wanted[name] = data.draw(st.sampled_from(values))
        sort = Sort(data.draw(st.sampled_from(sorted(SORTS))), descending=data.draw(st.booleans()))
        expected = [
            state
            for state in states
            if all(
                value in standing(merged, getattr(state, "customer", None))
                if name == "customer"
                else FILTERS[name][1](state, value)
                for name, value in wanted.items()
            )
        ]
        expected.sort(key=lambda state: (SORTS[sort.by](state), state.id), reverse=sort.descending)
        changed: set[str] = set()

        pages: list[str] = []
        after: Spot | None = None
        while True:
            found = find(books, kind, sort, after=after, limit=data.draw(st.integers(1, 8)), **wanted)
            pages += ids(found)
            after = found.following
            if after is None:
                break
            changed.add(write(books, data.draw(st.integers(0, 3))))

        assert [one for one in pages if one not in changed] == [one.id for one in expected if one.id not in changed]


def standing(merged: dict[Any, Any], customer: Any) -> list[Any]:
    """The customer and those who stand for them, one after the other."""
    return [customer, *(standing(merged, merged[customer]) if customer in merged else ())]


def write(books: Books, pick: int) -> str:
    """Change something that lists may be about. The id of what was changed or made."""
    there = [one for one in all_states(books_of(books), Kind.CUSTOMER) if not one.merged_into]
    some = there[pick % len(there)]
    if pick % 2:
        return books.make(Kind.QUOTE, customer=some.id)
    books.run(lambda work: commands.change(work, Kind.CUSTOMER, some.id, {"party": {"name": f"Zo {books.clock.now}"}}))
    return str(some.id)


def books_of(books: Books) -> OpenedAccount:
    return OpenedAccount(books.application, books.access, books.clock)


def test_a_customer_is_found_by_what_people_remember_of_it(books: Books) -> None:
    jo = customer(
        books,
        "Brøderie Éclair",
        vat_identifier="BE0123456749",
        address={"city": "Liège", "country": "BE"},
        contact={"email": "Jo@Example.com"},
    )
    customer(books, "Bakkerij", vat_identifier="NL123456782B90", address={"city": "Gent", "country": "NL"})
    known: list[dict[str, Any]] = [
        {"q": "broderie"},
        {"q": "ECLAIR  liege"},
        {"q": "BE 0123.456.749"},
        {"q": "0123456"},
        {"name": "ECLÁIR"},
        {"vat": "be0123"},
        {"city": "LIEGE"},
        {"country": "BE"},
        {"email": "jo@"},
    ]

    assert [ids(find(books, Kind.CUSTOMER, **wanted)) for wanted in known] == [[jo]] * len(known)
    assert ids(find(books, Kind.CUSTOMER, q="eclair gent")) == []


def test_a_document_is_found_by_its_lines_references_and_customer(books: Books) -> None:
    jan, piet = customer(books, "Jan"), customer(books, "Piët")
    first = books.issued(jan, buyer_reference="PO 77-a")
    second = books.make(Kind.INVOICE, customer=piet)

    assert ids(find(books, Kind.INVOICE, q="bell")) == [first]
    assert ids(find(books, Kind.INVOICE, q="po 77")) == [first]
    assert ids(find(books, Kind.INVOICE, reference="po 77-A")) == [first]
    assert ids(find(books, Kind.INVOICE, q="piet")) == [second], "a draft has no copy of its buyer yet"
    assert ids(find(books, Kind.INVOICE, q="2024-00001")) == [first]


def test_numbers_are_in_the_order_of_what_they_count(books: Books) -> None:
    made = [books.make(Kind.CUSTOMER, party={"name": "x"}, number=number) for number in ("K10", "K9", "K100")]

    found = ids(find(books, Kind.CUSTOMER, Sort("number")))

    assert found == [made[1], made[0], made[2]]


def test_what_was_deleted_is_found_no_longer(books: Books) -> None:
    goes = customer(books, "Jan")
    assert ids(find(books, Kind.CUSTOMER, q="jan")) == [goes]

    books.run(lambda work: commands.delete(work, Kind.CUSTOMER, goes))

    assert ids(find(books, Kind.CUSTOMER, q="jan")) == []


def test_documents_of_a_customer_are_those_of_whoever_was_merged_into_them_too(books: Books) -> None:
    jan, piet, klaas = (customer(books, name) for name in ("Jan", "Piet", "Klaas"))
    made = [books.issued(one) for one in (jan, piet, klaas)]
    books.run(lambda work: commands.merge(work, Kind.CUSTOMER, klaas, piet))
    books.run(lambda work: commands.merge(work, Kind.CUSTOMER, piet, jan))

    assert ids(find(books, Kind.INVOICE, customer=jan)) == made
    assert ids(find(books, Kind.INVOICE, customer=klaas)) == made[2:]


def test_overdue_is_open_and_past_its_day(books: Books) -> None:
    jan = customer(books, "Jan")
    late = books.issued(jan, due_date="2024-12-01")
    paid = books.issued(jan, due_date="2024-12-01")
    books.issued(jan, due_date="2025-02-01")
    fields = {"amount": "24.20", "means": "30"}
    books.run(lambda work: commands.record(work, Kind.INVOICE, paid, "payment_registered", fields))

    assert ids(find(books, Kind.INVOICE, overdue_on=date(2024, 12, 2))) == [late]
    assert ids(find(books, Kind.INVOICE, overdue_on=date(2024, 12, 1))) == []


def test_a_spot_in_a_stream_that_was_replaced_leads_nowhere(books: Books, tmp_path: Path) -> None:
    jan = customer(books, "Jan")
    customer(books, "Jan")
    archive = books.backup(tmp_path)
    after = find(books, Kind.CUSTOMER, Sort("name"), limit=1).following
    books.restore(archive)

    with pytest.raises(CursorGone, match="lives in stream 2"):
        find(books, Kind.CUSTOMER, Sort("name"), after=after)
    assert ids(find(books, Kind.CUSTOMER, Sort("name"), limit=1)) == [jan]


def test_t08_nothing_of_another_account_is_found(books: Books, fresh_account: OpenAccount) -> None:
    other = Books(fresh_account())
    theirs = customer(other, "Jan")
    other.issued(theirs)

    assert ids(find(books, Kind.CUSTOMER, q="jan")) == []
    assert ids(find(books, Kind.INVOICE, customer=theirs)) == []
    assert ids(find(books, Kind.INVOICE, q="jan")) == []


@pytest.mark.parametrize(
    "text", ["%", "_", "'", "\\", "' OR 1=1 --", "{}", "%(account)s", '"', "'; DROP TABLE listed; --", "\N{SNOWMAN}"]
)
def test_w09_what_is_looked_for_is_never_a_pattern_nor_a_statement(books: Books, text: str) -> None:
    jan = customer(books, "Jan")
    itself = customer(books, f"a {text} b")

    def named(name: str, value: str) -> list[str]:
        wanted: dict[str, Any] = {name: value}
        return ids(find(books, Kind.CUSTOMER, **wanted))

    assert [named(name, text) for name in ("q", "name")] == [[itself]] * 2
    others = ("vat", "city", "email", "country", "number", "number_prefix", "currency", "reference", "type")
    assert [named(name, f"{text}!") for name in others] == [[]] * len(others)
    beyond = [one for name, one in sorted([(fold(f"a {text} b"), itself), ("jan", jan)]) if name > text]
    assert ids(find(books, Kind.CUSTOMER, Sort("name"), after=Spot(1, itself, text))) == beyond


def test_w11_no_more_words_are_looked_for_than_may_be(books: Books) -> None:
    with pytest.raises(FieldRefused, match="9 words"):
        find(books, Kind.CUSTOMER, q="a b c d e f g h i")


def test_w11_a_list_that_takes_too_long_is_given_up(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    database, account = books.application.database, books.access.account
    customer(books, "Jan")
    find(books, Kind.CUSTOMER, q="jan")
    monkeypatch.setattr(finding, "TIMEOUT_MS", 50)

    with psycopg.connect(database.dsn) as blocking:
        blocking.execute("LOCK TABLE entities IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ListTooLong):
            find_entities(database, account, Kind.CUSTOMER, Wanted(q="jan"), Sort())


def test_a_list_is_read_while_others_keep_writing(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    jan = customer(books, "Jan")
    caught_up = listed.catch_up

    def overtaken(*which: Any) -> None:
        caught_up(*which)
        books.issued(jan)

    monkeypatch.setattr(listed, "catch_up", overtaken)

    found = find(books, Kind.INVOICE, currency="EUR")

    assert len(found.states) == finding.TRIES, "what came before the lock is there, and nothing came behind it"


def test_lists_asked_for_at_once_are_made_once(books: Books) -> None:
    made = [customer(books, f"Jan {number}") for number in range(20)]
    found: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: found.append(ids(find(books, Kind.CUSTOMER, q="jan")))) for _ in range(6)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [made] * 6


def test_a_repair_of_snapshots_has_their_rows_made_anew(books: Books) -> None:
    database, account = books.application.database, books.access.account
    jan = customer(books, "Jan")
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("UPDATE entities SET state = replace(state, 'Jan', 'Jon') WHERE account_id = %s", [account])
    assert ids(find(books, Kind.CUSTOMER, name="jon")) == [jan]

    rebuild(database, account, check=False)

    assert ids(find(books, Kind.CUSTOMER, name="jon")) == []
    assert ids(find(books, Kind.CUSTOMER, name="jan")) == [jan]


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE listed SET name = 'else' WHERE account_id = %s AND kind = 'customer'",
        "UPDATE listed SET amount = amount + 0.01 WHERE account_id = %s AND kind = 'invoice'",
        "DELETE FROM listed WHERE account_id = %s AND kind = 'customer'",
        (
            "INSERT INTO listed (account_id, stream_id, kind, entity_id, state, text)"
            " VALUES (%s, 1, 'customer', gen_random_uuid(), 'active', '')"
        ),
    ],
)
def test_a_rebuild_finds_rows_that_are_not_what_the_snapshots_say_and_puts_them_right(
    books: Books, tampering: str
) -> None:
    database, account = books.application.database, books.access.account
    jan = customer(books, "Jan")
    books.issued(jan, buyer_reference="PO 1")
    assert len(find(books, Kind.INVOICE, q="jan").states) == 1
    customer(books, "Made since")
    assert rebuild(database, account, check=True).differences_count == 0
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(tampering.encode(), [account])

    found = rebuild(database, account, check=True)
    repaired = rebuild(database, account, check=False)

    assert [one.table for one in found.differences] == ["listed"]
    assert (repaired.repaired, repaired.remaining) == (1, 0)
    assert rebuild(database, account, check=True).differences_count == 0
    assert ids(find(books, Kind.CUSTOMER, name="jan")) == [jan]


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  Café  Noir ", "cafe noir"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("Łódź", "lodz"),
        ("Ærø", "aero"),
        ("ΑΘΉΝΑ", "αθηνα"),
        ("ﬁn", "fin"),
    ],
)
def test_texts_are_folded_as_people_type_them(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_identifiers_are_looked_for_without_what_is_put_between() -> None:
    assert squeeze(" BE 0123.456-749 ") == "be0123456749"
