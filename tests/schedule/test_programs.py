"""Programs, whose steps come one by one: what they do, and that the searches work on them as on lists of steps."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from pgchaos.schedule.explore import Explore
from pgchaos.schedule.permutations import Frontier, taken
from pgchaos.schedule.programs import Grace, Lane, ProgramState, owner_of
from pgchaos.schedule.scheduler import Replay, Scheduler
from pgchaos.schedule.shrink import simpler_orders, weight
from pgchaos.schedule.step_points import StepPoint
from pgchaos.schedule.wait_rules import Actor

ONE, TWO = Actor("shop", 1), Actor("shop", 2)
BOTH = (ONE, TWO)

Program = Callable[[dict[str, int]], Generator[None, None, None]]


def played(program: Program, order: Scheduler) -> dict[str, int]:
    """Run two programs whose next step nobody knows before they come to it."""
    shared = {"stock": 10}
    running = {actor: program(shared) for actor in BOTH}
    points: dict[Actor, StepPoint] = {}
    ended: set[Actor] = set()
    steps = dict.fromkeys(BOTH, 0)

    def go(actor: Actor) -> None:
        points.pop(actor, None)
        if next(running[actor], "ended") == "ended":
            ended.add(actor)
        else:
            steps[actor] += 1
            points[actor] = StepPoint(actor, str(steps[actor]), 1, 0)

    for actor in BOTH:
        go(actor)
    while points:
        found = order.next(points, ended)
        assert isinstance(found, StepPoint)
        go(found.actor)
    return shared


def sells(shared: dict[str, int]) -> Generator[None, None, None]:
    yield
    seen = shared["stock"]
    yield
    if seen % 2:  # other steps for who comes later
        yield
        yield
    shared["stock"] = seen - 1


def interleavings(program: Program) -> list[tuple[Actor, ...]]:
    frontier, found = Frontier(), []
    while (prefix := frontier.take()) is not None:
        order = Replay(prefix, BOTH)
        played(program, order)
        frontier.learn(order.trace)
        found.append(taken(order.trace))
    return found


def test_all_are_run_once_where_their_number_depends_on_what_is_read() -> None:
    found = interleavings(sells)
    assert len(found) == len(set(found))
    # who comes second may read 9, and has two steps more then; in the other four orders both read 10
    serial = {one for one in found if len(one) == 6}
    assert (len(serial), len(found)) == (2, 6)


@pytest.mark.parametrize("seed", range(20))
def test_a_lost_update_is_found_shrunk_and_replayed(seed: int) -> None:
    search = Explore(BOTH, 200, 10**13, seed)
    while (order := search.take()) is not None:
        shared = played(sells, order)
        search.learn(order)
        if shared["stock"] == 9:
            break
    else:
        pytest.fail("not found")
    failing = taken(order.trace)
    for candidate in simpler_orders(failing, BOTH):
        again = Replay(candidate, BOTH, lenient=True)
        if played(sells, again)["stock"] == 9 and weight(taken(again.trace), BOTH) < weight(failing, BOTH):
            failing = taken(again.trace)
            break
    assert played(sells, Replay(failing, BOTH))["stock"] == 9


def test_a_connection_is_equal_to_itself_alone_and_named_as_its_worker() -> None:
    first, second = Lane(ONE, 1), Lane(ONE, 2)
    assert first == Lane(ONE, 1)
    assert len({first, second, ONE, Lane(ONE, 1), Lane(TWO, 1)}) == 4
    assert first != second
    assert first != ONE
    assert (str(first), owner_of(first), owner_of(TWO)) == ("shop[1]", ONE, TWO)


def test_a_worker_computes_until_it_sends_and_after_each_answer() -> None:
    state, first, second = ProgramState(), Lane(ONE, 1), Lane(ONE, 2)
    assert state.computing
    state.hold(first, StepPoint(ONE, "1", 1, 0))
    state.hold(second, StepPoint(ONE, "2", 1, 0))
    assert not state.computing
    assert state.next == (first, StepPoint(ONE, "1", 1, 0))
    assert state.release() == first
    assert state.next == (second, StepPoint(ONE, "2", 1, 0))
    state.answered(second)  # its connection has ended before it was sent
    assert not state.computing
    state.answered(first)
    assert state.computing
    assert state.release() is None


def test_one_that_is_away_comes_back_by_sending() -> None:
    state = ProgramState()
    state.idle_too_long = True
    assert not state.computing
    state.hold(Lane(ONE, 1), StepPoint(ONE, "1", 1, 0))
    assert not state.idle_too_long


def test_only_time_in_which_nothing_is_done_counts_as_grace() -> None:
    grace = Grace(0.1)
    looks = [(0.0, False), (0.04, False), (0.08, False), (0.09, True), (0.12, False), (0.16, False), (0.2, False)]
    assert [grace.is_over(now, active=active) for now, active in looks] == [False] * 6 + [True]


def test_who_looks_late_counts_little_of_it() -> None:
    grace = Grace(0.1)
    looks = [(0.0, False), (5.0, False), (10.0, False)]
    assert [grace.is_over(now, active=active) for now, active in looks] == [False, False, True]
