"""What a spec prints, line by line; and the name of the database, which is another in what is sent than on paper."""

from __future__ import annotations

from psycopg import pq

from pgchaos.isolation import printer
from pgchaos.isolation.model import decoded

_DONE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY)


class Paper:
    """The output of a spec.

    Args:
        renamed: a text, and what to put in its place in what is sent; it is put back in what is printed.
    """

    def __init__(self, renamed: tuple[str, str] = ("", "")) -> None:
        self._ours, self._theirs = renamed
        self._lines: list[str] = []
        self._later: list[str | pq.abc.PGresult] = []

    @property
    def output(self) -> str:
        """What isolationtester would have printed so far."""
        self.catch_up()
        text = "".join(f"{line}\n" for line in self._lines)
        return text.replace(self._theirs, self._ours) if self._ours else text

    def sent(self, sql: str) -> str:
        """Give a query as it is to be sent."""
        return sql.replace(self._ours, self._theirs) if self._ours else sql

    def print(self, text: str) -> None:
        """Print one or more lines."""
        self._later.append(text)

    def result(self, raw: pq.abc.PGresult) -> None:
        """Print a result."""
        self._later.append(raw)

    def catch_up(self) -> None:
        """Write out what was printed: best done while the server is at work on the next query."""
        for thing in self._later:
            text = thing if isinstance(thing, str) else self._text(thing)
            if text is not None:
                self._lines.append(text)
        self._later.clear()

    def _text(self, raw: pq.abc.PGresult) -> str | None:
        if raw.status == pq.ExecStatus.TUPLES_OK:
            columns = [decoded(raw.fname(i) or b"") for i in range(raw.nfields)]
            rows = [[self._cell(raw.get_value(i, j)) for j in range(raw.nfields)] for i in range(raw.ntuples)]
            return printer.table(columns, rows) if columns else None
        if raw.status == pq.ExecStatus.FATAL_ERROR:
            severity = raw.error_field(pq.DiagnosticField.SEVERITY)
            message = raw.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)
            if severity is not None and message is not None:
                return f"{decoded(severity)}:  {decoded(message)}"
            return decoded(raw.error_message)
        if raw.status not in _DONE:
            return f"unexpected result status: PGRES_{pq.ExecStatus(raw.status).name}"
        return None

    def _cell(self, value: bytes | None) -> str | None:
        if value is None:
            return None
        text = decoded(value)
        return text.replace(self._theirs, self._ours) if self._ours else text
