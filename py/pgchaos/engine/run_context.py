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
    """Shared by the sessions of one run."""

    factory: ConnectionFactory  # to the scenario's database
    variables: Mapping[str, str]  # of the matrix
    seed: int  # of everything random
    needs_vars: bool  # the scenario uses chaos.var or chaos.iteration, so variables are sent to the server
    needs_ack: bool  # it uses chaos.acknowledged, so the variables of each transaction are recorded
    uses_listen: bool  # it has a LISTEN
    may_lose_connection: bool  # a fault may break an idle connection, so it is checked before each statement
    pids: set[int]  # every backend that the run has had
    coordinator: Coordinator
    stop: Stop
    notices: NoticeCollector
    log: SessionLog
    injector: FaultInjector
    steps: SteppedCoordinator | None = None  # the coordinator, if sessions run step by step
    sets_deadlock_timeout: bool = False  # the engine sets deadlock_timeout: it may, and the scenario does not
    transaction_log: TransactionLog | None = None  # for an oracle
    pool: SessionPool | None = None  # the pooler between sessions and server
    programs: ProgramCoordinator | None = None  # the coordinator, if sessions run programs
    network: SessionNetwork | None = None  # the proxies of sessions with network faults

    def fail(self, failure: Failure) -> None:
        """Record a failure that does not stop the run."""
        self.log.failures.append(failure)

    def evaluated(self, expect: Expect) -> None:
        """Record that an `expect` was compared with the outcome of its statement."""
        self.log.evaluated.add(("expect", expect.place, ""))
