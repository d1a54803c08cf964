"""Makes the variant of a scenario whose transactions run one after the other. Pure.

The same engine runs the same sessions, because what a transaction does may depend on what it read. What has a meaning
only for concurrent sessions is removed (barriers, waits, delays and faults), and so are assertions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pgchaos.language.header_model import StepName
from pgchaos.language.model import Scenario, Session
from pgchaos.language.section_items import STEERS, Delay, Item, Statement
from pgchaos.oracle.model import TxnId
from pgchaos.schedule.scheduler import Blocked
from pgchaos.schedule.step_points import StepPoint
from pgchaos.schedule.wait_rules import Actor

_BETWEEN = (*STEERS, Delay)
_LOCAL = frozenset({"SET", "RESET", "SHOW", "LISTEN", "UNLISTEN", "DEALLOCATE", "PREPARE", "DISCARD", "LOAD"})


def is_local(statement: Statement) -> bool:
    """Whether a statement outside a block affects only its session, so that it is not a transaction by itself.

    True for SET, SHOW, LISTEN and the like; not for PREPARE TRANSACTION, nor for a group of statements.
    """
    words = statement.text.upper().split(maxsplit=2)
    return statement.verb in _LOCAL and ";" not in statement.text and words[:2] != ["PREPARE", "TRANSACTION"]


def statement_numbers(session: Session) -> dict[int, int]:
    """Return the numbers of a session's statements, from 0, by their `id()`; a local one has the number of the next.

    The numbers are the same in all variants of a scenario.
    """
    found: dict[int, int] = {}
    number = 0
    for item in session.items:
        if isinstance(item, Statement):
            found[id(item)] = number
            number += not is_local(item)
    return found


def serial_variant(scenario: Scenario) -> Scenario:
    """Return the scenario with single statements as steps, without assertions.

    The ordinal of a step is the number of its statement.
    """
    sessions = tuple(map(_serial_session, scenario.sessions))
    return replace(scenario, sessions=sessions, invariants=(), checks=(), mutants=(), xfails=(), oracle=None)


def _serial_session(session: Session) -> Session:
    known = statement_numbers(session)
    items: list[Item] = []
    for item in session.items:
        if isinstance(item, Statement):
            items.append(replace(item, step=str(known[id(item)])))
        elif not isinstance(item, _BETWEEN):
            items.append(item)
    steps = tuple(str(number) for number in range(max(known.values(), default=-1) + 1))
    return replace(session, items=tuple(items), steps=steps)


@dataclass(slots=True)
class SerialScheduler:
    """A scheduler by which each transaction ends before the next begins."""

    turns: Sequence[Actor]
    actors: Iterable[Actor]  # all connections in file order
    begun: list[TxnId] = field(default_factory=list)  # the transactions that began, in order
    _at: int = field(default=0, init=False)

    def next(self, points: Mapping[Actor, StepPoint], ended: Collection[Actor]) -> StepPoint | Blocked | None:
        """See Scheduler."""
        now = self.begun[-1][0] if self.begun else None
        if now is not None and now not in ended:
            point = points.get(now)
            if point is None:
                # it waits for a session that has not ended and is between transactions: this order is impossible
                return Blocked(StepName(now.session, now.worker, "", 1))
            if not point.begins:
                return point
        return self._begin(points)

    def _begin(self, points: Mapping[Actor, StepPoint]) -> StepPoint | None:
        turn = next((actor for actor in self.actors if actor in points), None)
        while self._at < len(self.turns):
            wanted = self.turns[self._at]
            self._at += 1
            if wanted in points:
                turn = wanted
                break
        if turn is None:
            return None
        self.begun.append((turn, points[turn].position))
        return points[turn]
