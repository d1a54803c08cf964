"""Ctrl-C and SIGTERM, once and repeated: the run ends in order, reports its progress, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.conftest import ForeignServer
from tests.pytest_plugin.conftest import FINE, Project
from tests.pytest_plugin.test_running import HANGS
from tests.waiting import until

MANY = "".join(f"INSERT INTO t VALUES ({number});\n" for number in range(12))
SEARCH = f"""\
-- It takes minutes to go through
-- chaos:schedule explore 5000
-- chaos:setup
CREATE TABLE t (a int);
-- chaos:session one
{MANY}
-- chaos:session two
{MANY}
-- chaos:check
SELECT is(count(*), 24::bigint, 'all are there') FROM t;
"""
WAITS = """
import time
from pathlib import Path

def pytest_keyboard_interrupt():
    Path("interrupted").touch()
    while not Path("go").exists():
        time.sleep(0.001)
"""
"""A hook that holds pytest up while it ends, so that it is known when more signals come."""


def ended(
    project: Project, server: ForeignServer, state: str, number: signal.Signals, times: int, *args: str
) -> tuple[int, str]:
    """Run pytest, send signals as soon as a query is true and while pytest ends, and give its exit code and output."""
    project.file("conftest.py", WAITS)

    def running() -> bool:
        row = admin.execute(state.encode()).fetchone()
        return row is not None and bool(row[0])

    command = [sys.executable, "-m", "pytest", f"--chaos-dsn={server.dsn}", "--chaos-seed=7", *args]
    folder = project.pytester.path
    with (
        server.connect() as admin,
        subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
        ) as process,
    ):
        try:
            until(running, "the scenario runs")
            process.send_signal(number)
            if times > 1:
                # while what was made is removed
                process.send_signal(number)
            try:
                until((folder / "interrupted").exists, "pytest ends")
            except AssertionError as error:
                # pytest's faulthandler then tells what each thread does
                process.send_signal(signal.SIGABRT)
                raise AssertionError(process.communicate()[0]) from error
            for _ in range(times - 2):
                process.send_signal(number)
            (folder / "go").touch()
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, out


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1), (signal.SIGTERM, 5)]
)
def test_an_interrupted_search_reports_its_runs(
    project: Project, foreign_server: ForeignServer, number: signal.Signals, times: int
) -> None:
    project.write(a=SEARCH)
    # each connection has sent the last statement of a run
    state = "SELECT count(*) = 2 FROM pg_stat_activity WHERE query LIKE 'INSERT INTO t VALUES (11)%' AND state = 'idle'"
    code, out = ended(project, foreign_server, state, number, times)
    assert code == pytest.ExitCode.INTERRUPTED, out
    assert re.search(
        r"^sql/a\.sql::a: stopped (after [0-9]+ of 5000 interleavings, none failed|in its first run), seed 7$",
        out,
        re.MULTILINE,
    ), out
    assert "Traceback" not in out
    until(lambda: not [n for n in foreign_server.databases() if n.startswith("pgchaos_")], "no database is left")


def test_parallel_scenarios_are_each_reported_as_stopped(project: Project, foreign_server: ForeignServer) -> None:
    project.write(a=SEARCH, b=HANGS)
    state = "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'UPDATE account%'"
    args = ("--chaos-jobs=2", "--chaos-timeout=5min")
    code, out = ended(project, foreign_server, state, signal.SIGINT, 5, *args)
    assert code == pytest.ExitCode.INTERRUPTED, out
    assert re.search(r"^sql/a\.sql::a: stopped .*, seed 7$", out, re.MULTILINE), out
    assert "\nsql/b.sql::b: stopped in its first run, seed 7\n" in out
    assert "Traceback" not in out
    until(lambda: not [n for n in foreign_server.databases() if n.startswith("pgchaos_")], "no database is left")


def test_ctrl_c_ends_a_run_promptly_and_leaves_nothing(project: Project, foreign_server: ForeignServer) -> None:
    project.write(hangs=HANGS)

    def running() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'UPDATE account%'"
        row = admin.execute(query).fetchone()
        return row is not None and row[0] == 1

    command = [sys.executable, "-m", "pytest", f"--chaos-dsn={foreign_server.dsn}", "--chaos-timeout=5min"]
    with (
        foreign_server.connect() as admin,
        subprocess.Popen(
            command, cwd=project.pytester.path, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        ) as process,
    ):
        try:
            until(running, "the scenario runs")
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, out
    assert "KeyboardInterrupt" in out
    until(lambda: not [n for n in foreign_server.databases() if n.startswith("pgchaos_")], "no database is left")


INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
"""
"""Sends SIGINT when a module is imported for the first time."""


def test_ctrl_c_during_an_import_leaves_no_module_half_imported(
    project: Project, foreign_server: ForeignServer
) -> None:
    """At the end of the run, the plugin of hypothesis imports hypothesis again."""
    project.write(a=SEARCH)
    project.file("conftest.py", INTERRUPTED_IMPORT.format(module="hypothesis.internal.conjecture.providers"))
    args = ("-p", "_hypothesis_pytestplugin", f"--chaos-dsn={foreign_server.dsn}")
    run = project.pytester.runpytest_subprocess(*args)
    assert run.ret == pytest.ExitCode.INTERRUPTED, run.stdout.str() + run.stderr.str()
    assert "Traceback" not in run.stdout.str() + run.stderr.str()
    run.stdout.fnmatch_lines(["*KeyboardInterrupt*"])


def test_ctrl_c_while_a_report_is_written(project: Project, foreign_server: ForeignServer) -> None:
    project.write(a=FINE)
    project.file("conftest.py", INTERRUPTED_IMPORT.format(module="pgchaos.report.export.page"))
    run = project.pytester.runpytest_subprocess(f"--chaos-dsn={foreign_server.dsn}", "--chaos-report=report.html")
    assert run.ret == pytest.ExitCode.INTERRUPTED, run.stdout.str() + run.stderr.str()
    assert "Traceback" not in run.stdout.str() + run.stderr.str()
    run.stdout.fnmatch_lines(["ERROR: --chaos-report: '*report.html' was not written: interrupted"])
    assert not (project.pytester.path / "report.html").exists()


LOST = """
import os, signal

class Swallows:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

def pytest_pyfunc_call():
    Swallows()
"""
"""Python ignores the KeyboardInterrupt of the signal, because it is raised in a finalizer."""


def test_a_lost_interrupt_ends_a_search_before_its_next_run(project: Project, foreign_server: ForeignServer) -> None:
    project.write(a=SEARCH.replace("5000", "20"))
    project.file("conftest.py", LOST)
    ignored = ("-W", "ignore::pytest.PytestUnraisableExceptionWarning")
    run = project.pytester.runpytest_subprocess(f"--chaos-dsn={foreign_server.dsn}", "--chaos-seed=7", *ignored)
    assert run.ret == pytest.ExitCode.INTERRUPTED, run.stdout.str() + run.stderr.str()
    run.stdout.fnmatch_lines(["sql/a.sql::a: stopped in its first run, seed 7"])
