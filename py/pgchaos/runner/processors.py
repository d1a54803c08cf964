"""Counts the processors of a run, and decides whether one is idle."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgchaos.server import Server

_XDIST_WORKER = "PYTEST_XDIST_WORKER"
"""Set by pytest-xdist, whose workers run side by side."""


def processors() -> int:
    """Count the processors of this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def runs_at_once(server: Server, *, parallel: bool) -> int:
    """Return how many runs of one search may be made in parallel: two on a private server that nothing else uses."""
    idle = not parallel and _XDIST_WORKER not in os.environ and processors() > 1
    return 2 if idle and server.ours else 1
