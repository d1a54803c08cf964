"""All interleavings: each once, none that cannot run; held against a search by brute force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from pgchaos.scenario.model import Place, Session
from pgchaos.scenario.schedules import interleavings
from pgchaos.schedule.board import Actor
from pgchaos.schedule.gates import Gate
from pgchaos.schedule.orders import Follow
from pgchaos.schedule.permutations import Frontier, actors, preemptions, switches

LOCKS = ("", "x", "y")


class World:
    """Sessions whose steps take locks and hold them to their end: what a server would do, without one."""

    def __init__(self, programs: Sequence[Sequence[str]]) -> None:
        self._programs = programs
        self._at = [0] * len(programs)
        self._owner: dict[str, int] = {}
        self._queue: list[int] = []
        self.went: list[int] = []

    def ready(self) -> list[int]:
        return [i for i, p in enumerate(self._programs) if self._at[i] < len(p) and i not in self._queue]

    def ended(self) -> list[int]:
        return [i for i, p in enumerate(self._programs) if self._at[i] == len(p)]

    def step(self, who: int) -> None:
        self.went.append(who)
        self._try(who)

    def _try(self, who: int) -> None:
        lock = self._programs[who][self._at[who]]
        if lock and self._owner.setdefault(lock, who) != who:
            self._queue.append(who)
            return
        self._at[who] += 1
        if self._at[who] == len(self._programs[who]):
            self._owner = {name: owner for name, owner in self._owner.items() if owner != who}
            waiting, self._queue = self._queue, []
            for one in waiting:
                self._try(one)


def explored(programs: Sequence[Sequence[str]], chance: Random | None = None) -> list[tuple[int, ...]]:
    """Run all that the frontier asks for."""
    everybody = tuple(Actor(str(number), 1) for number in range(len(programs)))
    frontier, found = Frontier(chance), []
    while (prefix := frontier.take()) is not None:
        world, order = World(programs), Follow(prefix, everybody)
        while world.ready():
            gates = {everybody[i]: Gate(everybody[i], "", 1, 0) for i in world.ready()}
            gate = order.next(gates, [everybody[i] for i in world.ended()])
            assert isinstance(gate, Gate)
            world.step(everybody.index(gate.actor))
        assert order.strayed is None
        # none with fewer is left
        assert preemptions(order.trace) == frontier.preemptions
        found.append(tuple(world.went))
        frontier.learn(order.trace)
    assert not frontier.more
    return found


def orders(left: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Order steps in every way, of each session so many."""
    if not any(left):
        yield ()
    for who, count in enumerate(left):
        if count:
            for rest in orders([*left[:who], count - 1, *left[who + 1 :]]):
                yield (who, *rest)


def possible(programs: Sequence[Sequence[str]]) -> Iterator[tuple[int, ...]]:
    """Try all orders of all steps; an order that lists a step of one who waits cannot run."""
    for order in orders([len(program) for program in programs]):
        world = World(programs)
        for who in order:
            if who not in world.ready():
                break
            world.step(who)
        if not world.ready():
            yield tuple(world.went)


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
    assert interleavings(sessions(4, 4)) == 70
    assert interleavings(sessions(2, count=2)) == 6
    assert interleavings(sessions(1, 1, repeat=2)) == 6
    assert interleavings(sessions(3)) == 1
    assert interleavings(sessions(2, 1)) == len(explored([[""] * 2, [""]]))


def test_connections_are_listed_in_order_of_the_file() -> None:
    assert actors(sessions(1, 1, count=2)) == (Actor("s0", 1), Actor("s0", 2), Actor("s1", 1), Actor("s1", 2))


def test_switches_are_counted_between_neighbours() -> None:
    a, b = Actor("a", 1), Actor("b", 1)
    assert [switches([]), switches([a]), switches([a, a, b, b]), switches([a, b, a])] == [0, 0, 1, 2]
