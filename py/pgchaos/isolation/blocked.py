"""Decides whether a session stays blocked, or may continue soon. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SeenSession:
    """The server's information about a session."""

    blocked: bool  # by another session of the spec, or until a safe snapshot (pg_isolation_test_session_is_blocked)
    # the pids that block it, also of backends outside the spec (pg_blocking_pids, pg_safe_snapshot_blocking_pids)
    by: Collection[int] = ()


def is_blocked_for_good(pid: int, seen: Mapping[int, SeenSession], busy: Collection[int]) -> bool:
    """Whether a session stays blocked until another step is launched; `busy` are the pids with an unfinished query.

    It does if all sessions of the spec that it waits for are idle, or blocked themselves. A running one may end its
    transaction soon; then isolationtester, which checks 10 ms later, finds no session blocked.
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
