"""The state of programs, whose steps are known only when they send them, and their next request. Pure.

As for SQL sessions, a decision chooses a worker. If a worker has several connections, the request that arrived first
is released. Priorities, enumeration, shrinking and tokens work as for SQL sessions: they learn the steps from the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pgchaos.schedule.step_points import StepPoint
from pgchaos.schedule.wait_rules import Actor


class Lane(Actor):
    """One connection of a program. It has its worker's name, but equals only itself."""

    owner: Actor  # its worker
    number: int  # of the connection in its worker, from 1

    def __new__(cls, owner: Actor, number: int) -> Lane:
        """Create the tuple of its worker."""
        lane = super().__new__(cls, owner.session, owner.worker)
        lane.owner, lane.number = owner, number
        return lane

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lane) and self.number == other.number and tuple(self) == tuple(other)

    def __ne__(self, other: object) -> bool:
        # otherwise `!=` is that of tuple
        return not self == other

    def __hash__(self) -> int:
        return hash((self.session, self.worker, self.number))


def owner_of(actor: Actor) -> Actor:
    """Return the worker of a connection."""
    return actor.owner if isinstance(actor, Lane) else actor


def sort_key(actor: Actor) -> tuple[str, int, int]:
    """Return a sort key of workers and connections, by which a worker precedes its connections."""
    return actor.session, actor.worker, actor.number if isinstance(actor, Lane) else 0


_POLLS = 20  # so often a program may repeat a request while another session is paused before a step


@dataclass(slots=True)
class ProgramState:
    """The state of one worker."""

    held: dict[Lane, StepPoint] = field(default_factory=dict)  # requests that are held back, in order
    running: set[Lane] = field(default_factory=set)  # connections whose request the server executes
    idle_too_long: bool = False  # it has neither sent nor waited for an answer for longer than its grace
    _asked: object = None  # its last request
    _same: int = 0  # how often in a row it has repeated that

    @property
    def computing(self) -> bool:
        """Whether it computes, after which it will send or end; the other sessions wait for that."""
        return not (self.held or self.running or self.idle_too_long)

    @property
    def next(self) -> tuple[Lane, StepPoint] | None:
        """The request that `release` will release, or None."""
        return next(iter(self.held.items()), None)

    @property
    def polls(self) -> bool:
        """Whether it repeats a request, perhaps to wait for an effect of another session."""
        return self._same >= _POLLS

    def look_again(self) -> None:
        """Allow one more repetition, because another session has done something."""
        self._same = min(self._same, _POLLS - 1)

    def hold(self, lane: Lane, point: StepPoint, what: object = None) -> None:
        """Hold a request back; `what` is equal for equal requests, None for one that is never a repetition."""
        self.idle_too_long = False
        self._same = self._same + 1 if what is not None and what == self._asked else 0
        self._asked = what
        self.held[lane] = point

    def release(self) -> Lane | None:
        """Release the next request; return its connection, or None if none is held."""
        lane = next(iter(self.held), None)
        if lane is not None:
            del self.held[lane]
            self.running.add(lane)
        return lane

    def answered(self, lane: Lane) -> None:
        """Record the end of a request: it was answered, or its connection ended."""
        self.held.pop(lane, None)
        self.running.discard(lane)
        self.idle_too_long = False


_LONGEST_INTERVAL = 0.05  # seconds of idle time at most that are counted between two observations


@dataclass(slots=True)
class Grace:
    """Measures from repeated observations how long a program has done nothing."""

    seconds: float  # the idle time after which the other sessions continue without it
    _idle: float = 0.0  # the idle time so far, in seconds
    _last: float | None = None  # the time of the last observation

    def is_over(self, now: float, *, active: bool) -> bool:
        """Add an observation; `active` if the program computes or reads a disk, or did since the last observation."""
        before, self._last = self._last, now
        if active or before is None:
            self._idle = 0.0
        else:
            # the observer may have been delayed, so a longer interval is not known to be idle
            self._idle += min(now - before, _LONGEST_INTERVAL)
        return self._idle >= self.seconds
