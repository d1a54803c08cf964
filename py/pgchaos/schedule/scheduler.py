"""Who goes on next: by the list in the file, or by decisions made before. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pgchaos.language.header_model import StepName
from pgchaos.language.model import Session
from pgchaos.schedule.sleep_sets import NOBODY, Asleep, SleepSet, awake
from pgchaos.schedule.step_points import Choice, StepPoint
from pgchaos.schedule.wait_rules import Actor


@dataclass(frozen=True, slots=True)
class Blocked:
    """The next listed step cannot run: its connection still waits in an earlier one."""

    step: StepName


class Scheduler(Protocol):
    """Decides who goes on."""

    def next(self, gates: Mapping[Actor, StepPoint], ended: Collection[Actor]) -> StepPoint | Blocked | None:
        """Say who goes on, now that everybody stands, is blocked or has ended.

        Args:
            gates: the connections that stand before a step.
            ended: those that have come to their end.

        Returns:
            The gate to open; Blocked where the one that is due waits; None where nobody stands before a step.
        """
        ...


@dataclass(slots=True)
class ListedOrder:
    """The order that a file lists. Steps that do nothing, in an untaken branch say, are listed and gone past.

    Args:
        steps: of all sessions, as settled by the reader.
        sessions: those of the file.
    """

    steps: Sequence[StepName]
    sessions: Iterable[Session]
    _at: int = field(default=0, init=False)
    _ordinals: dict[tuple[str, str], int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._ordinals = {(s.name, step): n for s in self.sessions for n, step in enumerate(s.steps)}

    def next(self, gates: Mapping[Actor, StepPoint], ended: Collection[Actor]) -> StepPoint | Blocked | None:
        """See Order."""
        while self._at < len(self.steps):
            step = self.steps[self._at]
            actor = Actor(step.session, step.worker)
            gate = gates.get(actor)
            if gate is None and actor not in ended:
                return Blocked(step)
            self._at += 1
            if gate is not None and gate.position == (step.iteration, self._ordinals[step.session, step.step]):
                return gate
        return None


@dataclass(slots=True)
class Replay:
    """The order of decisions made before; then nobody is interrupted, and the first in the file goes on.

    Args:
        decisions: the connections in the order in which they went on.
        actors: all connections in order of the file.
        lenient: leave out a decision for a connection that cannot go on, instead of taking another for it.
        sleep: then those go on who do not sleep, where there are any; None: nobody sleeps.
        asleep: who does before the last of the decisions.
        trace: what was decided, for who searches on from here.
        strayed: the number of the first decision, from 0, that could not be kept; None while all were.
    """

    decisions: Sequence[Actor]
    actors: Sequence[Actor]
    lenient: bool = False
    sleep: SleepSet | None = None
    asleep: Asleep = NOBODY
    trace: list[Choice] = field(default_factory=list)
    strayed: int | None = None
    _at: int = field(default=0, init=False)

    def next(self, gates: Mapping[Actor, StepPoint], ended: Collection[Actor]) -> StepPoint | Blocked | None:
        """See Order."""
        ready = tuple(actor for actor in self.actors if actor in gates)
        if not ready:
            return None
        waiting = len(gates) + len(ended) < len(self.actors)
        if self.sleep is not None and self.trace and len(self.trace) >= len(self.decisions):
            self.asleep = self.sleep.after(self.asleep, self.trace[-1], waiting=waiting)
        taken = self._taken(ready)
        self.trace.append(Choice(ready, taken, tuple(gates[actor].position for actor in ready), waiting))
        return gates[taken]

    def _taken(self, ready: Sequence[Actor]) -> Actor:
        while self._at < len(self.decisions):
            wish = self.decisions[self._at]
            self._at += 1
            if wish in ready:
                return wish
            if self.strayed is None:
                self.strayed = self._at - 1
            if not self.lenient:
                break
        ready = awake(ready, self.asleep)
        last = self.trace[-1].taken if self.trace else None
        return last if last is not None and last in ready else ready[0]
