"""The faults of one run: when each is delivered, and to which targets. `actions` has what they do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from pgchaos import clock
from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.coordinator import Coordinator
from pgchaos.engine.error_messages import internal_failure
from pgchaos.engine.faults.actions import NotDelivered, carry_out
from pgchaos.engine.faults.commits import CommitHold
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.engine.faults.fault_counter import FaultCounter
from pgchaos.engine.faults.outage import Outage
from pgchaos.engine.faults.targets import Targets
from pgchaos.engine.faults.timing import Timing
from pgchaos.engine.waits import Mutex
from pgchaos.language.fault_kinds import describe, targets_connections
from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Fault
from pgchaos.schedule.wait_rules import Actor
from pgchaos.server import ServerError
from pgchaos.stop import Stop

if TYPE_CHECKING:
    from pgchaos.engine.answer_hold import AnswerHold
    from pgchaos.engine.session_network import SessionNetwork


class FaultInjector:
    """The faults of one run; `values` has the places that a search has chosen for faults."""

    def __init__(
        self,
        scenario: Scenario,
        values: Mapping[str, str],
        factory: ConnectionFactory,
        coordinator: Coordinator,
        stop: Stop,
        cleanup_stop: Stop,
        pids: set[int],
        network: SessionNetwork | None = None,
    ) -> None:
        self.stop, self.network = stop, network
        self.fault_connection = FaultConnection(factory, cleanup_stop, pids)
        self.counter = FaultCounter(scenario, values)
        self.targets = Targets(self.fault_connection)
        self.outage = Outage(self.fault_connection, stop, cleanup_stop)
        self._coordinator = coordinator
        self._timing = Timing(self.fault_connection, self.targets, coordinator, stop)
        self._mutex = Mutex()
        self.remarks: list[str] = []
        """On faults of which it is not sure that they had an effect."""

    async def inject(
        self,
        fault: Fault,
        actor: Actor,
        over: Callable[[], bool] | None = None,
        hold: CommitHold | None = None,
        answer: AnswerHold | None = None,
    ) -> float:
        """Wait for the time of a fault, carry it out, and wait for its effect; return when it was delivered."""
        with self._coordinator.fault_in_progress():
            if answer is not None and over is not None:
                await self._timing.await_answer(fault, actor, answer, over)
                return await self._deliver_to_network(fault, actor)
            if hold is not None and over is not None:
                await self._timing.await_commit(hold, actor, over)
            await self._timing.await_time(fault, actor, over if hold is None else None)
            if targets_connections(fault):
                return await self._deliver_to_network(fault, actor)
            async with self._mutex:
                pids, now = await self.targets.pids(fault, actor), clock.now()
                self._coordinator.expect_fault(pids)
                self._note_idle(fault, actor)
                await self._carry_out(fault, pids)
        return now

    def _note_idle(self, fault: Fault, actor: Actor) -> None:
        idle = self.targets.idle(fault, actor)
        if idle:
            left = "only what it had left could be affected, such as an advisory lock"
            self.remarks.append(f"{fault.place}: `fault {describe(fault)}`: {idle}, so {left}")

    def hold_answer(self, actor: Actor) -> AnswerHold:
        """Prepare to hold the answer to the next statement of a connection."""
        assert self.network is not None, "of a scenario with such a fault"
        return self.network.hold_answer(actor)

    async def _deliver_to_network(self, fault: Fault, actor: Actor) -> float:
        assert self.network is not None, "of a scenario with such a fault"
        async with self._mutex:
            targets, now = self.targets.connections(fault, actor), clock.now()
            if fault.kind in ("cut", "reset"):
                self._coordinator.expect_fault([pid for one in targets.values() if (pid := one.pid) is not None])
            self._note_idle(fault, actor)
            await self.network.carry_out(fault, targets)
            self.counter.delivered.add(fault)
        return now

    async def carry_out(self, fault: Fault, pids: Collection[int]) -> None:
        """Carry out a fault at once."""
        async with self._mutex:
            await self._carry_out(fault, pids)

    async def _carry_out(self, fault: Fault, pids: Collection[int]) -> None:
        try:
            async with self.outage.of(fault):
                await carry_out(self.fault_connection, fault.kind, fault.argument, pids)
        except ServerError as error:
            raise NotDelivered(str(error)) from None
        self.counter.delivered.add(fault)

    def fail_internal(self, error: BaseException, fault: Fault, actor: Actor) -> None:
        """Stop the run for an internal error in the task of a fault, because its target may wait for it."""
        self._coordinator.fail_internal(internal_failure(error, fault.place, f"fault of {actor}"))

    async def close(self) -> None:
        """Close the connections."""
        with suppress(NotDelivered):  # the run is over, and the server may be too
            await self.fault_connection.close()
