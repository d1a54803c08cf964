"""Tools for chaos tests in Python: delays and simulated failures, retries, snapshots, locks, measurements.

All random choices depend on --chaos-seed, so that a failing run can be replayed.
"""

from __future__ import annotations

from pgchaos.randomness import seeded
from pgchaos.utils.executor import ChaosExecutor
from pgchaos.utils.injector import ChaosInjector, SimulatedConnectionFailure
from pgchaos.utils.monitor import TransactionMonitor
from pgchaos.utils.performance import Measurement, measure_performance
from pgchaos.utils.retry import DEFAULT_RETRY, Attempt, retry_history, with_retry, with_retry_sync
from pgchaos.utils.snapshot import AsyncDatabaseStateSnapshot, DatabaseStateSnapshot
from pgchaos.utils.tasks import AsyncTaskPool

__all__ = [
    "DEFAULT_RETRY",
    "AsyncDatabaseStateSnapshot",
    "AsyncTaskPool",
    "Attempt",
    "ChaosExecutor",
    "ChaosInjector",
    "DatabaseStateSnapshot",
    "Measurement",
    "SimulatedConnectionFailure",
    "TransactionMonitor",
    "measure_performance",
    "retry_history",
    "seeded",
    "with_retry",
    "with_retry_sync",
]
