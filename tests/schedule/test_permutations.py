"""All interleavings: each once, none that cannot run; held against a search by brute force."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from pgchaos.language.model import Session
from pgchaos.language.problems import Place
from pgchaos.language.schedules import MOST, interleavings
from pgchaos.schedule.footprint import Dependence, Footprint
from pgchaos.schedule.permutations import Frontier, actors, preemptions, switches
from pgchaos.schedule.scheduler import Replay
from pgchaos.schedule.step_points import Choice
from pgchaos.schedule.wait_rules import Actor
from tests.scaling import MOST as MOST_TIMES
from tests.scaling import times_longer
from tests.schedule.world import everybody, played, possible

LOCKS = ("", "x", "y")


def explored(programs: Sequence[Sequence[str]], chance: Random | None = None) -> list[tuple[int, ...]]:
    """Run all that the frontier asks for."""
    frontier, found = Frontier(chance), []
    while (prefix := frontier.take()) is not None:
        order = Replay(prefix, everybody(programs))
        found.append(played(programs, order))
        assert order.diverged_at is None
        # none with fewer is left
        assert preemptions(order.trace) == frontier.preemptions
        frontier.learn(order.trace)
    assert not frontier.more
    return found


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(LOCKS), min_size=1, max_size=3), min_size=1, max_size=3),
    st.one_of(st.none(), st.integers(0, 9).map(Random)),
)
def test_each_order_that_can_run_is_run_once(programs: list[list[str]], chance: Random | None) -> None:
    found = explored(programs, chance)
    assert len(set(found)) == len(found)
    assert set(found) == set(possible(programs))


def test_those_with_fewer_preemptions_come_first() -> None:
    assert explored([[""] * 2, [""]]) == [(0, 0, 1), (1, 0, 0), (0, 1, 0)]


def test_chance_orders_those_with_as_many() -> None:
    orders = {tuple(explored([[""] * 2, [""] * 2], Random(seed))) for seed in range(9)}
    assert len(orders) > 1
    assert {one[0] for one in orders} == {(0, 0, 1, 1)}


def sessions(*lengths: int, count: int = 1, repeat: int = 1) -> list[Session]:
    return [
        Session(Place("x.sql", 1), f"s{number}", (), tuple(map(str, range(length))), count, repeat)
        for number, length in enumerate(lengths)
    ]


def test_the_number_at_collection_is_that_without_waits() -> None:
    assert interleavings(sessions(4, 4), MOST) == 70
    assert interleavings(sessions(2, count=2), MOST) == 6
    assert interleavings(sessions(1, 1, repeat=2), MOST) == 6
    assert interleavings(sessions(3), MOST) == 1
    assert interleavings(sessions(3, 0, 2, 1), MOST) == 60
    assert interleavings(sessions(2, 1), MOST) == len(explored([[""] * 2, [""]]))


def test_interleavings_are_counted_no_further_than_asked() -> None:
    # the number itself has hundreds of millions of digits
    assert interleavings(sessions(1, 1, repeat=999_999_999), MOST) > MOST
    assert interleavings(sessions(1, count=999_999_999), MOST) > MOST


def test_connections_are_listed_in_order_of_the_file() -> None:
    assert actors(sessions(1, 1, count=2)) == (Actor("s0", 1), Actor("s0", 2), Actor("s1", 1), Actor("s1", 2))


def test_switches_are_counted_between_neighbours() -> None:
    a, b = Actor("a", 1), Actor("b", 1)
    assert [switches([]), switches([a]), switches([a, a, b, b]), switches([a, b, a])] == [0, 0, 1, 2]


def by_turns(steps: int) -> list[Choice]:
    """Two connections that go on by turns."""
    both = everybody([[""], [""]])
    return [Choice(tuple(both), both[number % 2], ((1, number), (1, number))) for number in range(steps)]


def learned(trace: Sequence[Choice], most: int | None = None) -> Frontier:
    frontier = Frontier(most=most)
    frontier.take()
    frontier.learn(trace)
    return frontier


def memory_of(trace: Sequence[Choice], most: int | None = None) -> int:
    tracemalloc.start()
    try:
        frontier = learned(trace, most)
        size, _ = tracemalloc.get_traced_memory()
        assert frontier.more
        return size
    finally:
        tracemalloc.stop()


def test_what_is_learned_of_a_run_takes_no_more_than_in_proportion_to_its_steps() -> None:
    assert times_longer(by_turns, learned, 1000) < MOST_TIMES
    # large ones: tables grow by jumps, and what is kept for all runs counts in small ones
    assert memory_of(by_turns(32000)) < 20 * memory_of(by_turns(4000))


def test_no_more_is_kept_than_will_be_taken() -> None:
    trace = by_turns(16000)
    assert memory_of(trace, most=10) < memory_of(trace) / 4
    all_, few = learned(by_turns(5000)), learned(by_turns(5000), most=10)
    assert [few.take() for _ in range(10)] == [all_.take() for _ in range(10)]
    assert few.more == all_.more


def test_what_is_left_to_a_connection_takes_time_in_proportion_to_its_steps() -> None:
    (one,) = everybody([[""]])

    def ask(number: int) -> None:
        known = Dependence()
        known.know({one.session: [Footprint(frozenset("x"))] * number}, {one.session: 1})
        for at in range(number):
            known.rest(one, (1, at), behind=True)

    assert times_longer(lambda size: size, ask, 500) < MOST_TIMES
