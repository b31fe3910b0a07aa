"""Processes beside this one, for work that the interpreter would otherwise do one piece after another."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

G = TypeVar("G")
T = TypeVar("T")
WORKERS = 2  # as many as the smallest machine we run on has processors; each adds some 60 MB


def _prepare() -> None:
    # A partition's objects hold no cycles and go all together: looking for cycles among them cost a third of the time.
    gc.disable()


@contextmanager
def in_order(work: Callable[[G], T], *, processes: bool) -> Iterator[Callable[[Iterable[G]], Iterator[T]]]:
    """A ``map`` of *work* over what is given, results in order: by worker processes, or here without *processes*.

    The processes start at once, so that they are ready when the first piece is; at most two pieces a worker wait.
    """
    if not processes or (os.cpu_count() or 1) < 2:
        yield lambda given: map(work, given)
        return
    # Not forked: a server has threads, and a lock that one of them holds at that moment would stay locked for ever.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=context, initializer=_prepare) as pool:
        for _ in range(WORKERS):
            pool.submit(os.getpid)

        def mapped(given: Iterable[G]) -> Iterator[T]:
            waiting: deque[Future[T]] = deque()
            for one in given:
                waiting.append(pool.submit(work, one))
                if len(waiting) > 2 * WORKERS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

        try:
            yield mapped
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextmanager
def without_collecting() -> Iterator[None]:
    """No search for cycles meanwhile: what is made holds none, and there is a lot of it. 3.3 s became 2.3 s."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
