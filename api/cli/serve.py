"""``counterfoil serve``: the HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.output import tell


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on (default: of the settings).")] = None,
    port: Annotated[int | None, typer.Option(help="The port (default: of the settings).")] = None,
) -> None:
    """Answer HTTP until stopped. Tokens are made with `counterfoil token create`.

    Example: counterfoil serve --port 8017
    """
    import uvicorn

    from api.bootstrap import installation
    from api.cli.session import settings
    from api.http import create_app

    in_force = settings()
    listen_on, at = host or in_force.host, port or in_force.port
    with installation(in_force) as opened:
        tell(f"counterfoil listens on http://{listen_on}:{at}/v1")
        uvicorn.run(create_app(opened.application, in_force), host=listen_on, port=at, log_level="warning")
