"""Variables that psql sets itself, and its AUTOCOMMIT and ON_ERROR_…, in plain files and in sessions."""

from __future__ import annotations

import pytest

from tests.engine.playing import Play, only


def test_a_plain_file_knows_its_connection(play: Play) -> None:
    result = play(
        r"""BEGIN;
SELECT plan(5);
SELECT is(:'DBNAME'::text, current_database()::text, 'DBNAME');
SELECT is(:'USER'::text, session_user::text, 'USER');
SELECT is(:SERVER_VERSION_NUM, current_setting('server_version_num')::int, 'SERVER_VERSION_NUM');
SELECT is(:'SERVER_VERSION_NAME'::text, current_setting('server_version'), 'SERVER_VERSION_NAME');
SELECT :SERVER_VERSION_NUM >= 140000 AS new \gset
\if :new
SELECT is(:'ENCODING'::text, 'UTF8', 'ENCODING');
\endif
SELECT * FROM finish();
ROLLBACK;
"""
    )
    assert result.failures == []
    assert len(result.assertions) == 5


def test_the_last_statement_is_known_until_the_next(play: Play) -> None:
    result = play(
        r"""\set ON_ERROR_STOP off
SELECT plan(6);
SELECT generate_series(1, 3);
SELECT is(:ROW_COUNT::int, 3, 'ROW_COUNT');
SELECT 1 / 0;
SELECT is(:'LAST_ERROR_SQLSTATE'::text, '22012', 'LAST_ERROR_SQLSTATE');
SELECT is(:'LAST_ERROR_MESSAGE'::text, 'division by zero', 'LAST_ERROR_MESSAGE');
SELECT is(:'SQLSTATE'::text, '00000', 'SQLSTATE of what went well');
SELECT 1 / 0;
SELECT is(:'SQLSTATE' || ' ' || :'ERROR', '22012 true', 'SQLSTATE of what did not');
\if :ERROR
SELECT fail('ERROR is of the last statement');
\else
SELECT pass('ERROR is of the last statement');
\endif
SELECT * FROM finish();
"""
    )
    assert [failure.text for failure in result.failures] == []
    assert len(result.assertions) == 6
    assert sum("ON_ERROR_STOP is off" in line for line in result.output) == 2, "what went wrong is told"


def test_a_variable_that_the_file_sets_is_its_own(play: Play) -> None:
    result = play(r"""\set DBNAME mine
SELECT plan(1);
SELECT is(:'DBNAME'::text, 'mine');
SELECT * FROM finish();
""")
    assert result.failures == []


def test_a_session_knows_them_too(play: Play) -> None:
    result = play(
        r"""-- chaos:setup
CREATE TABLE t (n int);
CREATE TABLE seen (state text, rows int);
-- chaos:session s
INSERT INTO t VALUES (1), (2);
INSERT INTO seen VALUES (:'SQLSTATE', :ROW_COUNT);
-- chaos:allow 22012
SELECT 1 / 0;
INSERT INTO seen VALUES (:'LAST_ERROR_SQLSTATE', NULL);
-- chaos:check
SELECT results_eq('SELECT state, rows FROM seen', $$VALUES ('00000', 2), ('22012', NULL)$$, 'as in psql');
"""
    )
    assert result.failures == []


def test_an_error_ends_a_plain_file_unless_it_says_otherwise(play: Play) -> None:
    failure = only(play("SELECT plan(1);\nSELECT 1 / 0;\nSELECT pass('never');\nSELECT * FROM finish();\n"))
    assert "22012" in failure.names


@pytest.mark.parametrize("off", ["\\set ON_ERROR_STOP 0", "\\unset ON_ERROR_STOP"])
@pytest.mark.parametrize("wrong", ["SELECT 1 / 0;", "SELECT 1 AS one WHERE false \\gset", "TABLE pg_class \\gset"])
def test_a_plain_file_continues_after_what_fails_where_it_says_so(play: Play, off: str, wrong: str) -> None:
    rest = "SELECT pass('goes on');\nSELECT * FROM finish();\n"
    result = play(f"{off}\nSELECT plan(1);\n{wrong}\n{rest}")
    assert result.failures == []
    assert sum("(ON_ERROR_STOP is off)" in line for line in result.output) == 1, "what went wrong is told"
    assert len(play(f"SELECT plan(1);\n{wrong}\n{rest}").failures) == 1


def test_gset_changes_no_setting_of_psql(play: Play) -> None:
    text = "SELECT plan(1);\nSELECT 'off' AS \"ON_ERROR_STOP\" \\gset\nSELECT 1 / 0;\nSELECT pass('never');\n"
    assert "22012" in only(play(text)).names


def test_a_savepoint_keeps_a_transaction_from_an_error_in_it(play: Play) -> None:
    text = r"""\set ON_ERROR_STOP 0
{}BEGIN;
SELECT plan(2);
SELECT pass('before the error');
SELECT 1 / 0;
SELECT pass('after it');
SAVEPOINT own;
ROLLBACK TO own;
SELECT * FROM finish();
ROLLBACK;
"""
    result = play(text.format("\\set ON_ERROR_ROLLBACK on\n"))
    assert result.failures == []
    assert len(result.assertions) == 2
    assert play(text.format("")).failures, "without it the transaction is lost"
    assert play(text.format("\\set ON_ERROR_ROLLBACK Interactive\n")).failures, "a file is not read interactively"


@pytest.mark.parametrize(
    ("setting", "refused"),
    [
        ("ON_ERROR_STOP maybe", 'unrecognized value "maybe" for "ON_ERROR_STOP": Boolean expected'),
        ("ON_ERROR_ROLLBACK maybe", 'unrecognized value "maybe" for "ON_ERROR_ROLLBACK"; available values are: on, '),
        ("ECHO on", 'unrecognized value "on" for "ECHO"; available values are: none, errors, queries, all'),
        ("ECHO", 'unrecognized value "" for "ECHO"; available values are: none, errors, queries, all'),
        ("SHOW_ALL_RESULTS x", 'unrecognized value "x" for "SHOW_ALL_RESULTS": Boolean expected'),
        ("HISTCONTROL on", 'unrecognized value "on" for "HISTCONTROL"; available values are: none, '),
        ("FETCH_COUNT x", 'invalid value "x" for "FETCH_COUNT": integer expected'),
        ("FETCH_COUNT 2147483648", 'invalid value "2147483648" for "FETCH_COUNT": integer expected'),
        ("FETCH_COUNT", 'invalid value "" for "FETCH_COUNT": integer expected'),
        ("VERBOSITY loud", 'unrecognized value "loud" for "VERBOSITY"; available values are: default, '),
    ],
)
def test_a_value_that_psql_refuses_for_its_own_setting_ends_a_plain_file(
    play: Play, setting: str, refused: str
) -> None:
    failure = only(play(f"\\set {setting}\nSELECT plan(1);\nSELECT pass('a');\n"))
    assert refused in failure.text
    assert failure.place is not None
    assert failure.place.line == 1


def test_a_value_that_psql_takes_for_its_own_setting_does_not(play: Play) -> None:
    taken = ("ON_ERROR_STOP", "ON_ERROR_STOP TRUE", "ON_ERROR_ROLLBACK 1", "ECHO None", "VERBOSITY terse", "QUIET 1")
    more = ("FETCH_COUNT ' -0x1F'", "HISTSIZE 0", "ECHO_HIDDEN noexec", "ON_ERROR_ROLLBACK", "mine")
    lines = "".join(f"\\set {one}\n" for one in (*taken, "SHOW_CONTEXT never", "mine maybe", *more))
    assert play(f"{lines}SELECT plan(1);\nSELECT pass('a');\n").failures == []


@pytest.mark.parametrize("off", ["\\set AUTOCOMMIT off", "\\unset AUTOCOMMIT"])
def test_a_plain_file_without_autocommit_begins_its_transactions_as_psql_does(play: Play, off: str) -> None:
    text = """{}
VACUUM pg_namespace;
CREATE TEMP TABLE made ();
ROLLBACK;
SELECT plan(2);
SELECT is(to_regclass('made'), NULL, 'rolled back');
COMMIT;
SELECT pass('the plan was committed');
SELECT * FROM finish();
"""
    result = play(text.format(off))
    assert result.failures == []
    assert len(result.assertions) == 2
    assert "rolled back" in only(play(text.format("\\set AUTOCOMMIT on"))).text


def test_the_savepoint_of_a_statement_is_released_before_the_next(play: Play) -> None:
    text = r"""BEGIN;
SELECT plan(1);
\set ON_ERROR_ROLLBACK on
SELECT pass('with a savepoint');
\set ON_ERROR_ROLLBACK off
RELEASE pg_psql_temporary_savepoint;
"""
    assert 'savepoint "pg_psql_temporary_savepoint" does not exist' in play(text).failures[0].text


_DOUBLING = "".join(f"\\set v{n} ':v{n + 1}:v{n + 1}'\n" for n in range(40))
_TOO_MANY = "the variable v0 expands to more than 200,000 texts and variables, by values within values"


@pytest.mark.parametrize("phase", ["setup", "session a", "check", "state", "teardown"])
def test_variables_that_double_in_one_another_are_reported_where_they_are_used(play: Play, phase: str) -> None:
    says = {"setup": "CREATE TABLE t (id int);", "session a": "SELECT 1;", "check": "SELECT pass('checked');"}
    says |= {phase: f"{_DOUBLING}SELECT :v0;"}
    head = "-- chaos:oracle serializable\n" if phase == "state" else ""
    text = head + "".join(f"-- chaos:{name}\n{said}\n" for name, said in says.items())
    failure = play(text).failures[0]
    assert _TOO_MANY in failure.text
    assert failure.place is not None
    assert text.splitlines()[failure.place.line - 1] == "SELECT :v0;"


def test_a_variable_that_is_set_to_itself_twice_does_not_grow_for_ever(play: Play) -> None:
    longer = "\\set a :a:a\n" * 40
    result = play(
        f"-- chaos:setup\n\\set a x\n{longer}-- chaos:session a\nSELECT 1;\n-- chaos:check\nSELECT ok(true, 'y');\n"
    )
    assert [str(f.place).rpartition(":")[2] for f in result.failures] == ["28"]
    assert "the variable a expands to a text of more than 64,000,000 characters" in result.failures[0].text


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("SELECT NULL AS room \\gset", ": \\gset in line 3 got NULL for it"),
        ("SELECT 1 AS rooms \\gset", ", did you mean `rooms`?"),
        ("", "; there are: iteration, worker; each session has its own, and \\set in the header sets one for all"),
    ],
)
def test_a_variable_that_is_not_set_is_reported_with_the_reason(play: Play, line: str, why: str) -> None:
    text = f"-- chaos:setup\n-- chaos:session a\n{line}\nSELECT :room;\n-- chaos:check\nSELECT pass('x');\n"
    assert only(play(text)).details == (f"the variable room is not set{why}",)


@pytest.mark.parametrize("off", ["\\set SHOW_ALL_RESULTS off", "\\unset SHOW_ALL_RESULTS"])
def test_only_the_last_result_is_printed_where_a_file_says_so(play: Play, off: str) -> None:
    text = (
        "\\echo 1..1\n%s\nSELECT 'not ok 1 - a' \\; SELECT 'ok 1 - b';\nSELECT 'not ok 1 - c' \\; SELECT 'd' \\gset\n"
    )
    assert [assertion.name for assertion in play(text % off).assertions] == ["b"]
    assert [assertion.name for assertion in play(text % "").assertions] == ["a", "b", "c"]
    text = "\\set ON_ERROR_STOP 0\n\\echo 1..1\n%s\nSELECT 'ok 1 - a' \\; SELECT 1 / 0;\n"
    assert only(play(text % off)).text == "planned 1 test, ran 0"


@pytest.mark.parametrize("value", ["all", "queries"])
def test_a_statement_that_psql_echoes_is_read_as_what_it_prints(play: Play, value: str) -> None:
    text = "\\set ECHO {}\nSELECT plan(1);\nSELECT pass('\nnot ok 2 - in the text of the statement\n');\n\\unset ECHO\n"
    result = play(text.format(value))
    assert [assertion.name for assertion in result.assertions] == ["in the text of the statement", ""]
    assert result.failures
    assert play(text.format("errors")).failures == []
