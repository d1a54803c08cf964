"""What the timeline says of one event within the column of its session."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from pgchaos.report.lanes import Event
from pgchaos.report.look import Look, milliseconds, parameters, row_count, row_values
from pgchaos.results import Record
from pgchaos.safe_output import one_line

_SLOW = 0.05  # seconds; of quicker statements that did not wait the time says more of the machine
_WIDE = 48  # columns
_NARROW = 34
_NARROW_INDENT = 2  # so that `(lock_not_available):` is not broken
_LINES = 2  # of a statement
_MESSAGE_LINES = 4
_VALUES = 3  # of a row that is shown
_SHORT = 40  # characters of several values
_ERROR_NAME = re.compile(r"\A(ERROR \w{5}) \(([^)]*)\):")
_UNBROKEN = "\0"  # a blank at which no line ends, while lines are filled


class CellStyle(NamedTuple):
    """How the cells of a column are written."""

    width: int  # in columns of the terminal
    digits: int  # of the line numbers before statements, with the letters of their files
    letters: Mapping[str, str]  # of files: their lines are written a1, a2; '' for the scenario's own
    look: Look


def whole(event: Event, style: CellStyle) -> list[str]:
    """Write an event during which nothing happened elsewhere."""
    result = _result(event, apart=False)
    lines = _statement(event, style, result)
    return [
        *lines,
        *_below(_outcome(event), style, min(style.digits + 2, _NARROW_INDENT if style.width < _NARROW else 9)),
    ]


def start_of(event: Event, style: CellStyle) -> list[str]:
    """Write the beginning of a statement that others overlap, with whom it waits for."""
    lines = _statement(event, style, "")
    if event.wait is not None:
        head = f"{style.look.waits} "
        below = folded(f"waits for {', '.join(event.wait.on)}", style.width, head, style.look, _MESSAGE_LINES)
        lines += [f"{head}{line[len(head) :]}" for line in below]
    return lines


def end_of(event: Event, style: CellStyle) -> list[str]:
    """Write the end of a statement that others overlapped."""
    result = _result(event, apart=True)
    first, *more = ([result] if result else []) + _outcome(event) or ["done"]
    lines = folded(first, style.width, f"{style.look.end} ", style.look, _MESSAGE_LINES)
    return [*lines, *_below(more, style, _NARROW_INDENT if style.width < _NARROW else len(style.look.end) + 1)]


def _statement(event: Event, style: CellStyle, result: str) -> list[str]:
    """Write a statement as it was sent, or what the engine did, with its parameters and result behind it or below."""
    record, look = event.record, style.look
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
        return folded(text, style.width, head, look, most)
    unbroken = [_unbroken(part, style.width // 2) for part in behind]
    lines = folded(" ".join((text, *unbroken)), style.width, head, look, most + 1)
    if len(lines) <= most:
        return lines
    return [*folded(text, style.width, head, look, most), *_below([" ".join(unbroken)], style, len(head))]


def _unbroken(text: str, short: int) -> str:
    """Have no line end within short parameters or a short result, nor within `name = value` of a long one."""
    return text.replace(" ", _UNBROKEN) if len(text) < short else text.replace(" = ", f"{_UNBROKEN}={_UNBROKEN}")


def line_of(event: Event, letters: Mapping[str, str]) -> str:
    """Write the line of a statement, with the letter of its file; '' for what a program sent, or who runs it did."""
    place = event.record.place
    return "" if not event.record.has_line else f"{letters.get(place.path, '')}{place.line}"


def head_of(line: str, style: CellStyle) -> str:
    """Write what is before a statement: its line, or blanks where only others have one."""
    return f"{line:>{style.digits}}: " if line else " " * (style.digits + 2 if style.digits else 0)


def _result(event: Event, *, apart: bool) -> str:
    """How long a statement took or waited, its rows, and the variables that it set."""
    record = event.record
    texts = [f"attempt {record.attempt}"] if record.attempt > 1 and event.kind == "statement" else []
    if event.ended is None and event.kind == "wait":
        texts.append("never ended")
    elif event.wait is not None and event.ended is not None:
        waited = event.wait.until - event.wait.since
        whom = "" if apart else f" for {', '.join(event.wait.on)}"
        rest = f" of {milliseconds(event.took)}" if event.took - waited >= _SLOW else ""
        texts.append(f"waited {milliseconds(waited)}{rest} ms{whom}")
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
    """Write the value of a row of one column, or the few short ones of a small row, where they were kept."""
    if record.sqlstate != "00000" or record.rows != 1 or len(record.cells) != 2 or len(record.cells[0]) > _VALUES:
        return None
    text = row_values(record)
    return text if len(record.cells[0]) == 1 or len(text) <= _SHORT else None


def _outcome(event: Event) -> list[str]:
    """What happened to a statement, where it did not just succeed."""
    # a fault has a row of its own
    texts = []
    known = [failure for failure in event.failures if failure.kind in ("error", "fault")]
    if event.text:
        # the name of an error fits into a narrow column without its brackets
        text = _ERROR_NAME.sub(r"\1 \2:", event.text)
        texts.append(f"FAILED: {text}" if known else text)
    others = [failure for failure in event.failures if failure not in known]
    return [*texts, *(f"FAILED: {failure.text}" for failure in others)]


def _below(texts: list[str], style: CellStyle, indent: int) -> list[str]:
    margin = " " * indent
    return [line for text in texts for line in folded(text, style.width, margin, style.look, _MESSAGE_LINES)]


def folded(text: str, width: int, head: str, look: Look, most: int) -> list[str]:
    """Fold a text behind a head into lines of a column, safe to show, and cut what is too much."""
    parts = text.split(_UNBROKEN)
    text = _UNBROKEN.join(one_line(" ".join(part.split())) for part in parts)
    room = max(width - len(head), 8)
    lines = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    if len(lines) > most:
        last = " ".join(lines[most - 1 :])
        lines = [*lines[: most - 1], last[: room - len(look.cut)].rstrip() + look.cut]
    margin = " " * len(head)
    whole_lines = (f"{margin if number else head}{line}" for number, line in enumerate(lines))
    return [fitted(line.replace(_UNBROKEN, " "), width, look).rstrip() for line in whole_lines]


def fitted(text: str, width: int, look: Look) -> str:
    """Fill a text up with blanks to a width on the terminal, or cut it."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, max(width - len(look.cut), 0)) + look.cut
