"""pytest's memory of failures: --lf, --ff, --nf and --sw recognise our items."""

from __future__ import annotations

import pytest

from tests.pytest_plugin.conftest import FINE, Project

MATRIX = """\
-- chaos:matrix level in 'read committed', 'a::b', 'x]y', serializable
-- chaos:session one
SELECT 1;
-- chaos:check
SELECT isnt(:'level'::text, {}, 'the level');
SELECT isnt(:'level'::text, {}, 'the level');
"""

MUTANTS = """\
-- chaos:setup
CREATE TABLE t AS SELECT 1 AS a;
-- chaos:check
SELECT is(a, 1, 'sums are right') FROM t;
-- chaos:mutant nobody minds
-- chaos:replace 'SELECT 1' with 'SELECT 1 + 0' in setup
-- chaos:caught by 'sums are right'
-- chaos:mutant everybody minds
-- chaos:replace 'SELECT 1' with 'SELECT 2' in setup
-- chaos:caught by 'sums are right'
"""

SPEC = """\
setup { CREATE TABLE t (a int); }
teardown { DROP TABLE t; }
session one
step s1 { SELECT 1; }
permutation s1
"""


@pytest.fixture
def failing(project: Project) -> Project:
    project.write(
        a_fine=FINE,
        matrix=MATRIX.format("'a::b'", "'serializable'"),
        mutants=MUTANTS,
        z_fine=FINE,
    )
    project.file("sql/a[b].spec", SPEC)
    project.file("expected/a[b].out", "something else\n")
    project.file("sql/br[0]ken.sql", "-- chaos:chek\nSELECT 1;\n-- chaos:check\nSELECT ok(true);\n")
    return project


FAILING = [
    "sql/a[b].spec::a[b]",
    "sql/br[0]ken.sql::br[0]ken",
    "sql/matrix.sql::matrix[level=a::b]",
    "sql/matrix.sql::matrix[level=serializable]",
    "sql/mutants.sql::mutants[mutant-nobody-minds]",
]


def ran(result: pytest.RunResult) -> list[str]:
    """Name the items that a run with -v ran, in order."""
    words = (" PASSED", " FAILED", " SKIPPED")
    return [line.split(word)[0] for line in result.outlines for word in words if word in line and "::" in line]


def everything(project: Project, *args: str) -> pytest.RunResult:
    return project.run("-v", "--chaos-mutants", "--chaos-pgtap", "-o", "console_output_style=classic", *args)


def test_only_what_failed_runs_again_or_it_and_what_is_new_run_first(failing: Project) -> None:
    first = everything(failing, "--chaos-jobs=4")
    assert len(ran(first)) == 11, first.outlines
    for jobs in ("4", "1"):
        again = everything(failing, f"--chaos-jobs={jobs}", "--lf")
        assert sorted(ran(again)) == FAILING
        again.assert_outcomes(failed=5)
    every = ran(everything(failing, "--ff"))
    assert sorted(every[: len(FAILING)]) == FAILING
    assert len(every) == 11
    failing.write(zz_new=FINE)
    assert ran(everything(failing, "--nf"))[0] == "sql/zz_new.sql::zz_new"


def test_a_run_continues_where_the_last_one_failed(failing: Project) -> None:
    stopped_at = [ran(everything(failing, "--sw"))[-1]]
    for _ in FAILING[1:]:
        # goes on with the item that failed last, and stops at the next one that fails
        began, *_, ended = ran(everything(failing, "--sw-skip"))
        assert began == stopped_at[-1]
        stopped_at.append(ended)
    assert sorted(stopped_at) == FAILING


def test_what_workers_of_xdist_found_to_fail_runs_again(failing: Project) -> None:
    everything(failing, "-p", "xdist", "-n", "2")
    assert sorted(ran(everything(failing, "--lf"))) == FAILING
