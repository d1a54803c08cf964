"""From looks at the server to who is blocked. Pure.

One look may catch a session that waits for a microsecond. Blocked is who was seen waiting in two looks running, in the
same statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pgchaos.schedule.wait_rules import Actor


@dataclass(frozen=True, slots=True)
class BlockedSeen:
    """One connection in one look.

    Args:
        ticket: the number of the statement that it is in.
        blockers: the pids that it waits for (`pg_blocking_pids`); 0 is a prepared transaction.
    """

    ticket: int
    blockers: tuple[int, ...]


@dataclass(slots=True)
class BlockedSessions:
    """The last two looks.

    Args:
        pids: of the connections of this scenario.
    """

    pids: Mapping[int, Actor]
    _last: Mapping[Actor, BlockedSeen] = field(default_factory=dict)
    confirmed: Mapping[Actor, tuple[int, ...]] = field(default_factory=dict)
    """Who was seen waiting in the last two looks, and for which pids in the last."""

    def add(self, look: Mapping[Actor, BlockedSeen]) -> tuple[frozenset[Actor], frozenset[Actor]]:
        """Take one more look.

        Args:
            look: those who were seen waiting.

        Returns:
            Who is blocked by anybody, and who is blocked by a connection of this scenario.
        """
        last, self._last = self._last, look
        twice = {
            actor: seen
            for actor, seen in look.items()
            if (before := last.get(actor)) is not None and before.ticket == seen.ticket
        }
        self.confirmed = {actor: seen.blockers for actor, seen in twice.items()}
        ours = frozenset(actor for actor, seen in twice.items() if any(pid in self.pids for pid in seen.blockers))
        return frozenset(twice), ours
