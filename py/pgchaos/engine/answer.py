"""The server's answer to one query: results, an error, the loss of the connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from psycopg import pq

from pgchaos.server_text import decoded

SUCCESS = "00000"
LOST = "08006"
"""connection_failure: the connection was lost and the server gave no SQLSTATE."""
NOT_CONNECTED = "08001"
"""sqlclient_unable_to_establish_sqlconnection."""

BLOCK = frozenset(map(int, (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)))
"""The transaction statuses in which a block is open, failed or not."""
RESETS_SETTINGS = frozenset({"ROLLBACK", "RESET", "DISCARD ALL"})
"""Tags of statements that may reset the engine's settings."""

Row = tuple["str | None", ...]
_SHOWN_ROWS, _SHOWN_COLUMNS, _SHOWN_CELL = 10, 10, 200  # of a result that a report shows; characters of a value
_ROWS_IN_TAG = re.compile(r" (\d+)$")


@lru_cache(maxsize=1024)
def rows_in(tag: str) -> int | None:
    """Read the number of rows in a command tag; None if it has none."""
    found = _ROWS_IN_TAG.search(tag)
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class ServerError:
    """An error reported by the server, or the loss of the connection."""

    sqlstate: str
    message: str  # the primary message
    hint: tuple[str, ...] = ()  # detail, hint, query and context, a line each
    lost: bool = False  # the connection is lost
    from_server: bool = True  # the server reported the SQLSTATE
    position: int = 0  # the character of the query that it points to, from 1; 0: none
    broken: bool = False  # the server accepted a new connection and closed it without a message
    sent: bool = True  # the statement may have reached the server


@dataclass(slots=True)  # not frozen: each statement has one, and creating a frozen one takes four times as long
class Result:
    """One result of a query: its tag and, lazily, its rows as text."""

    tag: str
    _raw: pq.abc.PGresult = field(repr=False)

    @property
    def count(self) -> int | None:
        """Rows returned or affected; None if the tag has no number."""
        return rows_in(self.tag)

    @property
    def width(self) -> int:
        """Number of columns; 0 if the statement returns no rows."""
        return self._raw.nfields

    @property
    def height(self) -> int:
        """Number of rows."""
        return self._raw.ntuples

    def columns(self) -> tuple[str, ...]:
        """Return the names of its columns."""
        return tuple(decoded(self._raw.fname(i) or b"") for i in range(self._raw.nfields))

    def types(self) -> tuple[int, ...]:
        """Return the OIDs of their types."""
        return tuple(self._raw.ftype(i) for i in range(self._raw.nfields))

    def origin(self, column: int) -> tuple[int, int]:
        """Return the OID of the table and the number of the column that a column shows; 0, 0 if it is computed."""
        return self._raw.ftable(column), self._raw.ftablecol(column)

    def rows(self) -> Iterator[Row]:
        """Yield its rows as text, None for NULL."""
        raw, width = self._raw, self._raw.nfields
        for number in range(raw.ntuples):
            cells = (raw.get_value(number, i) for i in range(width))
            yield tuple(None if cell is None else decoded(cell) for cell in cells)

    def first_rows(self) -> tuple[Row, ...]:
        """Return the names of its first columns, then its first rows, for a report; long values are cut."""
        rows = islice(self.rows(), _SHOWN_ROWS)
        cut = (tuple(cell if cell is None else cell[:_SHOWN_CELL] for cell in row[:_SHOWN_COLUMNS]) for row in rows)
        return (self.columns()[:_SHOWN_COLUMNS], *cut)


@dataclass(slots=True)
class Answer:
    """The whole answer to one query."""

    before: int  # the transaction status of the connection, by libpq
    after: int = pq.TransactionStatus.UNKNOWN
    results: list[Result] = field(default_factory=list)  # of its statements, in order, up to the error
    error: ServerError | None = None
    interrupted: bool = False  # cancelled by us: the run stops, or the deadline has passed
    copied: list[str] = field(default_factory=list)  # lines that COPY … TO STDOUT sent

    @property
    def tag(self) -> str | None:
        """The command tag of its last statement, or None."""
        return self.results[-1].tag if self.results else None

    def rows(self) -> list[Row]:
        """Return the rows of all results as text, None for NULL."""
        return [row for result in self.results for row in result.rows()]


def server_error(raw: pq.abc.PGresult, lost: bool) -> ServerError:
    """Read the error of a result."""

    def diagnostic(which: pq.DiagnosticField) -> str:
        value = raw.error_field(which)
        return decoded(value) if value else ""

    state = diagnostic(pq.DiagnosticField.SQLSTATE)
    message = diagnostic(pq.DiagnosticField.MESSAGE_PRIMARY) or raw.get_error_message().strip()
    hint = tuple(
        f"{label}: {text}"
        for label, which in (
            ("DETAIL", pq.DiagnosticField.MESSAGE_DETAIL),
            ("HINT", pq.DiagnosticField.MESSAGE_HINT),
            ("QUERY", pq.DiagnosticField.INTERNAL_QUERY),
            ("CONTEXT", pq.DiagnosticField.CONTEXT),
        )
        if (text := diagnostic(which))
    )
    fatal = diagnostic(pq.DiagnosticField.SEVERITY_NONLOCALIZED) in ("FATAL", "PANIC")
    position = diagnostic(pq.DiagnosticField.STATEMENT_POSITION)
    at = int(position) if position.isdigit() else 0
    return ServerError(state or LOST, message, hint, lost or fatal or not state, bool(state), at)
