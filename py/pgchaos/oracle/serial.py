"""A scenario of which the transactions go one after the other. Pure.

The same sessions are played by the same interpreter: what a transaction does depends on what was read before. What
has a meaning only among concurrent sessions is taken out: barriers, waits, delays and faults; and what is asserted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pgchaos.language.header_model import StepName
from pgchaos.language.model import Scenario, Session
from pgchaos.language.section_items import Barrier, Delay, Fault, Item, Signal, Statement, WaitBlocked, WaitFor
from pgchaos.oracle.model import Named
from pgchaos.schedule.scheduler import Blocked
from pgchaos.schedule.step_points import StepPoint
from pgchaos.schedule.wait_rules import Actor

_BETWEEN = (Barrier, Delay, Fault, Signal, WaitBlocked, WaitFor)
_LOCAL = frozenset({"SET", "RESET", "SHOW", "LISTEN", "UNLISTEN", "DEALLOCATE", "PREPARE", "DISCARD", "LOAD"})


def is_local(statement: Statement) -> bool:
    """Say whether a statement matters to its own session only, so that it is no transaction by itself.

    Args:
        statement: of a session, outside a block.

    Returns:
        True for SET, SHOW, LISTEN and the like; not for PREPARE TRANSACTION, nor for a group of several.
    """
    words = statement.text.upper().split(maxsplit=2)
    return statement.verb in _LOCAL and ";" not in statement.text and words[:2] != ["PREPARE", "TRANSACTION"]


def numbers(session: Session) -> dict[int, int]:
    """Number the statements of a session, from 0; one that is local has the number of the next that is not.

    Args:
        session: of any variant of a scenario; the numbers of all its variants agree.

    Returns:
        The numbers, by `id()` of the statement.
    """
    found: dict[int, int] = {}
    number = 0
    for item in session.items:
        if isinstance(item, Statement):
            found[id(item)] = number
            number += not is_local(item)
    return found


def one_by_one(scenario: Scenario) -> Scenario:
    """Make the scenario whose steps are single statements, and which asserts nothing.

    Args:
        scenario: that is judged.

    Returns:
        Its serial variant. The ordinal of a step there is the number of its statement.
    """
    sessions = tuple(map(_one_by_one, scenario.sessions))
    return replace(scenario, sessions=sessions, invariants=(), checks=(), mutants=(), xfails=(), oracle=None)


def _one_by_one(session: Session) -> Session:
    known = numbers(session)
    items: list[Item] = []
    for item in session.items:
        if isinstance(item, Statement):
            items.append(replace(item, step=str(known[id(item)])))
        elif not isinstance(item, _BETWEEN):
            items.append(item)
    steps = tuple(str(number) for number in range(max(known.values(), default=-1) + 1))
    return replace(session, items=tuple(items), steps=steps)


@dataclass(slots=True)
class OneByOne:
    """An order of steps in which one transaction goes on to its end before another begins.

    Args:
        wishes: whose turn it is, transaction by transaction; then the first in the file who has one.
        actors: all connections in order of the file.
        taken: which transactions were begun, in order; for what becomes of the run.
    """

    turns: Sequence[Actor]
    actors: Iterable[Actor]
    taken: list[Named] = field(default_factory=list)
    _at: int = field(default=0, init=False)

    def next(self, points: Mapping[Actor, StepPoint], ended: Collection[Actor]) -> StepPoint | Blocked | None:
        """See Order."""
        now = self.taken[-1][0] if self.taken else None
        if now is not None and now not in ended:
            point = points.get(now)
            if point is None:
                # it waits for who has not ended the session, and no transaction: this order cannot be
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
        self.taken.append((turn, points[turn].position))
        return points[turn]
