"""`pgchaos run` and `pgchaos replay`, as a user calls them."""

from __future__ import annotations

import re
import sys

import pytest

from tests.pytest_plugin.conftest import FINE, Project

RACE = """\
-- chaos:schedule all
-- chaos:setup
CREATE TABLE t (n int);
INSERT INTO t VALUES (0);
-- chaos:session a x 2
SELECT n FROM t \\gset
UPDATE t SET n = :n + 1;
-- chaos:check
SELECT is((SELECT n FROM t), 2, 'both count');
-- chaos:mutant nobody counts
-- chaos:replace '+ 1' with '+ 0' in a
-- chaos:caught by 'nothing'
"""


def pgchaos(project: Project, *arguments: str) -> pytest.RunResult:
    """Call the program on the tests' server."""
    dsn = f"--chaos-dsn={project.connect()}"
    return project.pytester.run(sys.executable, "-m", "pgchaos", *arguments, dsn)


@pytest.fixture
def tested(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Two scenarios, one of them in a folder that the ini file names, and a test in Python."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    project.file("db/one.sql", FINE)
    project.write(race=RACE)
    project.file("test_python.py", "def test_python():\n    pass\n")
    ini = (project.pytester.path / "tox.ini").read_text(encoding="utf-8")
    (project.pytester.path / "tox.ini").write_text(f"{ini.rstrip()}\nchaos_paths = db\n", encoding="utf-8")
    return project


def test_without_a_path_it_runs_the_folders_of_scenarios(tested: Project) -> None:
    result = pgchaos(tested, "run")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK


def test_without_a_path_and_a_folder_it_runs_nothing(project: Project) -> None:
    project.file("test_python.py", "def test_python():\n    assert False\n")
    result = pgchaos(project, "run")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: there is no folder sql here: name the files or folders, or set ini chaos_paths"]
    )


def test_a_token_finds_its_scenario_or_mutant_and_runs_its_one_order(tested: Project) -> None:
    failed = pgchaos(tested, "run", "sql/race.sql", "--chaos-mutants", "--chaos-seed=7", "--tb=short")
    assert failed.ret == pytest.ExitCode.TESTS_FAILED
    failed.assert_outcomes(failed=2)
    items = {"race": r"race", "mutant": r"race\[mutant-nobody-counts\]"}
    for item in items.values():
        pattern = rf"^ +python -m pgchaos run '?(sql/race\.sql::{item})'? --chaos-replay=(\S+)"
        ((name, token),) = re.findall(pattern, failed.stdout.str(), re.MULTILINE)
        result = pgchaos(tested, "replay", token, "sql", "-q")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert result.outlines[0] == f"pgchaos replay: {name}"
        result.assert_outcomes(failed=1)
    # below chaos_paths, which are db
    assert pgchaos(tested, "replay", token).ret == pytest.ExitCode.USAGE_ERROR
