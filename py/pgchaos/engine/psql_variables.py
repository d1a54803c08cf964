"""Variables that psql itself sets: of the connection, and of the last statement."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pgchaos.engine.answer import SUCCESS, Answer, ServerError
from pgchaos.engine.connection import Connection
from pgchaos.language.conditionals import parse_boolean

_FIXED = {
    "AUTOCOMMIT": "on",
    "ON_ERROR_ROLLBACK": "off",
    "ON_ERROR_STOP": "on",
    "QUIET": "on",
    "ECHO": "none",
    "SHOW_ALL_RESULTS": "on",
}
"""The values when pg_prove calls psql."""
_NO_ERROR = ServerError(SUCCESS, "")

NAMES = frozenset(
    {
        *_FIXED,
        *("DBNAME", "ENCODING", "HOST", "PORT", "SERVER_VERSION_NAME", "SERVER_VERSION_NUM", "USER"),
        *("ERROR", "LAST_ERROR_MESSAGE", "LAST_ERROR_SQLSTATE", "ROW_COUNT", "SQLSTATE"),
    }
)
"""The variables that `PsqlVariables` knows; values are computed only for those that a statement uses."""


_BOOLEANS = frozenset(
    (
        "AUTOCOMMIT",
        "HIDE_TABLEAM",
        "HIDE_TOAST_COMPRESSION",
        "ON_ERROR_STOP",
        "QUIET",
        "SHOW_ALL_RESULTS",
        "SINGLELINE",
        "SINGLESTEP",
    )
)
SWITCHES = _BOOLEANS | {"ON_ERROR_ROLLBACK"}
"""Settings of psql that \\unset turns off."""
_INTEGERS = ("FETCH_COUNT", "HISTSIZE")
_INTEGER = re.compile(r"\s*[-+]?(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)", re.IGNORECASE)
_GREATEST, _LONGEST = 2**31 - 1, 20
_CHOICES = {
    "COMP_KEYWORD_CASE": ("lower", "upper", "preserve-lower", "preserve-upper"),
    "ECHO": ("none", "errors", "queries", "all"),
    "ECHO_HIDDEN": ("on", "off", "noexec"),
    "HISTCONTROL": ("none", "ignorespace", "ignoredups", "ignoreboth"),
    "ON_ERROR_ROLLBACK": ("on", "off", "interactive"),
    "SHOW_CONTEXT": ("never", "errors", "always"),
    "VERBOSITY": ("default", "verbose", "terse", "sqlstate"),
}
_NO_BOOLEAN = _CHOICES.keys() - {"ECHO_HIDDEN", "ON_ERROR_ROLLBACK"}
OWN_SETTINGS = frozenset((*_BOOLEANS, *_CHOICES, *_INTEGERS))
"""Settings of psql that no \\gset changes."""


def refused_value(name: str, value: str) -> str:
    r"""Return psql's text if it does not take a value for one of its own settings; '' for any other variable.

    Args:
        name: the variable that \set sets.
        value: of it; '' switches one on.
    """
    if name not in OWN_SETTINGS:
        return ""
    if name in _INTEGERS:
        found = _INTEGER.fullmatch(value)
        number = found[1].lower() if found else ""
        base = 16 if number.startswith("0x") else 8 if number.startswith("0") else 10
        if number and len(number) <= _LONGEST and int(number, base) <= _GREATEST:
            return ""
        return f'invalid value "{value}" for "{name}": integer expected'
    if name not in _NO_BOOLEAN and (not value or parse_boolean(value) is not None):
        return ""
    if name in _BOOLEANS:
        return f'unrecognized value "{value}" for "{name}": Boolean expected'
    choices = _CHOICES[name]
    if value.lower() in choices:
        return ""
    return f'unrecognized value "{value}" for "{name}"; available values are: {", ".join(choices)}'


class PsqlVariables:
    """Their values on one connection. Source: psql's manual, "Variables"; SetResultVariables in common.c."""

    def __init__(self) -> None:
        self._connection: dict[str, str] = {}
        self._answer: Answer | None = None
        self._last_error = _NO_ERROR

    def connected(self, connection: Connection) -> None:
        """Set the variables of a new connection.

        Args:
            connection: the connection that statements are sent on.
        """
        self._connection = connection.psql_variables()

    def set_encoding(self, encoding: str) -> None:
        r"""Set ENCODING, after \encoding."""
        self._connection["ENCODING"] = encoding

    def answered(self, answer: Answer) -> None:
        """Set the variables of the last statement."""
        self._answer = answer
        if answer.error is not None:
            self._last_error = answer.error

    def value(self, name: str) -> str | None:
        """Return the value of a variable of NAMES; None if it is unknown, because there is no connection yet."""
        answer = self._answer
        error = None if answer is None else answer.error
        match name:
            case "ERROR":
                return "false" if error is None else "true"
            case "SQLSTATE":
                return SUCCESS if error is None else error.sqlstate
            case "ROW_COUNT":
                last = answer.results[-1] if answer is not None and error is None and answer.results else None
                return str((last and last.count) or 0)
            case "LAST_ERROR_SQLSTATE":
                return self._last_error.sqlstate
            case "LAST_ERROR_MESSAGE":
                return self._last_error.message
        return self._connection.get(name, _FIXED.get(name))


_PARTS = ("DBNAME", "USER", "HOST", "PORT")
_OTHERWISE = {
    "DBNAME": "a plain pgTAP file has one database",
    "USER": "SET ROLE or SET SESSION AUTHORIZATION acts as another role",
    "HOST": "a plain pgTAP file has one server",
    "PORT": "a plain pgTAP file has one server",
}


def not_here(words: Sequence[str], psql: PsqlVariables) -> str:
    r"""Return an error text if \c would connect elsewhere than the connection is; otherwise ''."""
    for name, word in zip(_PARTS, words, strict=False):
        have = psql.value(name)
        if word not in ("", "-", have):
            written = " ".join(("\\c", *words))
            return f"{written}: it connects again to {name} {have} only, by \\c - ; {_OTHERWISE[name]}"
    return ""
