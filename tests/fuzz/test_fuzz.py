"""Hostile inputs for the readers of archives, lines and UBL in every run, by a seed that the header prints.

A million where FUZZ is ``all``, as CI has it; else a fifth of the lines and ZIPs. ``make fuzz`` runs more.
"""

from __future__ import annotations

import os

import pytest

from tests.fuzz.accidents import flipped, judge_all
from tests.fuzz.readers import Target, targets
from tests.fuzz.running import SHARES, run
from tests.small_archive import small_archive

# Lines come in several tests, so that they run beside each other.
PIECES = {"line": 4, "container": 1, "ubl": 1, "archive": 1}
PARTS = {"line": 5, "container": 5} if os.environ.get("FUZZ") != "all" else {}


@pytest.fixture(scope="session")
def readers() -> dict[str, Target]:
    return targets()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "piece"), [(name, piece) for name, of in PIECES.items() for piece in range(of)])
def test_whatever_a_reader_is_given_it_reads_as_others_do_or_refuses_by_name(
    name: str, piece: int, readers: dict[str, Target], pytestconfig: pytest.Config
) -> None:
    count = SHARES[name] // PIECES[name] // PARTS.get(name, 1)

    result = run(readers[name], count, f"{pytestconfig.option.hypothesis_seed}/{name}/{piece}")

    print(result)
    assert result.failures == []
    assert result.executions == count
    assert result.verdicts["accepted"] > 0


@pytest.mark.slow
def test_z28_a_whole_archive_cut_anywhere_is_refused() -> None:
    archive = small_archive()
    cuts = [archive[:size] for size in [*range(0, len(archive), 13), *range(len(archive) - 600, len(archive))]]

    result = judge_all("cut", cuts)

    assert result.failures == []
    assert result.verdicts["accepted"] == 0


@pytest.mark.slow
def test_z29_a_whole_archive_with_a_bit_flipped_is_refused_or_read_as_the_same() -> None:
    archive = small_archive()

    result = judge_all("flip", (flipped(archive, bit) for bit in range(0, 8 * len(archive), 61)))

    assert result.failures == []
    assert 0 < result.verdicts["accepted"] < result.executions / 8  # times, versions and permissions of entries
