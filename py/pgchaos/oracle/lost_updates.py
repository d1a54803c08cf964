"""Lost updates: the last writer had read the row before another wrote it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pgchaos.oracle.effects import Key, rows_under
from pgchaos.oracle.evidence import UNNAMED, Among, Anomaly, Case, anomaly, lines_of
from pgchaos.oracle.model import OracleTransaction, StatementResult, sortable
from pgchaos.oracle.visibility import Visibility, writing


def lost_update(pair: Sequence[OracleTransaction], case: Case, among: Among) -> Anomaly | None:
    """Find out whether the first of two transactions overwrote a row that the second had written, without seeing it.

    Returns:
        The lost update, unnamed if a third transaction's may be lost instead; None if there is none.
    """
    one, other = pair
    mine = case.visibility(one, other, among)
    if not _is_unseen(mine):
        return None
    both = case.effects.rows(one) & case.effects.rows(other)
    differs = case.evidence.differs
    for key in sorted(both, key=lambda row: (row not in differs, row[0], sortable(row[1]))):
        found = _lost(one, other, key, case, among)
        if found is not None:
            return found
    return None


def _lost(one: OracleTransaction, other: OracleTransaction, key: Key, case: Case, among: Among) -> Anomaly | None:
    effects, stays = case.effects, rows_under(case.evidence.state, key)
    mine, theirs = case.visibility(one, other, among).unseen, case.visibility(other, one, among).unseen
    # a written row is locked until the end of the transaction, so the writer that ended last wrote it last
    ended = [txn for txn in case.evidence.transactions if key in effects.may_write(txn)]
    if ended[-1:] != [one] or stays not in (effects.leaves(one, key, among) or ()):
        return None
    # the other must come after it in a serial order, and then would have left another row
    leaves = effects.leaves(other, key, after=one)
    if leaves is None or stays in leaves:
        return None
    # the change of a third transaction may be what was lost, unless it was seen, or neither of the two saw the other
    third = {txn.name for txn in ended if txn not in (one, other) and not case.visibility(one, txn, None).seen}
    if among is not None and not theirs and not third <= among:
        return None
    a, b = case.text(one), case.text(other)
    both, place = f"{a} and {b} both wrote {_row_text(key)}", _write_of(one, mine[0], key).place
    proof = [(one.name, result) for result in mine]
    if effects.depends(one, other, key):
        why = f"{both}; what {a} wrote was made of what it had read before {b} wrote: {lines_of(mine)}"
        return anomaly("lost update", why, place, (one, other), (one, other), proof)
    if not theirs:
        why = f"{both}; what {a} wrote stayed, but it had read before {b} wrote: {lines_of(mine)}"
        return anomaly(UNNAMED, why, place, (one, other), (one, other), proof)
    if effects.rows(one) == effects.rows(other):
        why = f"{both}; each had read before the other wrote: {lines_of([*mine, *theirs])}"
        proof += [(other.name, result) for result in theirs]
        return anomaly("lost update", why, place, (one, other), (one, other), proof)
    return None


def written_over(pair: Sequence[OracleTransaction], case: Case, among: Among) -> Anomaly | None:
    """Find out whether two transactions that did not see each other wrote a row that the last writer had read before.

    That both wrote it is found by serial runs, like everything else. That the row was read is concluded from the table
    in the statement's text, if the other transaction wrote no other row of a table in it.

    Returns:
        The lost update; None if there is none.
    """
    ended = [txn for txn in case.evidence.transactions if txn in pair]
    other, one = ended
    rows, mine = case.effects.rows(other), case.effects.rows(one)
    for key in sorted(rows & mine, key=lambda row: (row[0], sortable(row[1]))):
        table = key[0]
        # another row of this table may have been read, unless the table has no key, so that a changed row is a new one
        apart = {row for row in rows - mine if row[0] == table}
        if apart and not _has_no_key(table, case):
            continue
        reads = [
            result
            for result in case.visibility(one, other, among).unseen
            if _names(result, table) and not any(_names(result, name) for name, _ in rows if name != table)
        ]
        if reads:
            a, b = case.text(one), case.text(other)
            why = f"{a} and {b} both wrote {_row_text(key)}; {a} had read it before {b} wrote: {lines_of(reads)}"
            place = _write_of(one, reads[0], key).place
            return anomaly("lost update", why, place, (one, other), (one, other), [(one.name, h) for h in reads])
    return None


def _has_no_key(table: str, case: Case) -> bool:
    left_behind = case.evidence.state.get(table)
    return left_behind is not None and left_behind.keys == left_behind.rows


def _names(result: StatementResult, table: str) -> bool:
    return re.search(rf"\b{re.escape(table.rpartition('.')[2])}\b", result.text, re.IGNORECASE) is not None


def _is_unseen(visibility: Visibility) -> bool:
    return bool(visibility.unseen) and not visibility.seen


def _write_of(txn: OracleTransaction, read: StatementResult, key: Key) -> StatementResult:
    """Choose the statement to show: of the writes after a read, the last that names the table, or the last."""
    after = [result for result in writing(txn) if result.number > read.number]
    named = [result for result in after if _names(result, key[0])]
    return next(iter([*named[-1:], *after[-1:], read]))


def _row_text(key: Key) -> str:
    name, row = key
    what = f"what the {name} gives" if name.startswith("state query") else name
    return f"{what} ({', '.join('NULL' if cell is None else cell for cell in row)})"
