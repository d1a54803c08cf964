"""psql's variables and meta-commands in sessions and sections."""

from __future__ import annotations

import pytest

from tests.engine.playing import CHECKED, Play, held, only, said, texts

HOLD = {
    "set": "\\set x 5\nSELECT chaos.assert(:x = 5, 'held');",
    "set joins": "\\set x 'a' b\nSELECT chaos.assert(:'x' = 'ab', 'held');",
    "unset": "\\set x 5\n\\unset x\nSELECT chaos.assert(NOT :{?x}, 'held');",
    "gset": "SELECT 1 AS one, 'two' AS two \\gset\nSELECT chaos.assert(:one = 1 AND :'two' = 'two', 'held');",
    "gset prefix": "SELECT 1 AS one \\gset my_\nSELECT chaos.assert(:my_one = 1 AND NOT :{?one}, 'held');",
    "gset NULL unsets": "\\set one 1\nSELECT NULL AS one \\gset\nSELECT chaos.assert(NOT :{?one}, 'held');",
    "gexec": "SELECT 'SELECT chaos.assert(true, ''held'')' FROM generate_series(1, 2) \\gexec",
    "gexec NULL": "SELECT NULL, 'SELECT chaos.assert(true, ''held'')' \\gexec",
    "if": "\\if true\nSELECT chaos.assert(true, 'held');\n\\else\nSELECT 1/0;\n\\endif",
    "elif": "\\if no\nSELECT 1/0;\n\\elif yes\nSELECT chaos.assert(true, 'held');\n\\else\nSELECT 1/0;\n\\endif",
    "else": "\\if 0\nSELECT 1/0;\n\\elif off\nSELECT 1/0;\n\\else\nSELECT chaos.assert(true, 'held');\n\\endif",
    "quit": "SELECT chaos.assert(true, 'held');\n\\quit\nSELECT 1/0;",
    "untaken set": "\\if false\n\\set x 1\n\\quit\n\\endif\nSELECT chaos.assert(NOT :{?x}, 'held');",
    "g": "SELECT chaos.assert(true, 'held') \\g",
    "identifier": "\\set t 'A b'\nSELECT chaos.assert(c.:\"t\" = 1, 'held') FROM (SELECT 1 AS \"A b\") c;",
    "a semicolon in a value": (
        "\\set two 'VACUUM pg_namespace; SELECT'\n:two chaos.assert(true, 'held');\n"  # no VACUUM in a group
    ),
    "copy in": (
        "CREATE TEMP TABLE c (a int, b text);\nCOPY c FROM STDIN;\n1\tx; y\n2\t:worker\n\\.\n"
        "SELECT chaos.assert(count(*) = 2 AND bool_or(b = ':worker'), 'held') FROM c;"
    ),
}


@pytest.mark.parametrize("statements", HOLD.values(), ids=HOLD.keys())
def test_a_session_does_as_psql_does(play: Play, statements: str) -> None:
    assert set(held(play(f"-- chaos:session s\n{statements}\n"))) == {"held"}


@pytest.mark.parametrize("statements", [text for name, text in HOLD.items() if name != "quit"])
def test_a_section_does_as_psql_does(play: Play, statements: str) -> None:
    text = f"-- chaos:setup\n{statements}\n-- chaos:session s\nSELECT 1;\n{CHECKED}"
    assert set(held(play(text))) == {"held", "checked"}


WRONG = {
    "no row": ("SELECT 1 AS a WHERE false \\gset", "no rows returned for \\gset"),
    "two rows": ("SELECT 1 AS a UNION ALL SELECT 2 \\gset", "more than one row returned for \\gset"),
    "name": ("SELECT 1 AS a, 2 \\gset", 'invalid variable name: "?column?"'),
    "if": (
        "\\if maybe\nSELECT 1;\n\\endif",
        'unrecognized value "maybe" for "\\if expression": Boolean expected',
    ),
    "gexec": ("SELECT 'SELECT 1/0' \\gexec", "ERROR 22012 (division_by_zero): division by zero"),
    "copy": ("CREATE TEMP TABLE c (a int);\nCOPY c FROM STDIN;\nx\n\\.\n", "ERROR 22P02"),
}


@pytest.mark.parametrize(("statements", "words"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("where", ["session s", "setup"])
def test_what_psql_refuses_stops_the_run_in_its_words(play: Play, where: str, statements: str, words: str) -> None:
    result = play(f"-- chaos:{where}\n{statements}\nSELECT 'never';\n-- chaos:session other\nSELECT 1;\n{CHECKED}")
    failure = only(result)
    assert failure.kind == "error"
    assert words in failure.text
    assert "SELECT 'never'" not in texts(result.records)
    assert result.assertions == []


def test_gexec_stops_at_its_first_error(play: Play) -> None:
    result = play(
        "-- chaos:session s\n-- chaos:allow 22012\n"
        "SELECT q FROM (VALUES ('SELECT 1'), ('SELECT 1/0'), ('SELECT 2')) v(q) \\gexec\n"
        "SELECT 'after';\n" + CHECKED
    )
    assert held(result) == ["checked"]
    assert texts(said(result, "s"))[1:] == ["SELECT 1", "SELECT 1/0", "SELECT 'after'"]


def test_output_says_who_wrote_it(play: Play) -> None:
    result = play(
        "-- chaos:setup\n\\echo set up\n-- chaos:session s x 2\n"
        "SELECT :worker = 2 AS second \\gset\n\\if :second\n\\warn of :worker\nCOPY (SELECT 1, 2) TO STDOUT;\n\\endif\n"
        "SELECT 1;\n" + CHECKED
    )
    assert held(result) == ["checked"]
    assert result.output == ["setup: set up", "s[2]: of 2", "s[2]: 1\t2"]


@pytest.mark.parametrize("level", ["read committed", 'it\'s "so"'])
def test_matrix_values_are_there_in_every_section(play: Play, level: str) -> None:
    result = play(
        """
        -- chaos:matrix level in 'read committed', 'it''s "so"'
        -- chaos:setup
        SELECT chaos.assert(:'level' = chaos.var('level'), 'setup');
        -- chaos:session s
        SELECT chaos.assert(:'level' = chaos.var('level'), 'session');
        -- chaos:invariant
        SELECT length(:'level') > 0 AS set;
        -- chaos:teardown
        DO $$ BEGIN RAISE NOTICE '%', chaos.var('level'); END $$;
        -- chaos:check
        SELECT is(:'level', chaos.var('level'), 'check');
        """,
        level=level,
    )
    assert held(result) == ["check", "setup", "session"]
    assert result.output == [f"teardown: NOTICE: {level}"]


@pytest.mark.parametrize(
    ("header", "session"),
    [("-- chaos:default value = chaos.var('level')\n", ""), ("", "\\set value 'chaos.var(''level'')'\n")],
)
def test_a_variable_may_hold_a_call_of_chaos_var(play: Play, header: str, session: str) -> None:
    text = f"-- chaos:matrix level in low, high\n{header}-- chaos:session s\n{session}"
    result = play(f"{text}SELECT chaos.assert(:value = 'low', 'held');\n{CHECKED}", level="low")
    assert sorted(held(result)) == ["checked", "held"]


def test_worker_and_iteration_are_there_in_sessions_only(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        SELECT chaos.assert(NOT :{?worker} AND NOT :{?iteration}, 'not in setup');
        SELECT chaos.assert(chaos.worker() IS NULL AND chaos.iteration() IS NULL, 'nor from the server');
        -- chaos:session s x 2 repeat 2
        SELECT chaos.assert(:worker IN (1, 2) AND :iteration IN (1, 2), 'in sessions');
        -- chaos:check
        SELECT ok(NOT :{?worker} AND NOT :{?iteration}, 'not in check');
        """
    )
    assert held(result) == ["not in check", "not in setup", "nor from the server", "in sessions"]


RESETS = ["SELECT 1;", "DISCARD ALL;", "RESET ALL;", "BEGIN;\n\\set mine other\nSELECT chaos.var('mine');\nROLLBACK;"]


@pytest.mark.parametrize("reset", RESETS, ids=["none", "discard", "reset", "rollback"])
def test_functions_and_do_blocks_know_worker_iteration_and_variables(play: Play, reset: str) -> None:
    result = play(
        f"""
-- chaos:setup
CREATE FUNCTION knows() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN format('%s/%s/%s', chaos.worker(), chaos.iteration(), chaos.var('mine'));
END $$;
-- chaos:session s x 2 repeat 3
\\set mine 'it''s\\\\mine'
{reset}
SELECT chaos.assert(knows() = format('%s/%s/%s', :worker, :iteration, :'mine'), 'in a function');
DO $$ BEGIN
    PERFORM chaos.assert(chaos.worker() IN (1, 2) AND chaos.iteration() IN (1, 2, 3)
                         AND chaos.var('worker')::int = chaos.worker() AND chaos.var('gone') IS NULL, 'in a DO block');
END $$;
"""
    )
    assert sorted(held(result)) == ["in a DO block", "in a function"]
    assert {a.count for a in result.assertions} == {"6 of 6"}


def test_an_included_function_gets_the_iteration(play: Play) -> None:
    (play.folder / "part.sql").write_text("SELECT chaos.assert(chaos.iteration() = :iteration, 'told');\n")
    result = play("-- chaos:session s repeat 2\n\\ir part.sql\n" + CHECKED)
    assert held(result) == ["checked", "told"]


@pytest.mark.parametrize("where", ["session s", "setup"])
def test_gset_on_an_empty_queue_says_how_to_write_it(play: Play, where: str) -> None:
    queue = f"""-- chaos:{where}
CREATE TABLE queue (id int);
SELECT id AS job FROM queue LIMIT 1 FOR UPDATE SKIP LOCKED \\gset
-- chaos:session other
SELECT 1;
{CHECKED}"""
    (hint,) = only(play(queue)).details
    assert "write SELECT (SELECT …) AS job \\gset" in hint
    assert r"\if :{?job} asks for that" in hint
    written = queue.replace(
        "SELECT id AS job FROM queue LIMIT 1 FOR UPDATE SKIP LOCKED",
        "SELECT (SELECT id FROM queue LIMIT 1 FOR UPDATE SKIP LOCKED) AS job",
    ).replace("-- chaos:session other", "\\if :{?job}\nSELECT 1/0;\n\\endif\n-- chaos:session other")
    assert held(play(written)) == ["checked"]
