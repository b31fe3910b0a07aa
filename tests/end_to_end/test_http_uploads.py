"""Archives that are sent in parts, by tus 1.0: whatever breaks off goes on where it was, also after a restart."""

from __future__ import annotations

import base64
import hashlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tusclient.client import TusClient

from api.http import bodies, unfinished
from api.http.unfinished import EXPIRES_AFTER, sweep_expired
from api.storage import shelves
from domain.application import utc_now
from snapshots.shelves import FolderShelf, Shelf
from snapshots.shelves.errors import StorageFull
from tests.fixtures.http_api import AccountOverHttp, Served, Visitor, serving

CONTENT = random.Random(28).randbytes(700_001)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}
ZIP = {"Content-Type": "application/zip"}
ENDS_S = 20


@pytest.fixture
def books(kept_books: AccountOverHttp) -> AccountOverHttp:
    """A fresh account on a server of either kind."""
    return kept_books


def uploads(books: AccountOverHttp) -> Shelf:
    return shelves(books.visitor.served.settings).uploads


def begun(books: AccountOverHttp, length: int = len(CONTENT), **headers: str) -> str:
    """The path of an upload that was begun just now."""
    answer = books.post("archives/uploads", headers={**TUS, "Upload-Length": str(length), **headers})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def patch(books: AccountOverHttp, path: str, offset: int, content: Any, **headers: str) -> httpx.Response:
    return books.ask("PATCH", path, content=content, headers={**PART, "Upload-Offset": str(offset), **headers})


def offset(books: AccountOverHttp, path: str) -> int:
    answer = books.ask("HEAD", path, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["upload-offset"])


def archive_of(path: str) -> str:
    return "archives/" + path.rpartition("/")[2]


def test_an_archive_is_sent_in_parts_and_is_one_when_the_last_byte_came(books: AccountOverHttp) -> None:
    path = begun(books)

    half = patch(books, path, 0, CONTENT[:300_000])
    meanwhile = books.get("archives").json()["items"], books.get("archives/uploads").json()["items"]
    rest = patch(books, path, 300_000, CONTENT[300_000:])

    assert (half.status_code, half.headers["upload-offset"]) == (204, "300000")
    assert (rest.status_code, rest.headers["upload-offset"]) == (204, str(len(CONTENT)))
    assert meanwhile[0] == []
    assert [(one["length"], one["offset"]) for one in meanwhile[1]] == [(len(CONTENT), 300_000)]
    assert [one["sha256"] for one in books.get("archives").json()["items"]] == [SHA256]
    assert books.get("archives/uploads").json() == {"items": []}
    assert books.get(archive_of(path)).content == CONTENT
    assert offset(books, path) == len(CONTENT)


def test_a_client_of_others_sends_an_archive(books: AccountOverHttp, tmp_path: Path) -> None:
    file = tmp_path / "acme.zip"
    file.write_bytes(CONTENT)
    client = TusClient(
        f"{books.visitor.served.url}{books.path}/archives/uploads",
        headers={"Authorization": f"Bearer {books.visitor.token}"},
    )

    sending = client.uploader(str(file), chunk_size=100_000, metadata={"filename": "acme.zip", "sha256": SHA256})
    sending.upload(stop_at=250_000)
    going_on = client.uploader(str(file), chunk_size=100_000, url=sending.url)
    assert going_on.offset == 250_000
    going_on.upload()

    assert books.get(archive_of(str(sending.url))).content == CONTENT


class Wire(NamedTuple):
    """A connection that speaks HTTP as a test wants."""

    socket: socket.socket

    def send(self, books: AccountOverHttp, method: str, path: str, *headers: str) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {books.visitor.token}", *headers]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def status(self) -> int:
        """What the server answered; 0 where it hung up instead."""
        try:
            said = self.socket.recv(4096)
        except ConnectionResetError:
            return 0
        return int(said.split()[1]) if said else 0


@pytest.fixture
def wire(books: AccountOverHttp) -> Iterator[Wire]:
    address = urlsplit(books.visitor.served.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=ENDS_S) as made:
        yield Wire(made)


def cut(books: AccountOverHttp, path: str, at: int, content: bytes, length: int) -> int:
    """Announce the rest from *at* on, hang up after *content*, and wait until the server is through. The offset then.

    What is on its way when a connection ends may be lost; whatever the server says it has, it has.
    """
    address = urlsplit(books.visitor.served.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=ENDS_S) as made:
        tus = [f"{name}: {value}" for name, value in {**PART, "Upload-Offset": str(at)}.items()]
        Wire(made).send(books, "PATCH", path, *tus, f"Content-Length: {length - at}", "Expect: 100-continue")
        assert Wire(made).status() == 100
        made.sendall(content)
    ends = time.monotonic() + ENDS_S
    while unfinished._at_work and time.monotonic() < ends:
        time.sleep(0.005)
    found = offset(books, path)
    assert at <= found <= at + len(content)
    return found


@pytest.mark.slow
def test_z28_an_upload_cut_at_every_64_kib_goes_on_where_it_was(books: AccountOverHttp) -> None:
    path = begun(books)
    at = kept = 0
    while at + 65_536 < len(CONTENT):
        found = cut(books, path, at, CONTENT[at : at + 65_536], len(CONTENT))
        kept += found - at
        at += 65_536
        assert patch(books, path, found, CONTENT[found:at]).status_code == 204

    assert patch(books, path, at, CONTENT[at:]).status_code == 204
    assert books.get(archive_of(path)).content == CONTENT
    assert kept > len(CONTENT) // 4


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 30_000), max_size=6), st.randoms(use_true_random=False))
def test_an_upload_cut_anywhere_is_the_same_archive(served: Served, cuts: list[int], chooses: random.Random) -> None:
    books = Visitor(served).open_account()
    content = CONTENT[:30_000]
    path = begun(books, len(content))
    at = 0
    for end in [cut for cut in sorted(cuts) if cut < len(content)]:
        if end > at and chooses.random() < 0.5:
            at = cut(books, path, at, content[at:end], len(content))
        elif end > at:
            assert patch(books, path, at, content[at:end]).status_code == 204
            at = end

    assert patch(books, path, at, content[at:]).status_code == 204
    assert books.get(archive_of(path)).content == content


def test_an_upload_goes_on_after_a_restart(served: Served, tmp_path: Path) -> None:
    with serving(served.application, served.settings) as first:
        books = Visitor(first).open_account()
        path = begun(books)
        patch(books, path, 0, CONTENT[:1000])
    with serving(served.application, served.settings) as second:
        books.visitor.http.base_url = httpx.URL(second.url)
        assert offset(books, path) == 1000
        patch(books, path, 1000, CONTENT[1000:])

        assert books.get(archive_of(path)).content == CONTENT


def test_what_is_sent_from_elsewhere_is_refused(books: AccountOverHttp) -> None:
    path = begun(books)
    patch(books, path, 0, CONTENT[:1000])

    for wrong in (0, 999, 1001, len(CONTENT)):
        answer = patch(books, path, wrong, b"x")
        assert (answer.status_code, answer.json()["code"]) == (409, "http.upload-elsewhere")
        assert answer.headers["upload-offset"] == "1000"
        assert answer.headers["tus-resumable"] == "1.0.0"
    assert offset(books, path) == 1000


@pytest.mark.parametrize("chunked", [False, True])
def test_the_length_that_was_said_is_held(books: AccountOverHttp, chunked: bool) -> None:
    path = begun(books, 1000)
    more = CONTENT[:1001]

    answer = patch(books, path, 0, iter([more]) if chunked else more)

    assert (answer.status_code, answer.json()["code"]) == (413, "http.body-too-large")
    assert books.get("archives").json() == {"items": []}
    assert patch(books, path, offset(books, path), CONTENT[:1000]).status_code == 204


def test_one_sends_at_a_time(books: AccountOverHttp, wire: Wire) -> None:
    path = begun(books)
    headers = [f"{name}: {value}" for name, value in {**PART, "Upload-Offset": "0"}.items()]
    wire.send(books, "PATCH", path, *headers, f"Content-Length: {len(CONTENT)}")
    wire.socket.sendall(CONTENT[:10])
    ends = time.monotonic() + ENDS_S
    while not unfinished._at_work and time.monotonic() < ends:
        time.sleep(0.01)

    for answer in (patch(books, path, 0, b"x"), books.ask("DELETE", path, headers=TUS)):
        assert (answer.status_code, answer.json()["code"]) == (423, "http.upload-busy")
    wire.socket.sendall(CONTENT[10:])

    assert wire.status() == 204
    assert books.get(archive_of(path)).content == CONTENT


def test_an_upload_is_given_up(books: AccountOverHttp) -> None:
    path = begun(books)
    patch(books, path, 0, CONTENT[:1000])

    assert books.ask("DELETE", path, headers=TUS).status_code == 204

    assert books.ask("HEAD", path, headers=TUS).status_code == 404
    assert patch(books, path, 1000, b"x").status_code == 404
    assert list(uploads(books).items(books.id)) == []


def test_what_differs_from_its_hash_is_not_kept(books: AccountOverHttp) -> None:
    said = base64.b64encode(SHA256.encode()).decode()
    path = begun(books, 1000, **{"Upload-Metadata": f"filename YQ==,sha256 {said},empty"})
    assert books.ask("HEAD", path, headers=TUS).headers["upload-metadata"].endswith(",empty")

    answer = patch(books, path, 0, CONTENT[:1000])

    assert (answer.status_code, answer.json()["code"]) == (422, "http.upload-differs")
    assert books.get("archives").json() == {"items": []}
    assert list(uploads(books).items(books.id)) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 412),
        ({"Tus-Resumable": "0.2.2", "Upload-Length": "1"}, 412),
        (TUS, 400),
        ({**TUS, "Upload-Length": "-1"}, 400),
        ({**TUS, "Upload-Length": "1.5"}, 400),
        ({**TUS, "Upload-Length": "0"}, 400),
        ({**TUS, "Upload-Defer-Length": "1"}, 400),
        ({**TUS, "Upload-Length": str(1 << 40)}, 413),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": "a b c"}, 400),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": "sha256 YQ=="}, 400),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": "a " + "YQ==" * 1025}, 400),
    ],
)
def test_an_upload_that_is_announced_wrongly_is_refused(served: Served, headers: dict[str, str], status: int) -> None:
    books = Visitor(served).open_account()

    answer = books.post("archives/uploads", headers=headers)

    assert answer.status_code == status, answer.text
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert books.get("archives/uploads").json() == {"items": []}


def test_the_protocol_is_told(served: Served) -> None:
    answer = Visitor(served).open_account().ask("OPTIONS", "archives/uploads")

    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-extension"] == "creation,termination,expiration"
    assert answer.headers["tus-max-size"] == str(served.settings.upload_limit_bytes)


def test_a_part_of_another_type_is_refused(served: Served) -> None:
    books = Visitor(served).open_account()
    path = begun(books)

    for headers in ({"Content-Type": "application/zip"}, {"Content-Encoding": "gzip"}):
        assert patch(books, path, 0, b"x", **headers).status_code == 415


def test_w11_only_so_many_uploads_go_on_at_a_time(books: AccountOverHttp) -> None:
    headers = {**TUS, "Upload-Length": "10"}
    answers = [books.post("archives/uploads", headers=headers).status_code for _ in range(6)]

    assert answers == [201] * 5 + [409]
    assert len(books.get("archives/uploads").json()["items"]) == 5


def test_t17_an_account_sees_no_upload_of_another(books: AccountOverHttp) -> None:
    path = begun(books)
    other = books.visitor.open_account()
    theirs = f"{other.path}/archives/uploads/{path.rpartition('/')[2]}"

    for method in ("HEAD", "PATCH", "DELETE"):
        assert other.ask(method, theirs, headers={**PART, "Upload-Offset": "0"}).status_code == 404
    assert other.get("archives/uploads").json() == {"items": []}


@pytest.mark.parametrize("id_", ["%2e%2e", "..%2f..%2fbackups", "x", "%00", "0" * 36])
def test_t09_a_name_from_outside_leads_nowhere(books: AccountOverHttp, id_: str) -> None:
    path = f"{books.path}/archives/uploads/{id_}"

    assert books.ask("HEAD", path, headers=TUS).status_code == 404
    assert patch(books, path, 0, b"x").status_code == 404


def test_what_nothing_comes_to_is_swept_and_the_rest_is_not(books: AccountOverHttp) -> None:
    shelf = uploads(books)
    path = begun(books)
    patch(books, path, 0, CONTENT[:1000])
    whole = books.post("archives", content=b"whole", headers=ZIP).json()["id"]

    def swept(after: timedelta) -> list[str]:
        return [one for one in sweep_expired(shelf, now=utc_now() + after) if books.id in one]

    assert swept(EXPIRES_AFTER - timedelta(minutes=1)) == []
    assert offset(books, path) == 1000
    assert swept(EXPIRES_AFTER + timedelta(minutes=1)) == [shelf.where(f"{books.id}/{path.rpartition('/')[2]}")]
    assert books.ask("HEAD", path, headers=TUS).status_code == 404
    assert books.get(f"archives/{whole}").content == b"whole"


@pytest.mark.parametrize("place", ["put_new", "put"])
def test_f07_a_disk_that_is_full_is_told_and_the_upload_goes_on_later(
    served: Served, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    books = Visitor(served).open_account()
    path = begun(books)
    patch(books, path, 0, CONTENT[:1000])

    def full(self: FolderShelf, name: str, *_: object) -> Any:
        raise StorageFull(name, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(FolderShelf, place, full)
        rest = CONTENT[1000:] if place == "put" else CONTENT[1000:2000]
        answer = patch(books, path, 1000, rest)

    assert (answer.status_code, answer.json()["code"]) == (507, "http.no-room")
    assert offset(books, path) == 1000
    assert patch(books, path, 1000, CONTENT[1000:]).status_code == 204
    assert books.get(archive_of(path)).content == CONTENT


def test_pieces_that_do_not_follow_are_not_counted(served: Served) -> None:
    books = Visitor(served).open_account()
    path = begun(books)
    patch(books, path, 0, CONTENT[:1000])
    upload = path.rpartition("/")[2]
    uploads(books).put_new(f"{books.id}/{upload}/{5000:015}", b"stray")

    assert offset(books, path) == 1000
    assert patch(books, path, 1000, CONTENT[1000:]).status_code == 204
    assert books.get(archive_of(path)).content == CONTENT
    assert list(uploads(books).items(f"{books.id}/{upload}")) == []


@pytest.mark.parametrize("path", ["archives", "archives/uploads"])
def test_w10_a_body_that_does_not_come_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(bodies, "PATIENCE_S", 0.2)
    books = Visitor(served).open_account()
    address = urlsplit(served.url)
    headers = ["Content-Type: application/zip"]
    target = f"{books.path}/archives"
    if path == "archives/uploads":
        target = begun(books)
        headers = [f"{name}: {value}" for name, value in {**PART, "Upload-Offset": "0"}.items()]
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=ENDS_S) as made:
        wire = Wire(made)
        wire.send(books, "POST" if path == "archives" else "PATCH", target, *headers, "Transfer-Encoding: chunked")
        made.sendall(b"3\r\nabc\r\n")

        assert wire.status() == 408

    assert books.get("archives").json() == {"items": []}
    if path == "archives/uploads":
        assert offset(books, target) == 3


def test_w10_a_body_of_a_byte_at_a_time_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PATIENCE_S", 0.3)
    monkeypatch.setattr(bodies, "LEAST_BYTES_S", 1_000_000)
    books = Visitor(served).open_account()
    address = urlsplit(served.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=ENDS_S) as made:
        wire = Wire(made)
        wire.send(books, "POST", f"{books.path}/archives", "Content-Type: application/zip", "Content-Length: 100000")
        ended = threading.Event()

        def drip() -> None:
            while not ended.wait(0.02):
                try:
                    made.sendall(b"x")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        status = wire.status()
        ended.set()
        dripping.join()

    assert status == 408
    assert books.get("archives").json() == {"items": []}


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 3", "Content-Length: 4"),
        ("Content-Length: 3", "Transfer-Encoding: chunked"),
        ("Content-Length: -1",),
        ("Content-Length: 3, 4",),
        ("Transfer-Encoding: gzip, chunked",),
    ],
)
def test_w10_a_body_of_two_lengths_is_no_request(served: Served, headers: tuple[str, ...]) -> None:
    books = Visitor(served).open_account()
    address = urlsplit(served.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=ENDS_S) as made:
        wire = Wire(made)
        wire.send(books, "POST", f"{books.path}/archives", "Content-Type: application/zip", *headers)
        with suppress(OSError):  # the server need not wait for a body that it refuses
            made.sendall(b"abc")
            made.shutdown(socket.SHUT_WR)
        status = wire.status()

    assert status in {0, 400, 415, 501}
    assert books.get("archives").json() == {"items": []}


def test_w10_a_body_without_end_is_given_up_at_the_limit(served: Served) -> None:
    books = Visitor(served).open_account()

    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(65_536)

    try:
        answer = books.post("archives", content=endless(), headers=ZIP)
        assert answer.json()["code"] == "http.body-too-large"
    except httpx.WriteError:
        pass  # it was told while it was still sending
    assert books.get("archives").json() == {"items": []}
