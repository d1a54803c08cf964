"""The end of the log of a scenario's own server, as a report shows it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from pgchaos.report.look import Look
from pgchaos.report.statement_list import shorten

# what each start says, whatever has happened
_ROUTINE = re.compile(r"LOG:  (?:starting PostgreSQL|listening on|checkpoint |restartpoint )")
# of a start after a clean stop; before anything else it is that before the sessions
_FIRST_START = re.compile(r"LOG:  database system (?:was shut down at|is ready to accept connections)")
# the day and the time zone, and an empty database and application
_HEAD = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2} ([0-9:.]+) \S+ (\[[0-9]+\])(?: /(?= ))?")
_MOST = 20  # messages, the last ones
_LINES = 3  # of one
_INDENT = "    "
_LEAST = 24  # columns


def log_lines(log: Iterable[str], width: int, look: Look) -> list[str]:
    """Fold the last lines of a log that are worth reading, without starts and checkpoints, each from its time on."""
    found: list[str] = []
    for line in log:
        if not (_ROUTINE.search(line) or (not found and _FIRST_START.search(line))):
            found.append(" ".join(_HEAD.sub(r"\1 \2", line).split()))
    room = max(width - len(_INDENT), _LEAST)
    lines = []
    for text in found[-_MOST:]:
        first, *more = textwrap.wrap(text, room, max_lines=_LINES, placeholder=f" {look.cut}") or [""]
        # textwrap counts characters, of which some take two columns
        lines += [shorten(first, room, look), *(f"{_INDENT}{shorten(line, room, look)}" for line in more)]
    return lines
