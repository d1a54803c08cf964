"""Where a session stands between two steps, and who may go on there. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pgchaos.schedule.wait_rules import Actor

PREPARED = 0
"""The pid by which `pg_blocking_pids` tells of a prepared transaction."""


@dataclass(frozen=True, slots=True)
class StepPoint:
    """Where a connection waits to be told to go on: before a step.

    Args:
        actor: the connection.
        step: the name of the step that comes next, without the session.
        iteration: of its session, from 1.
        ordinal: the number of the step in its session, from 0.
        begins: no block is open: a transaction begins there.
    """

    actor: Actor
    step: str
    iteration: int
    ordinal: int
    begins: bool = False

    @property
    def position(self) -> tuple[int, int]:
        """Where the step stands in the course of its connection."""
        return self.iteration, self.ordinal


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision of a run.

    Args:
        ready: the connections that could go on, in order of the file.
        taken: the one that did.
        positions: of their next steps.
        waiting: some other connection had not ended: it was blocked or at a wait.
    """

    ready: tuple[Actor, ...]
    taken: Actor
    positions: tuple[tuple[int, int], ...] = ()
    waiting: bool = False


def find_blocked(
    waits: Mapping[Actor, Collection[Actor | int]], idle: Collection[Actor]
) -> tuple[frozenset[Actor], frozenset[Actor]]:
    """Find who stays blocked for as long as nobody is told to go on.

    Args:
        waits: whom each blocked connection waits for, as one look at the server saw it: connections of the scenario,
            PREPARED for a prepared transaction, other pids for strangers, who may let go by themselves.
        idle: the connections that do nothing: before a step, at a wait, or ended.

    Returns:
        Who is blocked so, and of these who is by a connection of the scenario. Who waits in a circle is not: the
        server will resolve that, by its deadlock detector.
    """
    known: set[Actor] = set()
    while more := {a for a, by in waits.items() if a not in known and _stays(by, idle, known)}:
        known |= more
    firm = frozenset(actor for actor in known if not _in_circle(actor, waits))
    return firm, frozenset(actor for actor in firm if any(isinstance(by, Actor) for by in waits[actor]))


def _stays(by: Collection[Actor | int], idle: Collection[Actor], known: Collection[Actor]) -> bool:
    return any(one in known or one in idle if isinstance(one, Actor) else one == PREPARED for one in by)


def reached(start: Actor, waits: Mapping[Actor, Collection[Actor | int]]) -> set[Actor]:
    """List whom a connection waits for, and whom these wait for, and so on.

    Args:
        start: a connection.
        waits: as for `held`.
    """
    found: set[Actor] = set()
    new = [start]
    while new:
        more = {by for one in new for by in waits.get(one, ()) if isinstance(by, Actor)}
        new = [actor for actor in more if actor not in found]
        found.update(new)
    return found


def _in_circle(start: Actor, waits: Mapping[Actor, Collection[Actor | int]]) -> bool:
    """Say whether somebody waits, through others, for himself, or for a circle of others."""
    return any(one in reached(one, waits) for one in (start, *reached(start, waits)))
