"""Sessions whose steps take locks and hold them to their end: what a server would do, without one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgchaos.schedule.scheduler import Scheduler
from pgchaos.schedule.step_points import StepPoint
from pgchaos.schedule.wait_rules import Actor

Programs = Sequence[Sequence[str]]


class World:
    """Some sessions: of each, for each step the lock that it takes, or ''."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._at = [0] * len(programs)
        self._owner: dict[str, int] = {}
        self._queue: list[int] = []
        self.went: list[int] = []

    def ready(self) -> list[int]:
        """List the sessions that have a step and do not wait."""
        return [i for i, p in enumerate(self._programs) if self._at[i] < len(p) and i not in self._queue]

    def ended(self) -> list[int]:
        """List the sessions that have no step any more."""
        return [i for i, p in enumerate(self._programs) if self._at[i] == len(p)]

    def step(self, who: int) -> None:
        """Have a session go on."""
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


def everybody(programs: Sequence[Sequence[object]]) -> tuple[Actor, ...]:
    """Name the sessions."""
    return tuple(Actor(str(number), 1) for number in range(len(programs)))


def played(programs: Programs, order: Scheduler) -> tuple[int, ...]:
    """Have an order decide who goes on, to the end; tell who went."""
    world, actors = World(programs), everybody(programs)
    while world.ready():
        gates = {actors[i]: StepPoint(actors[i], "", 1, 0) for i in world.ready()}
        gate = order.next(gates, [actors[i] for i in world.ended()])
        assert isinstance(gate, StepPoint)
        world.step(actors.index(gate.actor))
    return tuple(world.went)


def orders(left: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Order steps in every way, of each session so many."""
    if not any(left):
        yield ()
    for who, count in enumerate(left):
        if count:
            for rest in orders([*left[:who], count - 1, *left[who + 1 :]]):
                yield (who, *rest)


def possible(programs: Programs) -> Iterator[tuple[int, ...]]:
    """Try all orders of all steps; an order that lists a step of one who waits cannot run."""
    for order in orders([len(program) for program in programs]):
        world = World(programs)
        for who in order:
            if who not in world.ready():
                break
            world.step(who)
        if not world.ready():
            yield tuple(world.went)
