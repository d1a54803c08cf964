"""The meta-commands of psql that a scenario may hold, and what is said of the others."""

from __future__ import annotations

import re
from difflib import get_close_matches

from pgchaos.scenario.items import Parts

TERMINATORS = frozenset({"g", "gset", "gexec"})
DISPLAY = frozenset({"pset", "t", "a", "x", "restrict", "unrestrict"})
"""Settings of psql's output, and what pg_dump writes around a dump: accepted and without effect."""

SAME = {"include": "i", "include_relative": "ir", "q": "quit"}
"""Longer or shorter names of the same command."""

RUN = frozenset({"set", "unset", "i", "ir", "echo", "qecho", "warn", "if", "elif", "else", "endif", "quit"})
FILES = frozenset({"i", "ir"})
"""Commands from whose arguments psql takes a trailing `;`."""

ENDING = frozenset({"gx", "gdesc", "crosstabview", "watch", "r", "reset"})
"""Commands that no scenario may hold, and after which psql begins a new statement."""

FROM_STDIN = re.compile(r"\bfrom\s+stdin\b", re.I)
r"""In a \copy whose data follows it, up to a line `\.`."""

_DIRECTIVE = re.compile(r"(?:^|\s)--\s*chaos:", re.I)
_GIVES_ROWS = re.compile(
    r"\W*(?:SELECT|WITH|VALUES|TABLE|SHOW|FETCH|EXECUTE|CALL|EXPLAIN)\b|.*\bRETURNING\b", re.I | re.S
)

SUPPORTED = tuple(sorted(TERMINATORS | DISPLAY | RUN | SAME.keys()))


def unsupported(name: str) -> str:
    r"""Say what is wrong with a meta-command that no scenario may hold.

    Args:
        name: without the backslash.

    Returns:
        The text of the mistake, with the nearest supported command where one is near.
    """
    if name == ".":
        return r"\. without COPY … FROM STDIN before it"
    if name == "copy":
        return r"\copy is not supported; use COPY … FROM STDIN with its data inline up to \."
    if not name:
        return r"a backslash without a command; inside a string it belongs between quotes"
    bare = name.rstrip(";")
    if bare != name and bare in SUPPORTED:
        return rf"\{name} is no command of psql; a meta-command ends with its line: \{bare}"
    near = get_close_matches(name, SUPPORTED, 1)
    return rf"\{name} is not supported" + (rf"; did you mean \{near[0]}?" if near else "")


def wrong_terminator(name: str, args: tuple[Parts, ...]) -> str:
    r"""Say what is wrong with the arguments of \g, \gset or \gexec.

    Args:
        name: of the command.
        args: its arguments.

    Returns:
        The text of the mistake, or ''.
    """
    if any(arg[:1] and str(arg[0]).startswith("--") for arg in args):
        return rf"psql takes a comment behind \{name} for its arguments; put it on a line of its own"
    if name == "g" and args:
        return r"arguments of \g (options, files and pipes) are not supported; plain \g sends the statement like `;`"
    if len(args) > (name == "gset"):
        return rf"\{name} has too many arguments; what follows on its line belongs behind \\ or on the next"
    return ""


def directive_behind(name: str, written: str) -> str:
    r"""Say what is wrong where a directive stands behind a meta-command, which takes it for its arguments.

    Args:
        name: of the command.
        written: its arguments as they are written.

    Returns:
        The text of the mistake, or ''.
    """
    if _DIRECTIVE.search(written) is None:
        return ""
    return rf"psql takes the directive behind \{name} for its arguments; put it on a line of its own"


def terminators(sql: str) -> str:
    r"""Say what may be missing where a statement does not end.

    Args:
        sql: the statement as far as it was meant.

    Returns:
        `;`, or `;` and `\gset` for a statement that gives rows, each in backticks.
    """
    return r"`;` or `\gset`" if _GIVES_ROWS.match(sql) else "`;`"
