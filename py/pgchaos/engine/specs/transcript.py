"""The output of a spec, with isolation_regression as the name of its database."""

from __future__ import annotations

import re

from psycopg import pq

from pgchaos.isolation import transcript
from pgchaos.server.spec_databases import REGRESSION
from pgchaos.server_text import decoded

_DONE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY)


class Transcript:
    """The output of a spec.

    Args:
        database: the name of the spec's database; '' to replace no name.
        unique: nothing else has this name: replace it everywhere. Otherwise, for a user's database, replace it in
            messages after `database`, and as a whole value.
        asked: the spec may query the name: only then replace values.
    """

    def __init__(self, database: str = "", *, unique: bool = True, asked: bool = True) -> None:
        self._name = "" if database == REGRESSION else database
        self._unique, self._asked = unique, asked
        self._in_messages = re.compile(rf'\b(database "?){re.escape(database)}(?![\w$])')
        self._lines: list[str] = []
        self._later: list[str | pq.abc.PGresult] = []

    @property
    def output(self) -> str:
        """What isolationtester would have printed so far."""
        self.catch_up()
        text = "".join(f"{line}\n" for line in self._lines)
        # tables are done already, as the replacement changes the width of columns
        return text.replace(self._name, REGRESSION) if self._name and self._unique else text

    def sent(self, sql: str) -> str:
        """Return a query with the real name of the database."""
        return sql.replace(REGRESSION, self._name) if self._name else sql

    def message(self, text: str) -> str:
        """Return a message of the server as it is printed."""
        return self._in_messages.sub(rf"\g<1>{REGRESSION}", text) if self._name else text

    def print(self, text: str) -> None:
        """Print one or more lines."""
        self._later.append(text)

    def result(self, raw: pq.abc.PGresult) -> None:
        """Print a result."""
        self._later.append(raw)

    def catch_up(self) -> None:
        """Format what was printed; best called while the server executes the next query."""
        for thing in self._later:
            text = thing if isinstance(thing, str) else self._text(thing)
            if text is not None:
                self._lines.append(text)
        self._later.clear()

    def _text(self, raw: pq.abc.PGresult) -> str | None:
        if raw.status == pq.ExecStatus.TUPLES_OK:
            columns = [self._renamed(decoded(raw.fname(i) or b"")) for i in range(raw.nfields)]
            rows = [[self._cell(raw.get_value(i, j)) for j in range(raw.nfields)] for i in range(raw.ntuples)]
            return transcript.table(columns, rows) if columns else None
        if raw.status == pq.ExecStatus.FATAL_ERROR:
            severity = raw.error_field(pq.DiagnosticField.SEVERITY)
            message = raw.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)
            if severity is not None and message is not None:
                return self.message(f"{decoded(severity)}:  {decoded(message)}")
            return self.message(decoded(raw.error_message))
        if raw.status not in _DONE:
            return f"unexpected result status: PGRES_{pq.ExecStatus(raw.status).name}"
        return None

    def _cell(self, value: bytes | None) -> str | None:
        return None if value is None else self._renamed(decoded(value))

    def _renamed(self, text: str) -> str:
        if not self._name:
            return text
        if self._unique:
            return text.replace(self._name, REGRESSION)
        return REGRESSION if self._asked and text == self._name else text
