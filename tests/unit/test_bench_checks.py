"""The bench of the checks times what an examination really does."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.checks import CHECKS, costs_of
from tests.fixtures.archives import KEYS

SAMPLE = Path(__file__).parents[1] / "corpus" / "format-1-sample.zip"


def test_each_check_costs_something_and_together_they_are_the_whole() -> None:
    costs = costs_of(SAMPLE, KEYS, runs=1)

    assert [name for name in CHECKS if costs[name] <= 0] == []
    assert sum(seconds for name, seconds in costs.items() if name != "all") == pytest.approx(costs["all"])
