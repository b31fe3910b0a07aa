"""What HTTP itself refuses, before a command is reached.

::

    HttpRefusal
    ├── TokenMissing, TokenRefused, SessionRefused      who asks is not known (401)
    ├── OriginRefused                         a browser was led to ask by another site (403)
    ├── RequestInvalid, BodyRefused, IfMatchRefused, CursorRefused      the request says nothing we understand (400)
    ├── RouteUnknown, FileUnknown             there is nothing at that address (404)
    ├── MethodRefused                         not with that method (405)
    ├── StreamReplaced                        a restore came between; the cursor leads nowhere (410)
    ├── UploadsFull                           as many archives are kept as may be (409)
    ├── BodyTooLarge                          more bytes than the limit (413)
    ├── PreconditionFailed                    it is not what the caller saw (412)
    ├── RangeRefused                          there is nothing in the range (416)
    ├── TusVersionRefused                     another version of the protocol of uploads (412)
    ├── UploadBusy                            somebody sends to it at this moment (423)
    ├── UploadElsewhere, UploadInCrumbs       the upload does not go on there, or so (409)
    ├── FollowedByMany                        too many follow jobs at this moment (429)
    ├── UploadDiffers                         what came is not what was announced (422)
    ├── BodyTooSlow                           the body does not come (408)
    ├── NoRoom                                what is sent cannot be kept (507)
    ├── MediaTypeRefused                      a body of another type than is taken (415)
    ├── IdempotencyKeyRefused, …Busy, …Reused, …OfReplacedStream, AnswerToldOnce    about Idempotency-Key (400 to 422)
    └── FigureOutOfRange                      amounts or dates that nothing can be computed with (422)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from domain.errors import CounterfoilError


class HttpRefusal(CounterfoilError):
    """The request cannot be answered as it was made."""

    code: ClassVar[str] = "http.refused"

    @property
    def headers(self) -> dict[str, str]:
        """What the answer's headers say of it."""
        return {}


class TokenMissing(HttpRefusal):
    """The request says not who makes it."""

    code: ClassVar[str] = "http.token-missing"

    def __str__(self) -> str:
        return "found no API token or session; expected the one header Authorization: Bearer <token>, or its cookie"


class TokenRefused(HttpRefusal):
    """The token is nobody's."""

    code: ClassVar[str] = "http.token-refused"

    def __str__(self) -> str:
        return "the API token is not known, or no longer"


class SessionRefused(HttpRefusal):
    """The session is nobody's, or has ended."""

    code: ClassVar[str] = "http.session-refused"

    def __str__(self) -> str:
        return "the session has ended; sign in again"


@dataclass(eq=False)
class OriginRefused(HttpRefusal):
    """A browser sent a change with a cookie, and nothing shows that a page of ours asked for it."""

    code: ClassVar[str] = "http.origin-refused"
    found: str

    def __str__(self) -> str:
        return f"found {self.found}; expected the session's X-CSRF-Token, or this service's own Origin"


@dataclass(eq=False)
class RequestInvalid(HttpRefusal):
    """A part of the address or a header has a value that it cannot have."""

    code: ClassVar[str] = "http.request-invalid"
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(eq=False)
class BodyRefused(HttpRefusal):
    """The body is not one JSON object as we read it."""

    code: ClassVar[str] = "http.body-refused"
    field: str
    found: str
    expected: str

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{where}found {self.found}; expected {self.expected}"


@dataclass(eq=False)
class IfMatchRefused(HttpRefusal):
    """The If-Match header is not one entity tag of ours."""

    code: ClassVar[str] = "http.if-match-refused"
    found: str

    def __str__(self) -> str:
        return f'If-Match: found {self.found!r}; expected one entity tag as ETag gave it, such as "1.4", or *'


@dataclass(eq=False)
class IdempotencyKeyRefused(HttpRefusal):
    """The Idempotency-Key header is not one key."""

    code: ClassVar[str] = "http.idempotency-key-refused"
    found: str

    def __str__(self) -> str:
        return f"Idempotency-Key: found {self.found!r}; expected one key of 1 to 255 ASCII characters, such as a UUID"


class IdempotencyKeyBusy(HttpRefusal):
    """The same key was kept a moment ago by a request that ran beside this one."""

    code: ClassVar[str] = "http.idempotency-key-busy"

    def __str__(self) -> str:
        return "Idempotency-Key: another request with this key ran at the same moment; send it again for its answer"


class IdempotencyKeyReused(HttpRefusal):
    """The key was given with another request before."""

    code: ClassVar[str] = "http.idempotency-key-reused"

    def __str__(self) -> str:
        return (
            "Idempotency-Key: found one that was given within 24 hours with another method, address or body; "
            "expected a key of its own for each request"
        )


@dataclass(eq=False)
class IdempotencyKeyOfReplacedStream(HttpRefusal):
    """The request was done in data that a restore has replaced since."""

    code: ClassVar[str] = "http.idempotency-key-of-replaced-stream"
    key_stream: int
    live_stream: int

    def __str__(self) -> str:
        return (
            f"Idempotency-Key: the request was done in stream {self.key_stream}, which was replaced; "
            f"stream {self.live_stream} is live: see whether it is still to be done there, and then use another key"
        )


class AnswerToldOnce(HttpRefusal):
    """The request was done, and its answer held a secret that is told once."""

    code: ClassVar[str] = "http.answer-told-once"

    def __str__(self) -> str:
        return (
            "Idempotency-Key: the request was done, and the secret in its answer is told once and not kept; "
            "take back what it made, and make another with another key"
        )


@dataclass(eq=False)
class CursorRefused(HttpRefusal):
    """The cursor is none that we gave out."""

    code: ClassVar[str] = "http.cursor-refused"
    found: str

    def __str__(self) -> str:
        return f"cursor: found {self.found!r}; expected one as the Link header gave it"


@dataclass(eq=False)
class RouteUnknown(HttpRefusal):
    """There is nothing at this address."""

    code: ClassVar[str] = "http.route-unknown"
    path: str

    def __str__(self) -> str:
        return f"nothing is at {self.path}"


@dataclass(eq=False)
class FileUnknown(HttpRefusal):
    """There is no such file in the account."""

    code: ClassVar[str] = "http.file-unknown"
    what: str
    id: str

    def __str__(self) -> str:
        return f"no {self.what} {self.id!r} in this account"


@dataclass(eq=False)
class MethodRefused(HttpRefusal):
    """The address takes other methods."""

    code: ClassVar[str] = "http.method-refused"
    method: str
    allowed: str

    @property
    def headers(self) -> dict[str, str]:
        """Which those are."""
        return {"Allow": self.allowed}

    def __str__(self) -> str:
        return f"found {self.method}; expected {self.allowed}"


@dataclass(eq=False)
class StreamReplaced(HttpRefusal):
    """The cursor belongs to data that a restore has replaced since."""

    code: ClassVar[str] = "http.stream-replaced"
    cursor_stream: int
    live_stream: int

    def __str__(self) -> str:
        return (
            f"cursor: of stream {self.cursor_stream}, which was replaced; stream {self.live_stream} is live: "
            "begin again without a cursor"
        )


@dataclass(eq=False)
class BodyTooLarge(HttpRefusal):
    """The body is larger than is taken."""

    code: ClassVar[str] = "http.body-too-large"
    limit_bytes: int

    def __str__(self) -> str:
        return f"found a body of more than {self.limit_bytes:,} bytes; expected at most that"


@dataclass(eq=False)
class MediaTypeRefused(HttpRefusal):
    """The body is of a type that is not taken here."""

    code: ClassVar[str] = "http.media-type-refused"
    found: str
    expected: str

    def __str__(self) -> str:
        return f"Content-Type: found {self.found or 'none'}; expected {self.expected}"


@dataclass(eq=False)
class UploadsFull(HttpRefusal):
    """As many archives are kept for the account as may be."""

    code: ClassVar[str] = "http.uploads-full"
    most: int

    def __str__(self) -> str:
        return f"{self.most} archives that were sent are kept already; delete one that is no longer needed"


class PreconditionFailed(HttpRefusal):
    """What is there is not what the request says it should be."""

    code: ClassVar[str] = "http.precondition-failed"

    def __str__(self) -> str:
        return "If-Match: what is there has another entity tag; get it anew to see which"


@dataclass(eq=False)
class RangeRefused(HttpRefusal):
    """There is nothing in the ranges that were asked for."""

    code: ClassVar[str] = "http.range-refused"
    size: int

    @property
    def headers(self) -> dict[str, str]:
        """How much there is."""
        return {"Content-Range": f"bytes */{self.size}"}

    def __str__(self) -> str:
        return f"Range: found none that begins within the {self.size:,} bytes there are; expected one that does"


@dataclass(eq=False)
class TusVersionRefused(HttpRefusal):
    """The request speaks no version of the protocol of uploads that we do."""

    code: ClassVar[str] = "http.tus-version"
    found: str
    ours: str

    @property
    def headers(self) -> dict[str, str]:
        """The version that we speak."""
        return {"Tus-Version": self.ours}

    def __str__(self) -> str:
        return f"Tus-Resumable: found {self.found or 'none'}; expected {self.ours}"


class FollowedByMany(HttpRefusal):
    """Too many follow jobs at this moment."""

    code: ClassVar[str] = "http.followed-by-many"

    def __str__(self) -> str:
        return "too many follow jobs at this moment; ask for the job itself now and then, or follow it later"

    @property
    def headers(self) -> dict[str, str]:
        """When to try again."""
        return {"Retry-After": "5"}


class UploadBusy(HttpRefusal):
    """Somebody sends to this upload at this moment."""

    code: ClassVar[str] = "http.upload-busy"

    def __str__(self) -> str:
        return "this upload is being sent to at this moment; ask with HEAD how far it is, and go on from there"


@dataclass(eq=False)
class UploadElsewhere(HttpRefusal):
    """The upload goes on at another offset than the request says."""

    code: ClassVar[str] = "http.upload-elsewhere"
    found: int
    expected: int | None

    @property
    def headers(self) -> dict[str, str]:
        """Where it goes on."""
        return {} if self.expected is None else {"Upload-Offset": str(self.expected)}

    def __str__(self) -> str:
        where = "where HEAD says" if self.expected is None else f"{self.expected:,}"
        return f"Upload-Offset: found {self.found:,}; expected {where}"


@dataclass(eq=False)
class UploadInCrumbs(HttpRefusal):
    """The upload came in so many parts that no more are taken."""

    code: ClassVar[str] = "http.upload-in-crumbs"
    most: int

    def __str__(self) -> str:
        return f"this upload came in {self.most:,} parts; give it up, and begin again with larger ones"


@dataclass(eq=False)
class UploadDiffers(HttpRefusal):
    """What came is not what was announced; nothing of it is kept."""

    code: ClassVar[str] = "http.upload-differs"
    found: str
    expected: str

    def __str__(self) -> str:
        return f"found the SHA-256 {self.found}; expected {self.expected}; nothing of it is kept"


@dataclass(eq=False)
class BodyTooSlow(HttpRefusal):
    """The body does not come, or too slowly to be waited for."""

    code: ClassVar[str] = "http.body-too-slow"
    least_bytes_s: int

    def __str__(self) -> str:
        return f"found a body that does not come; expected at least {self.least_bytes_s:,} bytes a second"


class NoRoom(HttpRefusal):
    """What was sent could not be kept; nothing of it is."""

    code: ClassVar[str] = "http.no-room"

    def __str__(self) -> str:
        return "what was sent could not be written to disk"


class FigureOutOfRange(HttpRefusal):
    """An amount or date, or what it comes to with the others, is out of range or is none."""

    code: ClassVar[str] = "http.figure-out-of-range"

    def __str__(self) -> str:
        return (
            "what the body's figures come to is out of range; expected amounts of at most 15 digits before and 6 after "
            "the point, and dates up to 9999-12-31"
        )
