"""Finds sessions that hold one another up for good, where the server's deadlock detector cannot see it. Pure.

A session that stands at a barrier holds its locks; who waits for these locks never comes to the barrier. The server
sees a lock wait and no cycle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

Who = TypeVar("Who")


def stuck(living: Collection[Who], still: Collection[Who], blocked: Mapping[Who, Collection[Who | None]]) -> bool:
    """Say whether nobody can go on any more.

    Args:
        living: those who have not ended.
        still: those who do nothing by themselves any more: they ended, or stand at a wait that cannot open.
        blocked: whom each blocked one waits for; None is a stranger.

    Returns:
        True where each living one is still, or waits, through any number of others, for one who is. False where a
        stranger may let go, or where the blocked wait for one another: that is for the server to resolve.
    """
    waiting = [who for who in living if who not in still]
    if not waiting or any(who not in blocked or None in blocked[who] for who in waiting):
        return False
    done = set(still)
    while waiting:
        # whoever waits only for those who are known to stay is known to stay
        known = [who for who in waiting if blocked[who] and done.issuperset(blocked[who])]
        if not known:
            return False
        done.update(known)
        waiting = [who for who in waiting if who not in done]
    return True
