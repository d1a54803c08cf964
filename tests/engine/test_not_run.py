"""An assertion that was never evaluated is a failure of its own, named `not run`, with its line."""

from __future__ import annotations

import pytest

from pgchaos.results import Failure
from tests.engine.playing import CHECKED, Play, held, line, only

EMPTY = """-- chaos:setup
CREATE TABLE job (id int PRIMARY KEY, state text);
-- chaos:session s
SELECT 1;
-- chaos:check
SELECT pass('beside');
"""
LINE = 8
"""Of what a test writes below EMPTY."""

IS_DONE = (
    "CREATE FUNCTION is_done() RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN"
    " IF EXISTS (SELECT FROM job) THEN RETURN NEXT ok(true, 'inside'); END IF; END $$;\n"
)

SILENT = {
    "no row": "SELECT is(state, 'done', 'done') FROM job;",
    "never true": "SELECT is(1, 1, 'one') WHERE false;",
    "schema of pgTAP": "SELECT public.is(state, 'done', 'done') FROM job;",
    "quoted": "SELECT \"is\"(state, 'done', 'done') FROM job;",
    "lateral": "SELECT t.* FROM job, LATERAL is(job.state, 'done') t;",
    "with": "WITH told AS (SELECT is(state, 'done') FROM job) SELECT * FROM told;",
    "a CTE that nobody reads": "WITH told AS (SELECT is(1, 1)) SELECT 1;",
    "limit": "SELECT is(1, 1) LIMIT 0;",
    "intersect": "SELECT is(1, 1) INTERSECT SELECT 'no';",
    "case": "SELECT CASE WHEN false THEN is(1, 2) END;",
    "own function": IS_DONE + "SELECT * FROM is_done();",
    "function of functions": IS_DONE
    + "CREATE FUNCTION by_way_of() RETURNS SETOF text LANGUAGE sql AS 'SELECT * FROM is_done()';\n"
    "SELECT by_way_of();",
    "procedure": "CREATE PROCEDURE is_done(INOUT told text) LANGUAGE plpgsql AS $$ BEGIN"
    " IF EXISTS (SELECT FROM job) THEN told := ok(true, 'inside'); END IF; END $$;\nCALL is_done(NULL);",
    "prepared": "PREPARE p AS SELECT is(state, 'done') FROM job;\nEXECUTE p;",
    "prepared with a value": "PREPARE p(int) AS SELECT is(id, $1) FROM job;\nEXECUTE p(1);",
    "cursor": "BEGIN;\nDECLARE c CURSOR FOR SELECT is(state, 'done') FROM job;\nFETCH ALL FROM c;",
    "view": "CREATE TEMP VIEW done AS SELECT is(state, 'done') FROM job;\nSELECT * FROM done;",
    "generated": "SELECT format('SELECT is(%L, 1)', id) FROM job \\gexec",
    "toolkit": "SELECT chaos.no_leaks('clean') FROM job;",
    "in a variable": "\\set ask 'is(state, ''done'')'\nSELECT :ask FROM job;",
    "made of data": "\\set part 'SELECT is(id,'\nSELECT :'part' || ' 1) FROM job' \\gexec",
    "one of several that are made": "SELECT format('SELECT is(n, n) FROM generate_series(1, %s) n', n)"
    " FROM generate_series(1, 0, -1) n \\gexec",
}


def not_run(failures: list[Failure]) -> list[Failure]:
    return [failure for failure in failures if failure.kind == "not run"]


@pytest.mark.parametrize("statement", SILENT.values(), ids=SILENT.keys())
def test_an_assertion_of_a_check_that_prints_nothing_fails(play: Play, statement: str) -> None:
    failures = not_run(play(EMPTY + "\n" + statement).failures)
    assert len(failures) == 1
    assert failures[0].text.startswith("assertion was not run: its query returned no")
    assert line(failures[0]) == LINE + statement.count("\n")
    assert failures[0].names == ()


UNREAD = {
    "gset": "SELECT is(1, 2) AS told \\gset",
    "DO": "DO $$ BEGIN PERFORM is(1, 2); END $$;",
    "table": "CREATE TEMP TABLE told AS SELECT is(1, 2);",
    "insert": "INSERT INTO job SELECT 1, is(1, 2);",
}


@pytest.mark.parametrize("statement", UNREAD.values(), ids=UNREAD.keys())
def test_an_assertion_whose_result_goes_elsewhere_fails(play: Play, statement: str) -> None:
    failures = not_run(play(EMPTY + "\n" + statement).failures)
    assert [failure.place.line for failure in failures if failure.place] == [LINE]
    assert "was not run where it is read" in failures[0].text


PARTS = {
    "union": "SELECT is(1, 1, 'one') UNION ALL SELECT is(state, 'done', 'two') FROM job;",
    "a name with escapes": "SELECT is(1, 1, 'one') UNION ALL SELECT U&\"\\0069s\"(state, 'done', 'two') FROM job;",
    "union without descriptions": "SELECT is(1, 1) UNION ALL SELECT is(state, 'done') FROM job;",
    "more rows than parts": "SELECT is(1, 1, 'one') FROM generate_series(1, 3)"
    " UNION ALL SELECT ok(false, 'two') FROM job;",
    "descriptions made of values": "SELECT is(id, id, 'row ' || id) FROM generate_series(1, 3) id"
    " UNION ALL SELECT ok(false, 'job ' || state) FROM job;",
    "descriptions made by format()": "SELECT is(id, id, format('row %s', id)) FROM generate_series(1, 3) id"
    " UNION ALL SELECT ok(false, format('job %2$L of %1$s', id, state)) FROM job;",
    "a description within another": "SELECT is(id, id, 'a job is done') FROM generate_series(1, 3) id"
    " UNION ALL SELECT ok(false, 'a job') FROM job;",
}


@pytest.mark.parametrize("statement", PARTS.values(), ids=PARTS.keys())
def test_a_part_of_a_union_that_prints_nothing_fails(play: Play, statement: str) -> None:
    failure = only(play(EMPTY + "\n" + statement))
    assert (failure.kind, failure.text) == ("not run", "assertion was not run: its part of the query returned no row")


FULL = (
    "SELECT ok(true, 'row ' || id) FROM job UNION ALL SELECT ok(true, format('%s%% of %s', state, id)) FROM job;",
    "SELECT ok(true, 'row') FROM job UNION ALL SELECT ok(true, 'row ' || coalesce(NULL, 'x')) FROM job;",
    "SELECT ok(true, 'row ' || NULLIF(id, 1)) FROM job UNION ALL SELECT ok(true, format('of %s', id)) FROM job;",
    "SELECT ok(true, E'two\\nlines') FROM job UNION ALL SELECT ok(true, U&'d\\0061ta') FROM job;",
    "SELECT ok(true, CASE WHEN id = 1 THEN 'a' || id ELSE 'b' END) FROM job UNION ALL SELECT ok(true, 'c');",
    "SELECT ok(true, E'a\\x41' || id) FROM job UNION ALL SELECT ok(true, date '2024-1-1' || 'c') FROM job;",
)


@pytest.mark.parametrize("statement", FULL)
def test_parts_of_a_union_that_all_return_rows_hold(play: Play, statement: str) -> None:
    result = play(EMPTY.replace("state text);", "state text);\nINSERT INTO job VALUES (1, '5');") + statement)
    assert (result.failures, result.remarks) == ([], [])


@pytest.mark.parametrize("described", ["", ", 'row ' || NULLIF(1, 1)"])
def test_which_part_of_a_union_printed_is_noted_where_nothing_tells(play: Play, described: str) -> None:
    first = f"SELECT is(id, id{described}) FROM generate_series(1, 3) id"
    result = play(f"{EMPTY}{first} UNION ALL SELECT is(state, 'done'{described}) FROM job;")
    assert result.failures == []
    (note,) = result.remarks
    assert "2 parts of a query printed 3 TAP lines, and which printed them is not known" in note


ONE_OF_TWO = {
    "case in a column": "SELECT is(1, 1, 'x'), CASE WHEN false THEN is(1, 2, 'y') END;",
    "case over rows": "SELECT is(1, 1), CASE WHEN false THEN is(1, 2, 'y') END FROM generate_series(1, 3);",
    "query in a column": "SELECT is(1, 1, 'x'), (SELECT is(state, 'y') FROM job);",
    "coalesce": "SELECT is(1, 1, 'x'), coalesce(CASE WHEN false THEN is(1, 2, 'y') END, 'none');",
}


@pytest.mark.parametrize("statement", ONE_OF_TWO.values(), ids=ONE_OF_TWO.keys())
def test_a_column_that_holds_no_tap_line_fails(play: Play, statement: str) -> None:
    failure = only(play(EMPTY + "\n" + statement))
    assert (failure.kind, failure.place and failure.place.line) == ("not run", LINE)
    assert failure.text == "assertion was not run: its column of the result holds no TAP line"


def test_fewer_lines_than_assertions_fail(play: Play) -> None:
    text = EMPTY.replace("SELECT pass('beside');\n", "")
    result = play(text + "SELECT concat(is(1, 1), (SELECT is(state, 'done') FROM job));")
    assert only(result).text.endswith("2 are written here, and they printed 1 TAP line")


def test_whether_a_case_was_to_assert_is_not_known_and_noted(play: Play) -> None:
    text = EMPTY.replace("SELECT pass('beside');\n", "")
    result = play(text + "SELECT concat(is(1, 1, 'x'), CASE WHEN false THEN is(1, 2, 'y') END);")
    assert result.failures == []
    (note,) = result.remarks
    assert note.startswith(f"scenario.sql:{LINE - 2}: 2 assertions are written here, and they printed 1 TAP line: ")
    chosen = play(text + "SELECT concat(is(1, 1, 'x'), E'\\n', CASE WHEN false THEN is(1, 2) ELSE skip('no') END);")
    assert (chosen.failures, chosen.remarks) == ([], [])


LOOPS = """-- chaos:setup
CREATE TABLE job (id int);
CREATE FUNCTION look() RETURNS SETOF text LANGUAGE plpgsql AS $$ DECLARE r record; BEGIN
  RETURN NEXT ok(true, 'begun');
  FOR r IN SELECT * FROM job LOOP
    RETURN NEXT is(r.id, 1{name});
  END LOOP;
END $$;
-- chaos:session s
SELECT 1;
-- chaos:check
SELECT * FROM look();
"""


@pytest.mark.parametrize(("name", "said"), [(", 'a job'", "'a job'"), ("", "1 of its 2 assertions")])
def test_a_function_whose_loop_had_no_row_is_noted(play: Play, name: str, said: str) -> None:
    text = LOOPS.replace("{name}", name)
    result = play(text)
    assert held(result) == ["begun"]
    (note,) = result.remarks
    assert note == f"scenario.sql:12: look() asserted nothing by {said}: its loop or query had no row"
    assert play(text.replace("id int);", "id int);\nINSERT INTO job VALUES (1);")).remarks == []


QUIET = {
    "a branch": "IF false THEN RETURN NEXT ok(false, 'b'); ELSE RETURN NEXT ok(true, 'c'); END IF;",
    "a case": "CASE 1 WHEN 1 THEN RETURN NEXT ok(true, 'b'); ELSE RETURN NEXT ok(true, 'c'); END CASE;",
    "an expression": "RETURN NEXT CASE WHEN true THEN ok(true, 'b') ELSE ok(true, 'c') END;",
    "a handler": "BEGIN PERFORM 1/0; EXCEPTION WHEN OTHERS THEN RETURN NEXT ok(true, 'b'); END;",
    "an early end": "IF true THEN RETURN NEXT ok(true, 'b'); RETURN; END IF; RETURN NEXT ok(true, 'c');",
    "skipped": "IF true THEN RETURN NEXT skip('not here'); END IF; FOR r IN SELECT 1 WHERE false LOOP"
    " RETURN NEXT ok(true, 'b'); END LOOP;",
}


@pytest.mark.parametrize("body", QUIET.values(), ids=QUIET.keys())
def test_a_function_that_chooses_what_it_asserts_is_not_noted(play: Play, body: str) -> None:
    begin, end = LOOPS.index("  FOR"), LOOPS.index("END $$")
    result = play(LOOPS[:begin] + body + LOOPS[end:])
    assert (result.failures, result.remarks) == ([], [])


IN_A_ROW = {
    "two": "SELECT is(1, 1, 'a'), is(2, 2, 'b');",
    "behind a column": "SELECT 'row', is(1, 1, 'a');",
}


@pytest.mark.parametrize("statement", IN_A_ROW.values(), ids=IN_A_ROW.keys())
def test_an_assertion_behind_another_column_is_reported_once(play: Play, statement: str) -> None:
    failure = only(play(f"-- chaos:session s\nSELECT 1;\n-- chaos:check\n{statement}\nSELECT pass('behind');"))
    assert (failure.kind, failure.place and failure.place.line) == ("tap", 4)
    assert failure.text.startswith("an assertion is not read: psql prints a row as one line")


def test_a_plain_file_says_why_its_plan_was_not_kept(play: Play) -> None:
    failures = play("SELECT plan(3);\nSELECT ok(true), ok(true);\nSELECT pass('c');\nSELECT * FROM finish();").failures
    assert [failure.text for failure in failures] == [
        "test out of sequence: found 3, expected 2",
        "planned 3 tests, ran 2",
    ]
    assert all(failure.details[0].startswith("scenario.sql:2: an assertion is not read") for failure in failures)


HIDDEN = {
    "in front": ("PERFORM ok(false); RETURN ok(true, 'shown');", "test out of sequence: found 3, expected 2"),
    "at the end": ("line := ok(true, 'shown'); PERFORM ok(false); RETURN line;", "planned 3 tests, ran 2"),
}


@pytest.mark.parametrize(("body", "text"), HIDDEN.values(), ids=HIDDEN.keys())
def test_an_assertion_whose_line_is_discarded_is_explained(play: Play, body: str, text: str) -> None:
    made = f"CREATE FUNCTION look() RETURNS text LANGUAGE plpgsql AS $$DECLARE line text; BEGIN {body} END$$;\n"
    failures = play(EMPTY + made + "SELECT look();").failures
    assert text in [failure.text for failure in failures]
    assert all(failure.details[0].startswith("an assertion ran and its line was not printed") for failure in failures)


UNUSED = {
    "function": "CREATE FUNCTION told() RETURNS text LANGUAGE sql AS $$SELECT is(1, 2)$$;",
    "view": "CREATE TEMP VIEW told AS SELECT is(1, 2);",
    "prepared": "PREPARE told AS SELECT is(1, 2);",
    "cursor": "BEGIN;\nDECLARE told CURSOR FOR SELECT is(1, 2);\nCOMMIT;",
}


TOLD = UNUSED["function"] + "\n"
UNUSED |= {
    "recursive view": "CREATE RECURSIVE VIEW told (line) AS SELECT is(1, 2);",
    "local view": "CREATE OR REPLACE LOCAL TEMPORARY VIEW told AS SELECT is(1, 2);",
    "rule": "CREATE RULE told AS ON INSERT TO job DO ALSO SELECT is(1, 2);",
    "policy": "CREATE POLICY told ON job USING (is(1, 2) IS NOT NULL);",
    "default": "ALTER TABLE job ADD COLUMN told text DEFAULT is(1, 2);",
    "domain": "CREATE DOMAIN told AS int CHECK (is(1, 2) IS NOT NULL);",
    "operator": "CREATE FUNCTION told(int, int) RETURNS text LANGUAGE sql AS $$SELECT is(1, 2)$$;\n"
    "CREATE OPERATOR === (FUNCTION = told, LEFTARG = int, RIGHTARG = int);",
    "aggregate": "CREATE FUNCTION told(text, int) RETURNS text LANGUAGE sql AS $$SELECT is(1, 2)$$;\n"
    "CREATE AGGREGATE pg_temp.unread(int) (SFUNC = told, STYPE = text);",
    "procedure": "CREATE PROCEDURE told() LANGUAGE plpgsql AS $$BEGIN PERFORM is(1, 2); END$$;",
    "recursive": "CREATE FUNCTION told(n int) RETURNS SETOF text LANGUAGE sql AS"
    " $$SELECT is(1, 2) UNION ALL SELECT told(n - 1) WHERE n > 0$$;",
    "trigger": "CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM is(1, 2); RETURN NEW; END$$;"
    "\nCREATE TRIGGER told BEFORE INSERT ON job EXECUTE FUNCTION told();",
    "named in a comment": TOLD + "SELECT pass('it'); -- told() is for later\n",
    "named in a comment of a body": TOLD + "DO $$BEGIN PERFORM 1; -- told()\nEND$$;",
    "an alias": TOLD + "SELECT pass('it') AS told;",
    "in a description": TOLD + "SELECT pass('it is told here');",
    "in a string": TOLD + "SELECT pass('told by nobody');",
    "in a cast": "CREATE FUNCTION told(job) RETURNS text LANGUAGE sql AS $$SELECT is(1, 2)$$;\n"
    "CREATE CAST (job AS text) WITH FUNCTION told(job);",
    "commented on": TOLD + "COMMENT ON FUNCTION told() IS 'told';",
    "granted": TOLD + "GRANT EXECUTE ON FUNCTION told() TO PUBLIC;",
    "dropped": TOLD + "DROP FUNCTION told();",
    "deallocated": UNUSED["prepared"] + "\nDEALLOCATE told;",
    "closed": UNUSED["cursor"].replace("COMMIT", "CLOSE told;\nCOMMIT"),
}


@pytest.mark.parametrize("statement", UNUSED.values(), ids=UNUSED.keys())
def test_what_a_check_defines_and_never_runs_fails(play: Play, statement: str) -> None:
    failure = only(play(EMPTY + "\n" + statement))
    assert failure.text.startswith("assertion was not run: nothing that prints its TAP line uses")
    assert line(failure) == LINE + statement.startswith("BEGIN")


def test_a_function_in_a_condition_is_no_assertion(play: Play) -> None:
    body = "(name) RETURNS bool LANGUAGE sql AS $$SELECT true$$"
    setup = f"""\
CREATE SCHEMA auth;
SELECT 'CREATE FUNCTION auth.has_' || 'role{body}' \\gexec
SET search_path = auth, public;
CREATE TABLE public.t (a int CHECK (NOT has_role('x') OR has_role('y')));
CREATE POLICY p ON t USING (has_role(current_user) AND a > 0);
-- chaos:session"""
    result = play(EMPTY.replace("-- chaos:session", setup))
    assert not result.failures


def test_of_functions_that_only_call_each_other_none_is_used(play: Play) -> None:
    ask = "CREATE FUNCTION ask() RETURNS text LANGUAGE sql AS 'SELECT told()';"
    failures = not_run(play(EMPTY + "\n" + TOLD + ask).failures)
    assert [failure.place.line for failure in failures if failure.place] == [LINE, LINE + 1]


def test_what_setup_defines_and_nothing_runs_fails_too(play: Play) -> None:
    failure = only(play(EMPTY.replace("-- chaos:session", TOLD + "-- chaos:session")))
    assert failure.text.startswith("assertion was not run: nothing that prints its TAP line uses")
    assert failure.place is not None
    assert failure.place.line == 3


INNER = {
    "exists": "EXISTS (SELECT is(1, 2, 'inner') FROM pg_class)",
    "or": "true OR is(1, 2, 'inner') IS NULL",
    "case": "CASE WHEN true THEN true ELSE is(1, 2, 'inner') IS NULL END",
    "filter": "(SELECT count(is(1, 2, 'inner')) FILTER (WHERE false)) = 0",
}


@pytest.mark.parametrize("argument", INNER.values(), ids=INNER.keys())
def test_an_assertion_in_an_argument_of_another_fails(play: Play, argument: str) -> None:
    failure = only(play(EMPTY + f"SELECT ok({argument}, 'outer');"))
    assert failure.text == "assertion was not run where it is read: it is in an argument of another assertion"
    assert failure.details[0] == "it is 'inner'"
    assert line(failure) == LINE - 1


FINE = {
    "plan and finish": "SELECT no_plan();\nSELECT pass('a');\nSELECT * FROM finish();",
    "diag": "SELECT pass('a');\nSELECT diag('told') WHERE false;\nSELECT diag('told');",
    "a query": "SELECT pass('a');\nSELECT * FROM job;",
    "definitions": "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$SELECT is(1, 1)$$;\n"
    "SELECT f();\nPREPARE p AS SELECT is(1, 1);\nEXECUTE p;",
    "called by pattern": "CREATE SCHEMA q;\n"
    "CREATE FUNCTION q.test_one() RETURNS SETOF text LANGUAGE sql AS $$SELECT is(1, 1)$$;\n"
    "SELECT * FROM runtests('q'::name);",
    "called by a variable": "CREATE FUNCTION made() RETURNS text LANGUAGE sql AS $$SELECT is(1, 1)$$;\n"
    "\\set call 'made()'\nSELECT :call;",
    "called by another name": "CREATE FUNCTION made() RETURNS text LANGUAGE sql AS $$SELECT is(1, 1)$$;\n"
    "CREATE FUNCTION calls() RETURNS text LANGUAGE plpgsql AS"
    " $$DECLARE line text; BEGIN EXECUTE 'SELECT made()' INTO line; RETURN line; END$$;\nSELECT calls();",
    "read by a string": "CREATE VIEW made AS SELECT is(1, 1) AS line;\n"
    "CREATE FUNCTION calls() RETURNS text LANGUAGE plpgsql AS $$DECLARE line text; BEGIN"
    " EXECUTE 'SELECT m.line FROM pg_am a, made m LIMIT 1' INTO line; RETURN line; END$$;\nSELECT calls();",
    "found in the catalog": "CREATE FUNCTION made() RETURNS text LANGUAGE sql AS $$SELECT is(1, 1)$$;\n"
    "SELECT format('SELECT %I()', proname) FROM pg_proc WHERE proname LIKE 'mad_' \\gexec",
    "called by an operator": "CREATE FUNCTION made(int, int) RETURNS text LANGUAGE sql AS $$SELECT is(1, 1)$$;\n"
    "CREATE OPERATOR === (FUNCTION = made, LEFTARG = int, RIGHTARG = int);\nSELECT 1 === 1;",
    "called by an aggregate": "CREATE FUNCTION made(int) RETURNS text LANGUAGE sql AS $$SELECT is(1, 1)$$;\n"
    "CREATE AGGREGATE same(int) (SFUNC = int4pl, STYPE = int, FINALFUNC = made);\n"
    "SELECT same(n) FROM generate_series(1, 2) n;",
    "a choice": "SELECT CASE WHEN true THEN pass('a') ELSE fail('b') END;",
    "several in one cell": "SELECT collect_tap(ARRAY[is(1, 1, 'a'), ok(true, 'b')]);",
    "names that are tables": "SELECT pass('a');\nCREATE TABLE alike (id int);\nINSERT INTO alike (id) SELECT 1;",
    "a function of that name": "CREATE FUNCTION alike(int) RETURNS int LANGUAGE sql AS 'SELECT 1';\nSELECT pass('a');\n"
    "SELECT alike(1) WHERE false;",
    "copy": "COPY (SELECT pass('b')) TO STDOUT;",
    "tested itself": "SELECT * FROM check_test(is(1, 2, 'inner'), false, 'outer', 'inner');",
    "in a string": "SELECT results_eq('SELECT 1', 'SELECT 1', 'is(1, 1)');",
    "skip": "SELECT skip('not here', 2);",
    "dropped": "SELECT pass('a');\nCREATE FUNCTION ok(int) RETURNS int LANGUAGE sql AS 'SELECT 1';\n"
    "DROP FUNCTION ok(int);",
}


@pytest.mark.parametrize("check", FINE.values(), ids=FINE.keys())
def test_what_asserts_nothing_may_print_nothing(play: Play, check: str) -> None:
    assert play(EMPTY.replace("SELECT pass('beside');\n", "") + check).failures == []


def test_a_check_without_an_assertion_fails_by_name(play: Play) -> None:
    failure = only(play("-- chaos:session s\nSELECT 1;\n-- chaos:check\nSELECT 2;"))
    assert (failure.kind, failure.text) == ("not run", "check was not run: no statement of it asserts anything")
    assert line(failure) == 4


def test_a_check_may_assert_by_the_toolkit_alone(play: Play) -> None:
    assert held(play("-- chaos:session s\nSELECT 1;\n-- chaos:check\nSELECT chaos.assert(true, 'held');")) == ["held"]


IF = "-- chaos:setup\nCREATE TABLE t ();\n-- chaos:session s\nSELECT 1;\n-- chaos:check\nSELECT pass('beside');\n"


def test_a_branch_that_is_never_taken_fails(play: Play) -> None:
    failure = only(play(IF + "\\if 0\nSELECT pass('never');\n\\endif"))
    assert (failure.kind, failure.text) == ("not run", "assertion was not run: its \\if branch was never taken")
    assert line(failure) == 8


@pytest.mark.parametrize("other", ["SELECT pass('other');", "SELECT skip('not on this server');"])
def test_another_branch_may_assert_instead(play: Play, other: str) -> None:
    assert play(IF + f"\\if 0\nSELECT pass('never');\n\\else\n{other}\n\\endif").failures == []


def test_another_branch_that_asserts_nothing_is_no_excuse(play: Play) -> None:
    result = play(IF + "\\if 0\nSELECT pass('never');\n\\else\nSELECT 1;\n\\endif")
    assert only(result).kind == "not run"


def test_what_follows_quit_fails(play: Play) -> None:
    assert only(play(IF + "\\quit\nSELECT pass('never');")).text == "assertion was not run: the check ended before it"


GIVEN_UP = "BEGIN;\n-- chaos:allow 42P01\nTABLE nosuch;\n"
NEVER = {
    "untaken expect": "\\if 0\n-- chaos:expect 23505\nSELECT 1;\n\\endif",
    "expect behind an allowed error": GIVEN_UP + "-- chaos:expect 23505\nSELECT 1;\nCOMMIT;",
    "untaken assert": "\\if 0\nSELECT chaos.assert(false, 'never');\n\\endif",
    "assert over no row": "SELECT chaos.assert(false, 'never') FROM job;",
    "assert behind an allowed error": GIVEN_UP + "SELECT chaos.assert(false, 'never');\nCOMMIT;",
    "assert in DO": "DO $$ BEGIN IF false THEN PERFORM chaos.assert(false, 'never'); END IF; END $$;",
    "assert of one of two": "SELECT chaos.assert(true, 'one');\nSELECT chaos.assert(true, 'two') WHERE false;",
    "same description in a function": "CREATE FUNCTION look() RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n"
    "  PERFORM chaos.assert(true, 'one'); END $$;\nSELECT chaos.assert(true, 'one');",
    "computed description": "SELECT chaos.assert(true, 'no ' || state) FROM job;",
    "trigger that never fires": """CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM chaos.assert(NEW.id > 0, 'positive'); RETURN NEW; END $$;
CREATE TRIGGER look BEFORE INSERT ON job FOR EACH ROW EXECUTE FUNCTION look();""",
}


@pytest.mark.parametrize("session", NEVER.values(), ids=NEVER.keys())
def test_what_no_session_evaluates_fails(play: Play, session: str) -> None:
    failure = only(play(EMPTY.replace("SELECT 1;\n--", f"{session}\n--", 1)))
    assert failure.kind == "not run"
    assert failure.text.startswith(("expect was not run: ", "chaos.assert was not run: "))
    assert failure.place is not None


@pytest.mark.parametrize("header", ["-- chaos:default call = is_done()", "\\set call is_done()"])
def test_a_function_that_a_variable_of_the_header_calls_is_used(play: Play, header: str) -> None:
    function = "CREATE FUNCTION is_done() RETURNS text LANGUAGE sql AS $$ SELECT pass('done') $$;\n"
    text = EMPTY.replace("-- chaos:setup\n", f"{header}\n-- chaos:setup\n{function}", 1)
    assert held(play(f"{text}SELECT :call;\n")) == ["beside", "done"]


SENT_NOTHING = ("\\if 0\nTABLE job;\n\\endif", "\\if 0\n\\else\n\\quit\n\\endif\nTABLE job;")


@pytest.mark.parametrize("session", SENT_NOTHING)
def test_a_session_that_sent_nothing_fails(play: Play, session: str) -> None:
    failure = only(play(EMPTY.replace("SELECT 1;\n--", f"{session}\n--", 1)))
    assert (failure.kind, failure.text) == ("not run", "session s was not run: it sent no statement")
    assert line(failure) == 3


def test_a_session_that_sent_something_once_holds(play: Play) -> None:
    session = "\\set again 0\n\\if :again\nTABLE job;\n\\else\nSELECT 1;\n\\quit\n\\endif\n"
    assert held(play(EMPTY.replace("SELECT 1;\n--", f"{session}--", 1))) == ["beside"]
    by_worker = EMPTY.replace("session s", "session s x 2").replace(
        "SELECT 1;", "SELECT :worker = 1 AS first \\gset", 1
    )
    assert held(play(by_worker)) == ["beside"]


@pytest.mark.parametrize("section", ["setup", "teardown"])
def test_setup_or_teardown_that_sent_nothing_is_noted(play: Play, section: str) -> None:
    text = "-- chaos:session s\nSELECT 1;\n-- chaos:check\nSELECT pass('x');\n"
    result = play(f"{text}-- chaos:{section}\n\\if 0\nCREATE TABLE t ();\n\\endif\n")
    assert held(result) == ["x"]
    assert [one for one in result.remarks if one.startswith(f"scenario.sql:6: {section} sent no statement")]


ON_PATH = {
    "set": "SET search_path = public, chaos;",
    "set_config": "SELECT set_config('search_path', 'public,chaos', false);",
    "variable": "\\set path 'public, chaos'\nSET search_path = :path;",
}


@pytest.mark.parametrize("path", ON_PATH.values(), ids=ON_PATH.keys())
@pytest.mark.parametrize("where", ["session", "check"])
def test_an_assert_without_its_schema_over_no_row_fails(play: Play, path: str, where: str) -> None:
    body = f"{path}\nSELECT assert(id > 0, 'positive') FROM job;\n"
    parts = {"session": "SELECT 1;\n", "check": ""} | {where: body}
    text = f"-- chaos:setup\nCREATE TABLE job (id int);\n-- chaos:session s\n{parts['session']}-- chaos:check\n"
    failure = only(play(text + parts["check"] + "SELECT pass('beside');"))
    assert (failure.kind, failure.text.partition(":")[0]) == ("not run", "chaos.assert was not run")
    assert failure.details[0] == "it is 'positive'"
    assert line(failure) == {"session": 4, "check": 6}[where] + path.count("\n") + 1


def test_an_assertion_of_the_toolkit_without_its_schema_over_no_row_fails(play: Play) -> None:
    failure = only(play(EMPTY + "\nSET search_path = public, chaos;\nSELECT no_leaks('clean') FROM job;"))
    assert (failure.kind, failure.place and failure.place.line) == ("not run", LINE + 1)


def test_a_function_of_the_file_called_assert_is_its_own(play: Play) -> None:
    own = "CREATE FUNCTION public.assert(boolean, text) RETURNS boolean LANGUAGE sql AS 'SELECT $1';\n"
    text = EMPTY.replace("-- chaos:session", own + "-- chaos:session")
    assert held(play(text + "SET search_path = public, chaos;\nSELECT assert(id > 0, 'own') FROM job;")) == ["beside"]


def test_a_scenario_may_assert_by_the_toolkit_without_its_schema_alone(play: Play) -> None:
    text = "-- chaos:session s\nSET search_path = public, chaos;\nSELECT assert(true, 'held');"
    assert held(play(text)) == ["held"]


SESSION = "-- chaos:session s\n"
EVALUATED = {
    "by one of two": "-- chaos:session s x 2\nSELECT :worker = 1 AS first \\gset\n\\if :first\n"
    "-- chaos:expect 22012\nSELECT 1/0;\n\\else\nSELECT chaos.assert(true, 'two');\n\\endif",
    "in one of three rounds": "-- chaos:session s repeat 3\nSELECT :iteration = 3 AS last \\gset\n\\if :last\n"
    "SELECT chaos.assert(true, 'the last');\n\\endif",
    "when": "-- chaos:session s\n-- chaos:expect 22012 when level = high\nSELECT 1;\nSELECT chaos.assert(true, 'a');",
    "a choice": SESSION + "SELECT CASE 1 WHEN 1 THEN chaos.assert(true, 'a') ELSE chaos.assert(1 = 2, 'b') END;",
    "same description": "-- chaos:session s\nSELECT chaos.assert(true, 'a');\nSELECT chaos.assert(true, 'a');",
    "same description in a function": SESSION
    + "CREATE FUNCTION look() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM chaos.assert(true, 'a'); END $$;\n"
    "SELECT chaos.assert(true, 'a');\nSELECT chaos.assert(true, 'a'), look();",
    "odd description": "-- chaos:session s\nSELECT chaos.assert(true, 'it''s # odd');\nSELECT chaos.assert(true, '');",
    "retried": "-- chaos:session s retry 22012\n-- chaos:expect 23505\nINSERT INTO one VALUES (1);\n",
}


@pytest.mark.parametrize("session", EVALUATED.values(), ids=EVALUATED.keys())
def test_once_in_the_whole_run_is_enough(play: Play, session: str) -> None:
    head = "-- chaos:matrix level in low, high\n-- chaos:setup\n\\set used :level\n"
    head += "CREATE TABLE one (id int PRIMARY KEY);\nINSERT INTO one VALUES (1);\n"
    assert play(head + session, level="low").failures == []


def test_once_in_a_whole_search_is_enough(play: Play) -> None:
    text = """
        -- chaos:schedule all
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:session a
        INSERT INTO t VALUES (1);
        -- chaos:session b
        SELECT count(*) = 0 AS first FROM t \\gset
        \\if :first
        SELECT chaos.assert(true, 'b came first');
        \\endif
    """
    assert play(text).failures == []
    failure = only(play(text.replace("= 0 AS", "= 7 AS")))
    assert (failure.kind, failure.place and failure.place.line) == ("not run", 10)


def test_a_permutation_whose_check_prints_nothing_fails(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule explore 10
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:session a
        INSERT INTO t VALUES (1);
        -- chaos:session b
        DELETE FROM t;
        -- chaos:check
        SELECT is(id, 1, 'it is there') FROM t;
        """
    )
    assert only(result).kind == "not run"
    assert [(step.session, step.step) for step in result.order] == [("a", "1"), ("b", "1")]


def test_a_run_that_was_cut_short_says_nothing_of_what_it_did_not_reach(play: Play) -> None:
    result = play(
        "-- chaos:session s\nTABLE nosuch;\n-- chaos:expect 23505\nSELECT 1;\n-- chaos:check\nSELECT pass('a');"
    )
    assert only(result).kind == "error"
    assert result.check == "skipped"


PLAIN = "SELECT no_plan();\nCREATE TABLE t (name text);\nINSERT INTO t VALUES ('bob # TODO');\n"


def test_a_plain_file_is_read_as_pg_prove_reads_it_and_noted(play: Play) -> None:
    result = play(
        PLAIN
        + "SELECT pass('a');\nSELECT is(1, 2, name) FROM t;\nSELECT is(1, 2) WHERE false;\nSELECT * FROM finish();"
    )
    assert result.failures == []
    assert len(result.remarks) == 2
    assert any("scenario.sql:6" in remark and "no row" in remark for remark in result.remarks)
    assert any("scenario.sql:5" in remark and "TODO in its description" in remark for remark in result.remarks)


DATA = (
    "-- chaos:setup\nCREATE TABLE t (name text);\nINSERT INTO t VALUES ('bob # TODO'), ('eve # SKIP');\n"
    "-- chaos:session s\nSELECT 1;\n"
)


@pytest.mark.parametrize("before", ["", "SELECT todo('later', 1);\nSELECT fail('known');\n"])
def test_todo_in_data_excuses_nothing(play: Play, before: str) -> None:
    failures = play(DATA + f"-- chaos:check\n{before}SELECT is(1, 2, 'of ' || name) FROM t ORDER BY name;").failures
    assert [failure.names for failure in failures] == [("of bob # TODO",), ("of eve # SKIP",)]


def test_todo_that_is_called_excuses(play: Play) -> None:
    result = play(
        DATA
        + "-- chaos:check\nSELECT todo_start('later');\nSELECT fail('a');\nSELECT * FROM todo_end();\nSELECT pass('b');"
    )
    assert result.failures == []
    assert [(a.name, a.directive) for a in result.assertions] == [("a", "todo"), ("b", "")]


def test_what_held_is_not_called_skipped_by_data(play: Play) -> None:
    result = play(
        DATA + "-- chaos:check\nSELECT skip('not here');\nSELECT is(1, 1, name) FROM t WHERE name LIKE 'eve%';"
    )
    assert [(a.name, a.directive) for a in result.assertions] == [("", "skip"), ("eve # SKIP", "")]


EXCUSED = {
    "skip": ("SELECT skip('not here', 2);", ": not here"),
    "todo": ("SELECT todo('later', 1);\nSELECT fail('a');", ": later"),
    "both": ("SELECT skip('not here', 1);\nSELECT todo('later', 1);\nSELECT pass('a');", ": not here; later"),
}


@pytest.mark.parametrize(("check", "reasons"), EXCUSED.values(), ids=EXCUSED.keys())
@pytest.mark.parametrize("schedule", ["", "-- chaos:schedule explore 5\n"])
def test_a_check_that_only_excuses_itself_is_noted(play: Play, check: str, reasons: str, schedule: str) -> None:
    text = f"{schedule}-- chaos:session s\nSELECT 1;\n-- chaos:check\n{check}\n"
    text_of_note = "nothing was asserted: each test of the check is excused by skip() or todo()"
    (noted,) = (one for one in play(text).remarks if text_of_note in one)
    assert noted.endswith(reasons)
    beside = "SELECT pass('beside');", "-- chaos:invariant\nSELECT true AS held;"
    expects = text.replace("SELECT 1;", "-- chaos:expect 22012\nSELECT 1 / 0;")
    for asserting in (*(f"{text}{one}" for one in beside), expects):
        result = play(asserting)
        assert not [one for one in result.remarks if "nothing was asserted" in one]
        assert not result.failures


TABLE = "-- chaos:setup\nCREATE TABLE t (n int);\n"
BREAKING = {  # what calls it, what it does not break, what it breaks
    "inject_error": (
        "SELECT chaos.inject_error('t', 'INSERT', 'disk_full');\n-- chaos:session s allow 53100\n{}",
        "UPDATE t SET n = 1;",
        "INSERT INTO t VALUES (1);",
    ),
    "fail_nth": ("\n-- chaos:session s repeat 3 retry 40001\nSELECT chaos.fail_nth({}, '40001');", "5", "2"),
    "terminate": (
        "-- chaos:session s\nSELECT 1;\n-- chaos:signal done\n{}\n-- chaos:session killer\n-- chaos:wait for done\n"
        "SELECT chaos.terminate('s');",
        "",
        "-- chaos:allow 57P01 08006\nSELECT pg_sleep(60);",
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_function_that_was_to_break_a_statement_and_broke_none_is_noted(play: Play, name: str) -> None:
    text, beside, broken = BREAKING[name]
    result = play(TABLE + text.format(beside) + CHECKED)
    (noted,) = (one for one in result.remarks if f"chaos.{name}()" in one)
    assert result.failures == []
    assert noted.startswith("scenario.sql:")
    assert noted.endswith(f": chaos.{name}() is called, and no statement of a session failed by it")
    result = play(TABLE + text.format(broken) + CHECKED)
    assert result.failures == []
    assert not [one for one in result.remarks if f"chaos.{name}()" in one]
