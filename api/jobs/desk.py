"""The main thread of a worker, which does the work: there a signal breaks it off wherever it is.

What breaks it off is what Ctrl-C is to a command: a statement that runs is cancelled on the server, a wait ends, and
all that has to be put in order on the way out is.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from enum import Enum
from queue import SimpleQueue
from types import FrameType


class Why(Enum):
    """Why an errand is broken off."""

    CANCELLED = "cancelled"
    ENDING = "ending"


class BrokenOff(KeyboardInterrupt):
    """Somebody wants what is being done to end now. Handled by whatever handles Ctrl-C."""


class Errand:
    """A piece of work, and whether it is to be broken off."""

    def __init__(self, work: Callable[[Errand], None]) -> None:
        self.work = work
        self.done: Future[None] = Future()
        self.why: Why | None = None
        self._breaks = False

    @contextmanager
    def breakable(self) -> Iterator[None]:
        """Within the ``with``, breaking off raises BrokenOff; elsewhere it only says why."""
        self._breaks = True
        try:
            if self.why is not None:
                raise BrokenOff
            yield
        finally:
            self._breaks = False

    def broken(self) -> None:
        """Called by the signal. Raises BrokenOff, once."""
        if self._breaks and self.why is not None:
            self._breaks = False
            raise BrokenOff


class Desk:
    """Does one errand after another, in the main thread: it makes the desk, and calls ``work``."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Errand | None] = SimpleQueue()
        self._at: Errand | None = None
        signal.signal(signal.SIGUSR1, self._signalled)

    def put(self, errand: Errand) -> None:
        """Let the main thread do *errand* next."""
        self._waiting.put(errand)

    def break_off(self, errand: Errand, why: Why) -> None:
        """Break *errand* off, now or when it begins."""
        errand.why = errand.why or why
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def close(self) -> None:
        """Let ``work`` return when what was put is done."""
        self._waiting.put(None)

    def work(self) -> None:
        """Do what is put until closed."""
        while (errand := self._waiting.get()) is not None:
            self._at = errand
            try:
                errand.work(errand)
            except BaseException as wrong:  # noqa: BLE001 - it is for whoever put the errand
                errand.done.set_exception(wrong)
            else:
                errand.done.set_result(None)
            self._at = None

    def _signalled(self, _signal: int, _frame: FrameType | None) -> None:
        if self._at is not None:
            self._at.broken()
