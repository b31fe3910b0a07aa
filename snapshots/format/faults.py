"""What is wrong with an archive's lines: each with file, line, field, reason; all counted, the first 1,000 in full."""

from __future__ import annotations

from domain.parties import Value

MOST_IN_FULL = 1_000


class Fault(Value, frozen=True, kw_only=True):
    """Something wrong. ``line`` counts from 1; ``entity`` is whose line it is, where that can be told."""

    code: str
    file: str
    line: int | None = None
    field: str | None = None
    entity: str | None = None
    reason: str

    def __str__(self) -> str:
        where = f"{self.file} line {self.line:,}" if self.line else self.file
        return f"{where}: {self.reason}"


class Faults:
    """Faults as they are found. ``entities`` are the ids of those that an error of their own was found in."""

    def __init__(self) -> None:
        self.listed: list[Fault] = []
        self.count = 0
        self.entities: set[str] = set()

    def add(self, fault: Fault) -> None:
        """Note a fault."""
        self.count += 1
        if len(self.listed) < MOST_IN_FULL:
            self.listed.append(fault)
        if fault.entity is not None:
            self.entities.add(fault.entity)

    def add_all(self, other: Faults, *, but_of: frozenset[str] = frozenset()) -> None:
        """Note all faults of *other* as well, but those of the entities *but_of*, of which a fault is known."""
        kept = [fault for fault in other.listed if fault.entity not in but_of] if but_of else other.listed
        self.count += other.count - (len(other.listed) - len(kept))
        self.entities |= other.entities
        self.listed += kept[: MOST_IN_FULL - len(self.listed)]
