"""For whom a command acts, and on which account: looked up for that person, so that nobody reaches another's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from api.bootstrap import Installation, installation
from api.settings import Settings, load_settings
from domain.accounts import Access, Person, find_access, find_person
from domain.application import Actor
from domain.errors import AccessError


@dataclass(eq=False)
class NobodyNamed(AccessError):
    """It was not said for whom the command acts."""

    code: ClassVar[str] = "access.nobody-named"

    def __str__(self) -> str:
        return "for whom? Say --as EMAIL, or set COUNTERFOIL_AS"


class Session(NamedTuple):
    """A person at work in this installation."""

    installation: Installation
    person: Person

    @property
    def actor(self) -> Actor:
        """The person, by command line."""
        return Actor.person(self.person.id, "cli")

    def access(self, account: str) -> Access:
        """The account of that name or id, for this person. Raises AccountUnknown."""
        return find_access(self.installation.database, self.person.id, account)


def settings() -> Settings:
    """The settings in force for this command."""
    return load_settings(os.environ)


def named(email: str | None, in_force: Settings) -> str:
    """The e-mail address of whom to act for. Raises NobodyNamed."""
    found = email or in_force.acting_as
    if found is None:
        raise NobodyNamed
    return found


@contextmanager
def session(email: str | None) -> Iterator[Session]:
    """A session of the person of that address (default: of the settings). Raises NobodyNamed, PersonUnknown."""
    in_force = settings()
    who = named(email, in_force)
    with installation(in_force) as opened:
        yield Session(opened, find_person(opened.database, who))
