from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.server import start_private
from tests.conftest import ForeignServer
from tests.pytest_plugin.conftest import FINE, Project
from tests.pytest_plugin.test_running import HANGS
from tests.waiting import until

PROMPT = 60
"""Seconds, while the scenario would go on for 5 minutes."""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_ends_a_run_promptly_and_leaves_nothing(project: Project, foreign_server: ForeignServer) -> None:
    project.write(hangs=HANGS)

    def running() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'UPDATE account%'"
        row = looks.execute(query).fetchone()
        return row is not None and row[0] == 1

    command = [sys.executable, "-m", "pytest", f"--chaos-dsn={foreign_server.dsn}", "--chaos-timeout=5min"]
    with (
        foreign_server.connect() as looks,
        subprocess.Popen(
            command, cwd=project.pytester.path, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        ) as process,
    ):
        try:
            until(running, "the scenario runs")
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=PROMPT)
        finally:
            process.kill()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, out
    assert "KeyboardInterrupt" in out
    until(lambda: not [n for n in foreign_server.databases() if n.startswith("pgchaos_")], "no database is left")


def test_a_lost_server_is_reported_once(project: Project) -> None:
    project.write(a=FINE, b=FINE, c=FINE, d=FINE, e=FINE, f=FINE)
    with start_private() as private:
        project.pytester.makeconftest(
            "import os, signal\n"
            "def pytest_runtest_logfinish(nodeid):\n"
            f"    if nodeid.endswith('::a'): os.kill({private.pid}, signal.SIGKILL)\n"
        )
        dsn = make_conninfo(**private.parameters)
        result = project.pytester.runpytest_inprocess(f"--chaos-dsn={dsn}", "--chaos-clones=0", "--chaos-jobs=1")
    # the backend that makes databases may outlive its postmaster for a moment: then a scenario's own sessions tell it
    told = result.parseoutcomes()
    assert told["passed"] == 1
    assert 1 <= told["failed"] <= 3
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["FAILED sql/b.sql::b*", "*the scenarios have no server*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_server_that_refuses_every_scenario_is_not_asked_for_each(
    project: Project, foreign_server: ForeignServer
) -> None:
    dsn = foreign_server.role("reader_only", "LOGIN CREATEDB")
    with foreign_server.connect() as conn:
        conn.execute("ALTER ROLE reader_only SET default_transaction_read_only = on")
    project.write(a=FINE, b=FINE, c=FINE, d=FINE)
    result = project.pytester.runpytest_inprocess(f"--chaos-dsn={dsn}", "--chaos-jobs=1")
    # the first may have asked for more than the second
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*read-only transaction*", "*the scenarios have no server*"])
