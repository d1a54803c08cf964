"""--chaos-mutants: an item for each mutant, which passes when the scenario fails for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pgchaos.language.problems import ScenarioError
from pgchaos.runner.jobs import Job
from tests.pytest_plugin.conftest import Project

BASE = """\
-- A sum
-- chaos:setup
CREATE TABLE t (a int);
INSERT INTO t VALUES (1);
-- chaos:session one
UPDATE t SET a = a + 1;
-- chaos:check
SELECT is(a, 2, 'one was added') FROM t;
"""
CAUGHT = """\
-- chaos:mutant nothing is added
-- chaos:replace 'a + 1' with 'a' in one
-- chaos:caught by 'one was added'
"""


def test_mutants_are_items_only_where_they_are_asked_for(project: Project) -> None:
    project.write(sum=BASE + CAUGHT)
    assert project.collected() == ["sql/sum.sql::sum"]
    assert project.collected("--chaos-mutants") == [
        "sql/sum.sql::sum",
        "sql/sum.sql::sum[mutant-nothing-is-added]",
    ]


@pytest.mark.parametrize("name", ["sum[mutant-nothing-is-added]", "sum[size=2,mutant-nothing-is-added]"])
def test_the_id_of_a_mutant_needs_the_option(project: Project, name: str) -> None:
    project.write(sum=BASE + CAUGHT)
    result = project.look(f"sql/sum.sql::{name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: sql/sum.sql::sum?* is a mutant: add --chaos-mutants"])


def test_mutants_of_a_matrix_stand_behind_their_value(project: Project) -> None:
    mutant = CAUGHT.replace("added\n", "added when size = 2\n", 1)
    project.write(sum="-- chaos:matrix size in 1, 2\n" + BASE + "\\set used :size\n" + mutant)
    assert project.collected("--chaos-mutants") == [
        "sql/sum.sql::sum[size=1]",
        "sql/sum.sql::sum[size=2]",
        "sql/sum.sql::sum[size=2,mutant-nothing-is-added]",
    ]


def test_a_mutant_that_is_caught_passes(project: Project) -> None:
    project.write(sum=BASE + CAUGHT)
    project.run("--chaos-mutants").assert_outcomes(passed=2)


def test_a_mutant_that_is_not_caught_fails_and_says_so(project: Project) -> None:
    same = "-- chaos:session one\nUPDATE t SET a = a + 1;\n"
    project.write(sum=f"{BASE}-- chaos:mutant the same again\n{same}-- chaos:caught by 'one was added'\n")
    result = project.run("--chaos-mutants")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*sum?mutant-the-same-again?: A sum*",
            "sql/sum.sql:9: mutant 'the same again' was not caught by 'one was added'",
            "    nothing failed",
            "*sql/sum.sql::sum?mutant-the-same-again?*--chaos-mutants*",
        ]
    )


def test_a_mutant_with_a_syntax_error_is_not_caught(project: Project) -> None:
    wrong = "-- chaos:replace 'UPDATE' with 'UPDAET' in one\n"
    project.write(sum=f"{BASE}-- chaos:mutant misspelt\n{wrong}-- chaos:caught by 'one was added'\n")
    result = project.run("--chaos-mutants")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["    failed instead: *42601*syntax error*"])


def test_every_name_must_be_among_what_fails(project: Project) -> None:
    project.write(sum=BASE + CAUGHT + "-- chaos:caught by 'another'\n")
    result = project.run("--chaos-mutants")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*was not caught by 'another'", "    failed instead: one was added"])


def test_a_mutant_that_is_gone_is_an_error_and_not_the_scenario(tmp_path: Path) -> None:
    path = tmp_path / "sum.sql"
    path.write_text(BASE + CAUGHT)
    job = Job(path, "sum.sql", mutant="mutant-nothing-is-added")
    assert job.read()[1] is not None
    path.write_text(BASE + CAUGHT.replace("nothing is added", "another"))
    with pytest.raises(
        ScenarioError, match=r"sum.sql:1: the file has changed .* no longer has the mutant `mutant-nothing-is-added`"
    ):
        job.read()
    path.write_text(BASE + CAUGHT.replace("a + 1", "a + 2"))
    with pytest.raises(ScenarioError, match="'a \\+ 2' is not found"):
        job.read()


def test_a_mutant_that_holds_for_other_values_now_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "sum.sql"
    matrix = "-- chaos:matrix size in 1, 2\n"
    path.write_text(matrix + BASE + "\\set used :size\n" + CAUGHT)
    job = Job(path, "sum.sql", variables={"size": "2"}, mutant="mutant-nothing-is-added")
    assert job.read()[1] is not None
    path.write_text(matrix + BASE + "\\set used :size\n" + CAUGHT.replace("added\n", "added when size = 1\n", 1))
    with pytest.raises(ScenarioError, match="no longer has"):
        job.read()
    path.write_text(matrix.replace("1, 2", "1, 3") + BASE + "\\set used :size\n")
    with pytest.raises(ScenarioError, match="no longer has size = 2"):
        replace(job, mutant="").read()
