"""Beside plugins that repeat tests or forbid sockets, by stand-ins that do it as pytest-repeat and pytest-socket do.

And without plugins that pytest itself has.
"""

from __future__ import annotations

import pytest

from tests.pytest_plugin.conftest import BAD, BROKEN, FINE, Project

REPEATS = """
def pytest_addoption(parser):
    parser.addoption("--count", action="store", default=1, type=int)
    parser.addoption("--repeat-scope", action="store", default="function", type=str)
"""
FORBIDS = """
import socket

import pytest

true = socket.socket

class Guarded(true):
    def __new__(cls, *args, **kwargs):
        raise RuntimeError("A test tried to use socket.socket.")

def pytest_runtest_setup(item):
    socket.socket = Guarded

@pytest.fixture(autouse=True, scope="session")
def allowed_in_the_end():
    yield
    socket.socket = true
"""


def test_count_repeats_scenarios(project: Project) -> None:
    project.file("conftest.py", REPEATS)
    mutant = "-- chaos:mutant m\n-- chaos:session s\nSELECT 2;\n-- chaos:caught by 'sums are right'\n"
    matrix = "-- chaos:matrix level in low, high\n-- chaos:session s\nSELECT :'level';\n"
    project.write(bad=BAD, fine=matrix + FINE.partition("smoke\n")[2] + mutant)
    assert project.collected("--count=2", "--chaos-mutants") == [
        "sql/bad.sql::bad[1-2]",
        "sql/bad.sql::bad[2-2]",
        "sql/fine.sql::fine[level=low,1-2]",
        "sql/fine.sql::fine[level=low,2-2]",
        "sql/fine.sql::fine[level=low,mutant-m,1-2]",
        "sql/fine.sql::fine[level=low,mutant-m,2-2]",
        "sql/fine.sql::fine[level=high,1-2]",
        "sql/fine.sql::fine[level=high,2-2]",
        "sql/fine.sql::fine[level=high,mutant-m,1-2]",
        "sql/fine.sql::fine[level=high,mutant-m,2-2]",
    ]
    result = project.run("--count=3", "--chaos-seed=5")
    result.assert_outcomes(passed=6, failed=3)
    # the line that runs it again needs no --count
    result.stdout.fnmatch_lines(["    pytest sql/bad.sql::bad --chaos-seed=5 *"])
    project.run("--count=3", "sql/bad.sql::bad[2-3]").assert_outcomes(failed=1)
    project.run("--count=3", "--lf").assert_outcomes(failed=3)


def test_count_repeats_specs(project: Project) -> None:
    project.file("conftest.py", REPEATS)
    project.file("specs/x.spec", "session a\nstep one { SELECT 1; }\npermutation one\n")
    assert project.collected("--count=2", "specs/x.spec") == ["specs/x.spec::x[1-2]", "specs/x.spec::x[2-2]"]


def test_an_option_count_of_another_plugin_repeats_nothing(project: Project) -> None:
    project.file("conftest.py", "def pytest_addoption(parser):\n    parser.addoption('--count', type=int)\n")
    project.write(fine=FINE)
    assert project.collected("--count=2") == ["sql/fine.sql::fine"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_scenarios_run_where_sockets_are_forbidden(project: Project, jobs: int) -> None:
    project.file("conftest.py", FORBIDS)
    search = "-- chaos:schedule all\n-- chaos:session s x 2\nSELECT 1;\n" + FINE.partition("smoke\n")[2]
    project.write(a=FINE, b=search, c="-- chaos:session s x 2\nSELECT 1;\n" + FINE.partition("smoke\n")[2])
    project.file("test_sockets.py", "import socket\n\ndef test_it():\n    socket.socket()\n")
    result = project.run(f"--chaos-jobs={jobs}")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*A test tried to use socket.socket.*"])


@pytest.mark.parametrize("args", [["-p", "no:python"], ["-p", "taker"]])
def test_an_item_whose_function_is_not_called_fails(project: Project, args: list[str]) -> None:
    project.file("taker.py", "def pytest_pyfunc_call(pyfuncitem):\n    return True\n")
    project.pytester.syspathinsert()
    project.file("specs/x.spec", "session a\nstep one { SELECT 1; }\npermutation one\n")
    project.write(fine=FINE, broken=BROKEN)
    result = project.run(*args, "sql", "specs/x.spec")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["FAILED sql/fine.sql::fine - not run: pytest did not call the function of*"])


def test_plugins_of_pytest_that_are_turned_off_are_not_missed(project: Project) -> None:
    project.write(fine=FINE, bad=BAD)
    project.file("test_database.py", "def test_it(sync_conn):\n    sync_conn.execute('SELECT 1')\n")
    off = [arg for name in ("capture", "debugging", "setuponly", "setupplan") for arg in ("-p", f"no:{name}")]
    project.run(*off, "--chaos-show").assert_outcomes(passed=2, failed=1)
