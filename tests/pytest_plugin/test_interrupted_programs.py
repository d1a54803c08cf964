"""Ctrl-C while programs run: no process of theirs is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pytest_plugin.conftest import Project
from tests.waiting import until
from tests.working import working_in

RUNS = """\
-- Programs that start others
-- chaos:session shop x 2 run 'sh -c "sleep 3600 & setsid sleep 3600 & wait"'
-- chaos:check
SELECT pass();
"""
PROCESSES = 6
"""Of both workers: a shell, its child, and one that has left the group."""


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for processes in /proc")
def test_no_process_of_a_program_is_left(project: Project) -> None:
    project.write(runs=RUNS)
    folder = project.pytester.path.resolve() / "sql"
    command = [sys.executable, "-m", "pytest", f"--chaos-dsn={project.connect()}", "sql"]
    with subprocess.Popen(
        command, cwd=folder.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    ) as process:
        until(lambda: working_in(folder) == PROCESSES, "all programs run")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert working_in(folder) == 0
    assert process.returncode == 2, out
