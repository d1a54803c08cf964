"""Searches for a serial order with the same outcome. Pure.

Known serial orders form a tree, because the results of a transaction depend only on the transactions before it. Orders
with the same beginning share it, and after a transaction with different results no order needs to be run.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pgchaos.oracle.model import OracleTransaction, Outcome, SerialRun, State, TxnId
from pgchaos.schedule.wait_rules import Actor

LeftOut = frozenset[TxnId]

MOST_STEPS = 2_000_000  # steps of the search for one outcome; they take some seconds
MOST_CHOICES = 4096  # ways to leave out transactions that may have committed or not: all ways for twelve of them


class Undecided(enum.Enum):
    """The search was too large."""

    UNDECIDED = enum.auto()


UNDECIDED = Undecided.UNDECIDED


@dataclass(slots=True)
class Node:
    """A node of the tree: what is known after some transactions."""

    transaction: OracleTransaction | None = None  # the last of them; None at the root
    problem: str = ""  # why no transaction can follow, or ''
    state: State | None = None  # the final state, if a run ended here
    run: SerialRun | None = None  # the run that ended here
    # by the next connection; None if that has no transaction left
    children: dict[Actor, Node | None] = field(default_factory=dict)

    def at(self, path: Iterable[Actor]) -> Node | None:
        """Return the node after further transactions; None if it is unknown."""
        node: Node | None = self
        for actor in path:
            node = node.children.get(actor) if node is not None else None
        return node


@dataclass(frozen=True, slots=True)
class Wanted:
    """A serial order that must be run before the search can continue."""

    left_out: LeftOut  # transactions that are not run
    prefix: tuple[Actor, ...]  # the connections that it begins with
    rest: tuple[Actor, ...] = ()  # the connections after that, as far as they are known


@dataclass(slots=True)
class SerialOrders:
    """All serial runs of one variant of a scenario."""

    most: int  # the maximum number of runs
    roots: dict[LeftOut, Node] = field(default_factory=dict)  # by what is left out
    runs: int = 0  # the number of runs so far
    steps: int = 0  # steps of the search for one outcome so far

    def learn(self, wanted: Wanted, run: SerialRun) -> None:
        """Add the serial run that was wanted."""
        self.runs += 1
        node = self.roots.setdefault(wanted.left_out, Node())
        for actor, txn in zip(run.path, run.transactions, strict=True):
            child = node.children.get(actor)
            if child is None:
                child = node.children[actor] = Node(txn)
            node = child
        if run.problem:
            node.problem = run.problem
        else:
            node.state, node.run = run.state, run
        self._note_impossible(wanted)

    def _note_impossible(self, wanted: Wanted) -> None:
        """Record that a connection of the prefix had no transaction left."""
        node = self.roots[wanted.left_out]
        for actor in wanted.prefix:
            if node.problem:
                return
            child = node.children.setdefault(actor, None)
            if child is None:
                return
            node = child

    def complete_runs(self, left_out: LeftOut) -> Iterator[SerialRun]:
        """Yield all complete runs."""
        stack = [self.roots[left_out]] if left_out in self.roots else []
        while stack:
            node = stack.pop()
            if node.run is not None:
                yield node.run
            stack += [child for child in node.children.values() if child is not None]


def find(outcome: Outcome, known: SerialOrders) -> SerialRun | Wanted | Undecided | None:
    """Search for a serial order with the same outcome.

    Args:
        outcome: of a concurrent run.
        known: serial runs so far.

    Returns:
        The serial run with this outcome; or a run that must be made first; None if there is no such order; UNDECIDED if
        there are too many orders, or too many transactions that may have committed or not.
    """
    for number, left_out in enumerate(choices(outcome)):
        known.steps += len(outcome.transactions)
        if number == MOST_CHOICES or known.steps > MOST_STEPS:
            return UNDECIDED
        found = _Search(outcome, known, left_out).run()
        if found is not None:
            return found
    return None


def choices(outcome: Outcome) -> Iterator[LeftOut]:
    """Yield the sets of transactions that may be left out of serial orders, the likeliest first.

    Transactions that ended with a serialization failure or a deadlock are in each set. Other uncommitted transactions
    are tried both ways: one that failed is first left out, one that ended with ROLLBACK is first included.
    """
    out = frozenset(txn.name for txn in outcome.transactions if txn.fate == "out")
    maybe = [txn for txn in outcome.transactions if txn.fate == "other"]
    for taken in itertools.product(*(((True, False) if txn.failed else (False, True)) for txn in maybe)):
        yield out | {txn.name for txn, leave in zip(maybe, taken, strict=True) if leave}


class _Search:
    def __init__(self, outcome: Outcome, known: SerialOrders, left_out: LeftOut) -> None:
        self._left_out = left_out
        self._root = known.roots.get(left_out, Node())
        ends = {txn.name: number for number, txn in enumerate(outcome.transactions)}
        self._todo = {
            actor: [(ends[txn.name], txn) for txn in outcome.of(actor) if txn.name not in left_out]
            for actor in outcome.actors()
        }
        self._state = outcome.state
        self._known = known

    def run(self) -> SerialRun | Wanted | Undecided | None:
        """Search the tree, without recursion, because there may be thousands of transactions."""
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
            # a node with a state ends an order, but the outcome has more transactions
            if actor is None or node.state is not None:
                stack.pop()
                if path:
                    done[path.pop()] -= 1
                continue
            self._known.steps += 1
            if self._known.steps > MOST_STEPS:
                return UNDECIDED
            if actor not in node.children:
                return self._wanted(path, actor, done)
            child = node.children[actor]
            txn = self._todo[actor][done[actor]][1]
            if child is None or child.problem or child.transaction is None or not agree(child.transaction, txn):
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
        """Return the connections with a transaction left, in the order in which these ended."""
        left = (actor for actor, todo in self._todo.items() if done[actor] < len(todo))
        return sorted(left, key=lambda actor: self._todo[actor][done[actor]][0])

    def _end(self, node: Node) -> SerialRun | None:
        return node.run if node.state == self._state else None

    def _wanted(self, path: list[Actor], actor: Actor, done: dict[Actor, int]) -> Wanted:
        left = (one for other, todo in self._todo.items() for one in todo[done[other] + (other == actor) :])
        rest = sorted(left, key=lambda one: one[0])
        return Wanted(self._left_out, (*path, actor), tuple(txn.actor for _, txn in rest))


def agree(serial: OracleTransaction, txn: OracleTransaction) -> bool:
    """Whether a transaction has the same results in a serial run; if it did not commit, it may have any results."""
    if serial.position != txn.position:
        return False
    return txn.fate != "committed" or (serial.fate == "committed" and serial.results == txn.results)


def contexts(
    outcome: Outcome, known: SerialOrders, left_out: LeftOut
) -> Iterator[tuple[tuple[TxnId, ...], OracleTransaction]]:
    """Yield the results of transactions in serial orders in which all transactions before have the outcome's results.

    Args:
        outcome: of a concurrent run.
        known: all runs that the search for its serial order needed.
        left_out: the transactions that are left out.

    Yields:
        The transactions before, in order, and the transaction after them, with its results there. A serial order with
        the outcome can begin in no other way.
    """
    todo = {actor: [txn for txn in outcome.of(actor) if txn.name not in left_out] for actor in outcome.actors()}
    stack: list[tuple[Node, tuple[OracleTransaction, ...]]] = [(known.roots.get(left_out, Node()), ())]
    while stack:
        node, before = stack.pop()
        for actor, transactions in todo.items():
            done = sum(txn.actor == actor for txn in before)
            child = node.children.get(actor) if done < len(transactions) else None
            if (
                child is None
                or child.transaction is None
                or child.problem
                or child.transaction.position != transactions[done].position
            ):
                continue
            yield tuple(txn.name for txn in before), child.transaction
            if agree(child.transaction, transactions[done]):
                stack.append((child, (*before, transactions[done])))
