"""Our events as the ``eventsourcing`` library stores them, and back; and what an entity was at any of its versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Cipher, Compressor, Mapper, NotSupportedError, StoredEvent, Transcoder

from domain.events import Event, decode_data, encode_data, line, read_line
from domain.ids import EntityId

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
_encode = msgspec.json.Encoder().encode

# What turns the data of a type's older version into the next one's, by type and older version. No type has changed yet.
UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}


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


class _Envelope(msgspec.Struct):
    type: str
    type_version: int
    entity: str
    version: int
    at: str
    actor: str
    via: str
    data: msgspec.Raw


class LineMapper(Mapper[str]):
    """Topic is the stored type name, state the canonical line. Older type versions are upcast as they are read.

    Raises NotSupportedError for a cipher or a compressor: the data of a line is kept, and hashed, as text.
    """

    upcasters = UPCASTERS

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
        return RecordedEvent.of(read_line(self._upcast(stored_event.state)))

    def _upcast(self, state: bytes) -> bytes:
        """The line as today's version of its type says it."""
        found = msgspec.json.decode(state, type=_Envelope)
        if (found.type, found.type_version) not in self.upcasters:
            return state
        data, version = msgspec.json.decode(found.data), found.type_version
        while upcaster := self.upcasters.get((found.type, version)):
            data, version = upcaster(data), version + 1
        return line(
            type_name=found.type,
            type_version=version,
            entity=found.entity,
            version=found.version,
            at=found.at,
            actor=found.actor,
            via=found.via,
            data=encode_data(decode_data(found.type, _encode(data))),
        )


def fold(state: Any | None, events: Iterable[RecordedEvent]) -> Any | None:
    """The entity's state after *events*: the library's projector for our immutable states."""
    for recorded in events:
        event = recorded.event
        state = event.rules.evolve(state, event.data, EntityId(event.entity), event.version)
    return state
