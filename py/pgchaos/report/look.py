"""How times and counts are written, and which characters a text may consist of."""

from __future__ import annotations

from typing import NamedTuple

from pgchaos.results import Record


class Look(NamedTuple):
    """The characters that differ."""

    waits: str  # a statement that waits, while others go on
    runs: str  # one that only takes long, or a wait that the scenario asks for
    end: str  # where it ends
    rule: str  # under the heads of columns
    cut: str  # behind a text that was cut


PLAIN = Look(waits="|", runs=":", end="+-", rule="-", cut="...")
BOXES = Look(waits="│", runs="┊", end="└─", rule="─", cut="…")


def milliseconds(seconds: float) -> str:
    """Write a time in ms, with a decimal where it matters."""
    return f"{seconds * 1000:.0f}" if seconds >= 0.01 else f"{seconds * 1000:.1f}"


def row_count(count: int) -> str:
    """Write a number of rows."""
    return f"{count} row" if count == 1 else f"{count} rows"


def row_values(record: Record) -> str:
    """Write the values of the one row of a statement that was kept, under the names of its columns: `pieces = 1`."""
    pairs = zip(*record.cells, strict=True)
    return ", ".join(f"{name} = {'NULL' if value is None else value}" for name, value in pairs)


def parameters(record: Record) -> str:
    """Write what a program sent beside the text of a request, as `[$1 = 'x', $2 = '10']`; '' without that."""
    return f"[{', '.join(record.parameters)}]" if record.parameters else ""


def statements(count: int) -> str:
    """Write a number of statements."""
    return f"{count} statement" if count == 1 else f"{count} statements"
