"""What is known of where an archive comes from, and whether it still is what was signed there."""

from __future__ import annotations

from typing import Literal

from domain.parties import Value

Verdict = Literal["authentic", "edited", "unsigned"]
What = Literal["signature", "size", "SHA-256"]


class Differing(Value, frozen=True, kw_only=True):
    """A file that is not the one that was signed or listed: what differs, as it was found and as it is listed."""

    file: str
    what: What
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what} {self.found}; the manifest says {self.expected}"


class Authenticity(Value, frozen=True, kw_only=True):
    """Who vouches for an archive. ``key`` is the id in its signature, ``key_name`` the operator's name for that key.

    ``is_ours``: it is a key of this installation, and so are the ids of people. ``reason`` says why it is no more than
    *edited* or *unsigned*. ``differing`` are the files that are not those listed; in an *unsigned* archive too, where
    whoever restores accepted that.
    """

    verdict: Verdict
    key: str | None = None
    key_name: str | None = None
    is_ours: bool = False
    reason: str | None = None
    differing: tuple[Differing, ...] = ()

    def differs(self, *files: str) -> bool:
        """Whether any of *files* is not the one that is listed."""
        return any(one.file in files for one in self.differing)

    def __str__(self) -> str:
        by = f" (signed by {self.key_name}, key {self.key})" if self.key_name else ""
        return f"{self.verdict}{by}{f': {self.reason}' if self.reason else ''}"
