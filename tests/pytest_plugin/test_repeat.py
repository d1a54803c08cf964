"""--chaos-repeat runs each scenario several times, and reports how often it fails."""

from __future__ import annotations

import re

from tests.pytest_plugin.conftest import Project

# which of the two runs differs follows from the seed
FLAKY = """\
-- Fails by chance
-- chaos:setup
CREATE TABLE t (a float);
-- chaos:session one
SELECT chaos.random() < 0.5 AS low \\gset
\\if :low
INSERT INTO t VALUES (1);
\\endif
-- chaos:session two
SELECT 1;
-- chaos:check
SELECT is(count(*), 0::bigint, 'nothing came') FROM t;
"""
STEADY = "-- chaos:session one\nSELECT 1;\n-- chaos:check\nSELECT ok(true, 'fine');\n"
MUTANT = "-- chaos:mutant nothing is wrong\n-- chaos:replace '1' with '2' in one\n-- chaos:caught by 'fine'\n"


def test_the_rate_and_the_two_histories_are_reported(project: Project) -> None:
    project.write(flaky=FLAKY, steady=STEADY)
    result = project.run("--chaos-repeat=30")
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    (failed,) = re.findall(r"^Repeated: ([0-9]+) of 30 runs failed: ", text, re.MULTILINE)
    assert 0 < int(failed) < 30
    assert "repeated: sql/steady.sql::steady: 0 of 30 runs failed: 0%, with 95 % confidence from 0% to 11%" in text
    assert f"repeated: sql/flaky.sql::flaky: {failed} of 30 runs failed: " in text
    assert re.search(r"^Run [0-9]+ passed, run [0-9]+ failed\. They ", text, re.MULTILINE)
    assert re.search(r"^  > .*SELECT chaos\.", text, re.MULTILINE)
    assert re.search(r"first with another result:\n  > one\[1\]:5 -> low = f: .* one\[1\]:5 -> low = t: ", text)
    # the line that runs it again has the seed of a run that failed
    (seed,) = re.findall("--chaos-seed=([0-9]+)", text)
    assert f"Seeds of runs that failed: {seed}, " in text
    again = project.run("sql/flaky.sql", f"--chaos-seed={seed}", "--chaos-repeat=2")
    assert "\nRepeated: 2 of 2 runs failed: 100%, " in again.stdout.str()
    assert f"Seeds of runs that failed: {seed}\n" in again.stdout.str()


def test_mutants_are_repeated_in_workers_too(project: Project) -> None:
    project.write(steady=STEADY + MUTANT)
    result = project.run("--chaos-repeat=3", "--chaos-mutants", "-p", "xdist", "-n1")
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "\nRepeated: 3 of 3 runs failed: 100%, " in text
    assert "repeated: sql/steady.sql::steady: 0 of 3 runs failed: " in text


def test_files_that_build_on_each_other_are_not_repeated(project: Project) -> None:
    project.write(steady=STEADY)
    result = project.look("--chaos-repeat=3", "--chaos-pgtap-keep")
    result.stderr.fnmatch_lines(["*--chaos-repeat: with --chaos-pgtap-keep files build on each other: leave one out"])
    result = project.look("--chaos-repeat=0")
    result.stderr.fnmatch_lines(["*invalid number of runs '0': expected a whole number from 1 to 100,000"])
