"""Writes one event into the column of its session in the timeline."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from pgchaos.report.formatting import Symbols, milliseconds, parameters, row_count, row_values
from pgchaos.report.lanes import Event
from pgchaos.results import Record
from pgchaos.safe_output import one_line

_SLOW = 0.05  # seconds; the times of faster statements that did not wait depend mostly on the machine
_WIDE = 48  # columns
_NARROW = 34
_NARROW_INDENT = 2  # small enough to keep `(lock_not_available):` on one line
_LINES = 2  # of a statement
_MESSAGE_LINES = 4
_VALUES = 3  # of a row that is shown
_SHORT = 40  # characters of several values
_ERROR_NAME = re.compile(r"\A(ERROR \w{5}) \(([^)]*)\):")
_UNBROKEN = "\0"  # stands for a blank at which no line may end


class CellStyle(NamedTuple):
    """How the cells of a column are written."""

    width: int  # in columns of the terminal
    digits: int  # width of the line numbers before statements, including the letters of files
    letters: Mapping[str, str]  # of other files than the scenario's: their lines are written a1, a2
    symbols: Symbols


def whole(event: Event, style: CellStyle) -> list[str]:
    """Write an event that no other event overlaps."""
    result = _result(event, apart=False)
    lines = _statement(event, style, result)
    return [
        *lines,
        *_below(_outcome(event), style, min(style.digits + 2, _NARROW_INDENT if style.width < _NARROW else 9)),
    ]


def start_of(event: Event, style: CellStyle) -> list[str]:
    """Write the beginning of a statement that others overlap, with the sessions that it waits for."""
    lines = _statement(event, style, "")
    if event.wait is not None:
        head = f"{style.symbols.waits} "
        below = folded(f"waits for {', '.join(event.wait.on)}", style.width, head, style.symbols, _MESSAGE_LINES)
        lines += [f"{head}{line[len(head) :]}" for line in below]
    return lines


def end_of(event: Event, style: CellStyle) -> list[str]:
    """Write the end of a statement that others overlap."""
    result = _result(event, apart=True)
    first, *more = ([result] if result else []) + _outcome(event) or ["done"]
    lines = folded(first, style.width, f"{style.symbols.end} ", style.symbols, _MESSAGE_LINES)
    return [*lines, *_below(more, style, _NARROW_INDENT if style.width < _NARROW else len(style.symbols.end) + 1)]


def _statement(event: Event, style: CellStyle, result: str) -> list[str]:
    """Write a statement as sent, or an action of the engine, with its parameters and result after or below it."""
    record, symbols = event.record, style.symbols
    head = head_of(line_of(event, style.letters), style)
    most = _LINES + (_NARROW <= style.width < _WIDE)
    if event.kind == "fault":
        text = f"! {event.sent}"
    else:
        iteration = f"#{record.iteration} " if record.iteration > 1 and event.kind == "statement" else ""
        step = "" if not record.step or record.step.isdigit() else f"{record.step}: "
        text = f"{iteration}{step}{event.sent}"
    behind = [*filter(None, (parameters(record), f"-> {result}" if result else ""))]
    if not behind:
        return folded(text, style.width, head, symbols, most)
    unbroken = [_unbroken(part, style.width // 2) for part in behind]
    lines = folded(" ".join((text, *unbroken)), style.width, head, symbols, most + 1)
    if len(lines) <= most:
        return lines
    return [*folded(text, style.width, head, symbols, most), *_below([" ".join(unbroken)], style, len(head))]


def _unbroken(text: str, short: int) -> str:
    """Mark blanks within short parameters or results, and in `name = value` of long ones, where no line may end."""
    return text.replace(" ", _UNBROKEN) if len(text) < short else text.replace(" = ", f"{_UNBROKEN}={_UNBROKEN}")


def line_of(event: Event, letters: Mapping[str, str]) -> str:
    """Write the line of a statement, with the letter of its file; '' for requests of a program."""
    place = event.record.place
    return "" if not event.record.has_line else f"{letters.get(place.path, '')}{place.line}"


def head_of(line: str, style: CellStyle) -> str:
    """Write the beginning of a row: the line of the statement, or blanks if only other rows have one."""
    return f"{line:>{style.digits}}: " if line else " " * (style.digits + 2 if style.digits else 0)


def _result(event: Event, *, apart: bool) -> str:
    """Write how long a statement took or waited, its rows, and the variables that it set."""
    record = event.record
    texts = [f"attempt {record.attempt}"] if record.attempt > 1 and event.kind == "statement" else []
    if event.ended is None and event.kind == "wait":
        texts.append("never ended")
    elif event.wait is not None and event.ended is not None:
        waited = event.wait.until - event.wait.since
        holders = "" if apart else f" for {', '.join(event.wait.on)}"
        rest = f" of {milliseconds(event.took)}" if event.took - waited >= _SLOW else ""
        texts.append(f"waited {milliseconds(waited)}{rest} ms{holders}")
    elif event.took >= _SLOW and event.kind != "act":
        texts.append(f"{milliseconds(event.took)} ms")
    if record.notes:
        texts += record.notes
    elif (value := _values(record)) is not None:
        texts.append(value)
    elif record.rows is not None and record.sqlstate == "00000":
        texts.append(row_count(record.rows))
    return ", ".join(texts)


def _values(record: Record) -> str | None:
    """Write the value of a row with one column, or the short values of a small row, if they were recorded."""
    if record.sqlstate != "00000" or record.rows != 1 or len(record.cells) != 2 or len(record.cells[0]) > _VALUES:
        return None
    text = row_values(record)
    return text if len(record.cells[0]) == 1 or len(text) <= _SHORT else None


def _outcome(event: Event) -> list[str]:
    """Write what happened to a statement, if it did not simply succeed."""
    # a fault has a row of its own
    texts = []
    known = [failure for failure in event.failures if failure.kind in ("error", "fault")]
    if event.text:
        # without brackets the name of an error fits into a narrow column
        text = _ERROR_NAME.sub(r"\1 \2:", event.text)
        texts.append(f"FAILED: {text}" if known else text)
    others = [failure for failure in event.failures if failure not in known]
    return [*texts, *(f"FAILED: {failure.text}" for failure in others)]


def _below(texts: list[str], style: CellStyle, indent: int) -> list[str]:
    margin = " " * indent
    return [line for text in texts for line in folded(text, style.width, margin, style.symbols, _MESSAGE_LINES)]


def folded(text: str, width: int, head: str, symbols: Symbols, most: int) -> list[str]:
    """Fold a text after a head into lines of a column, safe to show; truncate it to `most` lines."""
    parts = text.split(_UNBROKEN)
    text = _UNBROKEN.join(one_line(" ".join(part.split())) for part in parts)
    room = max(width - len(head), 8)
    # textwrap takes minutes or hours for a word of many megabytes
    text = text[: (room + 1) * (most + 2)]
    lines = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    if len(lines) > most:
        last = " ".join(lines[most - 1 :])
        lines = [*lines[: most - 1], last[: room - len(symbols.cut)].rstrip() + symbols.cut]
    margin = " " * len(head)
    whole_lines = (f"{margin if number else head}{line}" for number, line in enumerate(lines))
    return [fitted(line.replace(_UNBROKEN, " "), width, symbols).rstrip() for line in whole_lines]


def fitted(text: str, width: int, symbols: Symbols) -> str:
    """Pad a text with blanks to a width on the terminal, or truncate it."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, max(width - len(symbols.cut), 0)) + symbols.cut
