"""Requests that are made to trouble a server, byte by byte: each is refused, bounded, and changes nothing."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from api.http import bodies
from tests.fixtures.http_api import AccountOverHttp, Served

BODY = b'{"party":{"name":"K"}}'


def sent(served: Served, head: list[str], body: bytes = b"", *, ends: bool = False) -> bytes:
    """All that is answered to these lines and that body, until the server closes; *ends*: the client does at once."""
    at = urlsplit(served.url)
    found = b""
    with socket.create_connection((at.hostname, at.port), timeout=20) as connection:
        try:
            connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65536):
                found += more
        except (ConnectionResetError, BrokenPipeError):
            pass
    return found


def head(books: AccountOverHttp, *more: str, method: str = "POST", path: str = "customers") -> list[str]:
    authorization = books.visitor.http.headers["authorization"]
    return [
        f"{method} {books.path}/{path} HTTP/1.1",
        "Host: there",
        f"Authorization: {authorization}",
        "Content-Type: application/json",
        "Connection: close",
        *more,
    ]


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def nothing_changed(books: AccountOverHttp) -> bool:
    return bool(books.get("customers").json()["items"] == [])


@pytest.mark.parametrize(
    ("more", "body"),
    [
        (["Content-Length: 22", "Content-Length: 21"], BODY),
        (["Content-Length: 22, 21"], BODY),
        (["Content-Length: -1"], BODY),
        (["Content-Length: 0x16"], BODY),
        (["Content-Length: 2" + "0" * 30], BODY),
        (["Transfer-Encoding: gzip, chunked"], b"16\r\n" + BODY + b"\r\n0\r\n\r\n"),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], b"16\r\n" + BODY + b"\r\n0\r\n\r\n"),
        (["Transfer-Encoding: chunked"], b"zz\r\n" + BODY + b"\r\n0\r\n\r\n"),
        (["X: a", "no colon"], BODY),
        ([f"X-{number}: x" for number in range(10_000)], BODY),
        (["X: " + "x" * 200_000], BODY),
    ],
    ids=[
        "two lengths",
        "two lengths in one",
        "negative length",
        "length in hexadecimal",
        "length of thirty digits",
        "compressed chunks",
        "chunked twice",
        "no size of a chunk",
        "no header",
        "10,000 headers",
        "a header of 200 kB",
    ],
)
def test_w10_a_request_that_contradicts_itself_is_refused(
    served: Served, books: AccountOverHttp, more: list[str], body: bytes
) -> None:
    answer = sent(served, head(books, *more), body)

    assert status(answer) in {0, 400, 413, 415, 431, 501}
    assert nothing_changed(books)


def test_w10_chunks_without_end_are_no_request(served: Served, books: AccountOverHttp) -> None:
    answer = sent(served, head(books, "Transfer-Encoding: chunked"), b"16\r\n" + BODY + b"\r\n", ends=True)

    assert not 200 <= status(answer) < 300
    assert nothing_changed(books)


def test_w10_chunks_over_the_limit_are_refused_before_they_end(served: Served, books: AccountOverHttp) -> None:
    chunk = b"40000\r\n" + b" " * 0x40000 + b"\r\n"

    answer = sent(served, head(books, "Transfer-Encoding: chunked"), chunk * 8)

    assert status(answer) in {0, 413}
    assert nothing_changed(books)


def test_w10_a_body_that_does_not_come_is_waited_for_no_longer_than_said(
    served: Served, books: AccountOverHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "PATIENCE_S", 0.2)
    at = urlsplit(served.url)

    with socket.create_connection((at.hostname, at.port), timeout=20) as connection:
        connection.sendall("\r\n".join([*head(books, "Content-Length: 100"), "", ""]).encode() + b"{")
        answer = connection.recv(65536)

    assert status(answer) == 408
    assert nothing_changed(books)


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_w10_a_method_is_what_the_request_line_says(served: Served, books: AccountOverHttp, name: str) -> None:
    customer = books.customer()

    answer = sent(served, head(books, f"{name}: DELETE", method="GET", path=f"customers/{customer}"))

    assert status(answer) == 200
    assert books.get(f"customers/{customer}").status_code == 200


def test_w10_what_follows_a_body_is_not_read_as_part_of_it(served: Served, books: AccountOverHttp) -> None:
    """A length and chunks at once is how one request is smuggled in another: the connection must not go on."""
    smuggled = f"DELETE {books.path} HTTP/1.1\r\nHost: there\r\n\r\n".encode()

    answer = sent(served, head(books, "Content-Length: 6", "Transfer-Encoding: chunked"), b"0\r\n\r\n" + smuggled)

    assert answer.count(b"HTTP/1.1 ") <= 1
    assert nothing_changed(books)
