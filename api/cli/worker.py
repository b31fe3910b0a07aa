"""``counterfoil worker``: workers alone, wherever the database can be reached from."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.output import tell


def worker(
    processes: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many jobs to do at a time (default: of the settings).")
    ] = None,
) -> None:
    """Do jobs until stopped by Ctrl-C or SIGTERM; what is not nearly done is handed back. `serve` has workers already.

    Workers need the data folder's keys, and the same place for archives as the API.

    Example: counterfoil worker --processes 4
    """
    import signal
    import sys
    import threading

    from api.bootstrap import installation
    from api.cli.session import settings
    from api.jobs.workforce import workforce
    from api.logs import logging_to, wants_json

    in_force = settings()
    wanted = processes or max(1, in_force.workers)
    ended = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda _signal, _frame: ended.set())
    said = logging_to(sys.stderr, level=in_force.log_level, as_json=wants_json(in_force.log_format))
    with said, installation(in_force), workforce(in_force, wanted):
        tell(f"counterfoil does jobs, {wanted:,} at a time")
        ended.wait()
