"""Imports in the main thread what items need, before the first item runs.

A module that is being imported is already in sys.modules: a second thread would see it incomplete, and fail with an
AttributeError or an ImportError. So other threads must never be the first to import anything. Modules that few items
need are imported within functions, so that other projects do not load them; `preload` knows all of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgchaos.runner.jobs import Job, Part

# What items of every kind need, and what Python itself imports only at use.
_ALL = (
    "pgchaos.runner.executor",
    "pgchaos.runner.item_progress",
    "pgchaos.runner.jobs",
    "pgchaos.runner.server_lock",
    "pgchaos.runner.specs",
    "pgchaos.language.problems",
    "pgchaos.server.private",
    "pgchaos.server.sandbox",
    "pgchaos.server.server",
    "concurrent.futures.thread",
    "psycopg.errors",
)

# What scenarios and plain files need.
_SCENARIO = (
    "pgchaos.runner.repeats",
    "pgchaos.search.strategy",
    "pgchaos.search.reproduce",
    "pgchaos.results",
    "pgchaos.language.mutation",
    "pgchaos.language.reader",
    "pgchaos.language.header_model",
    "pgchaos.verdict",
)

_SESSIONS = ("pgchaos.engine.concurrent_run",)  # plain files have none

_PARTS: dict[Part, tuple[str, ...]] = {
    "drawing": (
        "pgchaos.engine.faults.fault_counter",
        "pgchaos.search.speculative_runs",
        "pgchaos.search.value_trials",
    ),
    "network": ("pgchaos.engine.session_network",),
    "oracle": (
        "pgchaos.engine.oracle_states",
        "pgchaos.engine.table_catalog",
        "pgchaos.engine.transaction_log",
        "pgchaos.search.serial_oracle",
    ),
    "own server": ("pgchaos.server.cluster", "psutil"),
    "pooler": ("pgchaos.engine.session_pool",),
    "programs": ("pgchaos.engine.applications.setup", "pgchaos.engine.applications.functions"),
    "searching": (
        "pgchaos.search.inner_effects",
        "pgchaos.search.interleaving_search",
        "pgchaos.search.speculative_runs",
        "pgchaos.search.touched_relations",
        "pgchaos.schedule.explore",
    ),
    "spec": (
        "pgchaos.engine.specs",
        "pgchaos.isolation.expected",
        "pgchaos.isolation.concurrent_specs",
        "pgchaos.isolation.grammar",
    ),
}


def preload(jobs: Iterable[Job]) -> None:
    """Import what jobs need; without a job, nothing. Call it in the main thread, before a job runs."""
    jobs = list(jobs)
    if not jobs:
        return
    parts = {part for job in jobs for part in job.parts}
    scenarios = [job for job in jobs if job.parts != ("spec",)]
    runs = _SCENARIO if scenarios else ()
    sessions = () if all(job.plain for job in scenarios) else _SESSIONS
    for name in (*_ALL, *runs, *sessions, *(name for part in sorted(parts) for name in _PARTS[part])):
        import_module(name)
    if not parts.isdisjoint({"drawing", "searching"}):
        from pgchaos.search.optional_hypothesis import no_hypothesis

        no_hypothesis()
