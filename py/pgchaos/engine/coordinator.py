"""Where the sessions of one run meet: who waits for whom, whether a wait opens, and whether anybody can go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from pgchaos import clock
from pgchaos.engine.other_backends import pid_text
from pgchaos.engine.session_log import SessionLog
from pgchaos.engine.session_states import BETWEEN, SessionState, SessionStates
from pgchaos.engine.waits import READY, News
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Barrier
from pgchaos.results import Failure, Record, StoppedSession
from pgchaos.schedule.step_points import BlockedSessions
from pgchaos.schedule.wait_rules import Actor, Wait, WaitRules, waits_text
from pgchaos.stop import Stop


class Halted(Exception):
    """The run was stopped for another's reason; nothing more is to be said of this session."""


class SessionFailed(Exception):
    """This session stops, and the run with it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Coordinator:
    """The rules of waits, the last looks, and news of them that everything waits for."""

    def __init__(self, rules: WaitRules, stop: Stop, log: SessionLog) -> None:
        self._rules = rules
        self._log = log
        self._news = News()
        self.states = SessionStates()
        self._blocked_sessions = BlockedSessions(self.states.actors)
        self._running = self._unready = 0
        self._asked = (0.0, 0.0)
        self._faults_running = 0
        self._held_up: set[Actor] = set()
        self.no_lock_timeouts = False
        """Nothing here ends a lock wait but the lock: no time-out of the server's, no cancel by SQL."""
        self.stop = stop

    # what sessions tell

    def begin(self, actor: Actor, record: Record, now: float) -> None:
        """Note that a connection sends a statement at a time."""
        self.states.begin(actor, record, now)

    def finish(self, actor: Actor, now: float) -> None:
        """Note that its answer came at a time."""
        self.states.finish(actor, now)

    def arrive(self, actor: Actor, barrier: str, iteration: int) -> None:
        """Note that a connection passed a barrier by."""
        self._rules.arrive(actor, barrier, iteration)
        self._news.notify()

    def signal(self, signal: str) -> None:
        """Give a signal."""
        self._rules.send_signal(signal)
        self._news.notify()

    @contextmanager
    def striking(self) -> Iterator[None]:
        """Have nobody taken for stuck, and no step for done, while a fault is about to strike."""
        self._faults_running += 1
        try:
            yield
        finally:
            self._faults_running -= 1
            self._struck()
            self._news.notify()

    def strike(self, pids: Collection[int]) -> None:
        """Note that a fault is about to strike these backends: who still is seen blocked will not stay so."""
        self.states.strike([pid for pid in pids if pid in self.states.actors])

    @contextmanager
    def held_up(self, actor: Actor) -> Iterator[None]:
        """Note that a connection does nothing while its fault waits until others can be struck."""
        self._held_up.add(actor)
        try:
            yield
        finally:
            self._held_up.discard(actor)

    def stands_still(self, blockers: Mapping[int, tuple[int, ...]], asked: float) -> bool:
        """Say whether nobody goes on before a fault has struck that waits for somebody."""
        actors = self.states.actors
        blocked = {actors[pid]: [self.states.present(one) for one in by] for pid, by in blockers.items()}
        if blocked and not self.no_lock_timeouts:
            return False
        # who came to stand since then may have let go of a lock before that
        return self.states.last_change(blocked) < asked and self._rules.is_standstill(self._waiting(), blocked)

    def _waiting(self) -> set[Actor]:
        """List those who wait for others, and do not stand at a wait."""
        return set(self._held_up)

    def _struck(self) -> None:
        """Take note that a fault has struck: what was seen before it says nothing any more."""
        self._asked = (clock.now(), clock.now())

    def expect(self, runners: int) -> None:
        """Say how many connections will play."""
        self._running = self._unready = runners

    async def await_all_connected(self) -> None:
        """Note that a connection stands, and wait until all do.

        Raises:
            Halted: the run stops.
        """
        self._unready -= 1
        self._news.notify()
        while self._unready and not self.stop.is_set():
            await self._news.wait(stop=self.stop)
        if self.stop.is_set():
            raise Halted

    def fail(self, failure: Failure) -> None:
        """Stop the run for a failure; when it is stopped already, for another's, this one is no cause."""
        if self.stop.is_set():
            return
        self._log.failures.append(failure)
        if failure.kind in ("wait", "timeout"):
            # now: once the run is stopped nobody stands where he stood
            self._log.stopped_sessions = self.stopped_sessions(pid_text)
        self.stop.set()

    def broke(self, failure: Failure) -> None:
        """Stop the run for an error of ours; it is told also where the run is stopped already."""
        self._log.failures.append(failure)
        self.stop.set()

    def has_ended(self, session: str) -> bool:
        """Say whether all connections of a session have come to their end."""
        return self._rules.has_ended(session)

    def end(self, actor: Actor, in_block: bool = False) -> None:
        """Note that a session has come to its end, whichever it was; `in_block`: its transaction is still open."""
        self._rules.end(actor)
        if not self.stop.is_set():
            how = "ended, its transaction still open" if in_block else "ended"
            self.states.idle(actor, None, how)
        self._running -= 1
        self._news.notify()

    async def wait(self, actor: Actor, wait: Wait, iteration: int) -> None:
        """Stand at a barrier or wait until it opens.

        Raises:
            Halted: the run stops.
            SessionFailed: the wait can never open.
        """
        self._rules.begin_wait(actor, wait, iteration)
        self.states.wait(actor, wait.place, waits_text(wait))
        self._news.notify()
        while not (decision := self._rules.decide(actor)).open:
            if self.stop.is_set():
                raise Halted
            if decision.never:
                raise SessionFailed(_cannot_open(actor, waits_text(wait), wait.place, decision.never))
            await self._news.wait(stop=self.stop)
        self._rules.end_wait(actor)
        self.states[actor].doing = BETWEEN
        if isinstance(wait, Barrier):
            self._news.notify()

    # what the watcher asks and tells

    def busy(self, longer_than: float) -> dict[int, int]:
        """Tell which backends are in a statement."""
        return self.states.busy(longer_than)

    @property
    def locks(self) -> str:
        """What blocked sessions wait for, in messages."""
        return self._rules.locks

    def needs_polling(self) -> bool:
        """Say whether somebody waits for others to be blocked."""
        return self._rules.needs_snapshots()

    def is_over(self) -> bool:
        """Say whether all sessions have ended or the run is stopped."""
        return self._running == 0 or self.stop.is_set()

    async def rest(self, seconds: float) -> None:
        """Wait for news, or for some time, unless it is over or somebody waits for others to be blocked."""
        if not self.needs_polling() and not self.is_over():
            await self._news.wait(time.monotonic() + seconds, self.stop)

    async def pause(self, seconds: float) -> None:
        """Wait for some time, or until it is over."""
        until = time.monotonic() + seconds
        while not self.is_over() and await self._news.wait(until, self.stop) is READY:
            pass

    def see(self, tickets: dict[int, int], blockers: dict[int, tuple[int, ...]], asked: float) -> None:
        """Take a look at the server."""
        snapshot = self.states.take(tickets, blockers)
        if self._rules.update_blocked(*self._blocked_sessions.add(snapshot)):
            self._news.notify()
        self._asked = (self._asked[1], asked)
        self._find_stuck()

    def _find_stuck(self) -> None:
        """Stop the run where nobody can go on any more, instead of waiting for its time to be over."""
        confirmed = self._blocked_sessions.confirmed
        if not confirmed or not self.no_lock_timeouts or self._faults_running or self.stop.is_set():
            return
        # a look from before somebody came to stand may show a lock that he has since let go
        if self.states.last_change(confirmed) >= self._asked[0]:
            return
        found = self._rules.find_deadlock({a: [self.states.present(pid) for pid in by] for a, by in confirmed.items()})
        if found is not None:
            actor, why = found
            self.fail(stuck_failure(actor, self.states[actor], why))

    # what the run asks

    def stopped_sessions(self, describe: Callable[[int], str]) -> list[StoppedSession]:
        """Tell how every session stands now; `describe` tells what a foreign backend is, by its pid."""
        return self.states.stopped_sessions(lambda actor: self._rules.decide(actor).missing, describe)


def stuck_failure(actor: Actor, now: SessionState, why: str) -> Failure:
    """Say that nobody can go on any more."""
    if now.record is None:
        return _cannot_open(actor, now.waits_at, now.place, why)
    return Failure("timeout", (), f"the sessions cannot end: {why}: is a COMMIT missing?", now.place)


def _cannot_open(actor: Actor, wait: str, place: Place | None, why: str) -> Failure:
    return Failure("wait", (), f"{wait} of {actor} can never open: {why}", place, session=str(actor))
