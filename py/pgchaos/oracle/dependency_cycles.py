"""Circles of transactions that did not see one another, or saw one another in part. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgchaos.oracle.anomaly import UNNAMED, Anomaly, anomaly, lines_of
from pgchaos.oracle.evidence import Among, Case
from pgchaos.oracle.lost_updates import written_over
from pgchaos.oracle.model import OracleTransaction, StatementResult
from pgchaos.oracle.visibility import Context, Sight


def in_part(pair: Sequence[OracleTransaction], case: Case, among: Among) -> Anomaly | None:
    """Find out whether the first of two saw some of what the second did, and some of it not.

    Args:
        pair: of transactions.
        case: what is known of them.
        among: in whose company.

    Returns:
        The phantom, the non-repeatable read or the read skew; None where there is none.
    """
    one, other = pair
    sight = case.sight(one, other, among)
    if not sight.seen or not sight.unseen:
        return None
    a, b = case.text(one), case.text(other)
    why = f"{a} saw what {b} did: {lines_of(sight.seen)}; and did not see it: {lines_of(sight.unseen)}"
    same = any(unseen.text == seen.text for unseen in sight.unseen for seen in sight.seen)
    phantom = case.effects.moves(other) and (same or _changes_number(sight, other, case.evidence.contexts[one.name]))
    kind = "phantom" if phantom else "non-repeatable read" if same else "read skew"
    told = [(one.name, heard) for heard in (*sight.seen, *sight.unseen)]
    last = max((heard for _, heard in told), key=lambda heard: heard.number)
    return anomaly(kind, why, last.place, pair, (other,), told)


def _changes_number(sight: Sight, other: OracleTransaction, contexts: Sequence[Context]) -> bool:
    """Say whether a statement that saw the other is told another number of rows without it."""
    for heard in sight.seen:
        without = [h for c in contexts if other.name not in c.before for h in c.unit.heard if h.number == heard.number]
        if any(_size(h) != _size(heard) for h in without):
            return True
    return False


def _size(heard: StatementResult) -> tuple[int, ...]:
    return tuple(len(got.rows) for got in heard.results)


def write_skew(pair: Sequence[OracleTransaction], case: Case, among: Among) -> Anomaly | None:
    """Find out whether neither of two saw what the other did.

    Args:
        pair: of transactions.
        case: what is known of them.
        among: in whose company.

    Returns:
        The write skew, without its name where one may have written over the other; the lost update where one has;
        None where there is none.
    """
    one, other = pair
    mine, theirs = case.sight(one, other, among), case.sight(other, one, among)
    if not mine.unseen or not theirs.unseen:
        return None
    a, b = case.text(one), case.text(other)
    mine_not = f"{a} did not see what {b} did: {lines_of(mine.unseen)}"
    why = f"{mine_not}; and {b} did not see what {a} did: {lines_of(theirs.unseen)}"
    told = [(one.name, heard) for heard in mine.unseen] + [(other.name, heard) for heard in theirs.unseen]
    if not all(map(case.effects.known, pair)):
        # one may have written over the other
        return anomaly(UNNAMED, why, mine.unseen[0].place, pair, pair, told)
    over = written_over(pair, case, among)
    if over is not None:
        return over
    return anomaly("write skew", why, mine.unseen[0].place, pair, pair, told)


@dataclass(frozen=True, slots=True)
class _Edge:
    """Why one must come before another in each serial order that there could be."""

    unseen: bool
    text: str
    reader: OracleTransaction
    writer: OracleTransaction
    heard: Sequence[StatementResult]


def circle(ring: Sequence[OracleTransaction], case: Case, among: Among) -> Anomaly | None:
    """Find a circle of three: each saw the next not, or the next saw it; at least two of the first kind.

    Args:
        ring: of three transactions.
        case: what is known of them.
        among: in whose company.

    Returns:
        The write skew, the read-only transaction anomaly or what has no name; None where there is no such circle.
    """
    steps = (_edge(ring[at], ring[(at + 1) % 3], case, among) for at in range(3))
    edges = [edge for edge in steps if edge is not None]
    unseen = sum(edge.unseen for edge in edges)
    if len(edges) < 3 or unseen < 2:
        return None
    kind = UNNAMED
    if unseen == 3:
        kind = "write skew"
    elif not all(map(case.wrote, ring)):
        kind = "read-only transaction anomaly"
    told = [(edge.reader.name, heard) for edge in edges for heard in edge.heard]
    why = "; ".join(edge.text for edge in edges)
    return anomaly(kind, why, told[0][1].place, ring, [edge.writer for edge in edges], told)


def _edge(one: OracleTransaction, other: OracleTransaction, case: Case, among: Among) -> _Edge | None:
    a, b = case.text(one), case.text(other)
    mine, theirs = case.sight(one, other, among).unseen, case.sight(other, one, among).seen
    if mine:
        return _Edge(True, f"{a} did not see what {b} did: {lines_of(mine)}", one, other, mine)
    if theirs:
        return _Edge(False, f"{b} saw what {a} did: {lines_of(theirs)}", other, one, theirs)
    return None
