"""Finds lines in the log of a private server."""

from __future__ import annotations

import re

# by log_line_prefix: time, process, database and application
_PREFIX = re.compile(r"\S+ \S+ \S+ \[[0-9]+\] (?P<database>[^/]*)/")


def lines_about(database: str, log: str) -> list[str]:
    """Find the lines that sessions in a database caused.

    Args:
        database: its name.
        log: of the server.

    Returns:
        The lines, with those that continue them.
    """
    found, inside = [], False
    for line in log.splitlines():
        # a message that goes on in a further line begins with a tab there
        if not line.startswith("\t"):
            prefix = _PREFIX.match(line)
            inside = prefix is not None and prefix["database"] == database
        if inside:
            found.append(line)
    return found
