"""Converts the proxy's outcomes of requests to answers of the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from psycopg import pq

from pgchaos.engine.answer import LOST, SUCCESS, Answer, Result, Row, ServerError
from pgchaos.engine.proxy.rows import ResultRows
from pgchaos.engine.proxy.tracker import Outcome
from pgchaos.server_text import encoded

_STATUS = {"I": pq.TransactionStatus.IDLE, "T": pq.TransactionStatus.INTRANS, "E": pq.TransactionStatus.INERROR}
_HINTS = (("DETAIL", "D"), ("HINT", "H"), ("QUERY", "q"), ("CONTEXT", "W"))
IDLE, IN_BLOCK = int(pq.TransactionStatus.IDLE), int(pq.TransactionStatus.INTRANS)


def status_of(outcome: Outcome, before: int) -> int:
    """Return the transaction status after a request; in a pipeline the server reports it only at the end."""
    if outcome.lost:
        return int(pq.TransactionStatus.UNKNOWN)
    if not outcome.status:
        return before if before != IDLE else IN_BLOCK
    return int(_STATUS.get(outcome.status, pq.TransactionStatus.UNKNOWN))


def error_of(outcome: Outcome) -> ServerError | None:
    """Return the error of an outcome, or None."""
    if outcome.sqlstate == SUCCESS:
        return None
    return server_error(outcome.sqlstate, outcome.message, outcome.fields, lost=outcome.lost)


def server_error(sqlstate: str, message: str, fields: Mapping[str, str], *, lost: bool) -> ServerError:
    """Make an error from the fields of the server's message."""
    hint = tuple(f"{label}: {fields[letter]}" for label, letter in _HINTS if fields.get(letter))
    from_server = bool(fields) or not lost
    return ServerError(sqlstate or LOST, message, hint, lost=lost, from_server=from_server)


def answer_of(outcome: Outcome, before: int) -> Answer:
    """Make an answer, with rows if the proxy kept them."""
    results: list[Result] = [ProxyResult(rows) for rows in outcome.results]
    return Answer(before, status_of(outcome, before), results, error_of(outcome))


class ProxyResult(Result):
    """A result that passed through the proxy.

    Args:
        raw: the messages of the result.
    """

    def __init__(self, raw: ResultRows) -> None:
        self.tag, self._sent, self._columns = raw.tag, raw, raw.columns()

    @property
    def width(self) -> int:
        """See Result."""
        return len(self._columns)

    @property
    def height(self) -> int:
        """See Result."""
        return sum(1 for _ in self.rows())

    def columns(self) -> tuple[str, ...]:
        """See Result."""
        return tuple(column.name for column in self._columns)

    def types(self) -> tuple[int, ...]:
        """See Result."""
        return tuple(column.type for column in self._columns)

    def origin(self, column: int) -> tuple[int, int]:
        """See Result."""
        return self._columns[column].table, self._columns[column].number

    def rows(self) -> Iterator[Row]:
        """See Result."""
        return self._sent.rows(self._columns)


class NoticeFields:
    """A notice of the server, with the interface that NoticeCollector needs.

    Args:
        fields: by their letters.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields

    def error_field(self, which: int) -> bytes | None:
        """Return a field by its number in libpq, which is the code of its letter."""
        value = self._fields.get(chr(which))
        return None if value is None else encoded(value)
