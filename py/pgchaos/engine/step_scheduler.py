"""Has the sessions of a run go on one step at a time, in an order that somebody else decides."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from pgchaos.engine.stepped_coordinator import SteppedCoordinator
from pgchaos.engine.waits import sleep
from pgchaos.language.header_model import StepName
from pgchaos.language.problems import Place
from pgchaos.results import Failure, Launch
from pgchaos.schedule.scheduler import Blocked, Scheduler
from pgchaos.schedule.step_points import StepPoint

_LOOKED = 0.03
"""Seconds after which a backend has looked for a deadlock that shall do so after 1 ms (session_connection.py)."""
_LATE = 10
"""How often that is waited for on a machine that is too busy to keep to time."""
_REST = 0.02
"""Seconds between looks at a run in which all who are left are blocked, and a time-out of the server's may end that."""


class StepScheduler:
    """Lets the sessions of a coordinator go on; `after_step` is called when a step is done, or known to be blocked."""

    def __init__(
        self,
        coordinator: SteppedCoordinator,
        order: Scheduler,
        poll_locks: Callable[[], Awaitable[None]],
        after_step: Callable[[], Awaitable[None]] | None,
        place: Place | None,
    ) -> None:
        self._coordinator, self._order, self._poll_locks, self._after_step = coordinator, order, poll_locks, after_step
        self._place = place
        self._last: _Opened | None = None
        self.launched: list[Launch] = []
        """The steps in the order in which they went."""

    async def conduct(self, seconds: float) -> bool:
        """Go on until all sessions have ended or the run is stopped."""
        deadline = time.monotonic() + seconds
        coordinator = self._coordinator
        if self._after_step is None:
            coordinator.go_on = self._go_on
        while await coordinator.settle(self._poll_locks, deadline):
            last = self._last
            if last is not None:
                last.note_wait(coordinator)
                if last.be_deadlock_victim and last.gate.actor in coordinator.blocked:
                    # it has closed no circle; its own look for one must be over before the next step can close one
                    await self._let_poll()
                if self._after_step is not None:
                    await self._after_step()
            if coordinator.stop.is_set() or coordinator.all_ended:
                return True
            found = self._order.next(coordinator.gates, coordinator.ended)
            if isinstance(found, StepPoint):
                self._open(found)
            else:
                self._last = None
                self._is_over(found)
                if time.monotonic() > deadline:
                    # a program that does nothing may be all that is left
                    return False
                await coordinator.await_news(min(_REST, max(0.0, deadline - time.monotonic())))
        return False

    async def _let_poll(self) -> None:
        """Wait until a backend has looked for a deadlock: longer where this task, too, is late to be woken."""
        for _ in range(_LATE):
            began = time.monotonic()
            if await sleep(_LOOKED, self._coordinator.stop) or time.monotonic() - began < 2 * _LOOKED:
                return

    def _go_on(self) -> bool:
        """Begin the next step at once, where all stand before one, at a wait or at their end."""
        coordinator = self._coordinator
        if coordinator.stop.is_set():
            return False
        found = self._order.next(coordinator.gates, coordinator.ended)
        if not isinstance(found, StepPoint):
            return False
        if self._last is not None:
            self._last.note_wait(coordinator)
        self._open(found)
        return True

    def _open(self, gate: StepPoint) -> None:
        launch = Launch(gate.actor.session, gate.actor.worker, gate.step, gate.iteration)
        self.launched.append(launch)
        # who closes a circle shall be the one whom the server's deadlock detector finds, and soon
        be_deadlock_victim = self._coordinator.is_waited_for(gate.actor)
        self._coordinator.open(gate, be_deadlock_victim=be_deadlock_victim)
        self._last = _Opened(gate, launch, be_deadlock_victim)

    def _is_over(self, found: Blocked | None) -> None:
        """Stop the run where it cannot go on: unless a time-out of the server's, or a cancel, may end a wait."""
        if not self._coordinator.no_lock_timeouts:
            return
        failure = self._overdue(found.step) if found is not None else self._coordinator.find_end()
        if failure is not None:
            self._coordinator.fail(failure)

    def _overdue(self, step: StepName) -> Failure | None:
        actor = next((a for a in self._coordinator.blocked if a == (step.session, step.worker)), None)
        if actor is None:
            return None
        text = f"the schedule cannot go on: its step {step.session}.{step.step} is due, and {actor} still waits"
        return Failure(
            "error",
            (),
            f"{text} for {self._coordinator.locks} that {self._coordinator.whom(actor)} holds",
            self._place,
            session=str(actor),
        )


class _Opened:
    """A step that was just begun."""

    def __init__(self, gate: StepPoint, launch: Launch, be_deadlock_victim: bool) -> None:
        self.gate, self._launch, self.be_deadlock_victim = gate, launch, be_deadlock_victim

    def note_wait(self, coordinator: SteppedCoordinator) -> None:
        """Note whether it waits."""
        if self.gate.actor in coordinator.blocked:
            self._launch.waited_on = coordinator.whom(self.gate.actor)
