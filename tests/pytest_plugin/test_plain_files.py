"""Plain pgTAP files, named as for pg_prove: which are run, for how long, and how they are reported."""

from __future__ import annotations

import psycopg
import pytest

from pgchaos.pytest_plugin import options
from tests.pytest_plugin.conftest import FINE, INI, Project

PLAIN = "BEGIN;\nSELECT plan(1);\nSELECT pass('{}');\nSELECT * FROM finish();\nROLLBACK;\n"
BY_HAND = "SELECT '1..2';\nSELECT 'ok 1 - by hand';\nSELECT 'not ok 2 - known # TODO later';\n"


def test_a_named_file_of_sql_is_run_whatever_its_name(project: Project) -> None:
    project.file("t/first.pg", PLAIN.format("by its suffix"))
    project.file("t/second.t", PLAIN.format("by what it says"))
    project.file("t/third", PLAIN.format("without a suffix"))
    named = ("t/first.pg", "t/second.t", "t/third")
    assert project.collected(*named) == ["t/first.pg::first", "t/second.t::second", "t/third::third"]
    assert project.collected("t") == []
    assert project.collected("--chaos-pgtap", "t") == ["t/first.pg::first"], "the others are not named"
    project.run(*named).assert_outcomes(passed=3)


def test_a_file_that_is_named_beside_its_folder_is_named(project: Project) -> None:
    project.file("t/plain.sql", PLAIN.format("named"))
    project.file("t/other.sql", PLAIN.format("not named"))
    assert project.collected("t", "t/plain.sql") == ["t/plain.sql::plain"]
    assert project.collected("t", "t/plain.sql::plain") == ["t/plain.sql::plain"]


def test_what_is_no_sql_is_left_to_others(project: Project) -> None:
    project.file("notes.md", "# Our plan\n\nIt is a plan (the second one), to select nothing.\n")
    assert project.collected("notes.md") == []


def test_a_file_of_includes_is_one_where_they_print_tap(project: Project) -> None:
    project.file("parts/head.sql", "BEGIN;\nSELECT plan(1);\n")
    project.file("parts/tail.sql", "SELECT * FROM finish();\nROLLBACK;\n")
    project.file("t/whole.sql", "\\ir ../parts/head.sql\nSELECT pass('between');\n\\ir ../parts/tail.sql\n")
    project.file("t/migrate.sql", "\\ir ../parts/schema.sql\n")
    project.file("parts/schema.sql", "CREATE TABLE t ();\n")
    assert project.collected("--chaos-pgtap", "t") == ["t/whole.sql::whole"]
    project.run("t/whole.sql").assert_outcomes(passed=1)


def test_tap_by_hand_is_read_as_pg_prove_reads_it(project: Project) -> None:
    project.file("t/by_hand.sql", BY_HAND)
    project.file("t/echoed.sql", "\\echo 1..1\n\\echo ok 1 - echoed\n")
    project.file("t/skipped.sql", "SELECT '1..0 # SKIP not here';\n")
    project.file("t/short.sql", "SELECT '1..2';\nSELECT 'ok 1';\n")
    result = project.run("--chaos-pgtap", "-rs", "t")
    result.assert_outcomes(passed=2, skipped=1, failed=1)
    result.stdout.fnmatch_lines(["*planned 2 tests, ran 1*", "*SKIPPED*t/skipped.sql*not here"])


def test_a_named_file_that_prints_no_tap_fails_and_says_so(project: Project) -> None:
    project.file("migration.sql", "CREATE TABLE t (n int);\n")
    result = project.run("migration.sql")
    result.assert_outcomes(failed=1)
    says = "*migration.sql:1: the file holds no `-- chaos:` directive and printed no TAP"
    result.stdout.fnmatch_lines([says, "*begin it with SELECT plan(N)*"])


def test_in_place_a_file_that_seems_to_print_no_tap_is_not_run(project: Project) -> None:
    project.file("migration.sql", "CREATE TABLE t (n int);\n")
    project.file("hand.sql", "SELECT '1..1';\n")
    result = project.pytester.runpytest_inprocess(
        f"--chaos-dsn={project.connect()} dbname=postgres", "--chaos-in-place", "migration.sql"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no `-- chaos:` directive and no TAP plan, so it is not run in place*"])


SLOW = "SELECT plan(1);\nSELECT pg_sleep(1.2);\nSELECT pass('late');\nSELECT * FROM finish();\n"


def test_a_plain_file_has_no_limit_of_time(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "_TIMEOUT", 0.2)
    project.write(slow=SLOW)
    project.run("sql/slow.sql").assert_outcomes(passed=1)


@pytest.mark.parametrize("where", ["option", "ini"])
def test_a_plain_file_has_the_limit_that_is_asked_for(project: Project, where: str) -> None:
    project.write(slow=SLOW.replace("1.2", "600"))
    project.pytester.makeini(INI + ("chaos_timeout = 300ms\n" if where == "ini" else ""))
    result = project.run("sql/slow.sql", *(["--chaos-timeout=300ms"] if where == "option" else []))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*check was stopped: it did not end within 0.3s*"])


FIRST = """\
CREATE TABLE shelf (id int);
INSERT INTO shelf VALUES (1);
CREATE ROLE reader_of_shelves;
SELECT plan(1);
SELECT has_table('shelf');
SELECT * FROM finish();
"""
SECOND = """\
BEGIN;
SELECT plan(2);
SELECT is(count(*), 1::bigint, 'the row of the first file') FROM shelf;
SELECT has_role('reader_of_shelves');
SELECT * FROM finish();
ROLLBACK;
"""
KEPT = "*one database for 2 plain pgTAP files, one after the other (--chaos-pgtap-keep)*"


def shared(project: Project) -> set[tuple[str]]:
    """Name the databases and roles of the tests' server."""
    with psycopg.connect(project.connect()) as conn:
        return set(conn.execute("SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles").fetchall())


@pytest.mark.parametrize("where", ["option", "ini"])
def test_files_that_build_on_each_other_have_one_database(project: Project, where: str) -> None:
    project.write(a=FIRST, b=SECOND, between=FINE)
    before = shared(project)
    args = ["--chaos-pgtap", "--chaos-jobs=4"]
    project.pytester.makeini(INI + ("chaos_pgtap_keep = true\n" if where == "ini" else ""))
    result = project.run(*args, *(["--chaos-pgtap-keep"] if where == "option" else []))
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines([KEPT])
    assert shared(project) == before, "what the files left goes after the last"


def test_without_the_option_each_file_is_alone(project: Project) -> None:
    project.write(a=FIRST.replace("CREATE ROLE reader_of_shelves;\n", ""), b=SECOND)
    result = project.run("--chaos-pgtap")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*one database for*")


def test_what_a_stopped_run_has_kept_is_removed_too(project: Project) -> None:
    project.write(a=FIRST, b="SELECT plan(1);\nSELECT fail('here it ends');\n", c=SECOND)
    before = shared(project)
    result = project.run("--chaos-pgtap", "--chaos-pgtap-keep", "-x")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*1 file ran before it in the same database (--chaos-pgtap-keep): name all of them to run it again*"]
    )
    assert shared(project) == before


def test_the_first_file_may_bring_what_all_use(project: Project) -> None:
    project.write(
        a="CREATE FUNCTION plan(integer) RETURNS text LANGUAGE sql AS $$ SELECT '1..' || $1 $$;\n"
        "CREATE FUNCTION pass(text) RETURNS text LANGUAGE sql AS $$ SELECT 'ok 1 - ' || $1 $$;\n"
        "SELECT plan(1);\nSELECT pass('its own');\n",
        b="SELECT plan(1);\nSELECT pass('by the first file');\n",
    )
    project.run("--chaos-pgtap", "--chaos-pgtap-keep").assert_outcomes(passed=2)


def test_files_that_build_on_each_other_are_not_spread_over_workers(project: Project) -> None:
    pytest.importorskip("xdist", reason="it is in an extra")
    project.write(a=FIRST, b=SECOND)
    result = project.look("-p", "xdist", "-n2", "--chaos-pgtap", "--chaos-pgtap-keep")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--chaos-pgtap-keep: these files must run in order in one database: leave out -n*"])


@pytest.mark.parametrize("private", [False, True], ids=["on a server that is there", "on a private server"])
def test_only_databases_that_plain_files_use_are_made(project: Project, private: bool) -> None:
    templates = (
        "SELECT is(count(*)::int, 1, 'one template') FROM pg_database"
        " WHERE starts_with(datname, regexp_replace(current_database(), '[0-9]+$', 't'))"
    )
    project.file("t/plain.sql", PLAIN.replace("SELECT pass('{}')", templates))
    run = project.pytester.runpytest_inprocess if private else project.run
    run("--chaos-pgtap", "t").assert_outcomes(passed=1)
