"""How an outcome differs from that of a serial order, in words. Pure."""

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

_SHOWN = 60
_MOST = 5
"""Rows that are shown of each side of a difference."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs.

    Args:
        text: where, and what it was on both sides.
        weight: how much of it differs.
        column: the column or statement that differs, for a file that differs from itself.
        place: of the statement, if it is one.
    """

    text: str
    weight: int
    column: str = ""
    place: Place | None = None


def nearest(outcome: Outcome, runs: Iterable[SerialRun]) -> SerialRun | None:
    """Find the serial run that differs the least; of several the first.

    Args:
        outcome: of a concurrent run.
        runs: that came to their end.
    """
    return min(runs, key=lambda run: sum(d.weight for d in differences(outcome, run)), default=None)


def differences(outcome: Outcome, run: SerialRun) -> list[Difference]:
    """Tell all that differs.

    Args:
        outcome: of a concurrent run.
        run: a serial one.

    Returns:
        What differs in the results that committed transactions got, then in what is left.
    """
    serial = {unit.name: unit for unit in run.units}
    units = {unit.name: unit for unit in outcome.units if unit.fate == "committed"}
    found = [one for name in sorted(units) for one in _of_unit(units[name], serial.get(name))]
    found += [one for name in sorted(outcome.state.keys() | run.state.keys()) for one in _of(name, outcome, run)]
    return found


def order_text(run: SerialRun) -> str:
    """Say in which order the transactions of a serial run went, as `a[1], b[1]`; with lines where that is not clear.

    Args:
        run: a serial one.
    """
    return ", ".join(unit_text(unit, run.units) for unit in run.units) or "no transaction at all"


def unit_text(unit: OracleTransaction, among: Sequence[OracleTransaction]) -> str:
    """Name a transaction: by its connection, and by its line and iteration where that has several.

    Args:
        unit: to name.
        among: all of the run.
    """
    if sum(one.actor == unit.actor for one in among) < 2:
        return str(unit.actor)
    again = len({one.position[0] for one in among if one.actor == unit.actor}) > 1
    line = f" from line {unit.heard[0].place.line}" if unit.heard else ""
    return f"{unit.actor}{line}{f', iteration {unit.position[0]}' if again else ''}"


def both(serial: str, here: str, words: tuple[str, str] = ("a serial order gives", "this run gave")) -> str:
    """Say what something is on both sides.

    Args:
        serial: what it is in a serial order.
        here: what it is in the run that is judged.
        words: that stand before each.
    """
    return f"{words[0]} {serial}, {words[1]} {here}"


def _of_unit(unit: OracleTransaction, serial: OracleTransaction | None) -> Iterator[Difference]:
    if serial is None:
        yield Difference(f"{unit.actor}: a serial order does not come to {_said(unit.heard[0])}", 1 + len(unit.heard))
        return
    if serial.fate != "committed":
        yield Difference(f"{unit.actor}: in a serial order it does not commit: it {_ended(serial)}", 1)
    for one, other in zip(unit.heard, serial.heard, strict=False):
        if one != other:
            yield _of_heard(unit, one, other)
    if len(unit.heard) != len(serial.heard):
        longer, where = (unit, "this run") if len(unit.heard) > len(serial.heard) else (serial, "a serial order")
        extra = longer.heard[min(len(unit.heard), len(serial.heard))]
        yield Difference(f"{unit.actor}: only {where} comes to {_said(extra)}", 1, _column(extra, None), extra.place)


def _ended(unit: OracleTransaction) -> str:
    states = [heard.sqlstate for heard in unit.heard if heard.sqlstate != "00000"]
    return f"failed with {states[-1]}" if states else "rolled back"


def _of_heard(unit: OracleTransaction, one: StatementResult, other: StatementResult) -> Difference:
    if one.number != other.number:
        text = f"{unit.actor}: a serial order comes to {_said(other)}, this run came to {_said(one)}"
        return Difference(text, 1, "", one.place)
    if one.sqlstate != other.sqlstate:
        here, there = (_outcome(heard.sqlstate) for heard in (one, other))
        return Difference(f"{unit.actor} {_said(one)}: {both(there, here)}", 1, "", one.place)
    there, here = "", ""
    for got, expected in zip(one.results, other.results, strict=False):
        if got != expected:
            here, there = _results(got, expected)
            break
    text = f"{unit.actor} {_said(one)}: {both(there, here)}"
    return Difference(text, 1, _column(one, other), one.place)


def _outcome(sqlstate: str) -> str:
    return "success" if sqlstate == "00000" else f"error {sqlstate}"


def _said(heard: StatementResult) -> str:
    text = " ".join(heard.text.split())
    return f"line {heard.place.line}, {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}"


def _results(got: StatementOutput, expected: StatementOutput) -> tuple[str, str]:
    if got.columns != expected.columns:
        return f"the columns {', '.join(got.columns)}", f"the columns {', '.join(expected.columns)}"
    if got.rows != expected.rows:
        more, fewer = _apart(got.rows, expected.rows)
        if not more and not fewer:
            return _rows(got.columns, got.rows), _rows(got.columns, expected.rows)
        return _rows(got.columns, more), _rows(got.columns, fewer)
    return got.tag, expected.tag


def _apart(one: Sequence[Row], other: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    here, there = Counter(one), Counter(other)
    return list((here - there).elements()), list((there - here).elements())


def _rows(columns: Sequence[str], rows: Sequence[Row]) -> str:
    if not rows:
        return "no such row"
    said = [_row(columns, row) for row in rows[:_MOST]]
    more = f" and {len(rows) - _MOST} more" if len(rows) > _MOST else ""
    return " and ".join(said) + more


def _row(columns: Sequence[str], row: Row) -> str:
    return "(" + ", ".join(f"{name} = {_cell(cell)}" for name, cell in zip(columns, row, strict=True)) + ")"


def _cell(cell: str | None) -> str:
    if cell is None:
        return "NULL"
    return cell if len(cell) <= _SHOWN else cell[: _SHOWN - 1] + "…"


def _of(name: str, outcome: Outcome, run: SerialRun) -> Iterator[Difference]:
    one, other = outcome.state.get(name), run.state.get(name)
    what = name if name.startswith("state query") else f"table {name}"
    if one is None or other is None:
        where = "this run" if other is None else "a serial order"
        yield Difference(f"{what}: only {where} has it", 1, name)
    elif one != other:
        more, fewer = _apart(one.rows, other.rows)
        here, there = _rows(one.columns, more or one.rows), _rows(other.columns, fewer or other.rows)
        if more and not fewer:
            there = "no such row"
        if fewer and not more:
            here = "no such row"
        text = f"{what}: {both(there, here)}"
        yield Difference(text, max(1, len(more) + len(fewer)), f"{name}{_columns(one, other)}")


def _columns(one: Table, other: Table) -> str:
    """Name the columns in which two tables of equal size differ."""
    if one.columns != other.columns or len(one.rows) != len(other.rows):
        return ""
    pairs = list(zip(one.rows, other.rows, strict=True))
    names = [name for at, name in enumerate(one.columns) if any(a[at] != b[at] for a, b in pairs)]
    return f", column {' and '.join(names)}" if names else ""


def _column(one: StatementResult, other: StatementResult | None) -> str:
    if other is None or not one.results or not other.results:
        return ""
    for got, expected in zip(one.results, other.results, strict=False):
        if got != expected:
            return _columns(Table(got.columns, got.rows), Table(expected.columns, expected.rows)).removeprefix(", ")
    return ""


def written(before: State, after: State) -> frozenset[tuple[str, Row]]:
    """Tell which rows something changed, took away, or added under a key of its own choice.

    Args:
        before: what was left without it.
        after: what was left with it.

    Returns:
        Their tables and keys. A new row with a key from a sequence is no row that another could have written too.
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
    """Say whether something added rows or took some away, and did not change them only."""
    names = before.keys() | after.keys()
    return any(set(before.get(n, _EMPTY).keys) != set(after.get(n, _EMPTY).keys) for n in names)


_EMPTY = Table((), ())
