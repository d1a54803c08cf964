"""The names of the databases that runs make, and what they say: whose a database is."""

from __future__ import annotations

import re

from pgchaos.server.run_id import RunId

PREFIX = "pgchaos_"

NAMED = "pggit_chaos_test"
"""What the database of chaos tests in Python is called on a private server."""

_NAME = re.compile(r"pgchaos_([0-9a-f]{8})_t?[0-9]+")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_UNKNOWN = "0" * 12
_MAKING = re.compile(_NAME.pattern + r"_([0-9a-f]{12})_([0-9a-z]+)_([0-9a-z]+)_([0-9a-z]+)")
"""The name of a database that is being made: system, pid and start of the run's process, and the server's time."""


def database_name(run: str, number: int, template: bool = False) -> str:
    """Name a database of a run."""
    return f"{PREFIX}{run}_{'t' if template else ''}{number}"


def name_while_made(run: RunId, name: str) -> str:
    """Name a database for the time until its record is written.

    CREATE DATABASE cannot be in one transaction with the COMMENT that says whose it is. So the name says it: a run that
    is killed in between leaves a database that can be judged.
    """
    numbers = (_in_base_36(number) for number in (run.pid, run.start, run.renewed))
    return "_".join((name, run.system or _UNKNOWN, *numbers))


def _in_base_36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"


def run_of(name: str, comment: str) -> RunId | None:
    """Tell whose a database is."""
    recorded = RunId.loads(comment)
    half = _MAKING.fullmatch(name)
    found = half or _NAME.fullmatch(name)
    if recorded is not None:
        return recorded if found is not None and found[1] == recorded.id else None
    if half is None:
        return None
    pid, start, renewed = (int(text, 36) for text in half.groups()[2:])
    return RunId(half[1], "", pid, 0.0, "" if half[2] == _UNKNOWN else half[2], start, renewed)


def siblings(database: str) -> str:
    """Tell how the names of all databases of a run begin.

    Args:
        database: one of a run, or another.

    Returns:
        The beginning; '' where it is none of a run's.
    """
    found = _NAME.match(database)
    return f"{PREFIX}{found[1]}_" if found else ""


def is_named_so(name: str) -> bool:
    """Say whether a name begins like that of a run's database; it may be somebody else's all the same."""
    return _NAME.match(name) is not None
