"""Formats times, counts and values, and defines the symbols of plain and of box-drawing text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    # projects without scenarios load this module, and need no results
    from pgchaos.results import Record


class Symbols(NamedTuple):
    """The characters that depend on the terminal."""

    waits: str  # a statement that waits for a lock
    runs: str  # a statement that takes long, or a wait of the scenario
    end: str  # the end of either
    rule: str  # under the heads of columns
    cut: str  # after a truncated text


PLAIN = Symbols(waits="|", runs=":", end="+-", rule="-", cut="...")
BOXES = Symbols(waits="│", runs="┊", end="└─", rule="─", cut="…")


def milliseconds(seconds: float) -> str:
    """Write a time in ms, with a decimal if it is short."""
    return f"{seconds * 1000:.0f}" if seconds >= 0.01 else f"{seconds * 1000:.1f}"


def row_count(count: int) -> str:
    """Write a number of rows."""
    return f"{count} row" if count == 1 else f"{count} rows"


def row_values(record: Record) -> str:
    """Write the values of the recorded row of a statement with the names of its columns: `pieces = 1`."""
    pairs = zip(*record.cells, strict=True)
    return ", ".join(f"{name} = {'NULL' if value is None else value}" for name, value in pairs)


def parameters(record: Record) -> str:
    """Write the parameters of a program's request, as `[$1 = 'x', $2 = '10']`; '' without parameters."""
    return f"[{', '.join(record.parameters)}]" if record.parameters else ""


def statements(count: int) -> str:
    """Write a number of statements."""
    return f"{count} statement" if count == 1 else f"{count} statements"
