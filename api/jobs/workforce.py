"""Some workers, each a process, kept going: one that ends by itself is replaced, and in the end all end in order."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any

from api.jobs.worker import DEAD_AFTER_S, FINISH_WITHIN_S, HEARTBEAT_S, work
from api.settings import Settings

LOG = logging.getLogger("counterfoil.jobs")
_END_WITHIN_S = FINISH_WITHIN_S + 25  # then they are killed, and their jobs taken up later
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0  # before one that ended is replaced; longer each time it does not last


@contextmanager
def workforce(
    settings: Settings, processes: int, *, heartbeat_s: float = HEARTBEAT_S, dead_after_s: float = DEAD_AFTER_S
) -> Iterator[Workforce]:
    """That many workers are at work for the length of the ``with``."""
    crew = Workforce((settings, heartbeat_s, dead_after_s), processes)
    keeping = threading.Thread(target=crew.keep, name="workforce", daemon=True)
    keeping.start()
    try:
        yield crew
    finally:
        crew.ended.set()
        os.write(crew.wake, b"x")
        keeping.join()
        crew.end()


class Workforce:
    """The workers of one process, started by it and watched by a thread of it."""

    def __init__(self, arguments: tuple[Any, ...], processes: int) -> None:
        self._arguments = arguments
        self._wanted = processes
        # Not forked: this process has threads, and a lock that one of them holds would stay locked for ever.
        self._context = multiprocessing.get_context("spawn")
        self.workers: list[SpawnProcess] = []
        self.ended = threading.Event()
        self._woken, self.wake = os.pipe()

    def keep(self) -> None:
        """Start the workers, and replace those that end, until ``ended``."""
        pause = _PAUSE_S
        while not self.ended.is_set():
            began = time.monotonic()
            while len(self.workers) < self._wanted:
                worker = self._context.Process(target=work, args=self._arguments, name="counterfoil worker")
                worker.start()
                self.workers.append(worker)
            wait([self._woken, *(worker.sentinel for worker in self.workers)])
            gone = [worker for worker in self.workers if not worker.is_alive()]
            if not gone:
                continue
            for worker in gone:
                LOG.error("worker %s ended by itself, with status %s", worker.pid, worker.exitcode)
                self.workers.remove(worker)
            pause = _PAUSE_S if time.monotonic() - began > _LONGEST_PAUSE_S else min(2 * pause, _LONGEST_PAUSE_S)
            self.ended.wait(pause)

    def kill(self) -> None:
        """End all workers at once; others take up their jobs."""
        self.ended.set()
        for worker in self.workers:
            worker.kill()

    def end(self) -> None:
        """End all workers in order; kill those that take too long."""
        for worker in self.workers:
            worker.terminate()
        deadline = time.monotonic() + _END_WITHIN_S
        for worker in self.workers:
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                LOG.error("worker %s did not end within %d s, and is killed", worker.pid, _END_WITHIN_S)
                worker.kill()
                worker.join()
        os.close(self._woken)
        os.close(self.wake)
