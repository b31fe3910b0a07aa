"""Working ahead: one thread makes what another uses, so that the server and both processors are busy at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
MOST_AHEAD = 4  # enough that neither side waits on the other's jitter; each is a block of about a megabyte


class _End(Generic[T]):
    def __init__(self, failure: BaseException | None) -> None:
        self.failure = failure


@contextmanager
def ahead(made: Iterator[T], most: int = MOST_AHEAD) -> Iterator[Iterator[T]]:
    """*made*, drawn by a thread of its own, at most *most* ahead of who uses it.

    What it raises is raised where it is used. Leaving the ``with`` early stops the thread before it draws once more.
    """
    waiting: queue.Queue[T | _End[T]] = queue.Queue(most)
    stopped = threading.Event()

    def put(one: T | _End[T]) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(one, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def draw() -> None:
        try:
            for one in made:
                if not put(one):
                    return
            put(_End(None))
        except BaseException as failure:  # noqa: BLE001 - raised again on the other side
            put(_End(failure))

    def use() -> Iterator[T]:
        while True:
            one = waiting.get()
            if isinstance(one, _End):
                if one.failure is not None:
                    raise one.failure
                return
            yield one

    thread = threading.Thread(target=draw, name="ahead", daemon=True)
    thread.start()
    try:
        yield use()
    finally:
        stopped.set()
        thread.join()
