"""TAP of check sections and of plain pgTAP files."""

from __future__ import annotations

import pytest

from tests.engine.playing import Play, held, line, only

SESSION = "-- chaos:session s\nSELECT 1;\n-- chaos:check\n"
PASS = {
    "no plan": ("SELECT pass('a');\nSELECT pass('b');", ["a", "b"]),
    "a plan": ("SELECT plan(2);\nSELECT pass('a');\nSELECT pass('b');\nSELECT * FROM finish();", ["a", "b"]),
    "a plan without finish": ("SELECT plan(1);\nSELECT pass('a');", ["a"]),
    "no_plan": ("SELECT no_plan();\nSELECT pass('a');\nSELECT * FROM finish();", ["a"]),
    "words of a plan": (
        "SELECT pass('the plan (b) will finish (at last)'); /* plan(2) */",
        ["the plan (b) will finish (at last)"],
    ),
    "a plan in a string": ("SELECT 'SELECT plan(' || 1 || ')' \\gexec\nSELECT pass('a');", ["a"]),
    "skip": ("SELECT skip('not here', 2);\nSELECT pass('a');", ["", "", "a"]),
}


@pytest.mark.parametrize(("check", "names"), PASS.values(), ids=PASS.keys())
def test_a_check_passes(play: Play, check: str, names: list[str]) -> None:
    result = play(SESSION + check)
    assert result.failures == []
    assert len([a for a in result.assertions if a.ok]) == len(names)
    assert [a.name for a in result.assertions if not a.directive] == [name for name in names if name]


def test_a_check_may_run_the_tests_of_a_schema(play: Play) -> None:
    one = "CREATE FUNCTION tests.test_one() RETURNS SETOF text LANGUAGE sql AS $$SELECT pass('inside')$$;\n"
    setup = "-- chaos:setup\nCREATE SCHEMA tests;\n" + one
    assert held(play(setup + SESSION + "SELECT * FROM runtests('tests'::name);")) == ["tests.test_one"]
    empty = play(setup.replace(one, "") + SESSION + "SELECT * FROM runtests('tests'::name);")
    assert "not run" in {failure.kind for failure in empty.failures}


@pytest.mark.parametrize(
    "check",
    ["VALUES ('ok 1');", "SELECT plan(1);\nVALUES ('ok 1');\nSELECT * FROM finish();", "\\echo ok 1\nSELECT 1;"],
)
def test_lines_of_tap_that_are_written_by_hand_are_explained(play: Play, check: str) -> None:
    failure = only(play(SESSION + check))
    assert "# No tests run!" in failure.text
    assert failure.details[0].startswith(
        "the TAP lines of this check are written by hand, and pgTAP counts only its own"
    )


BESIDE_RUNTESTS = {
    "before": "SELECT pass('before');\nSELECT * FROM runtests('tests'::name);",
    "behind": "SELECT * FROM runtests('tests'::name);\nSELECT pass('behind');",
    "planned": "SELECT plan(1);\nSELECT * FROM runtests('tests'::name);",
    "twice": "SELECT * FROM runtests('tests'::name);\nSELECT * FROM runtests('tests'::name);",
}


@pytest.mark.parametrize("check", BESIDE_RUNTESTS.values(), ids=BESIDE_RUNTESTS.keys())
def test_assertions_beside_runtests_are_reported(play: Play, check: str) -> None:
    one = "CREATE FUNCTION tests.test_one() RETURNS SETOF text LANGUAGE sql AS $$SELECT pass('inside')$$;\n"
    result = play("-- chaos:setup\nCREATE SCHEMA tests;\n" + one + SESSION + check)
    assert result.failures
    for failure in result.failures:
        assert "runtests() has a plan and an end of its own" in failure.details[0]


def test_a_plan_that_is_not_kept_is_a_failure(play: Play) -> None:
    failure = only(play(SESSION + "SELECT plan(3);\nSELECT pass('a');\nSELECT * FROM finish();"))
    assert failure.kind == "tap"


def test_todo_is_no_failure(play: Play) -> None:
    result = play(SESSION + "SELECT todo('later', 1);\nSELECT fail('not yet');\nSELECT pass('a');")
    assert result.failures == []
    assert [(a.name, a.ok, a.directive) for a in result.assertions] == [("not yet", False, "todo"), ("a", True, "")]


def test_a_failing_assertion_says_have_and_want_and_its_line(play: Play) -> None:
    failure = only(play(SESSION + "SELECT pass('a');\nSELECT is(1, 2, 'the same');"))
    assert (failure.kind, failure.names) == ("assertion", ("the same",))
    assert line(failure) == 5
    assert "have: 1" in "".join(failure.details)


def test_an_error_in_the_middle_keeps_what_was_asserted_before(play: Play) -> None:
    result = play(SESSION + "SELECT pass('a');\nSELECT fail('b');\nSELECT 1/0;\nSELECT pass('never');")
    assert [(a.name, a.ok) for a in result.assertions] == [("a", True), ("b", False)]
    assert [failure.kind for failure in result.failures] == ["assertion", "error"]


def test_a_plain_file_runs_as_psql_would_run_it(play: Play) -> None:
    result = play(
        "BEGIN;\nSELECT plan(1);\nCREATE TABLE t ();\nSELECT has_table('t');\nSELECT * FROM finish();\nROLLBACK;"
    )
    assert held(result) == ["Table t should exist"]


def test_a_plain_file_gets_no_plan_of_ours(play: Play) -> None:
    result = play("SELECT pass('a');")
    assert [failure.kind for failure in result.failures] == ["error"]
    assert result.assertions == []


HEARD = {
    "echo": ("SELECT plan(2);\nSELECT pass('a');\n\\echo ok 2 - said\n", ["a", "said"]),
    "qecho": ("SELECT plan(2);\nSELECT pass('a');\n\\qecho ok 2 - said\n", ["a", "said"]),
    "warn is for the eye": ("SELECT plan(1);\n\\warn not ok 1 - aside\nSELECT pass('a');", ["a"]),
    "an untaken branch": ("SELECT plan(1);\n\\if no\n\\echo not ok 1\n\\endif\nSELECT pass('a');", ["a"]),
    "copy": ("SELECT plan(2);\nSELECT pass('a');\nCOPY (SELECT pass('b')) TO STDOUT;", ["a", "b"]),
    "gset takes its row": ("SELECT plan(1);\nSELECT 'not ok 1' AS line \\gset\nSELECT pass('read');", ["read"]),
    "gset takes the last of a group": ("SELECT plan(1) \\; SELECT pass('a') \\; SELECT 'not ok 2' AS l \\gset", ["a"]),
    "gexec sends its rows": ("SELECT plan(1);\nSELECT 'SELECT pass(''not ok'')' \\gexec", ["not ok"]),
}


@pytest.mark.parametrize("where", ["", SESSION], ids=["plain", "check"])
@pytest.mark.parametrize(("check", "names"), HEARD.values(), ids=HEARD.keys())
def test_what_psql_prints_is_read_and_nothing_else(play: Play, where: str, check: str, names: list[str]) -> None:
    result = play(where + check)
    assert held(result) == names
    assert len(result.assertions) == len(names)


def test_a_condition_that_asserts_nothing_is_reported(play: Play) -> None:
    result = play(
        """
        -- chaos:check
        SELECT pass('done');
        SELECT count(*) = 0 FROM pg_class;
        SELECT pg_try_advisory_xact_lock(1);
        SELECT 1 = 1 AS right \\gset
        """
    )
    assert result.failures == []
    (remark,) = result.remarks
    assert remark.startswith("scenario.sql:4: this condition asserts nothing, whatever it returns: write SELECT ok(")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\\echo TAP version 14\n\\echo 1..1\n\\echo ok 1\n", "TAP version 14 is not read: write 13, or none"),
        ("\\echo 1..1\n\\echo TAP version 13\nSELECT 'ok 1';\n", "the TAP version is not the first line of TAP"),
        (
            "\\echo TAP version 13\n\\echo pragma +strict\n\\echo 1..1\nSELECT 'noise';\nSELECT 'ok 1';\n",
            'this line is not TAP, and `pragma +strict` is set: "noise"',
        ),
        (
            "\\echo TAP version 13\n\\echo 1..1\n\\echo ok 1\nSELECT '  ---';\n",
            "a YAML block does not end: its line `...` is missing",
        ),
    ],
)
def test_a_plain_file_fails_by_the_version_of_its_tap(play: Play, text: str, said: str) -> None:
    assert only(play(text)).text == said


def test_a_plan_of_a_plain_file_excuses_the_tests_that_it_names(play: Play) -> None:
    result = play("\\echo 1..2 todo 2\nSELECT 'ok 1 - a';\nSELECT 'not ok 2 - b';\n")
    assert held(result) == ["a"]
