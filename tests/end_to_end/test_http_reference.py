"""The page on the HTTP API tells of every route, and of no other; the description fits what is answered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.test_http_access import described

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, found in described()["paths"].items()
        for method, operation in found.items()
    ]


def test_the_page_lists_every_route_with_its_summary() -> None:
    listed = re.findall(r"^\| `([A-Z]+ /v1\S*)` \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)

    assert listed == [(f"{method} {path}", operation["summary"]) for method, path, operation in operations()]


@pytest.mark.parametrize("name", ["CustomerFields", "DocumentFields", "SubscriptionFields"])
def test_what_the_account_gives_is_not_required(name: str) -> None:
    required = described()["components"]["schemas"][name]["required"]

    assert not {"language", "currency"} & set(required)
