"""The garbage collector works as the project left it while items run."""

from __future__ import annotations

import pytest

from tests.pytest_plugin.conftest import FINE, Project

CONFTEST = """\
import gc

BEFORE = gc.get_threshold()


def pytest_itemcollected(item):
    assert gc.get_threshold()[0] > BEFORE[0], "it looks less often while files are collected"


def pytest_runtest_setup(item):
    print("the same:", gc.get_threshold() == BEFORE, "without the present:", gc.get_freeze_count() > 0)
"""


@pytest.mark.parametrize("with_python", [False, True])
def test_it_looks_as_often_as_before_while_items_run(project: Project, with_python: bool) -> None:
    project.file("conftest.py", CONFTEST)
    project.write(fine=FINE)
    if with_python:
        project.file("test_after.py", "def test_python():\n    pass\n")
    result = project.run("-s", "sql", *(["test_after.py"] if with_python else []))
    result.assert_outcomes(passed=1 + with_python)
    # tests in Python may ask for all objects
    result.stdout.fnmatch_lines(f"*the same: True without the present: {not with_python}")
