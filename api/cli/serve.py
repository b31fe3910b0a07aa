"""``counterfoil serve``: the HTTP API, with workers beside it."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from api.cli.output import tell

_STOPPED_TWICE = 130


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on (default: of the settings).")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="The port (default: of the settings).")] = None,
) -> None:
    """Answer HTTP and do jobs until stopped by Ctrl-C or SIGTERM. Tokens are made with `counterfoil token create`.

    Told to stop, it answers the requests in flight, for as long as the setting grace_s allows; told again, it ends at
    once. It logs to standard error.

    Example: counterfoil serve --port 8017
    """
    import errno
    import os
    import signal
    import socket
    import sys

    from msgspec.structs import replace

    from api.bootstrap import installation, metrics_token
    from api.cli.session import settings
    from api.http.app import create_app
    from api.jobs.workforce import workforce
    from api.logs import logging_to, wants_json
    from api.mail import mailing
    from api.serving import Serving

    in_force = settings()
    in_force = replace(in_force, metrics_token=metrics_token(in_force))
    listen_on, at = host or in_force.host, port or in_force.port
    # Bound here: uvicorn would end the process with a status of its own when the address is taken.
    family = socket.AF_INET6 if ":" in listen_on else socket.AF_INET
    # It says TCP: asyncio turns Nagle's algorithm off for such sockets alone, and with it answers may take 40 ms more.
    stream = (family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    said = logging_to(sys.stderr, level=in_force.log_level, as_json=wants_json(in_force.log_format))
    with said, installation(in_force) as opened, socket.socket(*stream) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((listen_on, at))
            listening.listen()  # from here on callers wait, and are not turned away
        except OSError as wrong:
            reason = "is in use already" if wrong.errno == errno.EADDRINUSE else wrong.strerror or str(wrong)
            tell(f"counterfoil: cannot listen on {listen_on} port {at}: {reason}")
            raise typer.Exit(1) from None
        app = create_app(opened.application, in_force)
        tell(f"counterfoil listens on http://{f'[{listen_on}]' if ':' in listen_on else listen_on}:{at}/v1")
        # Ctrl-C and the signal of a service manager end it alike, and end a database server of our own with it.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        serving = Serving(app, in_force)
        with (
            suppress(KeyboardInterrupt),
            mailing(opened),
            workforce(in_force, in_force.workers) as crew,
        ):
            serving.run(sockets=[listening])
            if serving.force_exit:
                crew.kill()
    if serving.force_exit:
        os._exit(_STOPPED_TWICE)  # without waiting for threads that are still at work
