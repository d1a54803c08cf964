"""Finds what cancelled a statement or ended a connection: a fault, or another session of the scenario. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pgchaos.engine.answer import LOST
from pgchaos.results import Record

_CALLS = {
    "57014": re.compile(r"\bchaos\s*\.\s*cancel\s*\(|\bpg_cancel_backend\s*\(", re.IGNORECASE),
    "57P01": re.compile(r"\bchaos\s*\.\s*terminate\s*\(|\bpg_terminate_backend\s*\(", re.IGNORECASE),
}
"""By SQLSTATE: the functions that cause it in another session."""
_FAULTS = {"57014": ("cancel",), "57P01": ("terminate", "restart", "stop")}
_FAULT = "-- fault: "  # and what it does, such as `cancel of shop[1], during line 7`
_DID = {"57014": "cancelled", "57P01": "terminated"}
_DELIVERED = re.compile(
    r"-- fault: (?P<what>(?P<kind>cut|reset|kill|crash|stop|restart|fill wal)\b.*?), (?P<moment>\w+) line [0-9]+"
)
"""Faults that end a connection without a message of the server."""
_OF_ONE_CONNECTION = frozenset({"cut", "reset"})
_REQUESTED = "due to user request"
"""How the message of 57014 ends if somebody cancelled the statement, and not a timeout (postgres.c).

In another language of the server it may be either, so nobody is named.
"""


def cancelled_by(victim: Record, message: str, records: Sequence[Record], faults: Sequence[Record]) -> str:
    """Describe what cancelled a statement or ended its connection; '' if unknown."""
    if victim.sqlstate == LOST:
        return _lost_by(victim, records, faults)
    calls = _CALLS.get(victim.sqlstate or "")
    if calls is None or victim.ended_at is None or (victim.sqlstate == "57014" and _REQUESTED not in message):
        return ""
    did = _DID[str(victim.sqlstate)]
    for fault in faults:
        kind = re.split("[ ,]", fault.statement.removeprefix(_FAULT), maxsplit=1)[0]
        if fault.statement.startswith(_FAULT) and kind in _FAULTS[str(victim.sqlstate)] and _hits(fault, victim):
            return f"{did} by the fault of line {fault.place.line}"
    for record in records:
        if record is not victim and calls.search(record.sent or record.statement) and _overlaps(record, victim):
            return f"{did} by {record.session}[{record.worker}] ({record.place})"
    return ""


def _lost_by(victim: Record, records: Sequence[Record], faults: Sequence[Record]) -> str:
    """Find the latest fault that ended the connection, unless a later statement of the session had an answer."""
    others = (one.ended_at for one in reversed(records) if _actor(one) == _actor(victim) and one is not victim)
    since = next(filter(None, others), 0.0)
    for fault in reversed(faults):
        at = fault.started_at if fault.ended_at is None else fault.ended_at
        if at is None or at < since or (victim.ended_at is not None and at > victim.ended_at):
            continue
        found = _DELIVERED.fullmatch(fault.statement)
        if found is not None and (found["kind"] not in _OF_ONE_CONNECTION or _is_target(fault, victim)):
            written = found["what"] if found["moment"] == "before" else f"{found['what']} {found['moment']}"
            cause = f"`{written}` at {fault.place}"
            return f"ERROR {LOST} (connection_failure): caused by the scenario's own fault: {cause}"
    return ""


def _hits(fault: Record, victim: Record) -> bool:
    if not _overlaps(fault, victim) or fault.statement.endswith(": not delivered"):
        return False
    return fault.statement.startswith((f"{_FAULT}restart", f"{_FAULT}stop")) or _is_target(fault, victim)


def _is_target(fault: Record, victim: Record) -> bool:
    target = re.search(r" of (?P<name>[^\s\[,]+)(?:\[(?P<worker>[0-9]+)\])?", fault.statement)
    if target is None:
        return _actor(fault) == _actor(victim)
    return target["name"] == victim.session and target["worker"] in (None, str(victim.worker))


def _actor(record: Record) -> tuple[str, int]:
    return record.session, record.worker


def _overlaps(record: Record, victim: Record) -> bool:
    """Whether a record overlaps a statement, or precedes it in its session, where a fault is delivered before it."""
    if record.started_at is None or victim.started_at is None or victim.ended_at is None:
        return False
    own = _actor(record) == _actor(victim)
    return record.started_at <= victim.ended_at and (
        own or record.ended_at is None or record.ended_at >= victim.started_at
    )
