"""Names an anomaly, from which transactions saw the changes of which others. Pure.

An explanation is a cycle of transactions in which each must precede the next in every serial order: it did not see the
changes of the next one, the next one saw its changes, or the final row is that of the next one. These facts are found
by comparing the judged run with serial runs (visibility.py, effects.py), and not guessed from the text of statements.
If the comparison is not conclusive, the anomaly has no name.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pgchaos.oracle.evidence import UNNAMED, Among, Anomaly, Case, Evidence, anomaly, lines_of
from pgchaos.oracle.lost_updates import lost_update, written_over
from pgchaos.oracle.model import OracleTransaction, StatementResult
from pgchaos.oracle.visibility import Context, Visibility


def partial_read(pair: Sequence[OracleTransaction], case: Case, among: Among) -> Anomaly | None:
    """Find out whether the first of two transactions saw a part of the second's changes, and did not see another part.

    Returns:
        The phantom, the non-repeatable read or the read skew; None if it is none of these.
    """
    one, other = pair
    visibility = case.visibility(one, other, among)
    if not visibility.seen or not visibility.unseen:
        return None
    a, b = case.text(one), case.text(other)
    why = f"{a} saw what {b} did: {lines_of(visibility.seen)}; and did not see it: {lines_of(visibility.unseen)}"
    same = any(unseen.text == seen.text for unseen in visibility.unseen for seen in visibility.seen)
    phantom = case.effects.adds_or_removes(other) and (
        same or _changes_number(visibility, other, case.evidence.contexts[one.name])
    )
    kind = "phantom" if phantom else "non-repeatable read" if same else "read skew"
    proof = [(one.name, result) for result in (*visibility.seen, *visibility.unseen)]
    last = max((result for _, result in proof), key=lambda result: result.number)
    return anomaly(kind, why, last.place, pair, (other,), proof)


def _changes_number(visibility: Visibility, other: OracleTransaction, contexts: Sequence[Context]) -> bool:
    """Whether a statement that saw another transaction returns a different number of rows without it."""
    without = [
        result for context in contexts if other.name not in context.before for result in context.transaction.results
    ]
    return any(one.number == seen.number and _size(one) != _size(seen) for seen in visibility.seen for one in without)


def _size(result: StatementResult) -> tuple[int, ...]:
    return tuple(len(got.rows) for got in result.outputs)


def write_skew(pair: Sequence[OracleTransaction], case: Case, among: Among) -> Anomaly | None:
    """Find out whether neither of two transactions saw the changes of the other.

    Returns:
        The write skew, unnamed if one may have overwritten the other's changes; the lost update if one has; or None.
    """
    one, other = pair
    mine, theirs = case.visibility(one, other, among), case.visibility(other, one, among)
    if not mine.unseen or not theirs.unseen:
        return None
    a, b = case.text(one), case.text(other)
    mine_not = f"{a} did not see what {b} did: {lines_of(mine.unseen)}"
    why = f"{mine_not}; and {b} did not see what {a} did: {lines_of(theirs.unseen)}"
    proof = [(one.name, result) for result in mine.unseen] + [(other.name, result) for result in theirs.unseen]
    if not all(map(case.effects.known, pair)):
        # one may have overwritten the other's changes
        return anomaly(UNNAMED, why, mine.unseen[0].place, pair, pair, proof)
    over = written_over(pair, case, among)
    if over is not None:
        return over
    return anomaly("write skew", why, mine.unseen[0].place, pair, pair, proof)


@dataclass(frozen=True, slots=True)
class _Edge:
    """Why one transaction must precede another in every serial order."""

    unseen: bool
    text: str
    reader: OracleTransaction
    writer: OracleTransaction
    results: Sequence[StatementResult]


def dependency_cycle(cycle: Sequence[OracleTransaction], case: Case, among: Among) -> Anomaly | None:
    """Find a cycle of three: each did not see the next one's changes, or the next one saw its changes.

    Returns:
        The write skew, the read-only transaction anomaly or an unnamed anomaly; None without such a cycle, or if fewer
        than two did not see the next.
    """
    steps = (_edge(cycle[at], cycle[(at + 1) % 3], case, among) for at in range(3))
    edges = [edge for edge in steps if edge is not None]
    unseen = sum(edge.unseen for edge in edges)
    if len(edges) < 3 or unseen < 2:
        return None
    kind = UNNAMED
    if unseen == 3:
        kind = "write skew"
    elif not all(map(case.wrote, cycle)):
        kind = "read-only transaction anomaly"
    proof = [(edge.reader.name, result) for edge in edges for result in edge.results]
    why = "; ".join(edge.text for edge in edges)
    return anomaly(kind, why, proof[0][1].place, cycle, [edge.writer for edge in edges], proof)


def _edge(one: OracleTransaction, other: OracleTransaction, case: Case, among: Among) -> _Edge | None:
    a, b = case.text(one), case.text(other)
    mine, theirs = case.visibility(one, other, among).unseen, case.visibility(other, one, among).seen
    if mine:
        return _Edge(True, f"{a} did not see what {b} did: {lines_of(mine)}", one, other, mine)
    if theirs:
        return _Edge(False, f"{b} saw what {a} did: {lines_of(theirs)}", other, one, theirs)
    return None


_Rule = Callable[[Sequence[OracleTransaction], Case, Among], "Anomaly | None"]


def name_anomaly(evidence: Evidence) -> Anomaly:
    """Name the anomaly of a run whose outcome is that of no serial order.

    Returns:
        The explanation with the fewest transactions; among these a lost update has precedence over a partial read, and
        that over a write skew.
    """
    case = Case(evidence)
    found = [_smallest(claim, rule, cycle, case) for rule, cycle, claim in _claims(case)]
    return min(
        found, key=lambda one: (one.name == UNNAMED, len(one.transactions) + len(one.given)), default=Anomaly(UNNAMED)
    )


def _claims(case: Case) -> Iterator[tuple[_Rule, Sequence[OracleTransaction], Anomaly]]:
    transactions = case.evidence.transactions
    pairs = list(itertools.permutations(transactions, 2))
    cycles = [
        cycle for cycle in itertools.permutations(transactions, 3) if cycle[0] == min(cycle, key=lambda txn: txn.name)
    ]
    turns: list[tuple[_Rule, Sequence[Sequence[OracleTransaction]]]] = [
        (lost_update, pairs),
        (partial_read, pairs),
        (write_skew, pairs),
        (dependency_cycle, cycles),
    ]
    for rule, several in turns:
        for cycle in several:
            apart = len({txn.actor for txn in cycle}) == len(cycle)
            if apart and not case.has_unknown_writer(cycle):
                claim = rule(cycle, case, None)
                if claim is not None:
                    yield rule, cycle, claim


def _smallest(claim: Anomaly, rule: _Rule, cycle: Sequence[OracleTransaction], case: Case) -> Anomaly:
    """Return the claim with the fewest other transactions that it depends on: up to two are tried, then all."""
    own = frozenset(txn.name for txn in cycle)
    others = [txn for txn in case.evidence.transactions if txn.name not in own]
    unseen_writers = case.unseen_writers(cycle)
    for size in range(min(3, len(others))):
        for given in itertools.combinations(others, size):
            if not unseen_writers <= {txn.name for txn in given}:
                continue
            found = rule(cycle, case, own | {txn.name for txn in given})
            if found is not None and found.name == claim.name:
                return _given(found, given, case)
    return _given(claim, others, case)


def _given(claim: Anomaly, given: Sequence[OracleTransaction], case: Case) -> Anomaly:
    if not given:
        return claim
    texts = " and ".join(map(case.text, given))
    return replace(claim, given=tuple(txn.name for txn in given), why=f"{claim.why} (given what {texts} did)")
