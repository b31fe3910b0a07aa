"""A short sweep, of points by the seed of the run: ``make faults`` is the long one, of all points.

After each fault: the account is as it was or the operation is done, its words say which, timelines, snapshots and
archives verify, other accounts are as they were, nothing is left behind, and it can be done again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.faults.sweep.running import Sweep, sweeping
from tests.faults.sweep.table import NAMES, rows, swept

_ROWS = 4  # of an operation's twenty or so, a point each


@pytest.fixture(scope="module")
def sweep() -> Iterator[Sweep]:
    """A server of this module's own: it is killed now and then."""
    with sweeping(own_file_system=True) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("operation", NAMES)
def test_f11_f13_f14_f18_whatever_fails_it_is_done_or_not_and_can_be_done_again(
    sweep: Sweep, operation: str, pytestconfig: pytest.Config
) -> None:
    seed = f"{pytestconfig.option.hypothesis_seed}"
    all_of_them = [row for row in rows(sweep) if row.operation == operation]
    chosen = random.Random(f"{seed}/{operation}").sample(all_of_them, _ROWS)

    found = swept(sweep, chosen, seed=seed, most=1, until=time.monotonic() + 600, tell=print)

    assert [result for figures in found for result in figures.wrong] == [], f"--hypothesis-seed={seed}"
    assert sum(figures.tried for figures in found) == sum(figures.points > 0 for figures in found)
