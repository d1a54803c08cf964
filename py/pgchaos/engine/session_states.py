"""The state of each connection of a run: its statement, wait or delay, and the backends that block it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from pgchaos import clock
from pgchaos.engine.answer import ServerError
from pgchaos.engine.other_backends import calls_out, pid_text
from pgchaos.language.problems import Place
from pgchaos.results import Record, StoppedSession
from pgchaos.schedule.programs import sort_key
from pgchaos.schedule.step_points import BlockedSeen
from pgchaos.schedule.wait_rules import Actor

BETWEEN = "is between statements"
_NOT_BEGUN = "has not begun"
"""The state of a session that is connected and has not reached a statement."""
_WAITS = "waits at "
_PROCESS = re.compile(r"\b[Pp]rocess ([0-9]+)")
"""How DETAIL of a deadlock names a backend (deadlock.c)."""
_DEADLOCK = "40P01"
_NUMBER = re.compile(r"[0-9]+")


@dataclass(slots=True)
class SessionState:
    """The current state of a connection."""

    place: Place | None  # its line in the file
    doing: str  # in words
    since: float  # when the state began, on `clock.now()`
    record: Record | None = None  # of the statement that runs; None between statements
    ticket: int = 0  # different for each statement
    blockers: tuple[int, ...] = ()  # the pids of the backends that block it, in the last snapshot
    under_fault: bool = False  # a fault affects its statement, so a lock wait lasts only until its backend notices
    unblocked_at: float = 0.0  # the time of the last snapshot that showed its statement unblocked; 0: none did

    @property
    def waits_at(self) -> str:
        """The wait of the scenario that it is at, or ''."""
        return self.doing.removeprefix(_WAITS) if self.doing.startswith(_WAITS) else ""


class SessionStates:
    """The states of all connections of a run."""

    def __init__(self) -> None:
        self.actors: dict[int, Actor] = {}
        """The connection that a backend belongs or belonged to, by pid."""
        self.foreign_backends: dict[int, str] = {}
        """Descriptions of backends that are not sessions, by pid."""
        self.calling: dict[int, tuple[int, tuple[int, ...]]] = {}
        """Sessions whose called backends were blocked in the last snapshot: the ticket, and what blocked them."""
        self.served: dict[int, int] = {}
        """Behind a pooler: the session that each backend served in the last snapshot; see SessionPool."""
        self._now: dict[Actor, SessionState] = {}
        self._pids: dict[Actor, int] = {}  # of the current backends: earlier ones may still exist
        self._tickets = itertools.count(1)

    def __getitem__(self, actor: Actor) -> SessionState:
        """Return the state of a connection that has begun something."""
        return self._now[actor]

    # updates by connections

    def join(self, actor: Actor, pid: int) -> None:
        """Record the backend of a connection, also after it reconnected."""
        self.actors[pid] = actor
        self._pids[actor] = pid

    def leave(self, actor: Actor) -> None:
        """Record that a connection was lost; its backend, which may still wait, no longer belongs to a session."""
        self._pids.pop(actor, None)

    def current_actor(self, pid: int) -> Actor | None:
        """Return the connection of a backend; None for a foreign one, and for one that its session has lost."""
        actor = self.actors.get(pid)
        return actor if actor is not None and self._pids.get(actor) == pid else None

    def idle(self, actor: Actor, place: Place | None, doing: str) -> None:
        """Record a state other than a statement: a delay, or the end."""
        self._now[actor] = SessionState(place, doing, clock.now())

    def wait(self, actor: Actor, place: Place | None, what: str) -> None:
        """Record that a connection is at a wait of the scenario."""
        self.idle(actor, place, _WAITS + what)

    def begin(self, actor: Actor, record: Record, now: float) -> None:
        """Record that a connection sends a statement at a time."""
        state = self._now.get(actor)
        if state is None:
            state = self._now[actor] = SessionState(None, "", 0.0)
        # reuses the object: this happens for every statement
        state.place, state.doing, state.since, state.record = record.place, "runs", now, record
        state.ticket, state.blockers, state.under_fault, state.unblocked_at = next(self._tickets), (), False, 0.0

    def finish(self, actor: Actor, now: float) -> None:
        """Record that its answer came at a time."""
        doing = self._now[actor]
        if doing.blockers and doing.record is not None:
            doing.record.waited_until = now
        doing.record, doing.doing, doing.since, doing.blockers = None, BETWEEN, now, ()

    def expect_fault(self, pids: Collection[int]) -> None:
        """Record that a fault is about to affect the current statements of these backends."""
        for pid in pids:
            if (now := self._now.get(self.actors[pid])) is not None and now.record is not None:
                now.under_fault = True

    # queries

    def describe_state(self, actor: Actor) -> str:
        """Return the state of a connection in words."""
        now = self._now.get(actor)
        return _NOT_BEGUN if now is None else now.doing

    def in_statement(self, actor: Actor) -> bool:
        """Whether a connection has sent a statement and has no answer yet."""
        return (now := self._now.get(actor)) is not None and now.record is not None

    def busy(self, longer_than: float) -> dict[int, int]:
        """Return the backends that run a statement for at least some seconds, with its ticket."""
        before = clock.now() - longer_than
        doing = self._now
        return {
            pid: now.ticket
            for actor, pid in self._pids.items()
            if (now := doing.get(actor)) is not None and now.record is not None and now.since <= before
        }

    def last_change(self, but: Collection[Actor]) -> float:
        """Return when one of the other connections last changed its state."""
        return max((now.since for actor, now in self._now.items() if actor not in but), default=0.0)

    # snapshots of the server

    def take(self, tickets: dict[int, int], blockers: dict[int, tuple[int, ...]]) -> dict[Actor, BlockedSeen]:
        """Record a snapshot; leave out connections that run another statement now, or are under a fault.

        Args:
            tickets: the result of `busy` before the snapshot.
            blockers: for each blocked pid, the pids that block it.
        """
        snapshot: dict[Actor, BlockedSeen] = {}
        for pid in tickets.keys() - blockers.keys():
            free = self._now[self.actors[pid]]
            if free.ticket == tickets[pid]:
                free.unblocked_at = clock.now()
                if free.blockers and free.record is not None:
                    # the lock was released meanwhile: the report must not show that before its holder sent COMMIT
                    free.record.waited_until = free.unblocked_at
        for pid, by in blockers.items():
            actor = self.actors[pid]
            now = self._now[actor]
            record = now.record
            if record is not None and now.ticket == tickets[pid]:
                if not now.under_fault:
                    snapshot[actor] = BlockedSeen(now.ticket, by)
                now.blockers = by
                self._remember(record, by, now.unblocked_at)
        for actor, now in self._now.items():
            if actor not in snapshot:
                now.blockers = ()
        return snapshot

    def note_blockers(self, pid: int, blockers: tuple[int, ...]) -> None:
        """Record the blockers of a connection, found by another query than a snapshot."""
        now = self._now.get(self.actors[pid])
        if now is not None and now.record is not None:
            self._remember(now.record, blockers)

    def note_deadlock(self, pid: int, record: Record, error: ServerError) -> None:
        """Record the blocker of a deadlock victim from the error: its wait may be too short for a snapshot."""
        if error.sqlstate != _DEADLOCK:
            return
        for line in "\n".join(error.hint).split("\n"):
            numbers = [int(found[0]) for found in _NUMBER.finditer(line)]
            if len(numbers) > 1 and self.served.get(numbers[0], numbers[0]) == pid:
                self._remember(record, (self.served.get(numbers[-1], numbers[-1]),))

    def _remember(self, record: Record, blockers: tuple[int, ...], unblocked_at: float = 0.0) -> None:
        record.waited_from = record.waited_from or unblocked_at or record.started_at
        record.waited_until = clock.now()
        for pid in blockers:
            if pid not in self.actors:
                # its later description is longer
                if not any(f"{known} ".startswith(f"{pid_text(pid)} ") for known in record.blocked_by):
                    record.blocked_by += (self.name(pid),)
            elif (who := str(self.actors[pid])) not in record.waited_on:
                record.waited_on += (who,)

    def name(self, pid: int) -> str:
        """Name a backend: a session of the scenario, or the description of a foreign one."""
        return str(self.actors[pid]) if pid in self.actors else self.foreign_backends.get(pid, pid_text(pid))

    def callers(self, tickets: Mapping[int, int], events: Mapping[int, str | None]) -> list[Record]:
        """List the statements that may wait for a backend that they have called themselves, for example by dblink."""
        found = [(self._now[self.actors[pid]], ticket, events.get(pid)) for pid, ticket in tickets.items()]
        return [
            record
            for now, ticket, event in found
            if (record := now.record) is not None and now.ticket == ticket and calls_out(record.statement, event)
        ]

    def statement(self, pid: int, ticket: int | None) -> Record | None:
        """Return the statement that a backend runs, if it is still the one of a ticket."""
        now = self._now.get(self.actors[pid])
        return now.record if now is not None and now.ticket == ticket else None

    def blocked_calls(self) -> dict[int, tuple[int, ...]]:
        """Return what blocks the sessions of `calling`, by pid: those that still run the same statement."""
        return {pid: by for pid, (ticket, by) in self.calling.items() if self.statement(pid, ticket) is not None}

    def with_names(self, error: ServerError) -> ServerError:
        """Add the names of sessions to an error that names backends: "Process 27821 waits for …"."""

        def named(found: re.Match[str]) -> str:
            actor = self._served_by(int(found[1]))
            return f"{actor} (pid {found[1]})" if actor is not None else found[0]

        hint = tuple(_PROCESS.sub(named, line) for line in error.hint)
        if error.sqlstate == _DEADLOCK and hint == error.hint:
            hint = tuple("\n".join(map(self._with_names_of_any_language, line.split("\n"))) for line in hint)
        return error if hint == error.hint else replace(error, hint=hint)

    def _served_by(self, pid: int) -> Actor | None:
        return self.actors.get(self.served.get(pid, pid))

    def _with_names_of_any_language(self, line: str) -> str:
        """Name the waiting and the blocking backend: the first and the last number, around what is locked."""
        numbers = list(_NUMBER.finditer(line))
        for found in {numbers[-1], numbers[0]} if numbers else ():
            actor = self._served_by(int(found[0]))
            if actor is not None:
                line = line.replace(found[0], f"{actor} (pid {found[0]})")
        return line

    # for the report

    def stopped_sessions(
        self, missing: Callable[[Actor], tuple[Actor, ...]], describe: Callable[[int], str]
    ) -> list[StoppedSession]:
        """Return the state of every session now."""
        return [
            self._standing(one, missing, describe) for one in sorted({*self.actors.values(), *self._now}, key=sort_key)
        ]

    def _standing(
        self, actor: Actor, missing: Callable[[Actor], tuple[Actor, ...]], describe: Callable[[int], str]
    ) -> StoppedSession:
        now = self._now.get(actor)
        if now is None:
            return StoppedSession(str(actor), None, _NOT_BEGUN)
        if now.waits_at:
            return StoppedSession(str(actor), now.place, now.doing, now.since, tuple(map(str, missing(actor))))
        known = {*self.actors, *self.foreign_backends}
        blockers = tuple(self.name(pid) if pid in known else describe(pid) for pid in now.blockers)
        return StoppedSession(str(actor), now.place, "is blocked" if blockers else now.doing, now.since, blockers)
