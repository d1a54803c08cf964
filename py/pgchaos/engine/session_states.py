"""Who does what in a run: each connection's statement, wait or delay, and whom it was last seen waiting for."""

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
"""What a session does that is connected and has come to nothing yet."""
_WAITS = "waits at "
_PROCESS = re.compile(r"\b[Pp]rocess ([0-9]+)")
"""How DETAIL of a deadlock names a backend (deadlock.c)."""
_DEADLOCK = "40P01"
_NUMBER = re.compile(r"[0-9]+")


@dataclass(slots=True)
class SessionState:
    """What a connection does now.

    Args:
        place: where in the file.
        doing: in words.
        since: when it began, on `clock.now()`.
        record: of the statement that runs; None between statements.
        ticket: of that statement, different for each.
        blockers: the backends that it was seen waiting for, by pid.
        struck: a fault strikes its statement, which waits for a lock only until its backend notices.
        free_at: when its statement was last seen to wait for nobody; 0 where it was not.
    """

    place: Place | None
    doing: str
    since: float
    record: Record | None = None
    ticket: int = 0
    blockers: tuple[int, ...] = ()
    struck: bool = False
    free_at: float = 0.0

    @property
    def waits_at(self) -> str:
        """The wait at which it stands, or ''."""
        return self.doing.removeprefix(_WAITS) if self.doing.startswith(_WAITS) else ""


class SessionStates:
    """What all connections of a run do."""

    def __init__(self) -> None:
        self.actors: dict[int, Actor] = {}
        """Whose a backend is or was, by pid."""
        self.strangers: dict[int, str] = {}
        """What a backend is that was seen and is no session's, by pid; of one that waits, whom for, too."""
        self.served: dict[int, int] = {}
        """Behind a pooler: the session that a backend worked for when it was last asked; see SessionPool."""
        self._now: dict[Actor, SessionState] = {}
        self._pids: dict[Actor, int] = {}  # of the present backends: one whose session was cut off may be there still
        self._tickets = itertools.count(1)

    def __getitem__(self, actor: Actor) -> SessionState:
        """Give what a connection does that has begun something."""
        return self._now[actor]

    # what connections tell

    def join(self, actor: Actor, pid: int) -> None:
        """Note the backend of a connection, again after it reconnected."""
        self.actors[pid] = actor
        self._pids[actor] = pid

    def leave(self, actor: Actor) -> None:
        """Note that a connection was lost; its backend, which may wait still, is no session's any more."""
        self._pids.pop(actor, None)

    def present(self, pid: int) -> Actor | None:
        """Tell whose a backend is; None for a stranger, and for one that its session has lost: it goes on by itself."""
        actor = self.actors.get(pid)
        return actor if actor is not None and self._pids.get(actor) == pid else None

    def idle(self, actor: Actor, place: Place | None, doing: str) -> None:
        """Note what a connection does that is no statement: a delay, or that it has ended."""
        self._now[actor] = SessionState(place, doing, clock.now())

    def wait(self, actor: Actor, place: Place | None, what: str) -> None:
        """Note that a connection stands at a wait."""
        self.idle(actor, place, _WAITS + what)

    def begin(self, actor: Actor, record: Record, now: float) -> None:
        """Note that a connection sends a statement at a time."""
        state = self._now.get(actor)
        if state is None:
            state = self._now[actor] = SessionState(None, "", 0.0)
        # filled anew and not made anew: every statement has one
        state.place, state.doing, state.since, state.record = record.place, "runs", now, record
        state.ticket, state.blockers, state.struck, state.free_at = next(self._tickets), (), False, 0.0

    def finish(self, actor: Actor, now: float) -> None:
        """Note that its answer came at a time."""
        doing = self._now[actor]
        if doing.blockers and doing.record is not None:
            doing.record.waited_until = now
        doing.record, doing.doing, doing.since, doing.blockers = None, BETWEEN, now, ()

    def strike(self, pids: Collection[int]) -> None:
        """Note that a fault is about to strike the statements in which these backends are."""
        for pid in pids:
            if (now := self._now.get(self.actors[pid])) is not None and now.record is not None:
                now.struck = True

    # what is asked

    def does(self, actor: Actor) -> str:
        """Tell what a connection does, in words."""
        now = self._now.get(actor)
        return _NOT_BEGUN if now is None else now.doing

    def in_statement(self, actor: Actor) -> bool:
        """Say whether a connection has sent a statement, and has no answer yet."""
        return (now := self._now.get(actor)) is not None and now.record is not None

    def busy(self, longer_than: float) -> dict[int, int]:
        """Tell which backends are in a statement."""
        before = clock.now() - longer_than
        doing = self._now
        return {
            pid: now.ticket
            for actor, pid in self._pids.items()
            if (now := doing.get(actor)) is not None and now.record is not None and now.since <= before
        }

    def last_change(self, but: Collection[Actor]) -> float:
        """Tell when one of the connections last came to what it does now."""
        return max((now.since for actor, now in self._now.items() if actor not in but), default=0.0)

    # what was seen on the server

    def take(self, tickets: dict[int, int], blockers: dict[int, tuple[int, ...]]) -> dict[Actor, BlockedSeen]:
        """Note who waits for whom; leave out who meanwhile is in another statement, and who is struck in it.

        Args:
            tickets: what `busy` said before the server was asked.
            blockers: for each pid that waits, the pids that it waits for.
        """
        snapshot: dict[Actor, BlockedSeen] = {}
        for pid in tickets.keys() - blockers.keys():
            free = self._now[self.actors[pid]]
            if free.ticket == tickets[pid]:
                free.free_at = clock.now()
                if free.blockers and free.record is not None:
                    # the lock was released meanwhile: not before its holder sent COMMIT, which no earlier time may show
                    free.record.waited_until = free.free_at
        for pid, by in blockers.items():
            actor = self.actors[pid]
            now = self._now[actor]
            record = now.record
            if record is not None and now.ticket == tickets[pid]:
                if not now.struck:
                    snapshot[actor] = BlockedSeen(now.ticket, by)
                now.blockers = by
                self._remember(record, by, now.free_at)
        for actor, now in self._now.items():
            if actor not in snapshot:
                now.blockers = ()
        return snapshot

    def note_blockers(self, pid: int, blockers: tuple[int, ...]) -> None:
        """Note whom a connection was seen waiting for, where somebody else has looked."""
        now = self._now.get(self.actors[pid])
        if now is not None and now.record is not None:
            self._remember(now.record, blockers)

    def note_deadlock(self, pid: int, record: Record, error: ServerError) -> None:
        """Note whom the victim of a deadlock waited for, as the server says: its wait may be too short to be seen."""
        if error.sqlstate != _DEADLOCK:
            return
        for line in "\n".join(error.hint).split("\n"):
            numbers = [int(found[0]) for found in _NUMBER.finditer(line)]
            if len(numbers) > 1 and self.served.get(numbers[0], numbers[0]) == pid:
                self._remember(record, (self.served.get(numbers[-1], numbers[-1]),))

    def _remember(self, record: Record, blockers: tuple[int, ...], free_at: float = 0.0) -> None:
        record.waited_from = record.waited_from or free_at or record.started_at
        record.waited_until = clock.now()
        for pid in blockers:
            if pid not in self.actors:
                # once looked at, it has a longer name
                if not any(f"{known} ".startswith(f"{pid_text(pid)} ") for known in record.blocked_by):
                    record.blocked_by += (self.name(pid),)
            elif (who := str(self.actors[pid])) not in record.waited_on:
                record.waited_on += (who,)

    def name(self, pid: int) -> str:
        """Name a backend: a session of the scenario, or what is known of another."""
        return str(self.actors[pid]) if pid in self.actors else self.strangers.get(pid, pid_text(pid))

    def callers(self, tickets: Mapping[int, int], events: Mapping[int, str | None]) -> list[Record]:
        """List the statements that may wait for a backend which they have called themselves, by dblink say."""
        found = [(self._now[self.actors[pid]], ticket, events.get(pid)) for pid, ticket in tickets.items()]
        return [
            record
            for now, ticket, event in found
            if (record := now.record) is not None and now.ticket == ticket and calls_out(record.statement, event)
        ]

    def with_names(self, error: ServerError) -> ServerError:
        """Name the sessions of this scenario where the server names backends: "Process 27821 waits for …"."""

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
        """Name who waits, and who holds: the first and the last number; what is locked stands between."""
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
        """Tell how every session stands now."""
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
        known = {*self.actors, *self.strangers}
        whom = tuple(self.name(pid) if pid in known else describe(pid) for pid in now.blockers)
        return StoppedSession(str(actor), now.place, "is blocked" if whom else now.doing, now.since, whom)
