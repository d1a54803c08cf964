"""chaos.assert in sessions and sections."""

from __future__ import annotations

import pytest

from tests.engine.playing import Play, held, line, only


def test_it_counts_over_workers_and_iterations(play: Play) -> None:
    result = play("-- chaos:session s x 3 repeat 4\nSELECT chaos.assert(true, 'held');\n")
    assert held(result) == ["held"]
    assert result.assertions[0].count == "12 of 12"


@pytest.mark.parametrize(("value", "word"), [("false", "false"), ("NULL", "null")])
def test_false_and_null_fail_and_the_run_continues(play: Play, value: str, word: str) -> None:
    result = play(
        f"""
        -- chaos:session s x 2
        SELECT chaos.assert(CASE :worker WHEN 1 THEN true ELSE {value} END, 'never negative');
        SELECT chaos.assert(true, 'after');
        -- chaos:check
        SELECT pass('checked');
        """
    )
    failure = only(result)
    assert (failure.kind, failure.names) == ("assertion", ("never negative",))
    assert failure.text == "never negative (1 of 2)"
    assert failure.details == (f"first {word} in s[2]",)
    assert {a.name: a.ok for a in result.assertions} == {"never negative": False, "after": True, "checked": True}


INSIDE = {
    "DO": "DO $$ BEGIN PERFORM chaos.assert(true, 'held'); END $$;",
    "function": "SELECT asserts();",
    "rolled back": "BEGIN;\nSELECT chaos.assert(true, 'held');\nROLLBACK;",
    "quiet client": "SET client_min_messages = error;\nSELECT chaos.assert(true, 'held');",
}


@pytest.mark.parametrize("statements", INSIDE.values(), ids=INSIDE.keys())
def test_it_is_heard_everywhere(play: Play, statements: str) -> None:
    body = "BEGIN PERFORM chaos.assert(true, 'held'); END"
    made = f"CREATE FUNCTION asserts() RETURNS void LANGUAGE plpgsql AS $$ {body} $$;"
    setup = f"-- chaos:setup\n{made}\n" if "asserts" in statements else ""
    result = play(f"{setup}-- chaos:session s\n{statements}\n")
    assert held(result) == ["held"]


def test_it_is_heard_in_setup_and_check_too(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        SELECT chaos.assert(true, 'in setup');
        -- chaos:session s
        SELECT 1;
        -- chaos:check
        SELECT chaos.assert(false, 'in check');
        SELECT pass('a pgTAP assertion beside it');
        """
    )
    failure = only(result)
    assert failure.names == ("in check",)
    assert line(failure) == 7
    assert {a.name for a in result.assertions} == {"in setup", "in check", "a pgTAP assertion beside it"}


@pytest.mark.parametrize("query", ["SELECT {} IS NOT NULL AS fine", "SELECT asserts() AS fine"])
def test_it_is_heard_in_invariants_too(play: Play, query: str) -> None:
    asserts = "chaos.assert(false, 'in an invariant')"
    body = f"{asserts} IS NOT NULL" if "asserts()" in query else "true"
    result = play(
        f"""
        -- chaos:setup
        CREATE FUNCTION asserts() RETURNS boolean LANGUAGE sql AS $$SELECT {body}$$;
        -- chaos:invariant
        {query.format(asserts)};
        """
    )
    failure = only(result)
    assert failure.names == ("in an invariant",)
    assert failure.details[0] == "first false in invariant"
    assert line(failure) == 5


def test_one_that_an_invariant_does_not_evaluate_was_not_run(play: Play) -> None:
    failure = only(play("-- chaos:invariant\nSELECT true OR chaos.assert(false, 'never') AS fine;\n"))
    assert (failure.kind, line(failure)) == ("not run", 2)
