"""Coordinates the sessions of one run: their waits, the snapshots of locks, and the detection of deadlocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from pgchaos import clock
from pgchaos.engine.other_backends import pid_text
from pgchaos.engine.session_log import SessionLog
from pgchaos.engine.session_states import BETWEEN, SessionState, SessionStates
from pgchaos.engine.waits import READY, Condition
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Barrier
from pgchaos.results import Failure, Record, StoppedSession
from pgchaos.schedule.step_points import BlockedSessions
from pgchaos.schedule.wait_rules import Actor, Wait, WaitRules, waits_text
from pgchaos.stop import Stop


class Halted(Exception):
    """The run was stopped for another reason; this session has nothing to report."""


class SessionFailed(Exception):
    """This session fails, and stops the run."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Coordinator:
    """The state of all sessions and the wait rules, with a condition variable that signals changes."""

    is_stepped = False
    """Sessions pause before each step, and a snapshot is taken only when no session is between two statements."""

    def __init__(self, rules: WaitRules, stop: Stop, log: SessionLog) -> None:
        self._rules = rules
        self._log = log
        self._changed = Condition()
        self.states = SessionStates()
        self._blocked_sessions = BlockedSessions(self.states.actors)
        self._running = self._unready = 0
        self._snapshot_times = (0.0, 0.0)
        self._faults_running = 0
        self._delayed: set[Actor] = set()
        self.no_lock_timeouts = False
        """Only the lock ends a lock wait: there is no timeout of the server, no cancel by SQL."""
        self.stop = stop

    # called by sessions

    def begin(self, actor: Actor, record: Record, now: float) -> None:
        """Record that a connection sends a statement at a time."""
        self.states.begin(actor, record, now)

    def finish(self, actor: Actor, now: float) -> None:
        """Record that its answer came at a time."""
        self.states.finish(actor, now)

    def arrive(self, actor: Actor, barrier: str, iteration: int) -> None:
        """Record that a connection skipped a barrier, which counts as arrival."""
        self._rules.arrive(actor, barrier, iteration)
        self._changed.notify()

    def signal(self, signal: str) -> None:
        """Send a signal."""
        self._rules.send_signal(signal)
        self._changed.notify()

    @contextmanager
    def fault_in_progress(self) -> Iterator[None]:
        """Suspend deadlock detection, and the end of steps, while a fault is about to be delivered."""
        self._faults_running += 1
        try:
            yield
        finally:
            self._faults_running -= 1
            self._forget_snapshots()
            self._changed.notify()

    def expect_fault(self, pids: Collection[int]) -> None:
        """Record that a fault is about to affect these backends: those seen blocked will not stay so."""
        self.states.expect_fault([pid for pid in pids if pid in self.states.actors])

    @contextmanager
    def delayed(self, actor: Actor) -> Iterator[None]:
        """Record that a connection is idle while its fault waits for its target."""
        self._delayed.add(actor)
        try:
            yield
        finally:
            self._delayed.discard(actor)

    def is_standstill(self, blockers: Mapping[int, tuple[int, ...]], taken_at: float) -> bool:
        """Whether no session can continue before a pending fault is delivered."""
        actors = self.states.actors
        blocked = {actors[pid]: [self.states.current_actor(one) for one in by] for pid, by in blockers.items()}
        if blocked and not self.no_lock_timeouts:
            return False
        # a session that stopped after the snapshot may have released a lock before it stopped
        return self.states.last_change(blocked) < taken_at and self._rules.is_standstill(self._waiting(), blocked)

    def _waiting(self) -> set[Actor]:
        """List the actors that wait for others without being at a wait of the scenario."""
        return set(self._delayed)

    def _forget_snapshots(self) -> None:
        """Ignore the snapshots before a fault that is delivered now."""
        self._snapshot_times = (clock.now(), clock.now())

    def expect(self, runners: int) -> None:
        """Set the number of connections that will run."""
        self._running = self._unready = runners

    async def await_all_connected(self) -> None:
        """Record that a connection is open, and wait until all are.

        Raises:
            Halted: the run stops.
        """
        self._unready -= 1
        self._changed.notify()
        while self._unready and not self.stop.is_set():
            await self._changed.wait(stop=self.stop)
        if self.stop.is_set():
            raise Halted

    def fail(self, failure: Failure) -> None:
        """Stop the run for a failure; if it is stopped already, this failure is only a consequence."""
        if self.stop.is_set():
            return
        self._log.failures.append(failure)
        if failure.kind in ("wait", "timeout"):
            # now, because the states change once the run is stopped
            self._log.stopped_sessions = self.stopped_sessions(pid_text)
        self.stop.set()

    def fail_internal(self, failure: Failure) -> None:
        """Stop the run for an internal error; it is reported even if the run is stopped already."""
        self._log.failures.append(failure)
        self.stop.set()

    def has_ended(self, session: str) -> bool:
        """Whether all connections of a session have ended."""
        return self._rules.has_ended(session)

    def end(self, actor: Actor, in_block: bool = False) -> None:
        """Record that a connection has ended, for any reason; `in_block`: its transaction is still open."""
        self._rules.end(actor)
        if not self.stop.is_set():
            how = "ended, its transaction still open" if in_block else "ended"
            self.states.idle(actor, None, how)
        self._running -= 1
        self._changed.notify()

    async def wait(self, actor: Actor, wait: Wait, iteration: int) -> None:
        """Block at a barrier or wait until it opens.

        Raises:
            Halted: the run stops.
            SessionFailed: the wait can never open.
        """
        self._rules.begin_wait(actor, wait, iteration)
        self.states.wait(actor, wait.place, waits_text(wait))
        self._changed.notify()
        while not (decision := self._rules.decide(actor)).open:
            if self.stop.is_set():
                raise Halted
            if decision.never:
                raise SessionFailed(_cannot_open(actor, waits_text(wait), wait.place, decision.never))
            await self._changed.wait(stop=self.stop)
        self._rules.end_wait(actor)
        self.states[actor].doing = BETWEEN
        if isinstance(wait, Barrier):
            self._changed.notify()

    # called by the lock monitor

    def busy(self, longer_than: float) -> dict[int, int]:
        """Return the backends that run a statement."""
        return self.states.busy(longer_than)

    @property
    def locks(self) -> str:
        """What blocked sessions wait for, in messages."""
        return self._rules.locks

    def needs_polling(self) -> bool:
        """Whether a session waits for others to be blocked."""
        return self._rules.needs_snapshots()

    def note_block(self, actors: Collection[Actor]) -> None:
        """Record that connections are blocked, and that a fault ends this now: no snapshot may show it."""
        self._rules.note_block(actors)

    def is_over(self) -> bool:
        """Whether all sessions have ended or the run is stopped."""
        return self._running == 0 or self.stop.is_set()

    async def wait_until_needed(self, seconds: float) -> None:
        """Wait for a change, at most some seconds; return at once if `is_over` or `needs_polling`."""
        if not self.needs_polling() and not self.is_over():
            await self._changed.wait(time.monotonic() + seconds, self.stop)

    async def pause(self, seconds: float) -> None:
        """Wait for some seconds, or until `is_over`."""
        until = time.monotonic() + seconds
        while not self.is_over() and await self._changed.wait(until, self.stop) is READY:
            pass

    def add_snapshot(self, tickets: dict[int, int], blockers: dict[int, tuple[int, ...]], taken_at: float) -> None:
        """Add a snapshot of the server's locks."""
        snapshot = self.states.take(tickets, blockers)
        if self._rules.update_blocked(*self._blocked_sessions.add(snapshot)):
            self._changed.notify()
        self._snapshot_times = (self._snapshot_times[1], taken_at)
        self._find_standstill()

    def _find_standstill(self) -> None:
        """Stop the run if no session can continue, instead of waiting for its timeout."""
        confirmed = self._blocked_sessions.confirmed
        if not confirmed or not self.no_lock_timeouts or self._faults_running or self.stop.is_set():
            return
        # a snapshot from before a session stopped may show a lock that it has released since
        if self.states.last_change(confirmed) >= self._snapshot_times[0]:
            return
        blockers = {a: [self.states.current_actor(pid) for pid in by] for a, by in confirmed.items()}
        found = self._rules.find_deadlock(blockers)
        if found is not None:
            actor, why = found
            self.fail(standstill_failure(actor, self.states[actor], why))

    def fail_for_good(self, pid: int, why: str) -> None:
        """Stop the run because a session waits for ever, unless a fault or a timeout of the server may end that."""
        if self.no_lock_timeouts and not self._faults_running:
            place = self.states[self.states.actors[pid]].place
            self.fail(Failure("timeout", (), f"the sessions cannot end: {why}", place))

    # called by the run

    def stopped_sessions(self, describe: Callable[[int], str]) -> list[StoppedSession]:
        """Return the state of every session now; `describe` describes a foreign backend by its pid."""
        return self.states.stopped_sessions(lambda actor: self._rules.decide(actor).missing, describe)


def standstill_failure(actor: Actor, now: SessionState, why: str) -> Failure:
    """Return the failure of a deadlock that the server does not end."""
    if now.record is None:
        return _cannot_open(actor, now.waits_at, now.place, why)
    return Failure("timeout", (), f"the sessions cannot end: {why}: is a COMMIT missing?", now.place)


def _cannot_open(actor: Actor, wait: str, place: Place | None, why: str) -> Failure:
    return Failure("wait", (), f"{wait} of {actor} can never open: {why}", place, session=str(actor))
