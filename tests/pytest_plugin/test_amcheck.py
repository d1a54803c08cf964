"""--chaos-amcheck and the tags that ask for it, as a user meets them."""

from __future__ import annotations

from tests.conftest import ForeignServer
from tests.pytest_plugin.conftest import Project

LYING = """
-- chaos:setup
CREATE FUNCTION folded(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)';
CREATE TABLE person (mail text);
CREATE INDEX person_mail ON person (folded(mail));
INSERT INTO person VALUES ('ANN@example.org');
-- chaos:session dba
CREATE OR REPLACE FUNCTION folded(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT upper($1)';
-- chaos:check
SELECT {check}('checked');
"""


def test_it_is_asked_for_by_option_and_named_in_the_line_that_runs_it_again(project: Project) -> None:
    project.write(lying=LYING.format(check="pass"))
    project.run().assert_outcomes(passed=1)
    result = project.run("--chaos-amcheck")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*amcheck: index person_mail is corrupt", "*lacks matching index tuple*"])
    result.stdout.fnmatch_lines(["*--chaos-amcheck*"])


def test_xfail_may_name_it(project: Project) -> None:
    known = "-- chaos:tags corruption\n-- chaos:xfail 'amcheck' nobody reindexes yet\n"
    project.write(lying=known + LYING.format(check="pass"))
    project.run().assert_outcomes(xfailed=1)


def test_where_it_cannot_be_had_each_report_says_so_and_who_asked_is_reported(
    project: Project, foreign_server: ForeignServer
) -> None:
    dsn = foreign_server.role("no_superuser", "LOGIN CREATEDB")
    tagged = "-- chaos:tags recovery\n" + LYING.format(check="fail")
    project.write(fine=LYING.format(check="pass"), tagged=tagged)
    result = project.pytester.runpytest_inprocess(f"--chaos-dsn={dsn}")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["Notes:", "*amcheck could not be used: permission denied to create extension*"])
    result = project.pytester.runpytest_inprocess(f"--chaos-dsn={dsn}", "--chaos-amcheck", "sql/fine.sql")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*amcheck could not be used: permission denied to create extension*"])
    project.write(tagged=tagged.replace("fail", "pass"))
    result = project.pytester.runpytest_inprocess(f"--chaos-dsn={dsn}", "sql/tagged.sql")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["note: sql/tagged.sql:1: amcheck could not be used: permission denied to create ext*"])
