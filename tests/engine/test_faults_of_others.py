"""`fault … of OTHER`: it waits for the other session, unless no session continues before the fault is delivered."""

from __future__ import annotations

import pytest

from pgchaos.engine import lock_monitor
from tests.engine.playing import Play, chosen, held, only, said

CHECK = "-- chaos:check\nSELECT pass('checked');\n"

HELD = """{head}
    -- chaos:setup
    CREATE TABLE t (id int PRIMARY KEY);
    INSERT INTO t VALUES (1);
    -- chaos:session holder
    -- chaos:fault {fault} of waiter when blocked {times}
    BEGIN;
    UPDATE t SET id = 2;
    -- chaos:signal held
    SELECT 'holds';
    COMMIT;
    -- chaos:session waiter {options}
    -- chaos:wait for held
    DELETE FROM t;
    -- chaos:check
    SELECT pass('checked');
"""


@pytest.mark.parametrize(("fault", "state"), [("cancel", "57014"), ("terminate", "57P01"), ("kill", "08006")])
def test_who_waits_for_us_gets_it_at_the_first_step_where_he_is_blocked(play: Play, fault: str, state: str) -> None:
    head = "-- chaos:sandbox server" if fault == "kill" else ""
    result = play(HELD.format(head=head, fault=fault, times="at any step", options=""))
    assert any(state in failure.names for failure in result.failures)
    # before the first two he waits for a signal that is given behind them
    assert chosen(result) == "3"


def test_where_he_is_not_blocked_a_search_passes_on(play: Play) -> None:
    result = play(HELD.format(head="", fault="cancel", times="at any step", options="allow 57014"))
    assert held(result)
    assert result.drawn == 4


def test_a_fault_that_is_written_there_is_reported_at_once(play: Play) -> None:
    failure = only(play(HELD.format(head="", fault="cancel", times="", options="")))
    assert (failure.kind, str(failure.place)) == ("fault", "scenario.sql:6")
    assert "could not be delivered: waiter[1] waits at wait for held, and will not be blocked" in failure.text


STEPPED = """
    -- chaos:schedule {schedule}
    -- chaos:setup
    CREATE TABLE t (id int PRIMARY KEY);
    INSERT INTO t VALUES (1);
    -- chaos:session holder
    BEGIN;
    UPDATE t SET id = 2;
    -- chaos:fault cancel of waiter when blocked {times}
    COMMIT;
    -- chaos:session waiter allow 57014
    DELETE FROM t;
    -- chaos:check
    SELECT pass('checked');
"""


def test_under_a_schedule_nobody_is_waited_for_who_pauses_before_a_step(play: Play) -> None:
    failure = only(play(STEPPED.format(schedule="holder.1 holder.2 holder.3 waiter.1", times="")))
    assert failure.kind == "fault"
    assert "could not be delivered: waiter[1] is before step 1, and will not be blocked" in failure.text


def test_under_a_schedule_it_is_delivered_where_he_is_blocked(play: Play) -> None:
    result = play(STEPPED.format(schedule="holder.1 holder.2 waiter.1 holder.3", times=""))
    assert held(result) == ["checked"]
    assert [record.sqlstate for record in said(result, "waiter")] == ["57014"]


def test_a_search_of_interleavings_finds_where_both_come_together(play: Play) -> None:
    text = STEPPED.format(schedule="explore 100", times="at any step").replace("allow 57014", "")
    result = play(text)
    assert only(result).names[:1] == ("57014",)
    assert chosen(result) == "3"
    assert [f"{one.session}.{one.step}" for one in result.order[-2:]] == ["waiter.1", "holder.3"]


THIRD = """
    -- chaos:setup
    CREATE TABLE t (id int PRIMARY KEY);
    INSERT INTO t VALUES (1);
    -- chaos:session holder
    BEGIN;
    UPDATE t SET id = 2;
    -- chaos:signal held
    -- chaos:fault cancel of waiter when blocked
    SELECT 'holds';
    COMMIT;
    -- chaos:session third allow lock_not_available
    -- chaos:wait for held
    {third}
    -- chaos:signal next
    -- chaos:session waiter allow 57014
    -- chaos:wait for next
    DELETE FROM t;
    -- chaos:check
    SELECT pass('checked');
"""


def test_a_session_that_this_one_blocks_through_a_third_is_not_waited_for(play: Play) -> None:
    failure = only(play(THIRD.format(third="DELETE FROM t;")))
    assert failure.kind == "fault"
    assert "waiter[1] waits at wait for next, and will not be blocked" in failure.text


def test_a_third_whose_patience_has_an_end_may_still_let_him_continue(play: Play) -> None:
    result = play(THIRD.format(third="SET lock_timeout = '100ms';\n    DELETE FROM t;"))
    assert held(result) == ["checked"]
    assert [record.sqlstate for record in said(result, "third")] == ["00000", "55P03"]
    assert [record.sqlstate for record in said(result, "waiter")] == ["57014"]


GONE = """
-- chaos:wait for gone
-- chaos:fault {fault} of b at any step
SELECT 'a';
SELECT 'again';
-- chaos:signal tried
-- chaos:session b
{body}
-- chaos:signal gone
"""
LOST = "-- chaos:fault terminate\n-- chaos:expect 57P01\nSELECT 'lost';"
# it does not end before its loss was tried
LOST_UNAWARES = "-- chaos:fault terminate after\nSELECT 'lost';\n-- chaos:signal gone\n-- chaos:wait for tried"


@pytest.mark.parametrize(
    ("fault", "body", "why"),
    [
        ("cancel", "", "b[1] ended without being in a statement"),
        ("cancel", LOST, "b[1] has no connection"),
        ("terminate", LOST, "b[1] has no connection"),
        ("terminate", LOST_UNAWARES, "the server has no backend"),
        ("kill", LOST_UNAWARES, "the server has no process"),
        ("cancel when blocked", "SELECT 'b';", "b[1] ended without being blocked"),
        ("terminate when blocked", "SELECT 'b';", "b[1] ended without being blocked"),
    ],
)
def test_a_target_that_is_never_there_fails_the_search_and_says_why(
    play: Play, fault: str, body: str, why: str
) -> None:
    kind, _, when = fault.partition(" ")
    text = GONE.format(fault=kind, body=body).replace("of b", f"of b {when}".rstrip())
    result = play(f"-- chaos:sandbox server\n-- chaos:session a\n{text}{CHECK}")
    failure = only(result)
    assert (failure.kind, str(failure.place)) == ("fault", "scenario.sql:5")
    assert f"`fault {kind} of b` could not be delivered: at no step that the search chose: {why}" in failure.text
    assert result.drawn == 2


@pytest.mark.parametrize("kind", ["terminate", "kill", "reset", "cut"])
@pytest.mark.parametrize("count", [1, 2])
def test_sessions_that_have_ended_are_no_targets_at_any_step(play: Play, kind: str, count: int) -> None:
    head = "-- chaos:sandbox server\n" if kind == "kill" else ""
    order = [f"b[{number}].1" for number in range(1, count + 1)] if count > 1 else ["b.1"]
    result = play(
        f"""{head}-- chaos:schedule {" ".join(order)} a.1 a.2
        -- chaos:session b x {count}
        SELECT 'b';
        -- chaos:session a
        -- chaos:fault {kind} of b at any step
        SELECT 'a';
        SELECT 'again';
        -- chaos:check
        SELECT pass('checked');
        """
    )
    failure = only(result)
    gone = "b[1] has ended" if count == 1 else "b[1] and b[2] have ended"
    assert failure.kind == "fault"
    assert f"`fault {kind} of b` could not be delivered: at no step that the search chose: {gone}" in failure.text
    assert not any(record.fault for record in result.records)


ENDED = """
-- chaos:schedule {order}
-- chaos:session b
{b}
-- chaos:session a
-- chaos:fault {kind} of b
SELECT 'a';
{check}
"""


@pytest.mark.parametrize("kind", ["terminate", "reset", "cut"])
def test_a_fault_that_finds_its_session_ended_is_noted(play: Play, kind: str) -> None:
    result = play(ENDED.format(order="b.1 a.1", b="SELECT 'b';", kind=kind, check=CHECK))
    assert not result.failures
    expected = f"scenario.sql:6: `fault {kind} of b`: b[1] has ended, so only what it had left could be affected"
    assert [one for one in result.remarks if one.startswith(expected)]


WORKING = {
    "before its last step": (
        "b.1 a.1 b.2",
        "-- chaos:allow 57P01 08006\nSELECT 'b';\n-- chaos:allow 57P01 08006\nSELECT 'b';",
    ),
    "in a block": ("b.1 b.2 a.1", "BEGIN;\nSELECT 'b';"),
}


@pytest.mark.parametrize(("order", "b"), WORKING.values(), ids=WORKING.keys())
def test_a_fault_that_has_something_to_end_is_not_noted(play: Play, order: str, b: str) -> None:
    head = "-- chaos:leaves open transaction it is the subject\n" if b.startswith("BEGIN") else ""
    result = play(head + ENDED.format(order=order, b=b, kind="terminate", check=CHECK))
    assert not result.failures
    assert not [one for one in result.remarks if "has ended" in one]


def test_of_several_sessions_one_that_works_is_enough(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule b[1].1 a.1 b[2].1
        -- chaos:session b x 2 retry 57P01 08006
        SELECT 'b';
        -- chaos:session a
        -- chaos:fault terminate of b at any step
        SELECT 'a';
        -- chaos:check
        SELECT pass('checked');
        """
    )
    assert held(result) == ["checked"]


def test_a_session_that_sends_no_statement_that_was_chosen_is_reported(play: Play) -> None:
    body = "-- chaos:session a\n-- chaos:fault terminate at any step\n\\if false\nSELECT 1;\n\\endif\n"
    assert "at no step that the search chose: no session reached one" in only(play(body + CHECK)).text


def test_who_is_in_a_statement_at_some_step_is_cancelled_there(play: Play) -> None:
    result = play(
        """
        -- chaos:session a
        -- chaos:fault cancel of b at any step
        SELECT pg_advisory_lock(1);
        -- chaos:signal go
        SELECT 'b cannot come to its end';
        SELECT pg_advisory_unlock(1);
        -- chaos:session b
        -- chaos:wait for go
        SELECT pg_advisory_xact_lock(1);
        -- chaos:check
        SELECT pass('checked');
        """
    )
    assert "57014" in only(result).names
    assert chosen(result) == "2"


@pytest.mark.parametrize("kind", ["terminate", "kill"])
def test_a_server_that_is_stopped_has_no_target(play: Play, kind: str) -> None:
    result = play(
        f"""
        -- chaos:sandbox server
        -- chaos:session a
        -- chaos:wait for said
        -- chaos:fault stop immediate
        -- chaos:expect 08006
        SELECT 'stops';
        -- chaos:signal stopped
        -- chaos:session b
        SELECT 'b';
        -- chaos:signal said
        -- chaos:wait for tried
        -- chaos:session c allow 08006 08001
        -- chaos:wait for stopped
        -- chaos:fault {kind} of b at any step
        SELECT 'c';
        -- chaos:signal tried
        -- chaos:check
        SELECT pass('checked');
        """
    )
    assert "at no step that the search chose: the server does not answer" in only(result).text


def test_a_process_that_the_server_does_not_have_is_named(play: Play) -> None:
    head = "-- chaos:sandbox server\n-- chaos:server autovacuum = off\n-- chaos:session a\n"
    result = play(head + "-- chaos:fault kill of autovacuum at any step\nSELECT 1;\nSELECT 2;\n" + CHECK)
    assert "at no step that the search chose: the server has no autovacuum launcher" in only(result).text


SEEN = """
    -- chaos:setup
    CREATE TABLE t (id int PRIMARY KEY);
    INSERT INTO t VALUES (1);
    -- chaos:session holder
    BEGIN;
    DELETE FROM t;
    -- chaos:signal held
    -- chaos:wait blocked victim
    SELECT 'saw it';
    -- chaos:wait for over
    COMMIT;
    -- chaos:session victim allow 57014
    -- chaos:wait for held
    -- chaos:fault cancel when blocked
    DELETE FROM t;
    -- chaos:signal over
    -- chaos:check
    SELECT is(count(*), 1::bigint, 'the victim was cancelled') FROM chaos.history WHERE sqlstate = '57014';
"""


def test_a_wait_for_the_block_that_a_fault_ends_opens(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    # no snapshot shows the block before the fault ends it
    monkeypatch.setattr(lock_monitor, "_TIGHT", 0.1)
    assert held(play(SEEN)) == ["the victim was cancelled"]
