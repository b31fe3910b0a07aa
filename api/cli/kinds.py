"""Kinds of entities as they are named on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from domain.kinds import Kind


def kind_named(name: str) -> Kind:
    """The kind of that name; hyphens do as well. Wrong usage where there is none."""
    from domain.kinds import Kind

    try:
        return Kind(name.replace("-", "_"))
    except ValueError:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(Kind)}", param_hint="KIND") from None
