"""The points between steps where sessions pause, and the sessions that stay blocked there. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pgchaos.schedule.wait_rules import Actor

PREPARED = 0  # `pg_blocking_pids` reports a prepared transaction by this pid


@dataclass(frozen=True, slots=True)
class StepPoint:
    """A connection that is paused before a step."""

    actor: Actor
    step: str  # the name of the next step, without the session
    iteration: int  # of its session, from 1
    ordinal: int  # the number of the step in its session, from 0
    begins: bool = False  # no block is open, so a transaction begins here

    @property
    def position(self) -> tuple[int, int]:
        """The step's iteration and ordinal."""
        return self.iteration, self.ordinal


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision of a run."""

    ready: tuple[Actor, ...]  # the connections that could continue, in file order
    taken: Actor  # the chosen one
    positions: tuple[tuple[int, int], ...] = ()  # the positions of the next steps of `ready`
    waiting: bool = False  # another connection was blocked or at a wait


def find_blocked(
    waits: Mapping[Actor, Collection[Actor | int]], idle: Collection[Actor]
) -> tuple[frozenset[Actor], frozenset[Actor]]:
    """Find the connections that stay blocked until another one is released.

    Args:
        waits: what each blocked connection waits for, in one snapshot of the server: connections of the scenario,
            PREPARED for a prepared transaction, pids of other backends, which may release their locks themselves.
        idle: the connections that do nothing: paused before a step, at a wait, or ended.

    Returns:
        Those that stay blocked, and of these, those blocked by a connection of the scenario. Connections in a cycle of
        waits are not included: the server's deadlock detector resolves it.
    """
    known: set[Actor] = set()
    while more := {a for a, by in waits.items() if a not in known and _stays(by, idle, known)}:
        known |= more
    stable = frozenset(actor for actor in known if not _in_cycle(actor, waits))
    return stable, frozenset(actor for actor in stable if any(isinstance(by, Actor) for by in waits[actor]))


def _stays(by: Collection[Actor | int], idle: Collection[Actor], known: Collection[Actor]) -> bool:
    return any(one in known or one in idle if isinstance(one, Actor) else one == PREPARED for one in by)


def reached(start: Actor, waits: Mapping[Actor, Collection[Actor | int]]) -> set[Actor]:
    """Return the connections that a connection waits for, directly and indirectly; for `waits` see `find_blocked`."""
    found: set[Actor] = set()
    new = [start]
    while new:
        more = {by for one in new for by in waits.get(one, ()) if isinstance(by, Actor)}
        new = [actor for actor in more if actor not in found]
        found.update(new)
    return found


def _in_cycle(start: Actor, waits: Mapping[Actor, Collection[Actor | int]]) -> bool:
    """Whether a connection waits indirectly for itself, or for a cycle of others."""
    return any(one in reached(one, waits) for one in (start, *reached(start, waits)))


# One snapshot of the server's locks may show a session that waits only for a microsecond. So a session counts as
# blocked if it waits in the same statement in two consecutive snapshots.


@dataclass(frozen=True, slots=True)
class BlockedSeen:
    """One connection in one snapshot."""

    ticket: int  # the number of its statement
    blockers: tuple[int, ...]  # the pids that it waits for (`pg_blocking_pids`); 0 is a prepared transaction


@dataclass(slots=True)
class BlockedSessions:
    """Compares consecutive snapshots of the waiting connections."""

    pids: Mapping[int, Actor]  # of this scenario's connections
    _last: Mapping[Actor, BlockedSeen] = field(default_factory=dict)
    # blocked connections, with the pids that they wait for in the last snapshot
    confirmed: Mapping[Actor, tuple[int, ...]] = field(default_factory=dict)

    def add(self, snapshot: Mapping[Actor, BlockedSeen]) -> tuple[frozenset[Actor], frozenset[Actor]]:
        """Add a snapshot; return the blocked connections, and of these, those blocked by one of this scenario."""
        last, self._last = self._last, snapshot
        twice = {
            actor: seen
            for actor, seen in snapshot.items()
            if (before := last.get(actor)) is not None and before.ticket == seen.ticket
        }
        self.confirmed = {actor: seen.blockers for actor, seen in twice.items()}
        ours = frozenset(actor for actor, seen in twice.items() if any(pid in self.pids for pid in seen.blockers))
        return frozenset(twice), ours
