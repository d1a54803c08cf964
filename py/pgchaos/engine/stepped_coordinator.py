"""The coordinator of a stepped run: each session pauses before each step until the scheduler releases it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Mapping

from pgchaos.engine.coordinator import Coordinator, Halted, standstill_failure
from pgchaos.engine.session_log import SessionLog
from pgchaos.engine.waits import READY, Condition
from pgchaos.language.problems import Place
from pgchaos.results import Failure, Record
from pgchaos.schedule.step_points import StepPoint, find_blocked, reached
from pgchaos.schedule.wait_rules import Actor, Wait, WaitRules
from pgchaos.stop import Stop

_FIRST = 0.0005
"""Seconds before the first snapshot during a step: most steps have ended by then."""
_LONGEST = 0.005
"""The longest time between snapshots during a step."""


class SteppedCoordinator(Coordinator):
    """Before a step is released, all sessions are paused before a step, at a wait, blocked or ended."""

    is_stepped = True

    def __init__(self, rules: WaitRules, stop: Stop, log: SessionLog, actors: tuple[Actor, ...]) -> None:
        self._ready_steps: dict[Actor, StepPoint] = {}
        self._actors = actors
        self._released = {actor: Condition() for actor in actors}
        self._victims: dict[Actor, bool] = {}
        self._ended: set[Actor] = set()
        self._changes = itertools.count(1)
        self._change = self._stamp = 0
        self._waits: dict[Actor, tuple[Actor | int, ...]] = {}
        self._firm: frozenset[Actor] = frozenset()
        self._newest: tuple[int, Actor | None, float] = 0, None, 0.0
        self.release_next: Callable[[], bool] | None = None
        """Releases the next step, when no session runs; returns whether it has."""
        super().__init__(rules, stop, log)

    # called by sessions

    def begin(self, actor: Actor, record: Record, now: float) -> None:
        """See Coordinator."""
        super().begin(actor, record, now)
        self._change = next(self._changes)

    def finish(self, actor: Actor, now: float) -> None:
        """See Coordinator."""
        super().finish(actor, now)
        self._change = next(self._changes)

    def end(self, actor: Actor, in_block: bool = False) -> None:
        """See Coordinator."""
        self._ended.add(actor)
        self._change = next(self._changes)
        super().end(actor, in_block)

    async def wait(self, actor: Actor, wait: Wait, iteration: int) -> None:
        """See Coordinator."""
        try:
            await super().wait(actor, wait, iteration)
        finally:
            self._change = next(self._changes)

    async def await_step(self, point: StepPoint, place: Place) -> bool:
        """Pause before a step until it is released; return whether its session should be the deadlock victim."""
        actor = point.actor
        if self.stop.is_set():
            raise Halted
        self._ready_steps[actor] = point
        self.states.idle(actor, place, f"is before step {point.step}")
        self._change = next(self._changes)
        # most steps begin when another ends: this avoids waking the scheduler's task for that
        if self.release_next is None or not (self._all_paused() and self.release_next()):
            self._changed.notify()
        if actor in self._ready_steps:
            await self._released[actor].wait(stop=self.stop)
        if self.stop.is_set():
            raise Halted
        return self._victims[actor]

    def _forget_snapshots(self) -> None:
        self._change = next(self._changes)
        self._firm = frozenset()

    def _waiting(self) -> set[Actor]:
        return super()._waiting() | self._ready_steps.keys()

    # called by the scheduler

    @property
    def ready_steps(self) -> Mapping[Actor, StepPoint]:
        """The connections that are paused before a step, with the step."""
        return dict(self._ready_steps)

    @property
    def ended(self) -> set[Actor]:
        """The connections that have ended."""
        return self._ended

    @property
    def blocked(self) -> frozenset[Actor]:
        """The connections that stay blocked as long as no session continues."""
        return self._firm

    @property
    def all_ended(self) -> bool:
        """Whether all connections have ended."""
        return self._ended.issuperset(self._actors)

    def is_waited_for(self, actor: Actor) -> bool:
        """Whether a blocked connection waits for this one, directly or not: then it may cause a deadlock."""
        return any(actor in reached(one, self._waits) for one in self._firm)

    def release(self, point: StepPoint, *, be_deadlock_victim: bool = False) -> None:
        """Release a step.

        Args:
            point: where its connection is paused.
            be_deadlock_victim: it may cause a deadlock, which the server should detect soon.
        """
        self._victims[point.actor] = be_deadlock_victim
        if self._ready_steps.pop(point.actor, None) is None:
            return
        self._resume(point.actor)

    def _resume(self, actor: Actor) -> None:
        # earlier snapshots are outdated
        self._change, self._firm = next(self._changes), frozenset()
        # the step gets some time before the next snapshot
        self._newest = self._newest[0] + 1, actor, time.monotonic()
        self._released[actor].notify()

    async def settle(self, poll_locks: Callable[[], Awaitable[None]], deadline: float) -> bool:
        """Wait until each session is paused, blocked, at a wait or ended; False if the deadline passes before."""
        known = -1
        while True:
            number, newest, since = self._newest
            if number != known:
                # the newest released step gets its time, too
                known, pause, looked = number, _FIRST, False
            if not self._all_paused() and (looked or newest in self._running_actors() or not self._all_in_statements()):
                now = time.monotonic()
                await self._await_change(now + pause if since + pause <= now else since + pause)
            if self._all_paused():
                return True
            if time.monotonic() > deadline:
                return False
            if self._newest[0] != known:
                continue
            polls = self._all_in_statements()
            if polls:
                await poll_locks()
                if self._firm.issuperset(self._running_actors()) and not self._faults_running:
                    return True
                looked = True
            pause = min(pause * 1.5, _LONGEST)

    # these are called many times for each step

    def _all_paused(self) -> bool:
        if self.stop.is_set():
            return True
        if self._faults_running:
            return False
        return all(map(self._is_idle, self._released))

    def _running_actors(self) -> list[Actor]:
        """List the connections that run, or are about to."""
        return [actor for actor in self._released if not self._is_idle(actor)]

    def _is_idle(self, actor: Actor) -> bool:
        return actor in self._ready_steps or actor in self._ended or self._rules.is_waiting(actor)

    def _all_in_statements(self) -> bool:
        return all(map(self.states.in_statement, self._running_actors()))

    async def _await_change(self, until: float) -> None:
        before = self._change
        while self._change == before and await self._changed.wait(until, self.stop) is READY:
            pass

    async def wait_for_change(self, seconds: float) -> None:
        """Wait until a session changes its state, at most some seconds."""
        await self._await_change(time.monotonic() + seconds)

    # called by the lock monitor

    def busy(self, longer_than: float) -> dict[int, int]:
        """See Coordinator."""
        self._stamp = self._change
        return super().busy(longer_than)

    def add_snapshot(
        self,
        tickets: dict[int, int],
        blockers: dict[int, tuple[int, ...]],
        taken_at: float,  # noqa: ARG002  # as in Coordinator; here changes are counted
    ) -> None:
        """See Coordinator; one snapshot is enough if no session changes meanwhile."""
        blocked = self.states.take(tickets, blockers)
        current = self.states.current_actor
        waits = {a: tuple(current(pid) or pid for pid in seen.blockers) for a, seen in blocked.items()}
        idle = [actor for actor in self._released if self._is_idle(actor)]
        firm, here = find_blocked(waits, idle)
        if self._change != self._stamp:
            # a session changed its state during the query
            firm = here = frozenset()
        self._waits, self._firm = waits, firm
        if self._rules.update_blocked(firm, here):
            self._changed.notify()

    # why it does not continue

    def blockers_of(self, actor: Actor) -> str:
        """Name what blocks a connection."""
        names = [str(by) if isinstance(by, Actor) else self.states.name(by) for by in self._waits.get(actor, ())]
        return ", ".join(names) or "an unknown session"

    def find_standstill(self) -> Failure | None:
        """Return the failure if all remaining sessions are blocked and no step can be released."""
        blocked = {a: [by if isinstance(by, Actor) else None for by in self._waits[a]] for a in self._firm}
        if not blocked:
            return None
        found = self._rules.find_deadlock(blocked)
        if found is not None:
            return standstill_failure(found[0], self.states[found[0]], found[1])
        first = min(blocked)
        text = f"the sessions cannot end: {first} waits for {self._rules.locks} that {self.blockers_of(first)} holds"
        return Failure("timeout", (), text, self.states[first].place)
