"""Chooses the next step: by the list in the file, or by earlier decisions. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pgchaos.language.header_model import StepName
from pgchaos.language.model import Session
from pgchaos.schedule.reduction import NONE_ASLEEP, Asleep, SleepSet, awake
from pgchaos.schedule.step_points import Choice, StepPoint
from pgchaos.schedule.wait_rules import Actor


@dataclass(frozen=True, slots=True)
class Blocked:
    """The next listed step cannot run, because its connection still waits in an earlier step."""

    step: StepName


class Scheduler(Protocol):
    """Chooses the next step."""

    def next(self, points: Mapping[Actor, StepPoint], ended: Collection[Actor]) -> StepPoint | Blocked | None:
        """Choose the next step, while every connection is paused before a step (`points`), blocked, or has ended.

        Returns:
            The step to release; Blocked if the next listed step cannot run; None if no connection is paused.
        """
        ...


@dataclass(slots=True)
class ListedOrder:
    """The order in the file. Listed steps that do nothing, as in an untaken branch, are skipped."""

    steps: Sequence[StepName]  # of all sessions, with connection and iteration (schedules.resolve)
    sessions: Iterable[Session]
    _at: int = field(default=0, init=False)
    _ordinals: dict[tuple[str, str], int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._ordinals = {(s.name, step): n for s in self.sessions for n, step in enumerate(s.steps)}

    def next(self, points: Mapping[Actor, StepPoint], ended: Collection[Actor]) -> StepPoint | Blocked | None:
        """See Scheduler."""
        while self._at < len(self.steps):
            step = self.steps[self._at]
            actor = Actor(step.session, step.worker)
            point = points.get(actor)
            if point is None and actor not in ended:
                return Blocked(step)
            self._at += 1
            if point is not None and point.position == (step.iteration, self._ordinals[step.session, step.step]):
                return point
        return None


@dataclass(slots=True)
class Replay:
    """Repeats earlier decisions. After them, a connection continues as long as it can, then the first in the file."""

    decisions: Sequence[Actor]  # the connection of each step
    actors: Sequence[Actor]  # all connections in file order
    lenient: bool = False  # skip a decision whose connection cannot continue, instead of choosing another connection
    sleep: SleepSet | None = None  # after the decisions, prefer connections that do not sleep; None: none sleeps
    asleep: Asleep = NONE_ASLEEP  # the sleep set before the last decision
    trace: list[Choice] = field(default_factory=list)  # the decisions of this run, for a search to continue from
    diverged_at: int | None = None  # the first decision, from 0, that could not be repeated; None if all could
    _at: int = field(default=0, init=False)

    def next(self, points: Mapping[Actor, StepPoint], ended: Collection[Actor]) -> StepPoint | Blocked | None:
        """See Scheduler."""
        ready = tuple(actor for actor in self.actors if actor in points)
        if not ready:
            return None
        waiting = len(points) + len(ended) < len(self.actors)
        if self.sleep is not None and self.trace and len(self.trace) >= len(self.decisions):
            self.asleep = self.sleep.after(self.asleep, self.trace[-1], waiting=waiting)
        taken = self._taken(ready)
        self.trace.append(Choice(ready, taken, tuple(points[actor].position for actor in ready), waiting))
        return points[taken]

    def _taken(self, ready: Sequence[Actor]) -> Actor:
        while self._at < len(self.decisions):
            wanted = self.decisions[self._at]
            self._at += 1
            if wanted in ready:
                return wanted
            if self.diverged_at is None:
                self.diverged_at = self._at - 1
            if not self.lenient:
                break
        ready = awake(ready, self.asleep)
        last = self.trace[-1].taken if self.trace else None
        return last if last is not None and last in ready else ready[0]
