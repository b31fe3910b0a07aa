"""What holds after any history: snapshots are folds, nothing has gaps, time never goes back, the tree verifies."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from psycopg.rows import namedtuple_row

from domain.events import decode_data, line, read_line, read_lines, rules_of, written_time
from domain.ids import AccountId, EntityId
from domain.kinds import Kind
from domain.numbering import series
from domain.rules import RULES
from domain.tree import Frontier, leaf_hash, root_of
from domain.work import kind_of
from tests.fixtures.accounts import OpenAccount, OpenedAccount
from tests.histories import History, Played, histories, play

pytestmark = pytest.mark.slow

# A fresh account for each example; what an example costs is its commands, some milliseconds each.
few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Stored(NamedTuple):
    """An account's live stream as PostgreSQL has it, read past the service's own code and roles."""

    events: list[Any]
    entities: list[Any]
    head_position: int
    frontier: bytes


def stored(opened: OpenedAccount) -> Stored:
    account: AccountId = opened.access.account
    with psycopg.connect(opened.application.database.dsn, row_factory=namedtuple_row) as connection:
        events = connection.execute(
            "SELECT * FROM events WHERE account_id = %s ORDER BY position", [account]
        ).fetchall()
        entities = connection.execute("SELECT * FROM entities WHERE account_id = %s", [account]).fetchall()
        stream: Any = connection.execute("SELECT * FROM streams WHERE account_id = %s", [account]).fetchone()
    return Stored(events, entities, stream.head_position, bytes(stream.frontier))


def lived(fresh_account: OpenAccount, history: History) -> tuple[Played, Stored]:
    opened = fresh_account()
    return play(opened.application, opened.access, history), stored(opened)


def written(event: Any) -> bytes:
    return line(
        type_name=event.type,
        entity=str(event.entity_id),
        version=event.version,
        at=written_time(event.at),
        actor=event.actor,
        via=event.via,
        data=event.data.encode(),
    )


@few
@given(histories())
def test_every_snapshot_is_the_fold_of_its_events_at_every_version(
    fresh_account: OpenAccount, history: History
) -> None:
    played, found = lived(fresh_account, history)

    folds: dict[EntityId, Any] = {}
    last: dict[EntityId, Any] = {}
    for event in found.events:
        id_ = EntityId(str(event.entity_id))
        rules = rules_of(event.type)
        folds[id_] = rules.evolve(
            folds.get(id_), decode_data(event.type, event.type_version, event.data), id_, event.version
        )
        last[id_] = event
        assert msgspec.json.encode(folds[id_]).decode() == played.states[id_, event.version]

    assert len(found.events) == len(played.states)
    assert {str(row.entity_id): row.state for row in found.entities} == {
        id_: msgspec.json.encode(fold).decode() for id_, fold in folds.items()
    }
    for row in found.entities:
        id_ = EntityId(str(row.entity_id))
        assert (row.version, row.position) == (last[id_].version, last[id_].position)
        assert row.number == rules_of(last[id_].type).number(folds[id_])


@few
@given(histories())
def test_an_archived_lines_law_is_the_commands_law(fresh_account: OpenAccount, history: History) -> None:
    """What commands recorded passes the rules once more, line by line: a restore would take every line of it."""
    _, found = lived(fresh_account, history)
    lines = [written(event) for event in found.events]

    together = read_lines(b"".join(one + b"\n" for one in lines))
    assert together == [read_line(one) for one in lines]

    states: dict[EntityId, Any] = {}
    for event in together:
        before = states.get(event.entity)
        event.rules.admit(before, event.data)
        states[event.entity] = event.rules.evolve(before, event.data, event.entity, event.version)


@few
@given(histories())
def test_positions_and_versions_have_no_gaps_and_time_never_goes_back(
    fresh_account: OpenAccount, history: History
) -> None:
    _, found = lived(fresh_account, history)

    assert [event.position for event in found.events] == list(range(1, found.head_position + 1))
    versions: dict[str, list[int]] = defaultdict(list)
    for event in found.events:
        versions[str(event.entity_id)].append(event.version)
    assert all(of == list(range(1, len(of) + 1)) for of in versions.values())
    assert all(one.at <= other.at for one, other in pairwise(found.events))


@few
@given(histories())
def test_numbers_are_given_out_in_order_without_a_gap(fresh_account: OpenAccount, history: History) -> None:
    _, found = lived(fresh_account, history)

    given_out: dict[tuple[Kind, str], list[int]] = defaultdict(list)
    for event in found.events:
        if event.type.endswith(".issued"):
            issued: Any = decode_data(event.type, event.type_version, event.data)
            of = series("{year}-{number:05}", issued.issue_date)
            ordinal = of.ordinal(issued.number)
            assert ordinal is not None
            given_out[rules_of(event.type).kind, of.key].append(ordinal)
    assert all(ordinals == list(range(1, len(ordinals) + 1)) for ordinals in given_out.values())


@few
@given(histories())
def test_the_logs_tree_is_that_of_its_lines(fresh_account: OpenAccount, history: History) -> None:
    _, found = lived(fresh_account, history)

    leaves = [leaf_hash(written(event)) for event in found.events]

    assert [bytes(event.leaf) for event in found.events] == leaves
    assert Frontier.from_bytes(found.head_position, found.frontier).root() == root_of(leaves)


@few
@given(histories())
def test_what_is_referred_to_is_there(fresh_account: OpenAccount, history: History) -> None:
    """But for drafts, whose customer or item may be deleted since: they cannot be issued then."""
    played, _ = lived(fresh_account, history)

    for state in played.now.values():
        is_lasting = getattr(state, "state", "") not in ("draft", "deleted") and not getattr(state, "deleted", False)
        if is_lasting:
            for reference in RULES[kind_of(state)].references(state):
                target = played.now[reference.target]
                assert not getattr(target, "deleted", False)
                assert getattr(target, "state", "") != "deleted"
