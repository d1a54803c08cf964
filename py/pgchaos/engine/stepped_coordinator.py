"""The coordinator of a run that goes step by step: sessions stand before each step until they are told to go on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Mapping

from pgchaos.engine.coordinator import Coordinator, Halted, stuck_failure
from pgchaos.engine.session_log import SessionLog
from pgchaos.engine.waits import READY, News
from pgchaos.language.problems import Place
from pgchaos.results import Failure, Record
from pgchaos.schedule.step_points import StepPoint, find_blocked, reached
from pgchaos.schedule.wait_rules import Actor, Wait, WaitRules
from pgchaos.stop import Stop

_FIRST = 0.0005
"""Seconds that a step has before the server is asked whether it waits: most are done by then."""
_LONGEST = 0.005
"""Seconds between two looks at a step that takes long."""


class SteppedCoordinator(Coordinator):
    """Before a step begins, all sessions are before a step, at a wait, blocked, or at their end."""

    def __init__(self, rules: WaitRules, stop: Stop, log: SessionLog, actors: tuple[Actor, ...]) -> None:
        self._gates: dict[Actor, StepPoint] = {}
        self._actors = actors
        self._opened = {actor: News() for actor in actors}
        self._victims: dict[Actor, bool] = {}
        self._over: set[Actor] = set()
        self._changes = itertools.count(1)
        self._change = self._stamp = 0
        self._waits: dict[Actor, tuple[Actor | int, ...]] = {}
        self._firm: frozenset[Actor] = frozenset()
        self._fresh: tuple[int, Actor | None, float] = 0, None, 0.0
        self.go_on: Callable[[], bool] | None = None
        """Has the next step begin, where everybody stands still; says whether one has."""
        super().__init__(rules, stop, log)

    # what sessions tell

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
        self._over.add(actor)
        self._change = next(self._changes)
        super().end(actor, in_block)

    async def wait(self, actor: Actor, wait: Wait, iteration: int) -> None:
        """See Coordinator."""
        try:
            await super().wait(actor, wait, iteration)
        finally:
            self._change = next(self._changes)

    async def await_step(self, gate: StepPoint, place: Place) -> bool:
        """Wait until a step may begin."""
        actor = gate.actor
        if self.stop.is_set():
            raise Halted
        self._gates[actor] = gate
        self.states.idle(actor, place, f"stands before step {gate.step}")
        self._change = next(self._changes)
        # most steps begin where another ends: nobody else has to be woken for that
        if self.go_on is None or not (self._quiet() and self.go_on()):
            self._news.notify()
        if actor in self._gates:
            await self._opened[actor].wait(stop=self.stop)
        if self.stop.is_set():
            raise Halted
        return self._victims[actor]

    def _struck(self) -> None:
        self._change = next(self._changes)
        self._firm = frozenset()

    def _waiting(self) -> set[Actor]:
        return super()._waiting() | self._gates.keys()

    # what the scheduler asks and tells

    @property
    def gates(self) -> Mapping[Actor, StepPoint]:
        """The connections that stand before a step."""
        return dict(self._gates)

    @property
    def ended(self) -> set[Actor]:
        """The connections that have come to their end."""
        return self._over

    @property
    def blocked(self) -> frozenset[Actor]:
        """The connections that stay blocked for as long as nobody goes on."""
        return self._firm

    @property
    def all_ended(self) -> bool:
        """Whether all connections have come to their end."""
        return self._over.issuperset(self._actors)

    def is_waited_for(self, actor: Actor) -> bool:
        """Say whether a blocked connection waits for this one, through others or not: then it may close a circle."""
        return any(actor in reached(one, self._waits) for one in self._firm)

    def open(self, gate: StepPoint, *, be_deadlock_victim: bool = False) -> None:
        """Have a connection go on.

        Args:
            gate: where it stands.
            be_deadlock_victim: it may close a circle of waits: the server shall look for one soon.
        """
        self._victims[gate.actor] = be_deadlock_victim
        if self._gates.pop(gate.actor, None) is None:
            return
        self._let_go(gate.actor)

    def _let_go(self, actor: Actor) -> None:
        # a look from before says nothing any more
        self._change, self._firm = next(self._changes), frozenset()
        # the step has some time before the server is asked whether it waits
        self._fresh = self._fresh[0] + 1, actor, time.monotonic()
        self._opened[actor].notify()

    async def settle(self, poll_locks: Callable[[], Awaitable[None]], deadline: float) -> bool:
        """Wait until nobody does anything any more that he was not told to."""
        known = -1
        while True:
            number, fresh, since = self._fresh
            if number != known:
                # the last of the steps that have begun meanwhile has time, too
                known, pause, looked = number, _FIRST, False
            if not self._quiet() and (looked or fresh in self._moving() or not self._all_in_statements()):
                now = time.monotonic()
                await self._await_change(now + pause if since + pause <= now else since + pause)
            if self._quiet():
                return True
            if time.monotonic() > deadline:
                return False
            if self._fresh[0] != known:
                continue
            polls = self._all_in_statements()
            if polls:
                await poll_locks()
                if self._firm.issuperset(self._moving()) and not self._faults_running:
                    return True
                looked = True
            pause = min(pause * 1.5, _LONGEST)

    # asked many times for each step, by who has the lock

    def _quiet(self) -> bool:
        if self.stop.is_set():
            return True
        if self._faults_running:
            return False
        return all(map(self._is_idle, self._opened))

    def _moving(self) -> list[Actor]:
        """List those who do something, or are about to."""
        return [actor for actor in self._opened if not self._is_idle(actor)]

    def _is_idle(self, actor: Actor) -> bool:
        return actor in self._gates or actor in self._over or self._rules.is_waiting(actor)

    def _all_in_statements(self) -> bool:
        return all(map(self.states.in_statement, self._moving()))

    async def _await_change(self, until: float) -> None:
        before = self._change
        while self._change == before and await self._news.wait(until, self.stop) is READY:
            pass

    async def await_news(self, seconds: float) -> None:
        """Wait until who is blocked goes on by himself, or some time has gone by."""
        await self._await_change(time.monotonic() + seconds)

    # what the watcher asks and tells

    def busy(self, longer_than: float) -> dict[int, int]:
        """See Coordinator."""
        self._stamp = self._change
        return super().busy(longer_than)

    def see(
        self,
        tickets: dict[int, int],
        blockers: dict[int, tuple[int, ...]],
        asked: float,  # noqa: ARG002  # as in Coordinator; here changes are counted
    ) -> None:
        """Take a look at the server: one is enough where nobody moves."""
        poll_locks = self.states.take(tickets, blockers)
        waits = {a: tuple(self.states.present(pid) or pid for pid in seen.blockers) for a, seen in poll_locks.items()}
        idle = [actor for actor in self._opened if self._is_idle(actor)]
        firm, here = find_blocked(waits, idle)
        if self._change != self._stamp:
            # somebody moved while the server was asked
            firm = here = frozenset()
        self._waits, self._firm = waits, firm
        if self._rules.update_blocked(firm, here):
            self._news.notify()

    # why it does not go on

    def whom(self, actor: Actor) -> str:
        """Tell whom a blocked connection waits for."""
        names = [str(by) if isinstance(by, Actor) else self.states.name(by) for by in self._waits.get(actor, ())]
        return ", ".join(names) or "nobody known"

    def find_end(self) -> Failure | None:
        """Say why nobody can go on, where nobody stands before a step."""
        blocked = {a: [by if isinstance(by, Actor) else None for by in self._waits[a]] for a in self._firm}
        if not blocked:
            return None
        found = self._rules.find_deadlock(blocked)
        if found is not None:
            return stuck_failure(found[0], self.states[found[0]], found[1])
        first = min(blocked)
        text = f"the sessions cannot end: {first} waits for {self._rules.locks} that {self.whom(first)} holds"
        return Failure("timeout", (), text, self.states[first].place)
