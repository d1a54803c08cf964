"""Writes what a run recorded to chaos.history, .transactions, .acknowledged and .notifications, for the check."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone

from pgchaos.engine.connection import Connection
from pgchaos.engine.error_messages import error_failure
from pgchaos.engine.session_log import SessionLog
from pgchaos.results import Failure, Record, Transaction
from pgchaos.server_text import escaped

Cell = object
RECORDED = re.compile(r"\b(?:history|transactions|acknowledged|notifications)\b", re.IGNORECASE)
"""Matches a scenario that may read these tables."""
_PATIENCE = 30.0
"""Seconds for one table."""
_COLUMNS = {
    "history": "session, worker, iteration, attempt, step, line, statement, tag, rows, sqlstate, message, waited_on,"
    " fault, started_at, ended_at",
    "transactions": "session, worker, iteration, attempt, block, outcome, sqlstate",
    "acknowledged": "position, session, worker, iteration, attempt, step, variables, acknowledged_at",
    "notifications": "session, worker, channel, payload, received_at",
}
"""The columns that are written; the setting chaos.run adds the run."""


def fill(connection: Connection, log: SessionLog) -> Failure | None:
    """Fill the tables; return what went wrong, or None."""
    writer = _Writer()
    tables: tuple[tuple[str, Iterable[Sequence[str]]], ...] = (
        ("history", (_history(record, writer) for record in log.records)),
        ("transactions", (_transaction(transaction, writer) for transaction in log.transactions)),
        ("acknowledged", _acknowledged(log.transactions, writer)),
        (
            "notifications",
            (
                (*map(writer.cell, (n.session, n.worker, n.channel, n.payload)), writer.time(n.received_at))
                for n in log.notifications
            ),
        ),
    )
    for name, rows in tables:
        data = "".join(["\t".join(row) + "\n" for row in rows])
        answer = connection.ask(f"COPY chaos._{name} ({_COLUMNS[name]}) FROM STDIN", data, connection.within(_PATIENCE))
        if answer.error is not None:
            return error_failure(answer.error, None, f"chaos.{name}")
    return None


def _history(record: Record, writer: _Writer) -> Sequence[str]:
    cells = (
        record.session,
        record.worker,
        record.iteration,
        record.attempt,
        record.step,
        record.place.line,
        record.statement,
        record.tag,
        record.rows,
        record.sqlstate,
        record.message,
        ", ".join(record.waited_on),
        record.fault,
    )
    return *map(writer.cell, cells), writer.time(record.started_at), writer.time(record.ended_at)


def _transaction(t: Transaction, writer: _Writer) -> Sequence[str]:
    # True would be the key of 1 in _Cells, as they are equal
    block = "t" if t.block else "f"
    cells = (t.session, t.worker, t.iteration, t.attempt, block, t.outcome, t.sqlstate)
    return tuple(map(writer.cell, cells))


def _acknowledged(transactions: Iterable[Transaction], writer: _Writer) -> Iterator[Sequence[str]]:
    """List the acknowledged commits, in the order of acknowledgement."""
    committed = (t for t in transactions if t.outcome == "committed")
    for number, t in enumerate(committed, 1):
        cells = (t.session, t.worker, t.iteration, t.attempt, t.step, _json(t.variables))
        yield str(number), *map(writer.cell, cells), writer.time(t.ended_at)


def _json(variables: Mapping[str, str]) -> str:
    # unescaped, as the server cannot convert \u00e9 if the encoding of the database is SQL_ASCII
    return json.dumps({name: escaped(value) for name, value in variables.items()}, ensure_ascii=False)


class _Writer:
    """Writes values in COPY's text format (PostgreSQL docs, "COPY", Text Format), and keeps them for one run."""

    def __init__(self) -> None:
        self.cell = _Cells().__getitem__
        self._seconds: dict[int, str] = {}

    def time(self, seconds: float | None) -> str:
        """Write a time to the microsecond, as the server keeps it."""
        if seconds is None:
            return r"\N"
        whole, micro = divmod(round(seconds * 1e6), 1_000_000)
        text = self._seconds.get(whole)
        if text is None:
            text = self._seconds[whole] = datetime.fromtimestamp(whole, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        return f"{text}.{micro:06}+00"


class _Cells(dict[Cell, str]):
    """The texts of values, most of which are in many rows."""

    def __missing__(self, value: Cell) -> str:
        if value is None:
            text = r"\N"
        elif isinstance(value, str):
            text = escaped(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
        else:
            text = str(value)
        self[value] = text
        return text
