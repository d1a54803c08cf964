"""No thread of ours freezes the others: a thread that waits inside libpq with the GIL held would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.pq.misc import find_libpq_full_path

_ROOT = Path(__file__).parents[2]
_MOST = 1.5
"""Seconds. A thread that holds the GIL while it waits would make the gap as long as the wait: 2 s."""


_NEEDS_LIBPQ = pytest.mark.skipif(
    find_libpq_full_path() is None,
    reason="psycopg's build in Python needs a libpq of the machine: apt-get install libpq5",
)


@pytest.mark.parametrize("implementation", ["binary", pytest.param("python", marks=_NEEDS_LIBPQ)])
def test_the_main_thread_ticks_while_sessions_wait_connect_and_are_cancelled(implementation: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.ticking"],
        cwd=_ROOT,
        env={**os.environ, "PSYCOPG_IMPL": implementation},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    reported = json.loads(done.stdout)
    assert reported.pop("impl") == implementation
    assert {name: gap for name, (gap, _) in reported.items() if gap >= _MOST} == {}
    assert all(seconds > _MOST for _, seconds in reported.values()), reported
