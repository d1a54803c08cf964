"""No thread of ours freezes the others: a thread that waits inside libpq with the GIL held would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
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


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """The program under each implementation: they wait more than they compute, so both run at once."""
    command, pipe = [sys.executable, "-m", "tests.engine.ticking"], subprocess.PIPE
    with ExitStack() as stack:
        running = {}
        for name in ("binary", "python"):
            env = {**os.environ, "PSYCOPG_IMPL": name}
            program = subprocess.Popen(command, cwd=_ROOT, env=env, stdout=pipe, stderr=pipe, text=True)
            running[name] = stack.enter_context(program)
            stack.callback(program.kill)
        yield running


@pytest.mark.parametrize("implementation", ["binary", pytest.param("python", marks=_NEEDS_LIBPQ)])
def test_the_main_thread_ticks_while_sessions_wait_connect_and_are_cancelled(
    programs: dict[str, subprocess.Popen[str]], implementation: str
) -> None:
    program = programs[implementation]
    out, errors = program.communicate(timeout=60)
    assert program.returncode == 0, errors
    assert errors == ""
    reported = json.loads(out)
    assert reported.pop("impl") == implementation
    assert {name: gap for name, (gap, _) in reported.items() if gap >= _MOST} == {}
    assert all(seconds > _MOST for _, seconds in reported.values()), reported
