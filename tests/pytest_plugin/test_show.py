"""--chaos-show reports what passing runs did."""

from __future__ import annotations

from tests.pytest_plugin.conftest import BAD, Project

SHOWN = """\
-- Both are there
-- chaos:setup
CREATE TABLE t (a int);
-- chaos:session pair x 2
INSERT INTO t VALUES (:worker);
-- chaos:check
SELECT is(count(*), 2::bigint, 'both are there') FROM t;
SELECT diag('the check saw ' || count(*)) FROM t;
"""
MUTANT = """\
-- chaos:mutant nobody comes
-- chaos:replace 'INSERT INTO t VALUES (:worker)' with 'SELECT 1' in pair
-- chaos:caught by 'both are there'
"""
XFAIL = "-- chaos:xfail 'both are there' known\n-- chaos:setup"


def test_passing_scenarios_are_shown_on_demand(project: Project) -> None:
    project.write(shown=SHOWN, bad=BAD)
    result = project.run("--chaos-show")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "=* SCENARIOS THAT PASSED =*",
            "_* shown: Both are there _*",
            "Assertions: 1 held",
            "Output of diag():",
            "    the check saw 2",
            "Timeline of sql/shown.sql, time in ms downward (line: statement as sent):",
            "*pair[[]1[]]*pair[[]2[]]",
            "*5: INSERT INTO t VALUES ([12])*",
            "pair: 2 statements, longest *",
        ]
    )
    assert result.stdout.str().count("Timeline of") == 1


def test_they_are_not_shown_otherwise_nor_twice(project: Project) -> None:
    project.write(shown=SHOWN)
    assert "Timeline of" not in project.run().stdout.str()
    assert project.run("--chaos-show", "-rP").stdout.str().count("Timeline of") == 1


def test_a_mutant_that_is_caught_and_what_fails_as_known_are_shown(project: Project) -> None:
    project.write(shown=SHOWN + MUTANT, known=SHOWN.replace("2::", "3::").replace("-- chaos:setup", XFAIL, 1))
    result = project.run("--chaos-show", "--chaos-mutants")
    result.assert_outcomes(passed=2, xfailed=1)
    text = result.stdout.str()
    assert text.count("Timeline of") == 3
    assert text.count(": both are there\n") == 2
    caught = text.partition("_ shown[mutant-nobody-comes]: ")[2].partition("_ known: ")[0]
    first, _, rest = caught.partition("\n")[2].partition("\n\n")
    change = "(line 10: 'INSERT INTO t VALUES (:worker)' -> 'SELECT 1')"
    assert " ".join(first.split()) == f"Mutant 'nobody comes' {change} was caught by 'both are there'"
    assert "have: 0\n" in rest
    assert "FAILED" not in rest
