"""Finds blocked sessions from successive snapshots of the server's locks. Pure.

One snapshot may catch a session that waits for a microsecond. A session is blocked where it waits in the same
statement in two snapshots in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pgchaos.schedule.wait_rules import Actor


@dataclass(frozen=True, slots=True)
class BlockedSeen:
    """One connection in one snapshot."""

    ticket: int  # the number of its statement
    blockers: tuple[int, ...]  # the pids that it waits for (`pg_blocking_pids`); 0 is a prepared transaction


@dataclass(slots=True)
class BlockedSessions:
    """The last two snapshots."""

    pids: Mapping[int, Actor]  # of this scenario's connections
    _last: Mapping[Actor, BlockedSeen] = field(default_factory=dict)
    # blocked connections, with the pids that they wait for in the last snapshot
    confirmed: Mapping[Actor, tuple[int, ...]] = field(default_factory=dict)

    def add(self, look: Mapping[Actor, BlockedSeen]) -> tuple[frozenset[Actor], frozenset[Actor]]:
        """Take a snapshot of the waiting connections; gives those blocked, and those by one of this scenario."""
        last, self._last = self._last, look
        twice = {
            actor: seen
            for actor, seen in look.items()
            if (before := last.get(actor)) is not None and before.ticket == seen.ticket
        }
        self.confirmed = {actor: seen.blockers for actor, seen in twice.items()}
        ours = frozenset(actor for actor, seen in twice.items() if any(pid in self.pids for pid in seen.blockers))
        return frozenset(twice), ours
