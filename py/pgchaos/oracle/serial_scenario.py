"""A scenario whose transactions run one after the other. Pure.

The same interpreter runs the same sessions: what a transaction does depends on what it read. What has a meaning only
among concurrent sessions is removed: barriers, waits, delays and faults; and assertions.
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
    """Whether a statement outside a block concerns its session only, so that it is no transaction by itself.

    True for SET, SHOW, LISTEN and the like; not for PREPARE TRANSACTION, nor for a group of several.
    """
    words = statement.text.upper().split(maxsplit=2)
    return statement.verb in _LOCAL and ";" not in statement.text and words[:2] != ["PREPARE", "TRANSACTION"]


def statement_numbers(session: Session) -> dict[int, int]:
    """Number the statements of a session by their `id()`, from 0; a local one has the number of the next.

    The numbers of all variants of a scenario agree.
    """
    found: dict[int, int] = {}
    number = 0
    for item in session.items:
        if isinstance(item, Statement):
            found[id(item)] = number
            number += not is_local(item)
    return found


def serial_variant(scenario: Scenario) -> Scenario:
    """Make the scenario whose steps are single statements, without assertions.

    The ordinal of a step there is the number of its statement.
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
    """A scheduler that lets one transaction end before the next begins."""

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
                # it waits for a session that is not over, between transactions: this order is impossible
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
