"""The name of what went wrong, from who saw whose work. Pure.

Who saw whom is found by comparison: each statement of a transaction is held against what it was told in serial runs
that have another transaction before it, and in those that have not. So nothing is guessed from the text of statements;
where that does not tell, there is no name. The names are those of Berenson et al., "A Critique of ANSI SQL Isolation
Levels" (1995), Adya, "Weak Consistency" (1999), and Fekete et al., "A Read-Only Transaction Anomaly" (2004).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pgchaos.oracle.difference import unit_text
from pgchaos.oracle.model import Heard, Named, Row, Unit, sortable

UNNAMED = "not serializable"
MOST_UNITS = 4
"""Transactions among which it is asked who saw whom: the serial runs that this takes double with each."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a transaction is told in a serial order.

    Args:
        before: the transactions of others that it comes after.
        unit: as it went there.
    """

    before: frozenset[Named]
    unit: Unit


@dataclass(frozen=True, slots=True)
class Effect:
    """What a transaction writes, when no other has a part in it.

    Args:
        rows: tables and keys.
        moves: rows came or went, and did not change only.
        left: tables and keys with the rows as it left them.
    """

    rows: frozenset[tuple[str, Row]] = frozenset()
    moves: bool = False
    left: frozenset[tuple[str, Row, Row]] = frozenset()


@dataclass(slots=True)
class Sight:
    """Who saw what of another transaction.

    Args:
        unseen: the statements that were told what they are told without it.
        seen: those that were told what they are told after it.
        torn: some statement was told what it is told in no serial order.
    """

    unseen: list[Heard] = field(default_factory=list)
    seen: list[Heard] = field(default_factory=list)
    torn: bool = False


@dataclass(frozen=True, slots=True)
class Anomaly:
    """What went wrong.

    Args:
        name: of the anomaly, or UNNAMED.
        why: the circle of who saw whom, in a sentence; '' where it is not known.
    """

    name: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a name is found by.

    Args:
        units: the committed transactions of the run that is judged.
        contexts: of each, what it is told in serial runs.
        effects: what each writes.
        left: tables, keys and rows at the end of the run that is judged.
    """

    units: Sequence[Unit]
    contexts: Mapping[Named, Sequence[Context]]
    effects: Mapping[Named, Effect]
    left: frozenset[tuple[str, Row, Row]] = frozenset()


def name(evidence: Evidence) -> Anomaly:
    """Name an anomaly.

    Args:
        evidence: on a run that has the outcome of no serial order.

    Returns:
        A pair of transactions that explains it: a lost update before a transaction that saw another in part, before a
        write skew; else a circle of three.
    """
    sights = {
        (one.name, other.name): sight(one, other, evidence.contexts.get(one.name, ()))
        for one, other in itertools.permutations(evidence.units, 2)
        if one.actor != other.actor
    }
    for rule in (_overwritten, _lost_update, _in_part, _write_skew):
        for one, other in itertools.permutations(evidence.units, 2):
            if (one.name, other.name) in sights:
                found = rule(one, other, sights, evidence)
                if found is not None:
                    return found
    return _circle(sights, evidence) or Anomaly(UNNAMED)


def sight(one: Unit, other: Unit, contexts: Sequence[Context]) -> Sight:
    """Tell which statements of a transaction saw what another did.

    Args:
        one: the transaction, as it went in the run that is judged.
        other: whose work is looked for.
        contexts: what the first is told in serial runs.

    Returns:
        The statements that can have been told what they were only without the other, and only after it.
    """
    found = Sight()
    told = [(context, _by_number(context.unit)) for context in contexts]
    for number, heard in _by_number(one).items():
        alike = [other.name in context.before for context, said in told if said.get(number) == heard]
        # where it was not reached at all, it is the statements before it that tell
        unlike = any(said.get(number, heard) != heard for _, said in told)
        found.torn |= not alike
        if alike and unlike and all(alike):
            found.seen.append(heard)
        elif alike and unlike and not any(alike):
            found.unseen.append(heard)
    return found


def _by_number(unit: Unit) -> dict[tuple[int, int], Heard]:
    """Give what was heard by the numbers of the statements; those that go with the next have its number too."""
    found: dict[tuple[int, int], Heard] = {}
    for heard in unit.heard:
        turn = sum(number == heard.number for number, _ in found)
        found[heard.number, turn] = heard
    return found


_Sights = Mapping[tuple[Named, Named], Sight]


def _overwritten(one: Unit, other: Unit, sights: _Sights, evidence: Evidence) -> Anomaly | None:
    """Find a lost update of which it is known whose work is left."""
    left = {(table, key) for table, key, _ in evidence.left & evidence.effects[one.name].left}
    return _lost(one, other, sights, frozenset(left), evidence)


def _lost_update(one: Unit, other: Unit, sights: _Sights, evidence: Evidence) -> Anomaly | None:
    mutual = sights[other.name, one.name].unseen
    return _lost(one, other, sights, evidence.effects[one.name].rows, evidence) if mutual else None


def _lost(
    one: Unit, other: Unit, sights: _Sights, rows: frozenset[tuple[str, Row]], evidence: Evidence
) -> Anomaly | None:
    both = rows & evidence.effects[one.name].rows & evidence.effects[other.name].rows
    sight = sights[one.name, other.name]
    # what a torn transaction wrote is not what it writes in a serial order
    if not both or not sight.unseen or sight.seen or sight.torn or sights[other.name, one.name].torn:
        return None
    table, key = min(both, key=lambda row: (row[0], sortable(row[1])))
    what = f"{table} ({', '.join('NULL' if cell is None else cell for cell in key)})"
    a, b = (unit_text(unit, evidence.units) for unit in (one, other))
    why = f"{a} and {b} both wrote {what}; what {a} wrote was made of what it had read before {b} wrote"
    return Anomaly("lost update", f"{why}: {_read(sight.unseen)}")


def _in_part(one: Unit, other: Unit, sights: _Sights, evidence: Evidence) -> Anomaly | None:
    sight = sights[one.name, other.name]
    if not sight.seen or not sight.unseen:
        return None
    a, b = (unit_text(unit, evidence.units) for unit in (one, other))
    why = f"{a} saw what {b} did: {_read(sight.seen)}; and did not see it: {_read(sight.unseen)}"
    same = any(unseen.text == seen.text for unseen in sight.unseen for seen in sight.seen)
    moves = evidence.effects[other.name].moves
    if moves and (same or _changes_number(sight, other, evidence.contexts[one.name])):
        return Anomaly("phantom", why)
    return Anomaly("non-repeatable read" if same else "read skew", why)


def _changes_number(sight: Sight, other: Unit, contexts: Sequence[Context]) -> bool:
    """Say whether a statement that saw the other is told another number of rows without it."""
    for heard in sight.seen:
        without = [h for c in contexts if other.name not in c.before for h in c.unit.heard if h.number == heard.number]
        if any(_size(h) != _size(heard) for h in without):
            return True
    return False


def _size(heard: Heard) -> tuple[int, ...]:
    return tuple(len(got.rows) for got in heard.results)


def _write_skew(one: Unit, other: Unit, sights: _Sights, evidence: Evidence) -> Anomaly | None:
    mine, theirs = sights[one.name, other.name], sights[other.name, one.name]
    if not mine.unseen or not theirs.unseen:
        return None
    a, b = (unit_text(unit, evidence.units) for unit in (one, other))
    return Anomaly(
        "write skew",
        f"{a} did not see what {b} did: {_read(mine.unseen)}; and {b} did not see what {a} did: {_read(theirs.unseen)}",
    )


def _circle(sights: _Sights, evidence: Evidence) -> Anomaly | None:
    """Find a circle of three: each saw the next not, or the next saw it; at least two of the first kind."""
    for ring in itertools.permutations(evidence.units, 3):
        if ring[0] != min(ring, key=lambda unit: unit.name):
            continue
        edges = [_edge(ring[at], ring[(at + 1) % 3], sights, evidence) for at in range(3)]
        if all(edges) and sum(unseen for unseen, _ in _said(edges)) >= 2:
            why = "; ".join(text for _, text in _said(edges))
            reads_only = any(
                not evidence.effects[unit.name].rows and not evidence.effects[unit.name].moves for unit in ring
            )
            every = all(unseen for unseen, _ in _said(edges))
            if reads_only and not every:
                return Anomaly("read-only transaction anomaly", why)
            return Anomaly("write skew" if every else UNNAMED, why)
    return None


def _said(edges: Sequence[tuple[bool, str] | None]) -> Iterator[tuple[bool, str]]:
    return (edge for edge in edges if edge is not None)


def _edge(one: Unit, other: Unit, sights: _Sights, evidence: Evidence) -> tuple[bool, str] | None:
    """Say why one must come before another in each serial order that there could be."""
    a, b = (unit_text(unit, evidence.units) for unit in (one, other))
    mine, theirs = sights.get((one.name, other.name)), sights.get((other.name, one.name))
    if mine is not None and mine.unseen:
        return True, f"{a} did not see what {b} did: {_read(mine.unseen)}"
    if theirs is not None and theirs.seen:
        return False, f"{b} saw what {a} did: {_read(theirs.seen)}"
    return None


def _read(heard: Sequence[Heard]) -> str:
    lines = list(dict.fromkeys(one.place.line for one in heard))
    return f"line {lines[0]}" if len(lines) == 1 else "lines " + ", ".join(map(str, lines))
