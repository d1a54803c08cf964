"""The fixtures for what happens at once, which live in the package pgchaos."""

from __future__ import annotations

from pgchaos.pytest_plugin.fixtures import async_task_pool, concurrent_executor, pg_sleep_injector, transaction_monitor

__all__ = ["async_task_pool", "concurrent_executor", "pg_sleep_injector", "transaction_monitor"]
