"""Finds lines in the log of a private server."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

# by log_line_prefix: time, process, database and application
_PREFIX = re.compile(r"\S+ \S+ \S+ \[(?P<pid>[0-9]+)\] (?P<database>[^/]*)/")
_REFUSED = re.compile(r"FATAL:  the database system is ")
# some lines of a start are logged after "ready to accept connections"
_BEGINS = re.compile(r"LOG:  (?:starting PostgreSQL|all server processes terminated|received \w+ shutdown request)")


def lines_about(database: str, log: str) -> list[str]:
    """Find the lines of a server's log that sessions in a database caused, with continuation lines."""
    found, inside = [], False
    for line in log.splitlines():
        # continuation lines of a message begin with a tab
        if not line.startswith("\t"):
            prefix = _PREFIX.match(line)
            inside = prefix is not None and prefix["database"] == database
        if inside:
            found.append(line)
    return found


def join_refusals(database: str, log: Iterable[str]) -> list[str]:
    """Join lines about refused connections during a stop or start: a run retries every few milliseconds.

    Args:
        database: whose refused connections are joined.
        log: lines of the server's log.

    Returns:
        The lines, with only the first refusal of each stop or start, and the number of refusals.
    """
    found: list[str] = []
    times: Counter[int] = Counter()  # by where the first refusal of a stop or start is
    first, refused = -1, ""
    for line in log:
        prefix = _PREFIX.match(line)
        process = prefix["pid"] if prefix is not None and prefix["database"] == database else ""
        if process and _REFUSED.search(line):
            refused = process
            if first < 0:
                first = len(found)
                found.append(line)
            times[first] += 1
        elif not process or process != refused or "DETAIL:  " not in line:
            if _BEGINS.search(line):
                first = -1
            found.append(line)
    return [f"{line} ({times[at]} times)" if times[at] > 1 else line for at, line in enumerate(found)]
