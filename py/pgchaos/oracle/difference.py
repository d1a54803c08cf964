"""Describes how an outcome differs from that of a serial order. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pgchaos.language.problems import Place
from pgchaos.oracle.model import (
    OracleTransaction,
    Outcome,
    Row,
    SerialRun,
    State,
    StatementOutput,
    StatementResult,
    Table,
)
from pgchaos.results import SerialDifference

_SHOWN = 60  # characters of a statement or cell in a message
_MOST = 5  # rows of each side of a difference in a message


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference."""

    text: str  # where it is, and both sides
    weight: int  # the size of the difference
    column: str = ""  # the column that differs, for the message about a file whose runs differ from each other
    place: Place | None = None  # the line of the statement, if it is in a statement's result
    sides: SerialDifference | None = None  # both sides separately, if both have a value


def nearest(outcome: Outcome, runs: Iterable[SerialRun]) -> SerialRun | None:
    """Return the serial run that differs least from an outcome, the first of equal ones; None without runs."""
    return min(runs, key=lambda run: sum(d.weight for d in differences(outcome, run)), default=None)


def differences(outcome: Outcome, run: SerialRun) -> list[Difference]:
    """Return all differences: in the results of committed transactions, then in the final state."""
    serial = {txn.name: txn for txn in run.transactions}
    transactions = {txn.name: txn for txn in outcome.transactions if txn.fate == "committed"}
    found = [one for name in sorted(transactions) for one in _of_transaction(transactions[name], serial.get(name))]
    found += [one for name in sorted(outcome.state.keys() | run.state.keys()) for one in _of_table(name, outcome, run)]
    return found


def order_text(run: SerialRun) -> str:
    """Format the order of a serial run, such as `a[1], b[1]`."""
    return ", ".join(transaction_text(txn, run.transactions) for txn in run.transactions) or "no transaction at all"


def transaction_text(txn: OracleTransaction, among: Sequence[OracleTransaction]) -> str:
    """Name a transaction by its connection, and if that has several in the run, by line and iteration."""
    if sum(one.actor == txn.actor for one in among) < 2:
        return str(txn.actor)
    again = len({one.position[0] for one in among if one.actor == txn.actor}) > 1
    line = f" from line {txn.results[0].place.line}" if txn.results else ""
    return f"{txn.actor}{line}{f', iteration {txn.position[0]}' if again else ''}"


def _of_transaction(txn: OracleTransaction, serial: OracleTransaction | None) -> Iterator[Difference]:
    if serial is None:
        yield Difference(
            f"{txn.actor}: a serial order does not reach {_statement_text(txn.results[0])}",
            1 + len(txn.results),
        )
        return
    if serial.fate != "committed":
        yield Difference(f"{txn.actor}: in a serial order it does not commit: it {_ended(serial)}", 1)
    for one, other in zip(txn.results, serial.results, strict=False):
        if one != other:
            yield _of_result(txn, one, other)
    if len(txn.results) != len(serial.results):
        longer, where = (txn, "this run") if len(txn.results) > len(serial.results) else (serial, "a serial order")
        extra = longer.results[min(len(txn.results), len(serial.results))]
        yield Difference(
            f"{txn.actor}: only {where} reaches {_statement_text(extra)}", 1, _column(extra, None), extra.place
        )


def _ended(txn: OracleTransaction) -> str:
    states = [result.sqlstate for result in txn.results if result.sqlstate != "00000"]
    return f"failed with {states[-1]}" if states else "rolled back"


def _of_result(txn: OracleTransaction, one: StatementResult, other: StatementResult) -> Difference:
    if one.number != other.number:
        text = f"{txn.actor}: a serial order reaches {_statement_text(other)}, this run reached {_statement_text(one)}"
        return Difference(text, 1, "", one.place)
    if one.sqlstate != other.sqlstate:
        here, there = (_outcome(result.sqlstate) for result in (one, other))
        return _two_sided(f"{txn.actor} {_statement_text(one)}", there, here, place=one.place)
    there, here = "", ""
    for got, expected in zip(one.outputs, other.outputs, strict=False):
        if got != expected:
            here, there = _results(got, expected)
            break
    return _two_sided(f"{txn.actor} {_statement_text(one)}", there, here, column=_column(one, other), place=one.place)


def _two_sided(
    where: str, serial: str, here: str, weight: int = 1, *, column: str = "", place: Place | None = None
) -> Difference:
    text = f"{where}: a serial order gives {serial}, this run gave {here}"
    return Difference(text, weight, column, place, SerialDifference(where, serial, here))


def _outcome(sqlstate: str) -> str:
    return "success" if sqlstate == "00000" else f"error {sqlstate}"


def _statement_text(result: StatementResult) -> str:
    text = " ".join(result.text.split())
    return f"line {result.place.line}, {_shortened(text)}"


def _results(got: StatementOutput, expected: StatementOutput) -> tuple[str, str]:
    if got.columns != expected.columns:
        return f"the columns {', '.join(got.columns)}", f"the columns {', '.join(expected.columns)}"
    if got.rows != expected.rows:
        more, fewer = _row_differences(got.rows, expected.rows)
        if not more and not fewer:
            return _rows(got.columns, got.rows), _rows(got.columns, expected.rows)
        return _rows(got.columns, more), _rows(got.columns, fewer)
    return got.tag, expected.tag


def _row_differences(one: Sequence[Row], other: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    here, there = Counter(one), Counter(other)
    return list((here - there).elements()), list((there - here).elements())


def _rows(columns: Sequence[str], rows: Sequence[Row]) -> str:
    if not rows:
        return "no such row"
    shown = [_row(columns, row) for row in rows[:_MOST]]
    more = f" and {len(rows) - _MOST} more" if len(rows) > _MOST else ""
    return " and ".join(shown) + more


def _row(columns: Sequence[str], row: Row) -> str:
    return "(" + ", ".join(f"{name} = {_cell(cell)}" for name, cell in zip(columns, row, strict=True)) + ")"


def _cell(cell: str | None) -> str:
    return "NULL" if cell is None else _shortened(cell)


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _of_table(name: str, outcome: Outcome, run: SerialRun) -> Iterator[Difference]:
    one, other = outcome.state.get(name), run.state.get(name)
    what = name if name.startswith("state query") else f"table {name}"
    if one is None or other is None:
        where = "this run" if other is None else "a serial order"
        yield Difference(f"{what}: only {where} has it", 1, name)
    elif one != other:
        more, fewer = _row_differences(one.rows, other.rows)
        here, there = _rows(one.columns, more or one.rows), _rows(other.columns, fewer or other.rows)
        if more and not fewer:
            there = "no such row"
        if fewer and not more:
            here = "no such row"
        weight = max(1, len(more) + len(fewer))
        yield _two_sided(what, there, here, weight, column=f"{name}{_columns(one, other)}")


def _columns(one: Table, other: Table) -> str:
    """Name the columns in which two tables of equal size differ."""
    if one.columns != other.columns or len(one.rows) != len(other.rows):
        return ""
    pairs = list(zip(one.rows, other.rows, strict=True))
    names = [name for at, name in enumerate(one.columns) if any(a[at] != b[at] for a, b in pairs)]
    return f", column {' and '.join(names)}" if names else ""


def _column(one: StatementResult, other: StatementResult | None) -> str:
    if other is None or not one.outputs or not other.outputs:
        return ""
    for got, expected in zip(one.outputs, other.outputs, strict=False):
        if got != expected:
            return _columns(Table(got.columns, got.rows), Table(expected.columns, expected.rows)).removeprefix(", ")
    return ""


def changed_rows(before: State, after: State) -> frozenset[tuple[str, Row]]:
    """Return the rows that a transaction changed or removed, or added with a key that does not come from a sequence.

    Args:
        before: the state without the transaction.
        after: the state with it.

    Returns:
        The table and key of each row. New rows with a key from a sequence are not included, because no other
        transaction can write the same row.
    """
    found: set[tuple[str, Row]] = set()
    for name in before.keys() | after.keys():
        old, new = before.get(name, _EMPTY), after.get(name, _EMPTY)
        was, now = (Counter(zip(table.keys, table.rows, strict=True)) for table in (old, new))
        known = set(old.keys)
        added = {key for key, _ in now - was if key in known or not new.drawn}
        found.update((name, key) for key in added | {key for key, _ in was - now})
    return frozenset(found)


def adds_or_removes(before: State, after: State) -> bool:
    """Whether rows were added or removed, and not only changed."""
    names = before.keys() | after.keys()
    return any(set(before.get(n, _EMPTY).keys) != set(after.get(n, _EMPTY).keys) for n in names)


_EMPTY = Table((), ())
