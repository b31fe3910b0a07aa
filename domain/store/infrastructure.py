"""The ``eventsourcing`` library's application and infrastructure, for one account's live stream.

A factory is made from an environment that names the account and the database, as the library does it, or for a
database that is open already.
"""

from __future__ import annotations

from typing import Any, NoReturn

from eventsourcing.application import Application
from eventsourcing.persistence import (
    InfrastructureFactory,
    InfrastructureFactoryError,
    Mapper,
    NotSupportedError,
    TrackingRecorder,
    Transcoder,
)
from eventsourcing.utils import Environment, EnvType

from domain.ids import AccountId
from domain.store.database import Database
from domain.store.mapper import LineMapper
from domain.store.recorder import EntityRecorder, StreamRecorder
from domain.store.streams import load


class StreamFactory(InfrastructureFactory[TrackingRecorder]):
    """Makes recorders, mappers and event stores for the live stream of COUNTERFOIL_ACCOUNT."""

    ACCOUNT = "COUNTERFOIL_ACCOUNT"
    DATABASE_URL = "COUNTERFOIL_DATABASE_URL"

    def __init__(self, env: Environment | EnvType | None, database: Database | None = None) -> None:
        super().__init__(env)
        account, url = self.env.get(self.ACCOUNT), self.env.get(self.DATABASE_URL)
        if not account or not (url or database):
            raise InfrastructureFactoryError(f"set {self.ACCOUNT} to an account's id, and {self.DATABASE_URL}")
        self._account = AccountId(account)
        self._own = database is None
        if database is None:
            database = Database(str(url))
            database.open()
        self._database = database

    def close(self) -> None:
        """Close the database, if this factory opened it."""
        if self._own:
            self._database.close()

    def mapper(
        self, transcoder: Transcoder | None = None, mapper_class: type[Mapper[Any]] | None = None
    ) -> Mapper[Any]:
        """Ours, unless MAPPER_TOPIC or *mapper_class* names another."""
        if mapper_class is None and not self.env.get(self.MAPPER_TOPIC):
            mapper_class = LineMapper
        return super().mapper(transcoder, mapper_class)

    def aggregate_recorder(self, purpose: str = "events") -> EntityRecorder:
        """For events. Raises NotSupportedError for snapshots: each is written with the events that led to it."""
        if purpose != "events":
            raise NotSupportedError(f"no recorder for {purpose}: an entity has one snapshot, kept by every append")
        return EntityRecorder(self._database, self._account, self._live_stream())

    def application_recorder(self) -> StreamRecorder:
        """For events, and for their positions in the stream that is live now."""
        return StreamRecorder(self._database, self._account, self._live_stream())

    def tracking_recorder(self, tracking_recorder_class: type[TrackingRecorder] | None = None) -> NoReturn:
        """Raises NotSupportedError: projections are kept in the transaction that records, so none lags behind."""
        wanted = (tracking_recorder_class or TrackingRecorder).__name__
        raise NotSupportedError(f"no {wanted}: projections are kept in the transaction that records")

    def process_recorder(self) -> NoReturn:
        """Raises NotSupportedError, for the same reason."""
        raise NotSupportedError("no process recorder: projections are kept in the transaction that records")

    def _live_stream(self) -> int:
        with self._database.connection() as connection:
            return load(connection, self._account, [], control_known=-1, lock=False).head.stream


class StreamApplication(Application[str]):
    """The library's application over one account's live stream: event store, repository and notification log."""

    def __init__(self, database: Database, account: AccountId) -> None:
        self._given = (database, account)
        super().__init__()

    def construct_factory(self, env: Environment) -> StreamFactory:
        """For the database that is open, whatever the environment says."""
        database, account = self._given
        return StreamFactory(Environment(env.name, {StreamFactory.ACCOUNT: account}), database)
