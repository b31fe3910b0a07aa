"""Downloads of archives: whole, in ranges, or not at all where the caller has it; from a folder and from S3."""

from __future__ import annotations

import base64
import hashlib
import socket
from email import message_from_bytes
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from api.http import downloads
from api.http.errors import RangeRefused
from api.settings import Settings
from api.storage import shelves
from snapshots.shelves import FolderShelf, Place
from tests.fixtures.http_api import AccountOverHttp

ZIP = {"Content-Type": "application/zip"}
CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TAG = f'"{SHA256}"'


@pytest.fixture
def books(kept_books: AccountOverHttp) -> AccountOverHttp:
    """A fresh account on a server of either kind."""
    return kept_books


def sent(books: AccountOverHttp, content: bytes = CONTENT) -> str:
    """The path of an archive that was sent just now."""
    return f"archives/{books.post('archives', content=content, headers=ZIP).json()['id']}"


def recorded(books: AccountOverHttp) -> int:
    """How many downloads the account's history tells of."""
    entries = books.get("timeline?type=archive.downloaded").json()["entries"]
    return len(entries)


def test_a_download_is_whole_and_says_what_it_is(books: AccountOverHttp) -> None:
    path = sent(books)

    answer = books.get(path)

    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["etag"] == TAG
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(SHA256)).decode()}:"
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["cache-control"] == "no-store"


def test_the_head_says_the_same_without_the_bytes(books: AccountOverHttp) -> None:
    path = sent(books)

    answer = books.ask("HEAD", path, headers={"Range": "bytes=0-1"})

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["etag"] == TAG
    assert recorded(books) == 0


@pytest.mark.parametrize(
    ("range_", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=5-9", 5, 10), ("bytes=10000-", 10_000, 10_240), ("bytes=-1", 10_239, 10_240),
     ("BYTES= 0-99999", 0, 10_240), ("bytes=-99999", 0, 10_240), ("bytes=20000-,1-1", 1, 2)],
)  # fmt: skip
def test_a_range_is_sent_alone(books: AccountOverHttp, range_: str, start: int, end: int) -> None:
    answer = books.get(sent(books), headers={"Range": range_})

    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["etag"] == TAG


def test_several_ranges_are_sent_in_parts(books: AccountOverHttp) -> None:
    answer = books.get(sent(books), headers={"Range": "bytes=0-4, 100-101,-3"})

    head = b"Content-Type: " + answer.headers["content-type"].encode()
    parts = list(message_from_bytes(head + b"\r\n\r\n" + answer.content).walk())[1:]
    assert answer.status_code == 206
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert [(part["Content-Range"], part.get_payload(decode=True)) for part in parts] == [
        ("bytes 0-4/10240", CONTENT[:5]),
        ("bytes 100-101/10240", CONTENT[100:102]),
        ("bytes 10237-10239/10240", CONTENT[-3:]),
    ]


@pytest.mark.parametrize(
    "range_",
    ["bytes=5-4", "bytes=x", "bytes=", "lines=0-1", "0-1", "bytes=-", "bytes=1-2-3", "bytes=0-1;", "bytes=+1-2",
     "bytes=0-9000,1-9000", "bytes=" + ",".join("0-0" for _ in range(17))],
)  # fmt: skip
def test_a_range_that_says_nothing_or_too_much_is_as_none(books: AccountOverHttp, range_: str) -> None:
    answer = books.get(sent(books), headers={"Range": range_})

    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("range_", ["bytes=10240-", "bytes=-0", "bytes=99999-100000"])
def test_a_range_beyond_the_end_is_refused_with_the_length(books: AccountOverHttp, range_: str) -> None:
    answer = books.get(sent(books), headers={"Range": range_})

    assert (answer.status_code, answer.json()["code"]) == (416, "http.range-refused")
    assert answer.headers["content-range"] == "bytes */10240"
    assert recorded(books) == 0


@pytest.mark.parametrize(("given_", "status"), [(TAG, 206), ('"another"', 200), (f"W/{TAG}", 200),
                                                ("Tue, 24 Nov 2026 10:00:00 GMT", 200)])  # fmt: skip
def test_what_goes_on_is_only_the_same_archive(books: AccountOverHttp, given_: str, status: int) -> None:
    answer = books.get(sent(books), headers={"Range": "bytes=5-", "If-Range": given_})

    assert (answer.status_code, answer.content) == (status, CONTENT[5:] if status == 206 else CONTENT)


@pytest.mark.parametrize("given_", [TAG, f"W/{TAG}", f'"a", {TAG}', "*"])
def test_who_has_it_is_told_so(books: AccountOverHttp, given_: str) -> None:
    answer = books.get(sent(books), headers={"If-None-Match": given_})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == TAG
    assert recorded(books) == 0


def test_who_expects_another_is_refused(books: AccountOverHttp) -> None:
    path = sent(books)

    assert books.get(path, headers={"If-Match": TAG}).status_code == 200
    assert books.get(path, headers={"If-Match": '"another"'}).json()["code"] == "http.precondition-failed"


def test_each_download_is_on_record_and_its_parts_once(books: AccountOverHttp) -> None:
    path = sent(books)
    for start in range(0, len(CONTENT), 4096):
        books.get(path, headers={"Range": f"bytes={start}-{start + 4095}"})

    assert recorded(books) == 1
    books.get(path)
    assert recorded(books) == 2


def test_no_account_has_anothers_archive(books: AccountOverHttp) -> None:
    path = sent(books)
    stranger = AccountOverHttp(books.visitor, str(books.visitor.open_account().id))

    for method in ("GET", "HEAD", "DELETE"):
        assert stranger.ask(method, path).status_code == 404
    assert stranger.get("archives").json() == {"items": []}
    assert books.get(path).content == CONTENT


def test_an_archive_that_was_sent_before_its_hash_was_kept_is_known_all_the_same(books: AccountOverHttp) -> None:
    path = sent(books)
    shelf = shelves(_settings_of(books)).uploads
    shelf.delete(f"{books.id}/{path.removeprefix('archives/')}.json")

    assert books.get("archives").json()["items"][0]["sha256"] == SHA256
    assert books.get(path).headers["etag"] == TAG


def _settings_of(books: AccountOverHttp) -> Settings:
    return books.visitor.served.settings


def test_who_reads_slowly_holds_nothing_up(books: AccountOverHttp) -> None:
    content = bytes(900_000)
    path = sent(books, content)
    address = urlsplit(str(books.visitor.http.base_url))
    idle = []
    for _ in range(60):  # more than there are threads or connections to the database
        reader = socket.create_connection((str(address.hostname), int(address.port or 0)))
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"GET {books.path}/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {books.visitor.token}\r\n\r\n"
        reader.sendall(head.encode())
        idle.append(reader)
    begun = [reader.recv(15) for reader in idle]

    assert set(begun) == {b"HTTP/1.1 200 OK"}
    assert books.get("counts").status_code == 200
    assert books.get(path).content == content
    for reader in idle:
        reader.close()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(-40, 40), st.integers(0, 40)), min_size=1, max_size=4))
def test_any_ranges_are_those_of_a_plain_reading(pairs: list[tuple[int, int]]) -> None:
    size = 30
    asked = [f"{first}" if first < 0 else f"{first}-{first + length}" for first, length in pairs]
    archive = downloads.Archived("a", Place(FolderShelf(Path("x")), "a"), "a.zip", size, "00" * 32)
    request = Request({"type": "http", "method": "GET", "headers": [(b"range", f"bytes={','.join(asked)}".encode())]})
    content = list(range(size))
    expected = [content[first:] if first < 0 else content[first : first + length + 1] for first, length in pairs]
    kept = [one for one in expected if one]

    if not kept:
        with pytest.raises(RangeRefused):
            downloads.wanted(request, archive)
        return
    found = downloads.wanted(request, archive)
    if sum(map(len, kept)) > size:
        assert found is downloads.Whole.ALL
    else:
        assert isinstance(found, list)
        assert [content[span.start : span.end] for span in found] == kept
