"""The bugs that ``make planted`` plants can be planted in the source as it is now."""

from __future__ import annotations

from pathlib import Path

from tests.planted.bugs import BUGS

_ROOT = Path(__file__).parents[2]


def test_every_bug_finds_its_place_and_its_test() -> None:
    for bug in BUGS:
        file, _, name = bug.test.partition("::")
        assert (_ROOT / bug.file).read_text().count(bug.was) == 1, bug.name
        assert f"def {name.partition('[')[0]}(" in (_ROOT / file).read_text(), bug.name


def test_there_are_twenty_bugs_at_least() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 20
