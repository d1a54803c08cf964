"""What the server answered to one query: results, an error, the end of the connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from psycopg import pq

SUCCESS = "00000"
LOST = "08006"
"""connection_failure: the connection was lost and the server gave no SQLSTATE."""
NOT_CONNECTED = "08001"
"""sqlclient_unable_to_establish_sqlconnection."""

BLOCK = frozenset(map(int, (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)))
"""The transaction statuses in which a block is open, failed or not."""
RESETS_SETTINGS = frozenset({"ROLLBACK", "RESET", "DISCARD ALL"})
"""Tags of statements that may take the engine's settings away."""

Row = tuple["str | None", ...]
_SHOWN_ROWS, _SHOWN_COLUMNS, _SHOWN_CELL = 10, 10, 200  # of a result that a report shows; characters of a value
_ROWS_IN_TAG = re.compile(r" (\d+)$")


@lru_cache(maxsize=1024)
def rows_in(tag: str) -> int | None:
    """Read the number of rows in a tag; None where it holds none."""
    found = _ROWS_IN_TAG.search(tag)
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class ServerError:
    """An error as the server said it, or the loss of the connection.

    Args:
        sqlstate: five characters.
        message: the primary message.
        hint: detail, hint, context and position, a line each.
        lost: the connection is gone.
        said: the server itself gave the SQLSTATE.
        position: the character of the query that it points to, from 1; 0 where it points to none.
        broken: the server took a new connection and ended it without a word.
        sent: the statement may have reached the server.
    """

    sqlstate: str
    message: str
    hint: tuple[str, ...] = ()
    lost: bool = False
    said: bool = True
    position: int = 0
    broken: bool = False
    sent: bool = True


@dataclass(slots=True)  # not frozen: every statement has one, and to make a frozen one takes four times as long
class Result:
    """One result of a query: its tag and, lazily, its rows as text."""

    tag: str
    _raw: pq.abc.PGresult = field(repr=False)

    @property
    def count(self) -> int | None:
        """Rows returned or affected; None where the tag holds no number."""
        return rows_in(self.tag)

    @property
    def width(self) -> int:
        """Number of columns; 0 where it returns no rows."""
        return self._raw.nfields

    @property
    def height(self) -> int:
        """Number of rows."""
        return self._raw.ntuples

    def columns(self) -> tuple[str, ...]:
        """Return the names of its columns."""
        return tuple((self._raw.fname(i) or b"").decode("utf-8", "replace") for i in range(self._raw.nfields))

    def types(self) -> tuple[int, ...]:
        """Return the OIDs of their types."""
        return tuple(self._raw.ftype(i) for i in range(self._raw.nfields))

    def origin(self, column: int) -> tuple[int, int]:
        """Tell the table that a column comes from straight: its OID and the column's number, 0 where it is computed."""
        return self._raw.ftable(column), self._raw.ftablecol(column)

    def rows(self) -> Iterator[Row]:
        """Give its rows as text, None for NULL."""
        raw, width = self._raw, self._raw.nfields
        for number in range(raw.ntuples):
            cells = (raw.get_value(number, i) for i in range(width))
            yield tuple(None if cell is None else cell.decode("utf-8", "replace") for cell in cells)

    def first_rows(self) -> tuple[Row, ...]:
        """Give the names of its first columns, then its first rows, for a report; long values are cut."""
        rows = islice(self.rows(), _SHOWN_ROWS)
        cut = (tuple(cell if cell is None else cell[:_SHOWN_CELL] for cell in row[:_SHOWN_COLUMNS]) for row in rows)
        return (self.columns()[:_SHOWN_COLUMNS], *cut)


@dataclass(slots=True)
class Answer:
    """All that came back for one query.

    Args:
        results: of its statements, in order, up to the error.
        error: what ended it, or None.
        before, after: the transaction status of the connection, as libpq tells it.
        interrupted: it was cancelled by us: because the run stops, or its time was over.
        copied: lines that COPY … TO STDOUT sent.
    """

    before: int
    after: int = pq.TransactionStatus.UNKNOWN
    results: list[Result] = field(default_factory=list)
    error: ServerError | None = None
    interrupted: bool = False
    copied: list[str] = field(default_factory=list)

    @property
    def tag(self) -> str | None:
        """The tag of its last statement, or None."""
        return self.results[-1].tag if self.results else None

    def rows(self) -> list[Row]:
        """Return the rows of all results as text, None for NULL."""
        return [row for result in self.results for row in result.rows()]


def server_error(raw: pq.abc.PGresult, lost: bool) -> ServerError:
    """Read an error out of a result."""

    def diagnostic(which: pq.DiagnosticField) -> str:
        value = raw.error_field(which)
        return value.decode("utf-8", "replace") if value else ""

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
