"""Which interleavings a search runs, what it says of them, and how it makes one easy to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import groupby
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgchaos.results import Explored
from pgchaos.schedule.explore import Explore, Pct, miss_probability
from pgchaos.schedule.scheduler import Replay
from pgchaos.schedule.shrink import simpler_orders, weight
from pgchaos.schedule.wait_rules import Actor
from tests.schedule.world import everybody, played, possible

Went = tuple[int, ...]
TWO = [[""] * 3, [""] * 3]
THREE = [[""] * 4, [""] * 4, [""] * 4]


def searched(programs: list[list[str]], limit: int, seed: int = 1, most: int = 10**6) -> tuple[list[Went], Explored]:
    search, went = Explore(everybody(programs), limit, most, seed), []
    while (order := search.take()) is not None:
        went.append(played(programs, order))
        search.learn(order)
    return went, search.explored()


def test_where_there_are_no_more_all_are_run_once() -> None:
    went, said = searched(TWO, 20, most=20)
    assert sorted(went) == sorted(possible(TWO))
    assert (said.runs, said.different, said.exhausted, said.by_chance, said.miss_probability) == (20, 20, True, 0, None)


def test_blocking_may_leave_fewer_than_were_possible() -> None:
    locked = [["x", ""], ["x", ""]]
    went, said = searched(locked, 500, most=6)
    assert len(went) == len(set(possible(locked))) == said.runs
    assert said.exhausted


def test_else_half_is_by_preemptions_and_half_by_chance() -> None:
    went, said = searched(THREE, 60)
    assert len(went) == said.runs == 60
    assert said.by_chance == 30
    assert not said.exhausted
    # 6 without a preemption come first, then those with one
    assert {len(list(groupby(one))) for one in went[:6]} == {3}
    assert said.preemptions == 1
    assert said.miss_probability == pytest.approx((1 - 1 / (3 * 12)) ** 30)
    assert said.different == len(set(went))


def test_the_seed_decides_and_nothing_else() -> None:
    assert searched(THREE, 60, seed=3) == searched(THREE, 60, seed=3)
    assert searched(THREE, 60, seed=3)[0] != searched(THREE, 60, seed=4)[0]


def test_a_run_by_chance_finds_a_bug_of_depth_two_as_often_as_is_proven() -> None:
    programs, runs, found = TWO, 3000, 0
    for seed in range(runs):
        went = played(programs, Pct(everybody(programs), 6, Random(seed)))
        # the second session's second step between the first session's first and second, the hardest of this kind
        found += (
            went.index(0)
            < [at for at, one in enumerate(went) if one == 1][1]
            < [at for at, one in enumerate(went) if one == 0][1]
        )
    # for this one the bound is exact: 3000 / 12, within three standard deviations
    assert 250 - 45 < found < 250 + 45


def test_priorities_are_uniform() -> None:
    first = Counter(played(THREE, Pct(everybody(THREE), 12, Random(seed)))[0] for seed in range(3000))
    assert all(800 < count < 1200 for count in first.values())


def test_the_bound_is_that_of_the_paper() -> None:
    assert miss_probability(2, 8, 0) == 1
    assert miss_probability(2, 8, 100) == pytest.approx((15 / 16) ** 100)


def easiest(programs: list[list[str]], start: Went, fails: Callable[[Went], bool]) -> Went:
    """Shrink as the engine does."""
    actors = everybody(programs)
    taken = tuple(actors[one] for one in start)
    tried: set[tuple[Actor, ...]] = {taken}
    while True:
        candidate = next((one for one in simpler_orders(taken, actors) if one not in tried), None)
        if candidate is None:
            return tuple(actors.index(one) for one in taken)
        tried.add(candidate)
        order = Replay(candidate, actors, lenient=True)
        went = played(programs, order)
        got = tuple(actors[one] for one in went)
        if fails(went) and weight(got, actors) < weight(taken, actors):
            taken = got


def between(went: Went) -> bool:
    """Both have begun before either has come to its second step: a lost update."""
    seconds = [[at for at, one in enumerate(went) if one == who][1] for who in (0, 1)]
    return max(went.index(0), went.index(1)) < min(seconds)


@settings(deadline=None)
@given(st.sampled_from(sorted(one for one in possible(TWO) if between(one))))
def test_what_fails_becomes_as_easy_as_can_be(start: Went) -> None:
    found = easiest(TWO, start, between)
    # one is taken from its course once: nothing is simpler, and the first of the file is first
    assert found == (0, 1, 1, 1, 0, 0)


@settings(deadline=None, max_examples=50)
@given(st.randoms(use_true_random=False))
def test_steps_that_have_nothing_to_do_with_it_get_out_of_the_way(chance: Random) -> None:
    start = [0, 1, 2] * 4
    chance.shuffle(start)
    went = tuple(start)
    if not between(went):
        return
    found = easiest(THREE, went, between)
    assert between(found)
    assert len(list(groupby(found))) == 4
