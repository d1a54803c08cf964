"""The fixtures for chaos tests, which live in the package pgchaos and are there without this file too.

Chance comes from a seed, so that a failing run replays:

    >>> from tests.chaos.utils import ChaosInjector, SimulatedConnectionFailure, seeded
    >>> def unlucky() -> list[int]:
    ...     found = []
    ...     with seeded(7):
    ...         for number in range(10):
    ...             try:
    ...                 with ChaosInjector.simulate_connection_failure(probability=0.3):
    ...                     pass
    ...             except SimulatedConnectionFailure:
    ...                 found.append(number)
    ...     return found
    >>> unlucky() == unlucky()
    True
    >>> 0 < len(unlucky()) < 10
    True
"""

from __future__ import annotations

import pytest

from pgchaos.pytest_plugin.fixtures import (
    async_conn,
    chaos_extensions,
    conn_pool,
    db_config,
    db_connection_string,
    isolated_schema,
    sync_conn,
)
from tests.chaos.fixtures import async_task_pool, concurrent_executor, pg_sleep_injector, transaction_monitor
from tests.chaos.projects import project

__all__ = [
    "async_conn",
    "async_task_pool",
    "chaos_extensions",
    "concurrent_executor",
    "conn_pool",
    "db_config",
    "db_connection_string",
    "isolated_schema",
    "pg_sleep_injector",
    "project",
    "sync_conn",
    "transaction_monitor",
]


@pytest.fixture(scope="module", autouse=True)
def _no_server_named() -> None:
    """Unlike the other tests, these run on the server that the environment names."""
