"""The page of all kinds of problems: ``python -m api.http.catalogue > docs/reference/problems.md`` writes it."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import api
import domain
import projections
import snapshots
from api.http.problems import catalogue

_HEAD = """# Problems

Every kind of problem (RFC 9457) that the HTTP API answers, and a job ends with.
`type` is `urn:counterfoil:problem:` and the code; both are stable, and so is the status.
The command line names the same codes.
[The HTTP API](http-api.md#problems) says what else a problem holds.

| code | status | what it says |
| --- | --- | --- |
"""


def page() -> str:
    """The page, made from the classes of the errors, wherever they are."""
    for room in (domain, projections, snapshots, api):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if not module.name.startswith("api.cli") and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return _HEAD + "".join(f"| `{one.code}` | {one.status} | {one.title} |\n" for one in catalogue())


if __name__ == "__main__":
    sys.stdout.write(page())
