"""The page that says which test shows which case says what there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CASES = {*(f"T{number:02}" for number in range(1, 22)), *(f"W{number:02}" for number in range(1, 15))}
NO_TEST = {"T16", "T21", "W04", "W05"}


def test_every_case_of_isolation_and_of_the_web_has_its_tests_where_the_page_says() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    said = {
        case: set(re.findall(r"`([\w/]+\.py)`", row))
        for case, row in re.findall(r"^\| ([TW]\d\d) \|(.*)$", page, re.MULTILINE)
    }
    found: dict[str, set[str]] = {case: set() for case in CASES}
    for file in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"def test_((?:[tw]\d\d_)+)", file.read_text("utf-8")):
            for case in name.strip("_").upper().split("_"):
                found[case].add(file.relative_to(ROOT / "tests").as_posix())

    assert set(said) == CASES
    assert {case: files - found[case] for case, files in said.items() if files - found[case]} == {}
    assert {case for case, files in said.items() if not files} == NO_TEST
