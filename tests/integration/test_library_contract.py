"""The ``eventsourcing`` library's own test cases on our recorder, factory and applications; our events through them.

Left out, each for its reason:

- TrackingRecorderTestCase, ProcessRecorderTestCase, and the factory's two cases for them: our projections are kept in
  the transaction that records events, so there is no follower whose place would have to be tracked.
- The factory's cases with a cipher or a compressor: the data of a line is text, and hashed as text, so that an archive
  can be checked with a SHA-256 tool. Archives are encrypted as a whole instead.
- TranscoderTestCase: msgspec writes and reads our events; the library's JSONTranscoder serves only the cases here.
- Snapshots of the example application go to the library's recorder in memory: our entities have one snapshot each,
  written with their events, where the library keeps any number beside them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import TestCase
from uuid import UUID, uuid4

import msgspec
import pytest
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    DataError,
    IntegrityError,
    JSONTranscoder,
    NotSupportedError,
    OperationalError,
    ProcessRecorder,
    StoredEvent,
    TrackingRecorder,
)
from eventsourcing.popo import POPOAggregateRecorder
from eventsourcing.tests import application as application_cases
from eventsourcing.tests import persistence as persistence_cases
from eventsourcing.utils import Environment

from domain import commands
from domain import control as c
from domain.accounts import ensure_person, open_account
from domain.application import Actor, Application, utc_now
from domain.events import DATA_TYPES, encode_data, line
from domain.ids import AccountId, EntityId, new_id
from domain.kinds import Kind
from domain.parties import Address, Party
from domain.store.database import Database
from domain.store.infrastructure import StreamApplication, StreamFactory
from domain.store.mapper import LineMapper, fold
from domain.store.recorder import EntityRecorder, StreamRecorder
from domain.store.streams import load
from domain.tree import leaf_hash, root_of


class Opened(NamedTuple):
    """A database of the test's own, and an account in it."""

    dsn: str
    database: Database
    application: Application
    account: AccountId
    actor: Actor


@pytest.fixture
def opened(empty_database: str) -> Iterator[Opened]:
    with Database(empty_database) as database:
        application = Application(database)
        person = ensure_person(database, "an@example.com", "An", at=utc_now())
        company = Party(name="Houtwerk BV", address=Address(country="BE"))
        settings = c.SettingsFields(
            company=company, country="BE", currency="EUR", language="nl", time_zone="Europe/Brussels"
        )
        access = open_account(application, "Houtwerk", person, settings, via="cli")
        yield Opened(empty_database, database, application, access.account, Actor.person(person.id, "cli"))


class OnOurStore(TestCase):
    """A case of the library with an account of its own, named in the environment as well."""

    opened: Opened
    first_position = 0

    @pytest.fixture(autouse=True)
    def _open(self, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = opened
        monkeypatch.setenv("PERSISTENCE_MODULE", "domain.store.infrastructure")
        monkeypatch.setenv("COUNTERFOIL_DATABASE_URL", opened.dsn)
        monkeypatch.setenv("COUNTERFOIL_ACCOUNT", opened.account)
        # What these cases record are classes of the library's, which its own mapper writes.
        monkeypatch.setenv("MAPPER_TOPIC", "eventsourcing.persistence:Mapper")


class TestEntityRecorder(OnOurStore, persistence_cases.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return EntityRecorder(self.opened.database, self.opened.account, 1)


class TestStreamRecorder(OnOurStore, persistence_cases.ApplicationRecorderTestCase):
    def create_recorder(self) -> ApplicationRecorder:
        return StreamRecorder(self.opened.database, self.opened.account, 1)

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestEventsOfOneCallStandTogether(OnOurStore, persistence_cases.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> ApplicationRecorder:
        return StreamRecorder(self.opened.database, self.opened.account, 1)


class TestStreamFactory(OnOurStore, persistence_cases.InfrastructureFactoryTestCase[StreamFactory]):
    test_mapper_with_compressor = None  # type: ignore[assignment]
    test_mapper_with_cipher = None  # type: ignore[assignment]
    test_mapper_with_cipher_and_compressor = None  # type: ignore[assignment]
    test_mapper_with_wrong_cipher_key = None  # type: ignore[assignment]
    test_create_tracking_recorder = None  # type: ignore[assignment]
    test_create_process_recorder = None  # type: ignore[assignment]

    def setUp(self) -> None:
        self.env = Environment("Houtwerk", {**os.environ, "MAPPER_TOPIC": ""})
        super().setUp()

    def expected_factory_class(self) -> type[StreamFactory]:
        return StreamFactory

    def expected_aggregate_recorder_class(self) -> type[AggregateRecorder]:
        return EntityRecorder

    def expected_application_recorder_class(self) -> type[ApplicationRecorder]:
        return StreamRecorder

    def expected_tracking_recorder_class(self) -> type[TrackingRecorder]:
        raise NotImplementedError

    def tracking_recorder_subclass(self) -> type[TrackingRecorder]:
        raise NotImplementedError

    def expected_process_recorder_class(self) -> type[ProcessRecorder]:
        raise NotImplementedError

    def test_what_is_left_out_is_refused_by_a_named_error(self) -> None:
        for wanted in (self.factory.tracking_recorder, self.factory.process_recorder):
            with pytest.raises(NotSupportedError):
                wanted()
        with pytest.raises(NotSupportedError):
            self.factory.aggregate_recorder("snapshots")
        self.env[StreamFactory.COMPRESSOR_TOPIC] = "zlib"
        with pytest.raises(NotSupportedError):
            self.factory.mapper()


class FactoryWithSnapshotsInMemory(StreamFactory):
    """Ours, with the library's snapshots beside it."""

    def aggregate_recorder(self, purpose: str = "events") -> Any:
        return POPOAggregateRecorder() if purpose == "snapshots" else super().aggregate_recorder(purpose)


class TestExampleApplication(OnOurStore, application_cases.ExampleApplicationTestCase):
    expected_factory_topic = f"{__name__}:{FactoryWithSnapshotsInMemory.__name__}"

    @pytest.fixture(autouse=True)
    def _keep_snapshots(self, _open: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PERSISTENCE_MODULE", self.expected_factory_topic)


class TestApplication(OnOurStore, application_cases.ApplicationTestCase):
    pass


def test_a_command_s_events_are_read_as_their_lines_and_hash_to_the_log(opened: Opened) -> None:
    drafted = _drafted(opened)

    notifications = StreamRecorder(opened.database, opened.account, 1).select_notifications(None, 10)

    with opened.database.connection() as connection:
        head = load(connection, opened.account, [], control_known=-1, lock=False).head
    assert [one.topic for one in notifications] == ["customer.created", "invoice.drafted", "invoice.changed"]
    assert [one.originator_id for one in notifications][1:] == [drafted, drafted]
    assert root_of([leaf_hash(one.state) for one in notifications]) == head.frontier.root()


def test_an_entity_is_had_as_it_was_at_each_of_its_versions(opened: Opened) -> None:
    drafted = _drafted(opened)
    now, _ = opened.application.find(opened.account, Kind.INVOICE, drafted)

    with StreamApplication(opened.database, opened.account) as stream:
        first, second = (stream.repository.get(drafted, version=version, projector_func=fold) for version in (1, 2))

    assert (first.version, first.buyer_reference) == (1, None)
    assert second == now


def test_events_saved_through_the_library_keep_snapshots_and_the_log(opened: Opened) -> None:
    id_ = EntityId(new_id())

    with StreamApplication(opened.database, opened.account) as stream:
        [recording] = stream.save(stream.mapper.to_domain_event(_customer_line(id_, "Klant")))

    state, _ = opened.application.find(opened.account, Kind.CUSTOMER, id_)
    assert (state.party.name, state.version, recording.notification.id) == ("Klant", 1, 1)


def test_a_version_that_is_left_out_is_refused(opened: Opened) -> None:
    recorder = StreamRecorder(opened.database, opened.account, 1)
    id_ = EntityId(new_id())

    with pytest.raises(IntegrityError):
        recorder.insert_events([_customer_line(id_, "Klant", version=2)])

    assert recorder.max_notification_id() is None


def test_a_line_that_is_stored_as_something_else_than_it_says_is_refused(opened: Opened) -> None:
    recorder = StreamRecorder(opened.database, opened.account, 1)
    stored = _customer_line(EntityId(new_id()), "Klant")

    with pytest.raises(DataError):
        recorder.insert_events([StoredEvent(new_id(), 1, stored.topic, stored.state)])
    with pytest.raises(DataError):
        recorder.insert_events([StoredEvent(stored.originator_id, 1, stored.topic, stored.state + b" ")])


def test_a_state_that_is_no_text_is_refused(opened: Opened) -> None:
    recorder = StreamRecorder(opened.database, opened.account, 1)

    for state in (b"\xff\xfe", b"\x00"):
        with pytest.raises(DataError):
            recorder.insert_events([StoredEvent(uuid4(), 1, "theirs", state)])


def test_a_recorder_of_a_stream_that_is_not_live_records_nothing(opened: Opened) -> None:
    with pytest.raises(OperationalError):
        StreamRecorder(opened.database, opened.account, 2).insert_events([StoredEvent(uuid4(), 1, "theirs", b"{}")])


def test_a_recorder_reads_nothing_of_another_account(opened: Opened) -> None:
    id_: UUID = uuid4()
    StreamRecorder(opened.database, opened.account, 1).insert_events([StoredEvent(id_, 1, "theirs", b"{}")])
    person = ensure_person(opened.database, "bo@example.com", "Bo", at=utc_now())
    settings = opened.application.control(opened.account).settings
    other = open_account(opened.application, "Other", person, settings, via="cli")

    recorder = StreamRecorder(opened.database, other.account, 1)

    assert recorder.select_events(id_) == []
    assert recorder.select_notifications(None, 10) == []


def test_an_event_of_an_older_type_version_is_upcast_when_it_is_read() -> None:
    id_ = EntityId(new_id())
    old = {"type_name": "invoice.sent", "entity": id_, "version": 3, "at": "2026-03-02T09:00:00.000000Z"}
    data = b'{"how":"email","to":"klant@example.com"}'
    state = line(**old, type_version=1, actor="system:test", via="system", data=data)  # type: ignore[arg-type]

    recorded = LineMapper(JSONTranscoder()).to_domain_event(StoredEvent(id_, 3, "invoice.sent", state))

    assert (recorded.event.type_version, recorded.event.data.recipients) == (2, ("klant@example.com",))


def _drafted(opened: Opened) -> EntityId:
    """An invoice of two versions."""
    run, account, actor = opened.application.run, opened.account, opened.actor
    customer = run(account, actor, lambda work: commands.create(work, Kind.CUSTOMER, {"party": {"name": "Klant"}}))
    fields = {"customer": customer, "lines": []}
    drafted: EntityId = run(account, actor, lambda work: commands.create(work, Kind.INVOICE, fields))
    run(account, actor, lambda work: commands.change(work, Kind.INVOICE, drafted, {"buyer_reference": "PO 7"}))
    return drafted


def _customer_line(id_: EntityId, name: str, *, version: int = 1) -> StoredEvent:
    fields = {"party": {"name": name}, "language": "nl", "currency": "EUR"}
    data = encode_data(msgspec.convert(fields, DATA_TYPES["customer.created"]))
    written = line(
        type_name="customer.created",
        entity=id_,
        version=version,
        at="2026-03-02T09:00:00.000000Z",
        actor="system:test",
        via="system",
        data=data,
    )
    return StoredEvent(id_, version, "customer.created", written)
