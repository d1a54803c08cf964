"""Notices of connections, the results of chaos.assert among them, and the settings that connections begin with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import pq

from pgchaos.language.problems import Place
from pgchaos.language.written_assertions import Evaluated
from pgchaos.results import Assertion
from pgchaos.server.conninfo import with_settings
from pgchaos.server_text import decoded, escaped

ASSERT = "CH001"
"""The SQLSTATE of the INFO that chaos.assert raises (toolkit.sql)."""
SESSION = "chaos.session"
"""The setting that names a session."""
_MOST_OUTPUT = 1000
"""Lines of output that are kept; a line reports that there were more."""


def session_conninfo(
    conninfo: str, name: str, settings: Mapping[str, str], options: str = "", **parameters: str
) -> str:
    """Add settings and options to a connection string, so that RESET ALL and DISCARD ALL keep them."""
    return with_settings(conninfo, settings, options, application_name=name, **parameters)


def session_settings(session: str, worker: int, seed: int) -> dict[str, str]:
    """Return the settings that a connection of a session begins with."""
    return {SESSION: session, "chaos.worker": str(worker), "chaos.iteration": "1", "chaos.seed": str(seed)}


def vars_literal(variables: Mapping[str, str], *, any_bytes: bool) -> str:
    """Write variables as the literal that chaos.var reads (toolkit.sql).

    Args:
        variables: by name.
        any_bytes: the database has the encoding SQL_ASCII, for which the server translates no escapes; in another one
            an escape is no error before it is read.
    """
    text = json.dumps({name: escaped(value) for name, value in variables.items()}, ensure_ascii=not any_bytes)
    return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@dataclass(slots=True)
class _AssertCount:
    place: Place | None
    held: int = 0
    all: int = 0
    first: str = ""


@dataclass
class NoticeCollector:
    """Collects the notices and output of all connections of a run."""

    output: list[str] = field(default_factory=list)
    evaluated: set[Evaluated] = field(default_factory=set)
    _asserts: dict[str, _AssertCount] = field(default_factory=dict)

    def receive(self, who: str, place: Place | None, raw: pq.abc.PGresult) -> None:
        """Add a notice of the server."""

        def diagnostic(which: pq.DiagnosticField) -> str:
            return decoded(raw.error_field(which) or b"")

        message = diagnostic(pq.DiagnosticField.MESSAGE_PRIMARY)
        if diagnostic(pq.DiagnosticField.SQLSTATE) == ASSERT:
            self._assert(who, place, message, diagnostic(pq.DiagnosticField.MESSAGE_DETAIL))
        else:
            self.say(f"{who}: {diagnostic(pq.DiagnosticField.SEVERITY)}: {message}")

    def receive_assert(self, who: str, place: Place | None, raw: pq.abc.PGresult) -> None:
        """Add a notice if it is the result of chaos.assert: a query that is repeated would repeat all others."""
        if raw.error_field(pq.DiagnosticField.SQLSTATE) == ASSERT.encode():
            self.receive(who, place, raw)

    def say(self, line: str) -> None:
        """Add a line of output."""
        if len(self.output) < _MOST_OUTPUT:
            self.output.append(line)
        elif len(self.output) == _MOST_OUTPUT:
            self.output.append(f"(more than {_MOST_OUTPUT} lines of output: the rest is not kept)")

    def _assert(self, who: str, place: Place | None, description: str, value: str) -> None:
        self.evaluated.add(("assert", place, description))
        count = self._asserts.setdefault(description, _AssertCount(place))
        count.all += 1
        if value == "true":
            count.held += 1
        elif not count.first:
            count.first = f"first {value} in {who}"
            count.place = place

    def assertions(self) -> list[Assertion]:
        """Return the results of chaos.assert, one assertion for each description."""
        return [
            Assertion(
                name,
                count.held == count.all,
                count.place,
                diagnostics=(count.first,) if count.first else (),
                count=f"{count.held} of {count.all}",
            )
            for name, count in self._asserts.items()
        ]
