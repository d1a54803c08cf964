"""Programs, whose steps are known only as they come: what each of them does, and which of its requests is next. Pure.

A decision names a worker, as everywhere. Of a worker with several connections, the request that came first goes on.
Everything else (priorities, enumeration, shrinking, tokens) is what it is for sessions of SQL: it learns the steps of a
run from the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pgchaos.schedule.step_points import StepPoint
from pgchaos.schedule.wait_rules import Actor


class Lane(Actor):
    """One connection of a program: equal to itself alone, and named as its worker; of this it has a number, from 1."""

    owner: Actor
    number: int

    def __new__(cls, owner: Actor, number: int) -> Lane:
        """Make one."""
        lane = super().__new__(cls, owner.session, owner.worker)
        lane.owner, lane.number = owner, number
        return lane

    def __eq__(self, other: object) -> bool:
        """Whether it is the same connection."""
        return isinstance(other, Lane) and self.number == other.number and tuple(self) == tuple(other)

    def __ne__(self, other: object) -> bool:
        """Whether it is another; a tuple would compare its parts."""
        return not self == other

    def __hash__(self) -> int:
        """Hash it."""
        return hash((self.session, self.worker, self.number))


def owner_of(actor: Actor) -> Actor:
    """Give the worker of a connection."""
    return actor.owner if isinstance(actor, Lane) else actor


def sort_key(actor: Actor) -> tuple[str, int, int]:
    """Give what puts workers and connections in order: a worker comes before its connections."""
    return actor.session, actor.worker, actor.number if isinstance(actor, Lane) else 0


_POLLS = 20
"""As often a program may send the same request in a row while another stands before one."""


@dataclass(slots=True)
class ProgramState:
    """What one worker does."""

    held: dict[Lane, StepPoint] = field(default_factory=dict)  # requests that are not sent yet, in order
    running: set[Lane] = field(default_factory=set)  # connections whose request is with the server
    away: bool = False  # it neither sends nor waits for an answer, for longer than its grace
    _asked: object = None  # its last request
    _same: int = 0  # how often in a row it has asked that again

    @property
    def computing(self) -> bool:
        """Whether it does something of its own, after which it will send or end: the others wait for that."""
        return not (self.held or self.running or self.away)

    @property
    def next(self) -> tuple[Lane, StepPoint] | None:
        """The request that goes on when the worker does."""
        return next(iter(self.held.items()), None)

    @property
    def polls(self) -> bool:
        """Whether it asks the same again and again: it may wait so for what another does."""
        return self._same >= _POLLS

    def look_again(self) -> None:
        """Note that another has done something: it may ask once more."""
        self._same = min(self._same, _POLLS - 1)

    def hold(self, lane: Lane, point: StepPoint, what: object = None) -> None:
        """Take a request that is not sent yet; `what` it asks equals that of the same request."""
        self.away = False
        self._same = self._same + 1 if what is not None and what == self._asked else 0
        self._asked = what
        self.held[lane] = point

    def release(self) -> Lane | None:
        """Let the next request go on; None where none is held."""
        lane = next(iter(self.held), None)
        if lane is not None:
            del self.held[lane]
            self.running.add(lane)
        return lane

    def answered(self, lane: Lane) -> None:
        """Take the end of a request: its answer, or the end of the connection."""
        self.held.pop(lane, None)
        self.running.discard(lane)
        self.away = False


_BETWEEN = 0.05  # seconds between two looks that count at most


@dataclass(slots=True)
class Grace:
    """How long a program has done nothing, from several looks at it."""

    seconds: float  # after which the others go on without it
    _idle: float = 0.0  # seconds for which it has done nothing
    _last: float | None = None  # when it was looked at last

    def is_over(self, now: float, *, active: bool) -> bool:
        """Take a look: `active` if the program computes or reads a disk, or has done so since the last look."""
        before, self._last = self._last, now
        if active or before is None:
            self._idle = 0.0
        else:
            # who looks may have been late himself: what was done meanwhile is not known
            self._idle += min(now - before, _BETWEEN)
        return self._idle >= self.seconds
