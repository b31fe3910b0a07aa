"""HTTP clients that cost next to nothing: requests made ready as bytes, one connection each, answers read by length."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Self

from bench.server import Place

START_TIMEOUT_S = 60


class Answer(NamedTuple):
    """An answer's status and body."""

    status: int
    body: bytes


class Client:
    """A connection that is kept open. Not to be shared between threads."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._socket = self._connect()

    def _connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=120)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """A request, ready to be sent as often as wanted."""
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {self._token}"]
        if body or method != "GET":
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def send(self, request: bytes) -> Answer:
        """The answer to *request*. Raises OSError when the connection breaks; the next request makes a new one."""
        try:
            self._socket.sendall(request)
            return self._answer()
        except OSError:
            self._socket.close()
            self._socket = self._connect()
            raise

    def _answer(self) -> Answer:
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = bytes(received[:end]).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        body_length = int(length) if length.strip() else 0
        while len(received) < end + 4 + body_length:
            received += self._more()
        return Answer(int(head[9:12]), bytes(received[end + 4 :]))

    def _more(self) -> bytes:
        more = self._socket.recv(1 << 16)
        if not more:
            raise ConnectionResetError("the server closed the connection")
        return more


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def serving(command: Sequence[str], port: int, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """*command* as a process that listens on *port*; ended by SIGTERM."""
    process = subprocess.Popen([sys.executable, *command], env={**os.environ, **environment})
    try:
        _wait(process, port)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")


@contextmanager
def counterfoil(place: Place, dsn: str) -> Iterator[int]:
    """``counterfoil serve`` on the database *dsn*; its port."""
    port = free_port()
    environment = {"COUNTERFOIL_DATABASE_URL": dsn, "COUNTERFOIL_HOME": str(place.folder / "api")}
    with serving(["-m", "api.cli", "serve", "--port", str(port)], port, environment):
        yield port
