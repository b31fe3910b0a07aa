"""A token for what a rehearsal looked at: a restore that is given it goes on only while all of that is still so.

Nothing is kept for it. It is made of three digests, of the account, of the archive, and of the choices with who made
them, so that a refusal can say which of them is another. It is no secret and gives no right.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import file_digest, sha256
from typing import Any, BinaryIO, ClassVar, NamedTuple

import msgspec

from domain.errors import RestoreError
from domain.ids import AccountId
from snapshots.fresh.swap import Live

_PARTS = ("the account", "the archive", "the choices, or who makes them")
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(eq=False)
class TokenStale(RestoreError):
    """What the token was given for is otherwise now."""

    code: ClassVar[str] = "restore.token-stale"
    hint = "rehearse again, to see what would happen now"
    changed: tuple[str, ...]

    def __str__(self) -> str:
        return f"the token is for another state of {' and of '.join(self.changed)}; nothing was restored"


class Seen(NamedTuple):
    """What a token is for, but for the account."""

    archive: str
    choices: str


def seen(file: BinaryIO, verdict: str, choices: dict[str, Any], person: str) -> Seen:
    """The digests of an archive, byte by byte, with what was judged of it, and of what a person chose."""
    file.seek(0)
    content = file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # typeshed wants more of a file
    return Seen(_digest([content, verdict]), _digest([choices, person]))


def token_for(account: AccountId, live: Live, what: Seen) -> str:
    """The token for *what*, and for the account as it is.

    Of the control stream what it comes to counts, not its length: a backup taken in between changes nothing.
    """
    return f"{_digest([account, live.stream, live.position, live.control])}-{what.archive}-{what.choices}"


def check_token(token: str, account: AccountId, live: Live, what: Seen) -> None:
    """That all that *token* is for is still so. Raises TokenStale, which names what is not."""
    given = token.split("-")
    expected = token_for(account, live, what).split("-")
    if len(given) != len(expected):
        raise TokenStale(_PARTS)
    changed = tuple(part for part, one, other in zip(_PARTS, given, expected, strict=True) if one != other)
    if changed:
        raise TokenStale(changed)


def _digest(value: Any) -> str:
    return sha256(_encode(value)).hexdigest()[:32]  # 128 bits: no two states of an account meet by chance
