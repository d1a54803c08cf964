"""Imports what items need while they run, in the main thread and before the first of them begins.

Python marks a module as there when its import begins: a second thread sees it half made, and fails with an
AttributeError or an ImportError. So no other thread may be the first to import anything. Modules that few items need
are imported within functions, for the sake of projects that do not have such items; `preload` knows all of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from pgchaos.runner.jobs import Job, Part

_ALL = (
    "pgchaos.search.strategy",
    "pgchaos.search.reproduce",
    "pgchaos.engine.concurrent_run",
    "pgchaos.runner.server_lock",
    "pgchaos.results",
    "pgchaos.report.permutation",
    "pgchaos.report.replay",
    "pgchaos.language.mutation",
    "pgchaos.language.problems",
    "pgchaos.language.reader",
    "pgchaos.language.header_model",
    "pgchaos.server.private",
    "pgchaos.server.sandbox",
    "pgchaos.server.server",
    "pgchaos.verdict",
    "concurrent.futures.thread",
    "psycopg.errors",
)
"""What scenarios of every kind need, and what Python itself imports only at use."""

_PARTS: dict[Part, tuple[str, ...]] = {
    "drawing": ("pgchaos.engine.faults.fault_counter", "pgchaos.search.value_trials"),
    "oracle": ("pgchaos.engine.table_catalog", "pgchaos.engine.transaction_log", "pgchaos.search.serial_oracle"),
    "searching": (
        "pgchaos.search.inner_effects",
        "pgchaos.search.interleaving_search",
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
    """Import what jobs need. Call it in the main thread, before any of them runs.

    Args:
        jobs: that will be run; without any, nothing is imported.
    """
    parts: set[Part] = set()
    some = False
    for job in jobs:
        some = True
        parts.update(job.parts)
    if not some:
        return
    for name in _ALL:
        import_module(name)
    for part in sorted(parts):
        for name in _PARTS[part]:
            import_module(name)
    if not parts.isdisjoint({"drawing", "searching"}):
        from pgchaos.search.optional_hypothesis import no_hypothesis

        no_hypothesis()
