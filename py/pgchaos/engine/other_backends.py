"""Backends that are not sessions of the scenario: of dblink, parallel and background workers, autovacuum. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from pgchaos.schedule.step_points import PREPARED
from pgchaos.schedule.wait_rules import Actor

Waits: TypeAlias = "Mapping[int, tuple[int, ...]]"
"""The pids that block each waiting backend."""
_LONG = 60
"""Characters of a statement that a description shows."""
_CALLS_OUT = re.compile(r"\bdblink", re.IGNORECASE)

OUTSIDE = "Extension"
"""The wait event type of a backend that waits for another server: by postgres_fdw, or (from 17 on) by dblink."""


def pid_text(pid: int) -> str:
    """Name a foreign backend of which only the pid is known."""
    return "a prepared transaction" if pid == PREPARED else f"pid {pid}"


@dataclass(frozen=True, slots=True)
class Backend:
    """A row of pg_stat_activity."""

    kind: str
    application: str
    state: str
    leader: int | None
    statement: str

    @property
    def is_client(self) -> bool:
        """Whether a client has opened it, which may be another backend."""
        return self.kind == "client backend"

    @property
    def is_idle(self) -> bool:
        """Whether it waits for its client."""
        return self.state.startswith("idle")


def query(pids: Collection[int]) -> str:
    """Write the query whose rows `read` reads: of some backends, and of all clients of the database."""
    return (
        "SELECT pid, backend_type, application_name, state, leader_pid, query"
        f" FROM pg_catalog.pg_stat_activity WHERE pid = ANY ('{{{','.join(map(str, pids))}}}')"
        " OR backend_type = 'client backend' AND datname = pg_catalog.current_database()"
    )


def read(rows: Sequence[Sequence[str | None]]) -> dict[int, Backend]:
    """Read the rows of `query`."""
    return {
        int(pid): Backend(
            kind or "backend", application or "", state or "", int(leader) if leader else None, text or ""
        )
        for pid, kind, application, state, leader, text in rows
        if pid is not None
    }


def names(
    backends: Mapping[int, Backend], actors: Mapping[int, Actor], callers: Mapping[int, int] = MappingProxyType({})
) -> dict[int, str]:
    """Describe backends.

    Args:
        backends: by pid; those of sessions are left out.
        actors: the sessions, by pid.
        callers: the sessions that have called backends themselves, both by pid.

    Returns:
        Such as `pid 4711 (autovacuum worker: autovacuum: VACUUM public.t)` or `pid 4712 (parallel worker of a[1])`.
    """
    named: dict[int, str] = {}
    for pid, one in backends.items():
        if pid in actors:
            continue
        owner = actors.get(callers.get(pid, one.leader or 0))
        text = one.kind
        if owner is not None:
            text += f" of {owner}"
        elif one.application:
            text += f" {one.application}"
        text += f", {one.state}" if one.state else ""
        shown = " ".join(one.statement.split())
        text += f": {shown if len(shown) <= _LONG else shown[: _LONG - 1] + '…'}" if shown else ""
        named[pid] = f"{pid_text(pid)} ({text})"
    return named


def of_sessions(
    waits: Waits, callers: Mapping[int, int], running: Collection[int], backends: Mapping[int, Backend]
) -> dict[int, tuple[int, ...]]:
    """Replace the backends that sessions have called by these sessions.

    Args:
        waits: the pids that block each waiting backend.
        callers: the session that has called a backend, both by pid.
        running: the sessions that run a statement.
        backends: those that are not sessions.
    """
    dependent = _dependent(waits, callers, running, backends)

    def holder(pid: int) -> int:
        return dependent.get(pid, pid)

    found = {pid: tuple(dict.fromkeys(map(holder, by))) for pid, by in waits.items() if pid not in callers}
    for pid, by in waits.items():
        caller = callers.get(pid, 0)
        if caller in running and caller not in waits:
            found[caller] = tuple(dict.fromkeys((*found.get(caller, ()), *map(holder, by))))
    return found


def _dependent(
    waits: Waits, callers: Mapping[int, int], running: Collection[int], backends: Mapping[int, Backend]
) -> dict[int, int]:
    """Return the called backends that go on only with their session, with it; see `of_sessions`.

    Another, such as one with an asynchronous query, goes on by itself, and may release its locks.
    """
    calling = {pid for pid in running if pid not in waits}
    return {pid: by for pid, by in callers.items() if by in calling or (pid in backends and backends[pid].is_idle)}


def hidden_deadlock(
    waits: Waits, callers: Mapping[int, int], running: Collection[int], backends: Mapping[int, Backend]
) -> tuple[int, ...]:
    """Find a cycle of waits that the server does not detect, because a session in it waits for a backend it has called.

    Args:
        waits: the pids that block each waiting backend.
        callers: the session that has called a backend, both by pid.
        running: the sessions that run a statement.
        backends: those that are not sessions.

    Returns:
        The pids of the cycle, each waiting for the next and the last for the first, a session first; empty if there is
        none, or the server breaks another.
    """
    if any(_cycle(waits, pid) for pid in waits):
        return ()
    dependent = _dependent(waits, callers, running, backends)
    edges = {**{pid: (caller,) for pid, caller in dependent.items()}, **waits}
    for pid, caller in callers.items():
        if pid in waits and caller in running and caller not in waits:
            edges[caller] = (*edges.get(caller, ()), pid)
    return next((found for pid in running if (found := _cycle(edges, pid))), ())


def _cycle(edges: Waits, start: int) -> tuple[int, ...]:
    """Find the shortest way along the edges from a backend to itself."""
    ways: list[tuple[int, ...]] = [(start,)]
    seen = {start}
    for way in ways:
        for pid in edges.get(way[-1], ()):
            if pid == start:
                return way
            if pid not in seen:
                seen.add(pid)
                ways.append((*way, pid))
    return ()


def calls_out(statement: str, event: str | None) -> bool:
    """Whether a session may be waiting for a backend that it has called itself."""
    return event == OUTSIDE or _CALLS_OUT.search(statement) is not None
