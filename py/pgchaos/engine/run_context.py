"""What all sessions of one run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.coordinator import Coordinator
from pgchaos.engine.faults.fault_injector import FaultInjector
from pgchaos.engine.notices import NoticeCollector
from pgchaos.engine.session_log import SessionLog
from pgchaos.engine.stepped_coordinator import SteppedCoordinator
from pgchaos.language.section_items import Expect
from pgchaos.results import Failure
from pgchaos.stop import Stop

if TYPE_CHECKING:
    from pgchaos.engine.applications.coordination import ProgramCoordinator
    from pgchaos.engine.session_network import SessionNetwork
    from pgchaos.engine.session_pool import SessionPool
    from pgchaos.engine.transaction_log import TransactionLog


@dataclass(slots=True)
class RunContext:
    """Shared by the sessions of one run.

    Args:
        factory: to the scenario's database.
        variables: of the matrix.
        seed: of everything random.
        needs_vars: the scenario uses chaos.var or chaos.iteration, which are sent to the server.
        needs_ack: it uses chaos.acknowledged: the variables of each transaction are kept.
        uses_listen: it has a LISTEN somewhere.
        may_lose_connection: a fault may break a connection between two statements: it is checked before each.
        pids: every backend that the engine ever had here is put in.
        coordinator, stop, notices, log, injector: see there.
        steps: the coordinator too, where sessions run step by step; else None.
        network: through which the sessions connect, where a fault breaks it.
        pool: behind which the sessions are, where the scenario has a pooler.
        transaction_log: takes what each transaction was told, where an oracle asks for it.
        programs: the coordinator too, where sessions run programs; else None.
        sets_deadlock_timeout: the engine sets deadlock_timeout: it may, and the scenario does not.
    """

    factory: ConnectionFactory
    variables: Mapping[str, str]
    seed: int
    needs_vars: bool
    needs_ack: bool
    uses_listen: bool
    may_lose_connection: bool
    pids: set[int]
    coordinator: Coordinator
    stop: Stop
    notices: NoticeCollector
    log: SessionLog
    injector: FaultInjector
    steps: SteppedCoordinator | None = None
    sets_deadlock_timeout: bool = False
    transaction_log: TransactionLog | None = None
    pool: SessionPool | None = None
    programs: ProgramCoordinator | None = None
    network: SessionNetwork | None = None

    def fail(self, failure: Failure) -> None:
        """Note a failure that does not stop the run."""
        self.log.failures.append(failure)

    def evaluated(self, expect: Expect) -> None:
        """Note that an `expect` was held against what became of its statement."""
        self.log.evaluated.add(("expect", expect.place, ""))
