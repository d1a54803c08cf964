"""Says who cancelled a statement or ended a connection: a fault, or another session of the scenario. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pgchaos.engine.answer import LOST
from pgchaos.results import Record

_CALLS = {
    "57014": re.compile(r"\bchaos\s*\.\s*cancel\s*\(|\bpg_cancel_backend\s*\(", re.IGNORECASE),
    "57P01": re.compile(r"\bchaos\s*\.\s*terminate\s*\(|\bpg_terminate_backend\s*\(", re.IGNORECASE),
}
"""By SQLSTATE: what a statement calls that brings it to another session."""
_FAULTS = {"57014": ("cancel",), "57P01": ("terminate", "restart", "stop")}
_FAULT = "-- fault: "  # and what it does, such as `cancel of shop[1], during line 7`
_DID = {"57014": "cancelled", "57P01": "terminated"}
_STRUCK = re.compile(
    r"-- fault: (?P<what>(?P<kind>cut|reset|kill|crash|stop|restart|fill wal)\b.*?), (?P<moment>\w+) line [0-9]+"
)
"""What ends a connection without a word of the server's."""
_OF_ONE_CONNECTION = frozenset({"cut", "reset"})
_OF_A_LIMIT = re.compile(r"due to (?:statement|lock|idle|transaction)\b.*\btimeout|conflict with recovery")
"""How the message of 57014 ends where a limit of time has cancelled it (postgres.c)."""


def cancelled_by(victim: Record, message: str, records: Sequence[Record], acts: Sequence[Record]) -> str:
    """Say who has cancelled a statement, or ended its connection."""
    if victim.sqlstate == LOST:
        return _lost_by(victim, records, acts)
    calls = _CALLS.get(victim.sqlstate or "")
    if calls is None or victim.ended_at is None or _OF_A_LIMIT.search(message):
        return ""
    did = _DID[str(victim.sqlstate)]
    for act in acts:
        kind = re.split("[ ,]", act.statement.removeprefix(_FAULT), maxsplit=1)[0]
        if act.statement.startswith(_FAULT) and kind in _FAULTS[str(victim.sqlstate)] and _hits(act, victim):
            return f"{did} by the fault of line {act.place.line}"
    for record in records:
        if record is not victim and calls.search(record.sent or record.statement) and _beside(record, victim):
            return f"{did} by {record.session}[{record.worker}] ({record.place})"
    return ""


def _lost_by(victim: Record, records: Sequence[Record], acts: Sequence[Record]) -> str:
    """Find the latest fault that ended the connection, unless the session has had an answer on it since."""
    others = (one.ended_at for one in reversed(records) if _who(one) == _who(victim) and one is not victim)
    since = next(filter(None, others), 0.0)
    for act in reversed(acts):
        struck_at = act.started_at if act.ended_at is None else act.ended_at
        if struck_at is None or struck_at < since or (victim.ended_at is not None and struck_at > victim.ended_at):
            continue
        fault = _STRUCK.fullmatch(act.statement)
        if fault is not None and (fault["kind"] not in _OF_ONE_CONNECTION or _is_struck(act, victim)):
            written = fault["what"] if fault["moment"] == "before" else f"{fault['what']} {fault['moment']}"
            return f"ERROR {LOST} (connection_failure): caused by the scenario's own fault: `{written}` at {act.place}"
    return ""


def _hits(act: Record, victim: Record) -> bool:
    if not _beside(act, victim) or act.statement.endswith(": not delivered"):
        return False
    return act.statement.startswith((f"{_FAULT}restart", f"{_FAULT}stop")) or _is_struck(act, victim)


def _is_struck(act: Record, victim: Record) -> bool:
    target = re.search(r" of (?P<name>[^\s\[,]+)(?:\[(?P<worker>[0-9]+)\])?", act.statement)
    if target is None:
        return _who(act) == _who(victim)
    return target["name"] == victim.session and target["worker"] in (None, str(victim.worker))


def _who(record: Record) -> tuple[str, int]:
    return record.session, record.worker


def _beside(record: Record, victim: Record) -> bool:
    """Say whether something was under way while a statement ran, or just before: a fault may strike it then, too."""
    if record.started_at is None or victim.started_at is None or victim.ended_at is None:
        return False
    own = _who(record) == _who(victim)
    return record.started_at <= victim.ended_at and (
        own or record.ended_at is None or record.ended_at >= victim.started_at
    )
