"""What a run records besides the history: values, waits, notifications, and session names instead of pids."""

from __future__ import annotations

from tests.engine.playing import Play, held, only, said


def test_the_variables_that_a_statement_set_stand_at_it_and_nowhere_else(play: Play) -> None:
    result = play(
        """
        -- chaos:session s
        SELECT 1 AS one, NULL AS two \\gset
        SELECT 2;
        -- chaos:expect division_by_zero
        SELECT 1 / 0 AS bad \\gset
        """
    )
    assert [record.notes for record in said(result, "s")] == [("one = 1", "two = NULL"), (), ()]


def test_waits_and_signals_are_kept_with_their_times(play: Play) -> None:
    result = play(
        """
        -- chaos:session giver
        SELECT 1;
        -- chaos:signal go
        -- chaos:barrier met
        SELECT 2;
        -- chaos:session taker
        -- chaos:wait for go
        SELECT 3;
        -- chaos:barrier met
        SELECT 4;
        -- chaos:invariant
        SELECT true AS "it holds";
        """
    )
    assert held(result) == []
    acts = {(act.session, act.statement) for act in result.acts}
    assert acts == {
        ("giver", "-- signal go"),
        ("giver", "-- barrier met"),
        ("taker", "-- wait for go"),
        ("taker", "-- barrier met"),
    }
    assert all(act.ended_at is not None for act in result.acts)


def test_a_retry_shows_the_rollback_before_it(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        CREATE SEQUENCE attempt;
        -- chaos:session s retry 22012
        BEGIN;
        SELECT 1 / (nextval('attempt') - 1);
        COMMIT;
        -- chaos:check
        SELECT pass('done');
        """
    )
    assert held(result) == ["done"]
    assert [act.statement for act in result.acts] == ["-- ROLLBACK by pgchaos, then again"]


def test_notifications_are_kept_where_they_came(play: Play) -> None:
    result = play(
        """
        -- chaos:session s
        LISTEN news;
        NOTIFY news, 'hello';
        -- chaos:check
        SELECT is(payload, 'hello', 'it came') FROM chaos.notifications;
        """
    )
    assert held(result) == ["it came"]
    assert [act.statement for act in result.acts] == ["-- received NOTIFY news, 'hello'"]


def test_the_detail_of_a_deadlock_names_sessions(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        CREATE TABLE t (id int PRIMARY KEY);
        INSERT INTO t VALUES (1), (2);
        -- chaos:session up
        BEGIN;
        SELECT FROM t WHERE id = 1 FOR UPDATE;
        -- chaos:barrier one_each
        SELECT FROM t WHERE id = 2 FOR UPDATE;
        COMMIT;
        -- chaos:session down
        BEGIN;
        SELECT FROM t WHERE id = 2 FOR UPDATE;
        -- chaos:barrier one_each
        SELECT FROM t WHERE id = 1 FOR UPDATE;
        COMMIT;
        -- chaos:check
        SELECT pass('x');
        """
    )
    details = "\n".join(only(result).details)
    assert "up[1] (pid " in details
    assert "down[1] (pid " in details


def test_an_invariant_that_was_broken_from_the_beginning_says_so(play: Play) -> None:
    text = '-- chaos:session s\nSELECT 1;\n-- chaos:invariant\nSELECT false AS "{name}";\n'
    failure = only(play(text.format(name="it holds")))
    assert "false already before the sessions began" in failure.details
    assert "name it: SELECT" in only(play(text.replace(' AS "{name}"', ""))).text


def test_what_was_sent_is_kept_where_it_differs(play: Play) -> None:
    result = play(
        """
        -- chaos:session s x 2
        SELECT :worker + 1;
        SELECT 1;
        -- chaos:check
        SELECT pass('done');
        """
    )
    assert held(result) == ["done"]
    assert [record.sent for record in said(result, "s", 2)] == ["SELECT 2 + 1", ""]


def test_a_value_that_makes_a_comment_of_the_rest_is_an_error(play: Play) -> None:
    result = play(
        """
        -- chaos:session s
        SELECT -5 AS delta \\gset
        SELECT 1,
          100 -:delta, 2
          FROM generate_series(1, 2);
        -- chaos:check
        SELECT pass('done');
        """
    )
    failure = only(result)
    assert failure.text == (
        "s[1]: the value of delta (-5) makes a comment of the rest of the line: write 100 - :delta or 100 - (:delta)"
    )
    assert str(failure.place) == "scenario.sql:5"
    assert [record.statement for record in said(result, "s")] == ["SELECT -5 AS delta"]


def test_such_a_value_is_an_error_in_every_section(play: Play) -> None:
    for section in ("setup", "check", "teardown", "invariant", "state"):
        asserts = "" if section == "state" else "-- chaos:check\nSELECT pass('done');\n"
        text = (
            ("-- chaos:oracle serializable\n" if section == "state" else "")
            + "-- chaos:matrix delta in 5, '-5'\n-- chaos:setup\nCREATE TABLE t (a int);\n"
            + "-- chaos:session s\nINSERT INTO t VALUES (1);\n"
            + f"-- chaos:{section}\nSELECT 100 -:delta > 1 AS holds;\n{asserts}"
        )
        failures = [failure.text for failure in play(text, delta="-5").failures]
        assert any("the value of delta (-5) makes a comment" in failure for failure in failures), (section, failures)
