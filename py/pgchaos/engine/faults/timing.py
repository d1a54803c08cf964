"""When a fault is delivered: waits until its target is in the required state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from pgchaos import clock
from pgchaos.engine.coordinator import Coordinator, Halted
from pgchaos.engine.faults.actions import OVER, TargetGone
from pgchaos.engine.faults.commits import CommitHold
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.engine.faults.targets import Targets
from pgchaos.engine.waits import sleep
from pgchaos.language.section_items import Fault
from pgchaos.schedule.wait_rules import Actor
from pgchaos.stop import Stop

if TYPE_CHECKING:
    from pgchaos.engine.answer_hold import AnswerHold

_POLL_INTERVAL = 0.001
"""Seconds between checks of a target."""

_BLOCKED, _ACTIVE = "blocked", "in a statement"
"""States of targets."""

Over = Callable[[], bool]
"""Returns whether the statement of a fault is over."""


class Timing:
    """Waits for the time of faults."""

    def __init__(
        self, fault_connection: FaultConnection, targets: Targets, coordinator: Coordinator, stop: Stop
    ) -> None:
        self._fault_connection, self._targets = fault_connection, targets
        self._coordinator, self._stop = coordinator, stop

    async def await_commit(self, hold: CommitHold, actor: Actor, over: Over) -> None:
        """Wait until the commit of a statement is held."""
        pid, attempts = self._targets.pid(actor), 0
        while not await hold.holds(pid, attempts):
            self._check_over(over)
            await sleep(_POLL_INTERVAL, self._stop)
            attempts += 1

    async def await_time(self, fault: Fault, actor: Actor, over: Over | None) -> None:
        """Wait for the time of a fault."""
        if fault.when_blocked or fault.kind == "cancel":
            state = _BLOCKED if fault.when_blocked else _ACTIVE
            await self._await_state(self._targets.watched(fault, actor), state, actor, over)
        elif over is not None:
            await self._await_state([actor], _ACTIVE, actor, over)
        if fault.after is not None:
            await self._wait_seconds(fault.after, over)

    async def await_answer(self, fault: Fault, actor: Actor, hold: AnswerHold, over: Over) -> None:
        """Wait for the time of a network fault during a statement whose answer is held."""
        if fault.when_blocked:
            await self.await_time(fault, actor, lambda: over() or hold.answered)
        elif fault.after is None:
            await hold.wait(over)
        else:
            await hold.wait(over, for_answer=False)
            await self._wait_seconds(fault.after, over)

    async def _wait_seconds(self, seconds: float, over: Over | None) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._check_over(over)
            await sleep(min(_POLL_INTERVAL, seconds), self._stop)

    async def _await_state(self, who: list[Actor], state: str, actor: Actor, over: Over | None) -> None:
        with self._coordinator.delayed(actor) if over is None else nullcontext():
            while not await self._are_in_state(who, state, check_reachable=over is None):
                self._check_over(over)
                await sleep(_POLL_INTERVAL, self._stop)

    async def _are_in_state(self, who: list[Actor], state: str, *, check_reachable: bool) -> bool:
        """Whether connections are in a state; `check_reachable`: raise TargetGone if they can no longer get there."""
        taken_at = clock.now()
        pids = {self._targets.pid(one): one for one in who}
        active = await self._active(self._targets.connected() if check_reachable else pids)
        calling = self._coordinator.states.blocked_calls()
        blocked = {pid: waits for pid, by in active.items() if (waits := by or calling.get(pid, ()))}
        there = blocked if state == _BLOCKED else active
        for pid in pids.keys() & blocked.keys():
            self._coordinator.states.note_blockers(pid, blocked[pid])
        lacking = [one for pid, one in pids.items() if pid not in there]
        if lacking and check_reachable:
            self._check_reachable(lacking, state, blocked, taken_at)
        if state == _BLOCKED and not lacking:
            self._coordinator.note_block(who)
        return not lacking

    async def _active(self, pids: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """Return which backends run a statement, and the backends that block each of them."""
        rows = await self._fault_connection.ask(
            "SELECT pid, pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(pid), ',')"
            f" FROM pg_catalog.pg_stat_activity WHERE pid = ANY ('{{{','.join(map(str, pids))}}}') AND state = 'active'"
        )
        return {int(str(pid)): tuple(map(int, by.split(","))) if by else () for pid, by in rows or ()}

    def _check_reachable(
        self, lacking: list[Actor], state: str, blocked: dict[int, tuple[int, ...]], taken_at: float
    ) -> None:
        gone = [one for one in lacking if self._targets.has_ended(one)]
        if gone:
            raise TargetGone(f"{' and '.join(map(str, gone))} ended without being {state}")
        if self._coordinator.is_standstill(blocked, taken_at):
            doing = " and ".join(f"{one} {self._coordinator.states.describe_state(one)}" for one in lacking)
            raise TargetGone(f"{doing}, and will not be {state}: no session continues before this fault is delivered")

    def _check_over(self, over: Over | None) -> None:
        if self._stop.is_set():
            raise Halted
        if over is not None and over():
            raise TargetGone(OVER)
