"""The utilities for chaos tests, which live in the package pgchaos."""

from __future__ import annotations

from pgchaos.utils import (
    AsyncDatabaseStateSnapshot,
    AsyncTaskPool,
    ChaosExecutor,
    ChaosInjector,
    DatabaseStateSnapshot,
    SimulatedConnectionFailure,
    TransactionMonitor,
    measure_performance,
    retry_history,
    seeded,
    with_retry,
    with_retry_sync,
)

__all__ = [
    "AsyncDatabaseStateSnapshot",
    "AsyncTaskPool",
    "ChaosExecutor",
    "ChaosInjector",
    "DatabaseStateSnapshot",
    "SimulatedConnectionFailure",
    "TransactionMonitor",
    "measure_performance",
    "retry_history",
    "seeded",
    "with_retry",
    "with_retry_sync",
]
