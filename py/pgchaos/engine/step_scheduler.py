"""Lets the sessions of a run continue one step at a time, in the order of a scheduler."""

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
"""Seconds after which a backend with a deadlock_timeout of 1 ms has looked for a deadlock (session_connection.py)."""
_LATE = 10
"""How often that wait is repeated on a busy machine."""
_REST = 0.02
"""Seconds between snapshots when all sessions are blocked, and a timeout of the server may end that."""


class StepScheduler:
    """Releases the steps of a coordinator; `after_step` is called when a step has ended, or is blocked."""

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
        self._last: _ReleasedStep | None = None
        self.launched: list[Launch] = []
        """The steps in the order of their release."""

    async def run(self, seconds: float) -> bool:
        """Continue until all sessions have ended or the run is stopped; False if the time is over before."""
        deadline = time.monotonic() + seconds
        coordinator = self._coordinator
        if self._after_step is None:
            coordinator.release_next = self._release_next
        while await coordinator.settle(self._poll_locks, deadline):
            last = self._last
            if last is not None:
                last.note_wait(coordinator)
                if last.be_deadlock_victim and last.point.actor in coordinator.blocked:
                    # there is no deadlock yet; its backend must have looked for one before the next step can cause one
                    await self._await_deadlock_check()
                if self._after_step is not None:
                    await self._after_step()
            if coordinator.stop.is_set() or coordinator.all_ended:
                return True
            found = self._order.next(coordinator.ready_steps, coordinator.ended)
            if isinstance(found, StepPoint):
                self._release(found)
            else:
                self._last = None
                self._is_over(found)
                if time.monotonic() > deadline:
                    # the only remaining session may be a program that does nothing
                    return False
                await coordinator.wait_for_change(min(_REST, max(0.0, deadline - time.monotonic())))
        return False

    async def _await_deadlock_check(self) -> None:
        """Wait until a backend has looked for a deadlock: longer if this task, too, is woken late."""
        for _ in range(_LATE):
            began = time.monotonic()
            if await sleep(_LOOKED, self._coordinator.stop) or time.monotonic() - began < 2 * _LOOKED:
                return

    def _release_next(self) -> bool:
        """Release the next step at once, if all sessions are before a step, at a wait or ended."""
        coordinator = self._coordinator
        if coordinator.stop.is_set():
            return False
        found = self._order.next(coordinator.ready_steps, coordinator.ended)
        if not isinstance(found, StepPoint):
            return False
        if self._last is not None:
            self._last.note_wait(coordinator)
        self._release(found)
        return True

    def _release(self, point: StepPoint) -> None:
        launch = Launch(point.actor.session, point.actor.worker, point.step, point.iteration)
        self.launched.append(launch)
        # the session that causes a deadlock should be its victim, soon
        be_deadlock_victim = self._coordinator.is_waited_for(point.actor)
        self._coordinator.release(point, be_deadlock_victim=be_deadlock_victim)
        self._last = _ReleasedStep(point, launch, be_deadlock_victim)

    def _is_over(self, found: Blocked | None) -> None:
        """Stop the run if it cannot continue, unless a timeout of the server or a cancel may end a wait."""
        if not self._coordinator.no_lock_timeouts:
            return
        failure = self._overdue(found.step) if found is not None else self._coordinator.find_standstill()
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
            f"{text} for {self._coordinator.locks} that {self._coordinator.blockers_of(actor)} holds",
            self._place,
            session=str(actor),
        )


class _ReleasedStep:
    """The step that was released last."""

    def __init__(self, point: StepPoint, launch: Launch, be_deadlock_victim: bool) -> None:
        self.point, self._launch, self.be_deadlock_victim = point, launch, be_deadlock_victim

    def note_wait(self, coordinator: SteppedCoordinator) -> None:
        """Record what blocks it, if it is blocked."""
        if self.point.actor in coordinator.blocked:
            self._launch.waited_on = coordinator.blockers_of(self.point.actor)
