"""The search for a serial order that comes to the same. Pure.

What is known of serial orders is kept as a tree: what a transaction was told depends on those before it alone. So
orders that begin alike share what they begin with, and where a transaction was told something else, no order that
goes on from there needs to be run.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pgchaos.oracle.model import Named, OracleTransaction, Outcome, SerialRun, State
from pgchaos.schedule.wait_rules import Actor

LeftOut = frozenset[Named]

MOST_VISITS = 2_000_000
"""Turns that are looked at for one outcome: some seconds."""
MOST_CHOICES = 4096
"""Ways to leave out what may have committed or not: all of twelve such transactions."""


class Undecided(enum.Enum):
    """There is more to search than can be searched."""

    UNDECIDED = enum.auto()


UNDECIDED = Undecided.UNDECIDED


@dataclass(slots=True)
class Node:
    """What is known after some transactions.

    Args:
        unit: the last of them; None at the root.
        problem: why nothing can come after it.
        state: what is left, where nothing comes after it.
        run: that ended here.
        children: by whose turn is next; None where he has none.
    """

    unit: OracleTransaction | None = None
    problem: str = ""
    state: State | None = None
    run: SerialRun | None = None
    children: dict[Actor, Node | None] = field(default_factory=dict)

    def at(self, path: Iterable[Actor]) -> Node | None:
        """Give what is known after further transactions, or None."""
        node: Node | None = self
        for actor in path:
            node = node.children.get(actor) if node is not None else None
        return node


@dataclass(frozen=True, slots=True)
class Wanted:
    """A serial order that must be run before more can be said.

    Args:
        left_out: the transactions that are not run.
        prefix: whose turns it begins with.
        rest: what it goes on with, as far as that can be told.
    """

    left_out: LeftOut
    prefix: tuple[Actor, ...]
    rest: tuple[Actor, ...] = ()


@dataclass(slots=True)
class Known:
    """All serial runs of one variant of a scenario.

    Args:
        most: runs at most.
        roots: what is known, by what is left out.
        runs: how many were made.
        visits: turns that the search for one outcome has looked at so far.
    """

    most: int
    roots: dict[LeftOut, Node] = field(default_factory=dict)
    runs: int = 0
    visits: int = 0

    def learn(self, wanted: Wanted, run: SerialRun) -> None:
        """Take a serial run.

        Args:
            wanted: what was asked for.
            run: what came.
        """
        self.runs += 1
        node = self.roots.setdefault(wanted.left_out, Node())
        for actor, unit in zip(run.path, run.units, strict=True):
            child = node.children.get(actor)
            if child is None:
                child = node.children[actor] = Node(unit)
            node = child
        if run.problem:
            node.problem = run.problem
        else:
            node.state, node.run = run.state, run
        self._note_impossible(wanted)

    def _note_impossible(self, wanted: Wanted) -> None:
        """Where somebody who should have had a turn had none left, remember that."""
        node = self.roots[wanted.left_out]
        for actor in wanted.prefix:
            if node.problem:
                return
            child = node.children.setdefault(actor, None)
            if child is None:
                return
            node = child

    def whole(self, left_out: LeftOut) -> Iterator[SerialRun]:
        """Give all runs that came to their end."""
        stack = [self.roots[left_out]] if left_out in self.roots else []
        while stack:
            node = stack.pop()
            if node.run is not None:
                yield node.run
            stack += [child for child in node.children.values() if child is not None]


def find(outcome: Outcome, known: Known) -> SerialRun | Wanted | Undecided | None:
    """Look for a serial order that comes to the same.

    Args:
        outcome: of a concurrent run.
        known: serial runs made so far.

    Returns:
        The serial run that did; a run that must be made first; None where there is no such order. UNDECIDED where
        there are too many orders to go through, or too many transactions that may have committed or not.
    """
    for number, left_out in enumerate(choices(outcome)):
        known.visits += len(outcome.units)
        if number == MOST_CHOICES or known.visits > MOST_VISITS:
            return UNDECIDED
        found = _Walk(outcome, known, left_out).go()
        if found is not None:
            return found
    return None


def choices(outcome: Outcome) -> Iterator[LeftOut]:
    """Give all that may be left out, the likeliest first.

    Args:
        outcome: of a concurrent run.

    Yields:
        What ended in a serialization failure or a deadlock is in each. What else did not commit is tried both ways:
        what failed first without, what its author rolled back first with.
    """
    out = frozenset(unit.name for unit in outcome.units if unit.fate == "out")
    maybe = [unit for unit in outcome.units if unit.fate == "other"]
    for taken in itertools.product(*(((True, False) if unit.failed else (False, True)) for unit in maybe)):
        yield out | {unit.name for unit, leave in zip(maybe, taken, strict=True) if leave}


class _Walk:
    def __init__(self, outcome: Outcome, known: Known, left_out: LeftOut) -> None:
        self._left_out = left_out
        self._root = known.roots.get(left_out, Node())
        ends = {unit.name: number for number, unit in enumerate(outcome.units)}
        self._todo = {
            actor: [(ends[unit.name], unit) for unit in outcome.of(actor) if unit.name not in left_out]
            for actor in outcome.actors()
        }
        self._state = outcome.state
        self._known = known

    def go(self) -> SerialRun | Wanted | Undecided | None:
        """Go through the tree, without a call for each transaction: there may be thousands."""
        done = dict.fromkeys(self._todo, 0)
        if not any(self._todo.values()):
            root = self._root
            unknown = root.run is None and not root.problem
            return Wanted(self._left_out, ()) if unknown else self._end(root)
        path: list[Actor] = []
        stack = [(self._root, iter(self._turns(done)))]
        while stack:
            node, turns = stack[-1]
            actor = next(turns, None)
            # where the node has a state this order has ended, and the outcome goes on
            if actor is None or node.state is not None:
                stack.pop()
                if path:
                    done[path.pop()] -= 1
                continue
            self._known.visits += 1
            if self._known.visits > MOST_VISITS:
                return UNDECIDED
            if actor not in node.children:
                return self._wanted(path, actor, done)
            child = node.children[actor]
            unit = self._todo[actor][done[actor]][1]
            if child is None or child.problem or child.unit is None or not agree(child.unit, unit):
                continue
            path.append(actor)
            done[actor] += 1
            next_turns = self._turns(done)
            stack.append((child, iter(next_turns)))
            if not next_turns:
                found = self._end(child)
                if found is not None:
                    return found
        return None

    def _turns(self, done: dict[Actor, int]) -> list[Actor]:
        """List who has a transaction left, by when that ended."""
        left = (actor for actor, todo in self._todo.items() if done[actor] < len(todo))
        return sorted(left, key=lambda actor: self._todo[actor][done[actor]][0])

    def _end(self, node: Node) -> SerialRun | None:
        return node.run if node.state == self._state else None

    def _wanted(self, path: list[Actor], actor: Actor, done: dict[Actor, int]) -> Wanted:
        left = (one for who, todo in self._todo.items() for one in todo[done[who] + (who == actor) :])
        rest = sorted(left, key=lambda one: one[0])
        return Wanted(self._left_out, (*path, actor), tuple(unit.actor for _, unit in rest))


def agree(serial: OracleTransaction, unit: OracleTransaction) -> bool:
    """Say whether a transaction was told the same in a serial run.

    Args:
        serial: as it went there.
        unit: as it went in the run that is judged; what did not commit there may have been told anything.
    """
    if serial.position != unit.position:
        return False
    return unit.fate != "committed" or (serial.fate == "committed" and serial.heard == unit.heard)


def contexts(
    outcome: Outcome, known: Known, left_out: LeftOut
) -> Iterator[tuple[tuple[Named, ...], OracleTransaction]]:
    """Give what transactions were told after others that were all told what they were told in an outcome.

    Args:
        outcome: of a concurrent run.
        known: all that the search for its serial order has asked for.
        left_out: what is in no order.

    Yields:
        Who came before, in order, and the transaction that came then, as it went there. A serial order that comes to
        the outcome could begin in no other way than with those that came before.
    """
    todo = {actor: [unit for unit in outcome.of(actor) if unit.name not in left_out] for actor in outcome.actors()}
    stack: list[tuple[Node, tuple[OracleTransaction, ...]]] = [(known.roots.get(left_out, Node()), ())]
    while stack:
        node, before = stack.pop()
        for actor, units in todo.items():
            done = sum(unit.actor == actor for unit in before)
            child = node.children.get(actor) if done < len(units) else None
            if child is None or child.unit is None or child.problem or child.unit.position != units[done].position:
                continue
            yield tuple(unit.name for unit in before), child.unit
            if agree(child.unit, units[done]):
                stack.append((child, (*before, units[done])))
