"""What all players of one run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.coordinator import Coordinator
from pgchaos.engine.faults.fault_injector import FaultInjector
from pgchaos.engine.notices import NoticeCollector
from pgchaos.engine.stepped_coordinator import SteppedCoordinator
from pgchaos.language.section_items import Expect
from pgchaos.results import Failure, RunResult
from pgchaos.stop import Stop

if TYPE_CHECKING:
    from pgchaos.engine.transaction_log import TransactionLog


@dataclass(slots=True)
class RunContext:
    """Shared by the players of one run.

    Args:
        door: to the scenario's database.
        variables: of the matrix.
        seed: of everything random.
        tells: the scenario asks for chaos.var or chaos.iteration: the server is told them (a round trip each time).
        keeps: it asks for chaos.acknowledged: the variables of each transaction are kept.
        listens: it has a LISTEN somewhere.
        loses: a fault may take a connection away between two statements: each is looked at before it is used.
        pids: every backend that the engine ever had here is put in.
        stage, stop, voices, result, faulting: see there.
        steps: the stage too, where sessions go step by step; else None.
        ledger: takes what each transaction was told, where an oracle asks for it.
        hurries: deadlock_timeout may be set, and the scenario leaves it to the engine.
    """

    door: ConnectionFactory
    variables: Mapping[str, str]
    seed: int
    tells: bool
    keeps: bool
    listens: bool
    loses: bool
    pids: set[int]
    stage: Coordinator
    stop: Stop
    voices: NoticeCollector
    result: RunResult
    faulting: FaultInjector
    steps: SteppedCoordinator | None = None
    hurries: bool = False
    ledger: TransactionLog | None = None

    def fail(self, failure: Failure) -> None:
        """Note a failure that does not stop the run."""
        self.result.failures.append(failure)

    def evaluated(self, expect: Expect) -> None:
        """Note that an `expect` was held against what became of its statement."""
        self.result.evaluated.add(("expect", expect.place, ""))
