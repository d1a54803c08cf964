"""The search for a serial order that comes to the same. Pure.

What is known of serial orders is kept as a tree: what a transaction was told depends on those before it alone. So
orders that begin alike share what they begin with, and where a transaction was told something else, no order that
goes on from there needs to be run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pgchaos.oracle.model import Named, Outcome, SerialRun, State, Unit
from pgchaos.schedule.board import Actor

LeftOut = frozenset[Named]


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

    unit: Unit | None = None
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
    """

    most: int
    roots: dict[LeftOut, Node] = field(default_factory=dict)
    runs: int = 0

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


def find(outcome: Outcome, known: Known) -> SerialRun | Wanted | None:
    """Look for a serial order that comes to the same.

    Args:
        outcome: of a concurrent run.
        known: serial runs made so far.

    Returns:
        The serial run that did; a run that must be made first; None where there is no such order.
    """
    for left_out in choices(outcome):
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
        self._path: list[Actor] = []

    def go(self) -> SerialRun | Wanted | None:
        return self._from(self._root, dict.fromkeys(self._todo, 0))

    def _from(self, node: Node, done: dict[Actor, int]) -> SerialRun | Wanted | None:
        left = {actor: todo[done[actor] :] for actor, todo in self._todo.items() if done[actor] < len(todo)}
        if not left and not self._path and node.run is None and not node.problem:
            return Wanted(self._left_out, ())
        if not left:
            return node.run if node.state == self._state else None
        for actor in sorted(left, key=lambda one: left[one][0][0]):
            found = self._turn(node, actor, left[actor][0][1], done, left)
            if found is not None:
                return found
        return None

    def _turn(
        self,
        node: Node,
        actor: Actor,
        unit: Unit,
        done: dict[Actor, int],
        left: dict[Actor, list[tuple[int, Unit]]],
    ) -> SerialRun | Wanted | None:
        if node.state is not None:
            # this order has ended where the outcome goes on
            return None
        if actor not in node.children:
            rest = sorted(one for who, todo in left.items() for one in (todo[1:] if who == actor else todo))
            prefix = (*self._path, actor)
            return Wanted(self._left_out, prefix, tuple(one.actor for _, one in rest))
        child = node.children[actor]
        if child is None or child.problem or child.unit is None or not agree(child.unit, unit):
            return None
        self._path.append(actor)
        found = self._from(child, {**done, actor: done[actor] + 1})
        self._path.pop()
        return found


def agree(serial: Unit, unit: Unit) -> bool:
    """Say whether a transaction was told the same in a serial run.

    Args:
        serial: as it went there.
        unit: as it went in the run that is judged; what did not commit there may have been told anything.
    """
    if serial.position != unit.position:
        return False
    return unit.fate != "committed" or (serial.fate == "committed" and serial.heard == unit.heard)


def contexts(outcome: Outcome, known: Known, left_out: LeftOut) -> Iterator[tuple[tuple[Named, ...], Unit]]:
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
    stack: list[tuple[Node, tuple[Unit, ...]]] = [(known.roots.get(left_out, Node()), ())]
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
