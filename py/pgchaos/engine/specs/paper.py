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

    @property
    def output(self) -> str:
        """What isolationtester would have printed so far."""
        text = "".join(f"{line}\n" for line in self._lines)
        return text.replace(self._theirs, self._ours) if self._ours else text

    def sent(self, sql: str) -> str:
        """Give a query as it is to be sent."""
        return sql.replace(self._ours, self._theirs) if self._ours else sql

    def print(self, text: str) -> None:
        """Print one or more lines."""
        self._lines.append(text)

    def result(self, raw: pq.abc.PGresult) -> None:
        """Print a result of a step."""
        if raw.status == pq.ExecStatus.TUPLES_OK:
            self.table(raw)
        elif raw.status == pq.ExecStatus.FATAL_ERROR:
            severity = raw.error_field(pq.DiagnosticField.SEVERITY)
            message = raw.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)
            if severity is not None and message is not None:
                self.print(f"{decoded(severity)}:  {decoded(message)}")
            else:
                self.print(decoded(raw.error_message))
        elif raw.status not in _DONE:
            self.print(f"unexpected result status: PGRES_{pq.ExecStatus(raw.status).name}")

    def table(self, raw: pq.abc.PGresult) -> None:
        """Print rows."""
        columns = [decoded(raw.fname(i) or b"") for i in range(raw.nfields)]
        rows = [[self._cell(raw.get_value(i, j)) for j in range(raw.nfields)] for i in range(raw.ntuples)]
        if columns:
            self.print(printer.table(columns, rows))

    def _cell(self, value: bytes | None) -> str | None:
        if value is None:
            return None
        text = decoded(value)
        return text.replace(self._theirs, self._ours) if self._ours else text
