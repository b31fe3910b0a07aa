"""What heads that agree, and heads that do not, say of the rows: each is believed as far as it lies from them."""

from __future__ import annotations

from projections.verification import By, Head, Scan, Verification, judge


def head(by: By, size: int, agrees: bool | None) -> Head:
    return Head(by=by, name=f"{by} {size}", size=size, root="00" * 32, agrees=agrees)


def judged(*heads: Head, rows: int = 100) -> Verification:
    return judge(Scan(1, "live", rows, rows, b"", {}, (), (), (), 0), heads)


def placed(found: Verification) -> list[tuple[str, int | None, int | None]]:
    return [(one.wrong, one.position, one.last_position) for one in found.findings]


def test_heads_that_agree_leave_nothing_to_find() -> None:
    assert judged(head("stream", 100, True), head("history", 60, True), head("archive", 100, True)).findings == ()


def test_the_first_bad_row_lies_behind_what_is_vouched_for_and_before_what_is_not() -> None:
    found = judged(head("stream", 64, True), head("stream", 96, False), head("stream", 100, False))

    assert placed(found) == [("tree", 65, 96)]
    assert (found.first_bad, found.first_bad_by_then) == (65, 96)


def test_a_weaker_head_vouches_for_nothing_against_a_stronger_one() -> None:
    found = judged(head("stream", 64, True), head("history", 70, False), head("stream", 100, True))

    assert placed(found) == [("tree", 1, 70)]


def test_a_stronger_head_vouches_against_a_weaker_one_only_up_to_its_own_end() -> None:
    behind = judged(head("stream", 100, False), head("history", 100, True))
    before = judged(head("stream", 100, False), head("history", 60, True))

    assert placed(behind) == [("stream", None, None)]
    assert placed(before) == [("tree", 61, 100)]


def test_a_record_that_an_archive_contradicts_is_what_was_changed() -> None:
    assert placed(judged(head("history", 60, False), head("archive", 80, True))) == [("history", None, None)]


def test_rows_that_end_before_a_head_may_lack_any_that_nothing_vouches_for() -> None:
    found = judged(head("stream", 100, True), head("history", 40, True), head("history", 120, None))

    assert placed(found) == [("missing", 41, 101)]
