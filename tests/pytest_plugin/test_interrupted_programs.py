"""Ctrl-C while programs run, and while servers start: no process of theirs is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pgchaos.server.binaries import embedded_bindir
from pgchaos.server.cache_folder import PREPARED
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


OWN = """\
-- On a server of its own
-- chaos:sandbox server
-- chaos:session one
SELECT 1;
-- chaos:check
SELECT pass();
"""


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for processes in /proc")
def test_servers_that_are_being_started_are_removed_soon(project: Project, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "postgres").symlink_to(embedded_bindir() / "postgres")
    (programs / "initdb").write_text("#!/bin/sh\nexec sleep 3600\n")
    (programs / "initdb").chmod(0o755)
    project.write(a=OWN, b=OWN)
    command = [sys.executable, "-m", "pytest", f"--chaos-dsn={project.connect()}", "--chaos-jobs=2", "sql"]
    env = {**os.environ, "PG_BINDIR": str(programs), PREPARED: "off"}

    def folders() -> list[str]:
        found = psutil.Process(process.pid).children(recursive=True)
        return [one.cwd() for one in found if "pgchaos-" in one.cwd()]

    with subprocess.Popen(
        command, cwd=project.pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    ) as process:
        try:
            begun = until(folders, "initdb runs", 20)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=20)
        finally:
            process.kill()
    assert not any(Path(folder).exists() for folder in begun)
    assert process.returncode == 2, out
    assert "sql/b.sql::b: stopped in its first run, seed" in out
