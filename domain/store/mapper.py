"""Our events as the ``eventsourcing`` library stores them, and back; and what an entity was at any of its versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Cipher, Compressor, Mapper, NotSupportedError, StoredEvent, Transcoder

from domain.events import Event, read_line
from domain.ids import EntityId

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class RecordedEvent:
    """An event of ours with the names that the library reads on every event."""

    originator_id: str
    originator_version: int
    event: Event

    @classmethod
    def of(cls, event: Event) -> RecordedEvent:
        """*event*, named for the library."""
        return cls(event.entity, event.version, event)


class LineMapper(Mapper[str]):
    """Topic is the stored type name, state the canonical line. Older type versions are upcast as they are read.

    Raises NotSupportedError for a cipher or a compressor: the data of a line is kept, and hashed, as text.
    """

    def __init__(
        self, transcoder: Transcoder, compressor: Compressor | None = None, cipher: Cipher | None = None
    ) -> None:
        if compressor is not None or cipher is not None:
            raise NotSupportedError("lines are kept as text: neither compressed nor encrypted one by one")
        super().__init__(transcoder)

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """The event's line, under its type name."""
        assert isinstance(domain_event, RecordedEvent), "the stream holds events of ours"
        event = domain_event.event
        return StoredEvent(event.entity, event.version, event.type, _encode(event))

    def to_domain_event(self, stored_event: StoredEvent) -> RecordedEvent:
        """The event that the line says. Raises LineRefused."""
        return RecordedEvent.of(read_line(stored_event.state))


def fold(state: Any | None, events: Iterable[RecordedEvent]) -> Any | None:
    """The entity's state after *events*: the library's projector for our immutable states."""
    for recorded in events:
        event = recorded.event
        state = event.rules.evolve(state, event.data, EntityId(event.entity), event.version)
    return state
