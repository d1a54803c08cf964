"""Transactions over a few variables, with locks, deadlocks and victims: a server to be tried in every order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from pgchaos.schedule.footprint import NOTHING, Dependence, Footprint
from pgchaos.schedule.scheduler import Scheduler
from pgchaos.schedule.step_points import StepPoint
from tests.schedule.world import everybody

Step: TypeAlias = tuple[str, str]
"""What is done, and to which variable: begin, read, write, try (as NOWAIT does), or commit."""
Programs = Sequence[Sequence[Step]]
Outcome: TypeAlias = tuple[object, ...]


class Memory:
    """Some sessions at work."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._at = [0] * len(programs)
        self._committed: dict[str, str] = {}
        self._own: list[dict[str, str]] = [{} for _ in programs]
        self._owner: dict[str, int] = {}
        self._waits: dict[int, str] = {}
        self._seen: list[list[str]] = [[] for _ in programs]

    def over(self, who: int) -> bool:
        """Say whether a session has come to its end."""
        return self._at[who] == len(self._programs[who])

    def ready(self) -> list[int]:
        """List the sessions that have a step and do not wait."""
        return [who for who in range(len(self._programs)) if not self.over(who) and who not in self._waits]

    def at(self, who: int) -> int:
        """Tell the number of a session's next step."""
        return self._at[who]

    def outcome(self) -> Outcome:
        """Tell all that there is to see at the end."""
        return tuple(sorted(self._committed.items())), tuple(map(tuple, self._seen))

    def step(self, who: int) -> None:
        """Have a session do its next step, or wait in it."""
        what, name = self._programs[who][self._at[who]]
        value = self._own[who].get(name, self._committed.get(name, ""))
        if what in ("write", "try"):
            if self._owner.setdefault(name, who) != who:
                self._held_up(who, what, name)
                return
            self._own[who][name] = f"({value}{who}{self._at[who]})"
        elif what == "read":
            self._seen[who].append(f"{name}={value}")
        self._at[who] += 1
        if what == "commit":
            self._committed |= self._own[who]
            self._let_go(who)

    def _held_up(self, who: int, what: str, name: str) -> None:
        if what == "write":
            self._waits[who] = name
            if not self._in_circle(who):
                return
            del self._waits[who]
        # the rest of the transaction is gone past
        self._seen[who].append(f"{name} failed")
        while self._programs[who][self._at[who]][0] != "commit":
            self._at[who] += 1
        self._at[who] += 1
        self._let_go(who)

    def _in_circle(self, who: int) -> bool:
        at = who
        while at in self._waits:
            at = self._owner[self._waits[at]]
            if at == who:
                return True
        return False

    def _let_go(self, who: int) -> None:
        self._own[who] = {}
        self._owner = {name: owner for name, owner in self._owner.items() if owner != who}
        freed = [one for one, name in self._waits.items() if name not in self._owner]
        for one in freed:
            # the first of a queue may have taken it again
            if self._waits[one] not in self._owner:
                del self._waits[one]
                self.step(one)


def dependence(programs: Programs) -> Dependence:
    """Tell what the steps touch: each all that its transaction touched so far."""
    found = Dependence()
    found.know({str(number): _footprints(program) for number, program in enumerate(programs)}, _Once())
    return found


class _Once(dict[str, int]):
    def __missing__(self, key: str) -> int:
        return 1


def _footprints(program: Sequence[Step]) -> list[Footprint]:
    found, so_far = [], NOTHING
    for what, name in program:
        if what == "read":
            so_far |= Footprint(reads=frozenset({name}))
        elif what in ("write", "try"):
            so_far |= Footprint(writes=frozenset({name}))
        found.append(NOTHING if what == "begin" else so_far)
        so_far = NOTHING if what == "commit" else so_far
    return found


def remembered(programs: Programs, order: Scheduler) -> Outcome:
    """Have an order decide who goes on, to the end; tell what came of it."""
    memory, actors = Memory(programs), everybody(programs)
    while memory.ready():
        gates = {actors[one]: StepPoint(actors[one], "", 1, memory.at(one)) for one in memory.ready()}
        gate = order.next(gates, [actors[one] for one in range(len(programs)) if memory.over(one)])
        assert isinstance(gate, StepPoint)
        memory.step(actors.index(gate.actor))
    return memory.outcome()
