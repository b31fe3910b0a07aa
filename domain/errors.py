"""Everything a person can be told went wrong: one tree of named facts, each with a stable code.

::

    CounterfoilError            the root: what the CLI prints in one sentence and HTTP answers as a problem
    ├── DomainError             a rule of the domain says no (domain/)
    ├── StoreError              the event store says no: stale version, account unknown (domain/store/)
    ├── AccessError             who asks may not do this (projections/, api/)
    ├── ArchiveError            an archive cannot be read as what it claims to be (snapshots/)
    ├── RestoreError            a restore, as a whole, was refused (snapshots/)
    ├── UblError                a UBL file cannot be imported (api/ubl/)
    └── SetupError              the installation itself: settings, database server, folders (api/)

A leaf says where, what was found and what would be right. A refusal changed nothing.
"""

from __future__ import annotations

from typing import ClassVar


class CounterfoilError(Exception):
    """A named fact about what went wrong. ``code`` is for machines and stable; ``str()`` is for people."""

    code: ClassVar[str] = "counterfoil.error"
    hint: str | None = None


class DomainError(CounterfoilError):
    """A rule of the domain forbids it."""

    code: ClassVar[str] = "domain.refused"


class StoreError(CounterfoilError):
    """The event store forbids it."""

    code: ClassVar[str] = "store.refused"


class AccessError(CounterfoilError):
    """Who asks may not do this."""

    code: ClassVar[str] = "access.refused"


class ArchiveError(CounterfoilError):
    """The archive cannot be read as what it claims to be."""

    code: ClassVar[str] = "archive.refused"


class RestoreError(CounterfoilError):
    """A restore as a whole was refused; the account is as it was."""

    code: ClassVar[str] = "restore.refused"


class SetupError(CounterfoilError):
    """The installation cannot work as it is set up."""

    code: ClassVar[str] = "setup.refused"
