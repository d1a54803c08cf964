"""Backends that are not sessions of the scenario: of dblink, parallel and background workers, autovacuum. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from pgchaos.schedule.step_points import PREPARED
from pgchaos.schedule.wait_rules import Actor

_LONG = 60
"""Characters of a statement that a description shows."""
_CALLS_OUT = re.compile(r"\bdblink", re.IGNORECASE)

OUTSIDE = "Extension"
"""The wait event type of a backend that waits for another server: by postgres_fdw, or (from 17 on) by dblink."""


def pid_text(pid: int) -> str:
    """Name a foreign backend of which only the pid is known."""
    return "a prepared transaction" if pid == PREPARED else f"pid {pid}"


def query(pids: Collection[int]) -> str:
    """Write the query whose rows `names` reads."""
    return (
        "SELECT pid, backend_type, application_name, state, to_jsonb(a)->>'leader_pid', query"
        f" FROM pg_catalog.pg_stat_activity a WHERE pid = ANY ('{{{','.join(map(str, pids))}}}')"
    )


def names(rows: Sequence[Sequence[str | None]], actors: Mapping[int, Actor]) -> dict[int, str]:
    """Describe the backends in the rows of `query`.

    Returns:
        Such as `pid 4711 (autovacuum worker: autovacuum: VACUUM public.t)` or `pid 4712 (parallel worker of a[1])`.
    """
    named: dict[int, str] = {}
    for pid, kind, application, state, leader, statement in rows:
        if pid is None:
            continue
        text = str(kind or "backend")
        if leader is not None and int(leader) in actors:
            text += f" of {actors[int(leader)]}"
        elif application:
            text += f" {application}"
        text += f", {state}" if state else ""
        shown = " ".join((statement or "").split())
        text += f": {shown if len(shown) <= _LONG else shown[: _LONG - 1] + '…'}" if shown else ""
        named[int(pid)] = f"{pid_text(int(pid))} ({text})"
    return named


def calls_out(statement: str, event: str | None) -> bool:
    """Whether a session may be waiting for a backend that it has called itself."""
    return event == OUTSIDE or _CALLS_OUT.search(statement) is not None
