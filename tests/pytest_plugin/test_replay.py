"""Permutations at collection, the token that replays one, --chaos-selfcheck."""

from __future__ import annotations

import re

import pytest

from tests.pytest_plugin.conftest import FINE, Project

TWO = """\
-- Two add
-- chaos:schedule all
-- chaos:setup
CREATE TABLE t (a int);
INSERT INTO t VALUES (0);
-- chaos:session one
SELECT a AS had FROM t \\gset
UPDATE t SET a = :had + 1;
-- chaos:session two
SELECT a AS had FROM t \\gset
UPDATE t SET a = :had + 1;
-- chaos:check
SELECT is(a, 2, 'both count') FROM t;
"""
FREE = """\
-- Two add, and both look before either does
-- chaos:setup
CREATE TABLE t (a int);
INSERT INTO t VALUES (0);
-- chaos:session add x 2
SELECT a AS had FROM t \\gset
-- chaos:barrier looked
UPDATE t SET a = :had + 1;
-- chaos:check
SELECT is(a, 2, 'both count') FROM t;
"""


def token(result: pytest.RunResult) -> str:
    # where CI is set, pytest says a failure again in its summary
    (found,) = set(re.findall(r"--chaos-replay=(\S+)", result.stdout.str()))
    return str(found)


def test_permutations_are_counted_at_collection(project: Project) -> None:
    project.write(two=TWO, fine=FINE)
    for args in (("--collect-only",), ()):
        result = project.run(*args)
        result.stdout.fnmatch_lines(["interleavings: at most 6 of sql/two.sql::two"])
        result.stdout.no_fnmatch_line("interleavings: *fine*")


def test_many_scenarios_are_counted_together(project: Project) -> None:
    project.write(**{f"two{number}": TWO for number in range(11)})
    result = project.look("--collect-only")
    result.stdout.fnmatch_lines(["interleavings: at most 66 of 11 scenarios"])


def test_too_many_are_refused_at_collection(project: Project) -> None:
    many = TWO.replace("UPDATE t SET a = :had + 1;\n", "UPDATE t SET a = :had + 1;\n" + "SELECT 1;\n" * 6)
    project.write(two=many)
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "sql/two.sql:2: `schedule`: the steps have 12,870 interleavings, more than 5,000: write `schedule all up to"
            " 5000`, or put statements that need no interruption under one `step NAME`"
        ]
    )
    project.write(two=many.replace("schedule all", "schedule all up to 2"))
    project.look("--collect-only").stdout.fnmatch_lines(["interleavings: at most 2 of *"])


def test_a_mutant_may_not_make_too_many_either(project: Project) -> None:
    mutant = "-- chaos:mutant many\n-- chaos:session one\n" + "SELECT 1;\n" * 101 + "-- chaos:caught by 'both count'\n"
    project.write(two=TWO + mutant)
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["sql/two.sql:14: `mutant`: with it, `schedule`: the steps have 5,253 interleavings,*"])


def test_the_report_shows_the_permutation_and_its_token_replays_it_alone(project: Project) -> None:
    project.write(two=TWO, fine=FINE)
    result = project.run("--chaos-seed=5")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*two: Two add*",
            "sql/two.sql:13: both count",
            "4 of 6 interleavings failed (there are no others); the one with the fewest context switches:",
            "    one.1 two.1 two.2 one.2",
            "Seed 5. To run this interleaving again, alone:",
            "    pytest sql/two.sql::two --chaos-replay=????????????-5-0110*",
        ]
    )
    again = project.run(f"--chaos-replay={token(result)}")
    again.assert_outcomes(failed=1, deselected=1)
    again.stdout.fnmatch_lines(
        ["pgchaos *, seed 5", "The steps, in the order in which they began:", "*--chaos-replay=*"]
    )
    again.stdout.no_fnmatch_line("interleavings:*")
    assert token(again) == token(result)


def test_a_step_that_waits_is_marked(project: Project) -> None:
    project.write(two=TWO.replace("UPDATE", "BEGIN \\; UPDATE") + "SELECT is(1, 2, 'wrong');\n")
    body = TWO.replace("UPDATE t SET a = :had + 1;", "BEGIN \\; UPDATE t SET a = :had + 1;\nCOMMIT;")
    project.write(two=body.replace("schedule all", "schedule one.1 two.1 one.2 two.2 one.3 two.3"))
    result = project.run()
    result.stdout.fnmatch_lines(["    one.1 two.1 one.2 two.2 <waits for one?1?> one.3 two.3"])


def test_a_failed_free_run_gives_a_token_only_where_it_fails_again(project: Project) -> None:
    project.write(free=FREE)
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "Same order, one step at a time; fails again:",
            "*pytest sql/free.sql::free --chaos-replay=*",
            "Same seed; the order may differ:",
            "*pytest sql/free.sql::free --chaos-seed=*",
        ]
    )
    again = project.run(f"--chaos-replay={token(result)}")
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["sql/free.sql:10: both count"])
    # what fails without any session's doing has no order
    project.write(free="-- chaos:check\nSELECT is(1, 2, 'never');\n")
    project.run().stdout.no_fnmatch_line("*--chaos-replay*")
    project.write(free=FREE.replace("UPDATE", "SELECT pg_sleep(0.3);\nUPDATE"))
    result = project.run()
    result.stdout.fnmatch_lines(
        [
            "Notes:",
            "    no token replays it: it would wait again, * for pg_sleep in line 8 alone",
        ]
    )
    result.stdout.no_fnmatch_line("*--chaos-replay*")


def test_a_token_of_a_mutant_needs_the_mutants(project: Project) -> None:
    fine = TWO.replace("FROM t \\gset", "FROM t FOR UPDATE \\gset").replace("SELECT a AS", "BEGIN \\; SELECT a AS")
    fine = fine.replace(":had + 1;", ":had + 1 \\; COMMIT;")
    project.write(
        two=fine + "-- chaos:mutant nobody locks\n-- chaos:replace 'FOR UPDATE' with '' in one\n"
        "-- chaos:replace 'FOR UPDATE' with '' in two\n-- chaos:caught by 'not this'\n"
    )
    result = project.run("--chaos-mutants")
    result.assert_outcomes(passed=1, failed=1)
    token_text = token(result)
    project.run("--chaos-mutants", f"--chaos-replay={token_text}").assert_outcomes(failed=1, deselected=1)
    missing = project.run(f"--chaos-replay={token_text}")
    missing.stderr.fnmatch_lines(
        ["ERROR: --chaos-replay: the token * matches no collected scenario: *--chaos-mutants*"]
    )


def test_a_token_of_another_text_is_refused(project: Project) -> None:
    project.write(two=TWO)
    token_text = token(project.run())
    project.write(two=TWO + "-- changed\n")
    result = project.run(f"--chaos-replay={token_text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --chaos-replay: *the file has changed since*"])


def test_a_token_of_a_file_that_was_not_collected_says_where_it_was_looked_for(project: Project) -> None:
    project.file("other/two.sql", TWO)
    project.write(one="-- chaos:check\nSELECT pass();\n")
    text = token(project.run("other/two.sql"))
    result = project.look(f"--chaos-replay={text}")
    result.stderr.fnmatch_lines(["ERROR: *, or it is not below chaos_paths (sql): name its path after the token; *"])
    result = project.look(f"--chaos-replay={text}", "sql/one.sql")
    result.stderr.fnmatch_lines(["ERROR: *, or it is not below sql/one.sql: name its path after the token; *"])


def test_what_is_no_token_is_refused(project: Project) -> None:
    result = project.run("--chaos-replay=nonsense")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --chaos-replay: 'nonsense' is no token: copy it from the report *"])


def test_selfcheck_names_what_is_not_deterministic(project: Project) -> None:
    project.write(
        pids=TWO.replace("SELECT a AS had FROM t \\gset", "SELECT pg_backend_pid() AS had \\gset", 1), fine=FINE
    )
    result = project.run("--chaos-selfcheck")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["sql/pids.sql:7: not deterministic: one?1?.1 gave SELECT 1, had = *; then, *"])


def test_the_line_that_replays_says_what_else_was_asked_for(project: Project) -> None:
    project.write(pids=TWO.replace("SELECT a AS had FROM t \\gset", "SELECT pg_backend_pid() AS had \\gset", 1))
    result = project.run("--chaos-selfcheck")
    result.stdout.fnmatch_lines(["*--chaos-replay=* --chaos-selfcheck*"])
    again = project.run("--chaos-selfcheck", f"--chaos-replay={token(result)}")
    again.stdout.fnmatch_lines(["sql/pids.sql:7: not deterministic: *"])


TORN = """\
-- A transfer is done as a whole
-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 100);
-- chaos:session clerk
BEGIN;
UPDATE account SET balance = balance - 10 WHERE id = 1;
UPDATE account SET balance = balance + 10 WHERE id = 2;
COMMIT;
-- chaos:check
SELECT is(sum(balance), 200::bigint, 'no money is lost') FROM account;
-- chaos:mutant no block
-- chaos:session clerk allow admin_shutdown
-- chaos:fault terminate at any step
UPDATE account SET balance = balance - 10 WHERE id = 1;
UPDATE account SET balance = balance + 10 WHERE id = 2;
-- chaos:caught by 'no money is {}'
"""


def test_the_step_of_a_mutant_s_fault_is_replayed(project: Project) -> None:
    item = "sql/torn.sql::torn[mutant-no-block]"
    project.write(torn=TORN.format("lost"))
    project.run("--chaos-mutants", "--chaos-jobs=2").assert_outcomes(passed=2)
    project.write(torn=TORN.format("won"))
    failed = project.run("--chaos-mutants", "-k", "mutant")
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["sql/torn.sql:12: mutant 'no block' was not caught by 'no money is won'"])
    failed.stdout.fnmatch_lines(["With fault of line 14 = ?", "Values: 2 tried; this report shows one of them"])
    again = project.run(item, "--chaos-mutants", f"--chaos-replay={token(failed)}")
    again.assert_outcomes(failed=1)
    shown = [line for line in failed.outlines if line.startswith(("With fault", "    failed instead"))]
    assert [line for line in again.outlines if line.startswith(("With fault", "    failed instead"))] == shown
    assert len(shown) == 2
