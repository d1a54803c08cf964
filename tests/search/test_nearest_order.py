"""Which order that passed is shown beside one that failed."""

from __future__ import annotations

from pgchaos.results import Launch
from pgchaos.search.interleaving_search import distance


def order(text: str) -> list[Launch]:
    """Steps such as `a1 b1 a2`."""
    return [Launch(step[0], 1, step[1:], 1) for step in text.split()]


def test_the_distance_is_the_pairs_that_are_swapped_and_the_steps_of_one_alone() -> None:
    failed = order("a1 a2 b1 b2")
    assert distance(failed, failed) == 0
    assert distance(order("a1 b1 a2 b2"), failed) == 1
    assert distance(order("b1 b2 a1 a2"), failed) == 4
    assert distance(order("a1 a2 b1"), failed) == 1
    assert distance(order("a1 a2 b1 b2 b3"), failed) == 1
    nearest = min((order("b1 b2 a1 a2"), order("a1 b1 a2 b2")), key=lambda one: distance(one, failed))
    assert nearest == order("a1 b1 a2 b2")
