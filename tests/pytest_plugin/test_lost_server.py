"""A server that is lost or refuses all scenarios: reported once, and no further scenario runs."""

from __future__ import annotations

import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.server import start_private
from tests.conftest import ForeignServer
from tests.pytest_plugin.conftest import FINE, Project


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
    output = result.parseoutcomes()
    assert output["passed"] == 1
    assert 1 <= output["failed"] <= 3
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["FAILED sql/b.sql::b*", "*the scenarios have no server*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_server_that_refuses_every_scenario_is_not_asked_for_each(
    project: Project, foreign_server: ForeignServer
) -> None:
    dsn = foreign_server.role("not_the_owner", "LOGIN CREATEDB")
    project.write(a=FINE, b=FINE, c=FINE, d=FINE)
    with foreign_server.connect() as conn:
        conn.execute("ALTER DATABASE template0 IS_TEMPLATE false")
        try:
            result = project.pytester.runpytest_inprocess(f"--chaos-dsn={dsn}", "--chaos-jobs=1")
        finally:
            conn.execute("ALTER DATABASE template0 IS_TEMPLATE true")
    # the first may have asked for more than the second
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*permission denied to copy database*", "*the scenarios have no server*"])
