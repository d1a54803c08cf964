"""Decides whether a session is blocked for good, or about to go on. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SeenSession:
    """What the server says of a session."""

    blocked: bool  # by another session of the spec, or until a safe snapshot (pg_isolation_test_session_is_blocked)
    # pids that block it (pg_blocking_pids, pg_safe_snapshot_blocking_pids), also other sessions'
    by: Collection[int] = ()


def is_blocked_for_good(pid: int, seen: Mapping[int, SeenSession], busy: Collection[int]) -> bool:
    """Whether a session stays blocked until another step is launched; `busy` are those with an unfinished query.

    It does where all sessions of the spec that it waits for are idle, or blocked themselves. A running one may end its
    transaction in a moment; isolationtester, which checks 10 ms later, then finds nobody blocked.
    """
    if pid not in seen or not seen[pid].blocked:
        return False
    todo, done = [pid], {pid}
    while todo:
        for other in seen[todo.pop()].by:
            if other in done or other not in busy:
                continue
            if other not in seen or not seen[other].blocked:
                return False
            done.add(other)
            todo.append(other)
    return True
