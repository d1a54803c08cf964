"""The report of a search that found nothing."""

from __future__ import annotations

import pytest

from pgchaos.report.permutation import searched
from pgchaos.results import Explored, RunResult

SWAPS = "only swap steps that touch no common table"


@pytest.mark.parametrize(
    ("explored", "expected"),
    [
        (Explored(4, 4, True, 1), "all 4 interleavings: there are no others"),
        (Explored(6, 6, True, 1, of=70), f"all 6 interleavings that differ: the others, of at most 70, {SWAPS}"),
        (Explored(1, 1, True, 0, of=1680), f"1 interleaving: the others, of at most 1,680, {SWAPS}"),
        (Explored(1, 1, True, 0), "1 interleaving: there are no others"),
        (Explored(3, 3, False, 0), "3 different of 3 interleavings"),
        (Explored(3, 3, False, 1, of=100), "3 different of 3 interleavings"),
        (
            Explored(9, 8, False, 2, 4, 0.25),
            "8 different of 9 interleavings, among them all with at most 1 preemption; 4 by chance, which miss a bug of"
            " depth 2 with probability at most 0.25, if runs are deterministic",
        ),
        (
            Explored(9, 9, False, 3, of=100),
            "9 different of 9 interleavings, among them all with at most 2 preemptions, or one that only swaps steps"
            " that touch no common table",
        ),
    ],
)
def test_the_coverage_of_a_search(explored: Explored, expected: str) -> None:
    assert searched(RunResult(1, explored=explored)) == expected


def test_drawn_values_are_counted() -> None:
    all_of_two = Explored(2, 2, exhausted=True, preemptions=0)
    assert searched(RunResult(1, drawn=100)) == "100 values drawn"
    assert searched(RunResult(1, drawn=1, explored=all_of_two)) == (
        "1 value drawn, and for the first all 2 interleavings: there are no others"
    )
    assert searched(RunResult(1)) == ""
