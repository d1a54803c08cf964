"""Writes what a run recorded to chaos.history, .transactions, .acknowledged and .notifications, for the check."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone

from pgchaos.engine.connection import Connection
from pgchaos.engine.error_messages import error_failure
from pgchaos.engine.session_log import SessionLog
from pgchaos.results import Failure, Record, Transaction

Cell = object
RECORDED = re.compile(r"\b(?:history|transactions|acknowledged|notifications)\b", re.IGNORECASE)
"""Matches a scenario that may read these tables."""
_PATIENCE = 30.0
"""Seconds for one table."""
_COLUMNS = {
    "history": "session, worker, iteration, attempt, step, line, statement, tag, rows, sqlstate, message, started_at,"
    " ended_at, waited_on, fault",
    "transactions": "session, worker, iteration, attempt, block, outcome, sqlstate",
    "acknowledged": "position, session, worker, iteration, attempt, step, variables, acknowledged_at",
    "notifications": "session, worker, channel, payload, received_at",
}
"""The columns that are written; the setting chaos.run adds the run."""


def fill(connection: Connection, log: SessionLog) -> Failure | None:
    """Fill the tables; return what went wrong, or None."""
    tables: tuple[tuple[str, Iterable[Sequence[Cell]]], ...] = (
        ("history", map(_history, log.records)),
        (
            "transactions",
            ((t.session, t.worker, t.iteration, t.attempt, t.block, t.outcome, t.sqlstate) for t in log.transactions),
        ),
        ("acknowledged", _acknowledged(log.transactions)),
        (
            "notifications",
            ((n.session, n.worker, n.channel, n.payload, _time(n.received_at)) for n in log.notifications),
        ),
    )
    for name, rows in tables:
        data = "".join("\t".join(map(_cell, row)) + "\n" for row in rows)
        answer = connection.ask(f"COPY chaos._{name} ({_COLUMNS[name]}) FROM STDIN", data, connection.within(_PATIENCE))
        if answer.error is not None:
            return error_failure(answer.error, None, f"chaos.{name}")
    return None


def _acknowledged(transactions: Iterable[Transaction]) -> Iterator[Sequence[Cell]]:
    """List the acknowledged commits, in the order of acknowledgement."""
    committed = (t for t in transactions if t.outcome == "committed")
    for number, t in enumerate(committed, 1):
        variables = json.dumps(t.variables)
        yield number, t.session, t.worker, t.iteration, t.attempt, t.step, variables, _time(t.ended_at)


def _history(record: Record) -> Sequence[Cell]:
    return (
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
        _time(record.started_at),
        _time(record.ended_at),
        ", ".join(record.waited_on),
        record.fault,
    )


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def _cell(value: Cell) -> str:
    """Write a value in COPY's text format (PostgreSQL docs, "COPY", Text Format)."""
    if value is None:
        return r"\N"
    if not isinstance(value, str):
        # a number or a boolean
        return str(value)
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
