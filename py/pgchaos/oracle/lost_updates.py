"""Lost updates: the last writer had read the row before another wrote it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pgchaos.oracle.effects import Key, rows_under
from pgchaos.oracle.evidence import UNNAMED, Among, Anomaly, Case, anomaly, lines_of
from pgchaos.oracle.model import OracleTransaction, StatementResult, sortable
from pgchaos.oracle.visibility import Visibility, writing


def lost_update(pair: Sequence[OracleTransaction], case: Case, among: Among) -> Anomaly | None:
    """Find out whether the first of two lost what the second wrote.

    Returns:
        The lost update, unnamed where it may be a third transaction's; None where there is none.
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
    # a row that was written stays locked until the end: of its writers, the one that ended last wrote it last
    ended = [txn for txn in case.evidence.transactions if key in effects.may_write(txn)]
    if ended[-1:] != [one] or stays not in (effects.leaves(one, key, among) or ()):
        return None
    # after it, as it must come, the other would have left something else
    leaves = effects.leaves(other, key, after=one)
    if leaves is None or stays in leaves:
        return None
    # what third ones wrote there may as well be what was lost, unless it was seen, or neither of the two saw the other
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
    """Find out whether two that did not see each other wrote one row that the last writer had read before.

    That both wrote it is found by experiment, as everything else. That this row was read follows from the table that
    the statement names, where nothing else that the other wrote is in a table that it names.

    Returns:
        The lost update; None where there is none.
    """
    ended = [txn for txn in case.evidence.transactions if txn in pair]
    other, one = ended
    rows, mine = case.effects.rows(other), case.effects.rows(one)
    for key in sorted(rows & mine, key=lambda row: (row[0], sortable(row[1]))):
        table = key[0]
        # another row of this table may be what was read, unless it has come in the place of this one
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
    """Choose the line to look at: of the writes after a read, one that names the table, or the last."""
    after = [result for result in writing(txn) if result.number > read.number]
    table = re.compile(rf"\b{re.escape(key[0].rpartition('.')[2])}\b", re.IGNORECASE)
    named = [result for result in after if table.search(result.text)]
    return next(iter([*named[-1:], *after[-1:], read]))


def _row_text(key: Key) -> str:
    name, row = key
    what = f"what the {name} gives" if name.startswith("state query") else name
    return f"{what} ({', '.join('NULL' if cell is None else cell for cell in row)})"
