"""Processes beside this one, for work that the interpreter would otherwise do one piece after another."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.reduction import DupFd
from typing import Any, TypeVar

G = TypeVar("G")
T = TypeVar("T")
WORKERS = 2  # as many as the smallest machine we run on has processors; each adds some 60 MB


class _Lent:
    """An open file that a process is given when it is started: a file without a name cannot be opened there."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[[Any], _Lent], tuple[Any]]:
        return _taken_over, (DupFd(self.descriptor),)


def _taken_over(duplicate: Any) -> _Lent:
    return _Lent(duplicate.detach())


class _Borrowed:
    """What a worker process was lent."""

    descriptor = -1


def _prepare(lent: _Lent) -> None:
    _Borrowed.descriptor = lent.descriptor
    # A partition's objects hold no cycles and go all together: looking for cycles among them cost a third of the time.
    gc.disable()


def _at_work(work: Callable[[int, G], T], given: G) -> T:
    return work(_Borrowed.descriptor, given)


@contextmanager
def in_order(
    work: Callable[[int, G], T], *, lending: int, processes: bool
) -> Iterator[Callable[[Iterable[G]], Iterator[T]]]:
    """A ``map`` of *work* over what is given, results in order: by worker processes, or here without *processes*.

    *work* is handed the descriptor of the open file *lending*, in its own process. The processes start at once, so that
    they are ready when the first piece is; at most two pieces a worker wait.
    """
    if not processes or (os.cpu_count() or 1) < 2:
        yield lambda given: map(partial(work, lending), given)
        return
    # Not forked: a server has threads, and a lock that one of them holds at that moment would stay locked for ever.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=context, initializer=_prepare, initargs=(_Lent(lending),)) as pool:
        for _ in range(WORKERS):
            pool.submit(os.getpid)

        def mapped(given: Iterable[G]) -> Iterator[T]:
            waiting: deque[Future[T]] = deque()
            for one in given:
                waiting.append(pool.submit(_at_work, work, one))
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
