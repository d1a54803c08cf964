"""Is a session blocked for good, or just about to go on? Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server said of a session.

    Args:
        blocked: by another session of the spec, or until a safe snapshot comes (pg_isolation_test_session_is_blocked).
        by: the pids that block it (pg_blocking_pids, pg_safe_snapshot_blocking_pids), strangers' too.
    """

    blocked: bool
    by: Collection[int] = ()


def settled(pid: int, seen: Mapping[int, Seen], busy: Collection[int]) -> bool:
    """Say whether a session stays blocked until a further step is launched.

    It does where all the sessions of the spec that it waits for are idle, or blocked themselves. One that runs may end
    its transaction in a moment; then isolationtester, which looks 10 ms later, finds nobody blocked.

    Args:
        pid: of the session.
        seen: of all sessions that are busy.
        busy: pids of the sessions that have a query which is not over.

    Returns:
        True where it is blocked for good.
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
