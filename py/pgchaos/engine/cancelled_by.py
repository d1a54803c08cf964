"""Says who cancelled a statement or ended a connection: a fault, or another session of the scenario. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pgchaos.results import Record

_CALLS = {
    "57014": re.compile(r"\bchaos\s*\.\s*cancel\s*\(|\bpg_cancel_backend\s*\(", re.IGNORECASE),
    "57P01": re.compile(r"\bchaos\s*\.\s*terminate\s*\(|\bpg_terminate_backend\s*\(", re.IGNORECASE),
}
"""By SQLSTATE: what a statement calls that brings it to another session."""
_FAULTS = {"57014": ("cancel",), "57P01": ("terminate", "restart", "stop")}
_FAULT = "-- fault: "  # and what it does, such as `cancel of shop[1], during line 7`
_DID = {"57014": "cancelled", "57P01": "terminated"}
_OF_A_LIMIT = re.compile(r"due to (?:statement|lock|idle|transaction)\b.*\btimeout|conflict with recovery")
"""How the message of 57014 ends where a limit of time has cancelled it (postgres.c)."""


def cancelled_by(victim: Record, message: str, records: Sequence[Record], acts: Iterable[Record]) -> str:
    """Say who has cancelled a statement, or terminated its connection."""
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


def _hits(act: Record, victim: Record) -> bool:
    if not _beside(act, victim) or act.statement.endswith(": not delivered"):
        return False
    target = re.search(r" of (?P<name>[^\s\[,]+)(?:\[(?P<worker>[0-9]+)\])?", act.statement)
    if target is None:
        return act.statement.startswith((f"{_FAULT}restart", f"{_FAULT}stop")) or _who(act) == _who(victim)
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
