"""Faults: what a session sees of them, when they are delivered and to whom, and what happens where they cannot."""

from __future__ import annotations

import pytest

from pgchaos.results import RunResult
from tests.engine.playing import Play, held, interleavings, only, outcomes, said
from tests.waiting import until_sql

OWN = "-- chaos:sandbox server\n"
CHECK = "-- chaos:check\nSELECT pass('checked');\n"
TABLE = "-- chaos:setup\nCREATE TABLE t (id int PRIMARY KEY);\n"
ROWS = "-- chaos:check\nSELECT results_eq('SELECT id FROM t ORDER BY id', ARRAY[{}]::int[], 'rows');\n"
BORN = """
-- chaos:setup
CREATE TABLE born AS SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer';
-- chaos:check
SELECT isnt(backend_start, (SELECT backend_start FROM born), 'recovered')
  FROM pg_stat_activity WHERE backend_type = 'checkpointer';
"""


def states(result: RunResult, session: str, worker: int = 1) -> list[str | None]:
    return [record.sqlstate for record in said(result, session, worker)]


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("kill", "08006"),
        ("crash", "08006"),
        ("restart", "57P01"),
        ("kill of checkpointer", "08006"),
        ("kill of walwriter", "08006"),
        ("kill of bgwriter", "08006"),
        ("kill of autovacuum", "08006"),
    ],
)
def test_what_a_session_sees_before_its_statement(play: Play, fault: str, state: str) -> None:
    result = play(f"{OWN}{BORN}-- chaos:session a allow {state}\n-- chaos:fault {fault}\nSELECT 1;\nSELECT 2;\n")
    assert held(result) == ["recovered"]
    assert states(result, "a") == [state, "00000"]
    assert [record.fault for record in said(result, "a")] == [fault, None]


@pytest.mark.parametrize("head", ["", "-- chaos:sandbox schema\n"])
def test_a_session_is_terminated_on_the_common_server(play: Play, head: str) -> None:
    body = (
        "-- chaos:session a allow 57P01\n-- chaos:fault terminate\nSELECT 1;\n"
        "-- chaos:fault terminate after\nSELECT 2;\nSELECT 3;\n"
    )
    result = play(head + body + CHECK)
    assert held(result) == ["checked"]
    assert states(result, "a") == ["57P01", "00000", "57P01"]


@pytest.mark.parametrize(
    ("fault", "state"),
    [("cancel", "57014"), ("terminate during", "57P01"), ("kill during", "08006"), ("crash during", "08006")],
)
def test_what_a_session_sees_during_its_statement(play: Play, fault: str, state: str) -> None:
    body = f"-- chaos:session a\n-- chaos:fault {fault}\n-- chaos:expect {state}\nSELECT pg_sleep(60);\n"
    result = play(OWN + body + CHECK)
    assert held(result) == ["checked"]
    assert states(result, "a") == [state]


@pytest.mark.parametrize("fault", ["kill", "crash", "terminate", "stop immediate"])
@pytest.mark.parametrize("statement", ["BEGIN;\nINSERT INTO t VALUES (1);\n{}COMMIT;", "{}INSERT INTO t VALUES (1);"])
def test_a_fault_is_delivered_to_a_commit_when_it_is_durable_and_not_answered(
    play: Play, fault: str, statement: str
) -> None:
    reported = "57P01" if fault == "terminate" else "08006"
    block = statement.format(f"-- chaos:fault {fault} during\n-- chaos:allow 08006 {reported}\n")
    result = play(OWN + TABLE + "-- chaos:session a\n" + block + "\n" + ROWS.format(1))
    assert held(result) == ["rows"]
    assert [row[3] for row in outcomes(result, "a")] == ["unknown"]


def test_commits_wait_for_nobody_after_a_fault_at_one(play: Play) -> None:
    body = """
        -- chaos:session a retry unknown
        BEGIN;
        INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING;
        -- chaos:fault kill during
        COMMIT;
        INSERT INTO t VALUES (2);
    """
    result = play(OWN + TABLE + body.replace("        ", "") + ROWS.format("1, 2"))
    assert held(result) == ["rows"]
    assert [row[3] for row in outcomes(result, "a")] == ["unknown", "committed", "committed"]


@pytest.mark.parametrize("fault", ["kill", "crash"])
def test_retry_of_a_lost_connection_waits_for_the_server(play: Play, fault: str) -> None:
    body = (
        "-- chaos:session a x 3 retry 08006 up to 1\nBEGIN;\nINSERT INTO t VALUES (:worker);\n"
        f"-- chaos:barrier met\n-- chaos:fault {fault}\nSELECT 1;\n"
        # nobody commits while it is delivered: that might be lost with its answer, and so be unknown
        "-- chaos:barrier delivered\nSELECT 2;\nCOMMIT;\n"
    )
    result = play(OWN + TABLE + body + ROWS.format("1, 2, 3"))
    assert held(result) == ["rows"]
    # it is delivered once, whoever comes to it first; the others lost their connections with that one's
    assert len([record for record in result.records if record.fault]) == 1


STOPPED = """
    -- chaos:sandbox server
    -- chaos:session a
    -- chaos:fault stop {mode}
    -- chaos:expect {state}
    SELECT 1;
    -- chaos:expect {refused}
    SELECT 2;
    {then}
    -- chaos:check
    SELECT pass('checked');
"""
START = "-- chaos:fault restart\n    SELECT 3;"


@pytest.mark.parametrize(("mode", "state"), [("fast", "57P01"), ("immediate", "08006")])
@pytest.mark.parametrize("then", ["", START])
def test_a_server_that_is_stopped_refuses_until_it_is_started(play: Play, mode: str, state: str, then: str) -> None:
    result = play(STOPPED.format(mode=mode, state=state, refused="08001", then=then))
    assert held(result) == ["checked"]
    assert states(result, "a") == [state, "08001", "00000"][: 3 if then else 2]


def test_a_smart_shutdown_lets_sessions_continue_and_takes_no_new_ones(play: Play) -> None:
    text = """
        -- chaos:sandbox server
        -- chaos:session a
        -- chaos:fault stop smart
        SELECT 1;
        -- chaos:fault terminate
        -- chaos:expect 57P01
        SELECT 2;
        -- chaos:expect 57P03
        SELECT 3;
        -- chaos:check
        SELECT pass('checked');
    """
    assert held(play(text)) == ["checked"]


BLOCKED = """
    {head}
    -- chaos:setup
    CREATE TABLE t (id int PRIMARY KEY);
    INSERT INTO t VALUES (1);
    -- chaos:session holder
    BEGIN;
    UPDATE t SET id = 2;
    -- chaos:signal held
    -- chaos:fault {fault} of waiter when blocked
    SELECT 1;
    COMMIT;
    -- chaos:session waiter allow {state}
    -- chaos:wait for held
    DELETE FROM t;
    -- chaos:check
    SELECT is(count(*), 1::bigint, 'nothing was deleted') FROM t;
"""


@pytest.mark.parametrize(("fault", "state"), [("cancel", "57014"), ("terminate", "57P01")])
@pytest.mark.parametrize("head", ["", "-- chaos:sandbox schema"])
def test_a_fault_is_delivered_to_another_session_when_it_is_blocked(
    play: Play, fault: str, state: str, head: str
) -> None:
    result = play(BLOCKED.format(head=head, fault=fault, state=state))
    assert held(result) == ["nothing was deleted"]
    assert states(result, "waiter") == [state]


OWN_BLOCKED = """
    {head}
    -- chaos:setup
    CREATE TABLE t (id int PRIMARY KEY);
    INSERT INTO t VALUES (1);
    -- chaos:session holder
    BEGIN;
    UPDATE t SET id = 2;
    -- chaos:session waiter allow 57P01
    -- chaos:fault terminate when blocked
    DELETE FROM t;
    SELECT count(*) FROM t;
    -- chaos:session last
    SELECT 1;
    -- chaos:check
    SELECT pass('checked');
"""


def test_under_a_schedule_the_next_step_waits_for_the_fault(play: Play) -> None:
    head = "-- chaos:schedule holder.1 holder.2 waiter.1 last.1 waiter.2\n-- chaos:leaves open transaction meant"
    result = play(OWN_BLOCKED.format(head=head.replace("\n", "\n    ")))
    assert held(result) == ["checked"]
    (ended, after), (last,) = said(result, "waiter"), said(result, "last")
    assert (ended.sqlstate, ended.waited_on, after.sqlstate) == ("57P01", ("holder[1]",), "00000")
    assert ended.ended_at is not None
    assert last.started_at is not None
    assert ended.ended_at <= last.started_at


def test_a_fault_is_delivered_in_each_permutation(play: Play) -> None:
    text = """
        -- chaos:schedule all
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:session a allow 57P01
        -- chaos:fault terminate
        INSERT INTO t VALUES (1);
        -- chaos:session b
        INSERT INTO t VALUES (2);
        -- chaos:check
        SELECT is(array_agg(id), ARRAY[2], 'the first was never there') FROM t;
    """
    result = play(text)
    assert held(result)
    assert interleavings(result).run == 2


@pytest.mark.parametrize(
    ("options", "fault", "delivered"),
    [
        ("repeat 3", "terminate", [1]),
        ("repeat 3", "terminate on 2nd execution", [2]),
        ("repeat 3", "terminate on every execution", [1, 2, 3]),
        ("x 2 repeat 2", "terminate on 2nd execution", [2, 2]),
        ("x 2 repeat 2", "restart on 3rd execution", [2]),
    ],
)
def test_it_is_delivered_once_or_at_the_execution_that_is_named(
    play: Play, options: str, fault: str, delivered: list[int]
) -> None:
    together = "-- chaos:barrier all\n" if "x 2" in options else ""
    body = f"-- chaos:session a {options} allow 57P01\n{together}-- chaos:fault {fault}\nSELECT 1;\n"
    result = play(OWN + body + CHECK)
    assert held(result) == ["checked"]
    assert sorted(record.iteration for record in result.records if record.fault) == delivered


@pytest.mark.parametrize(
    ("body", "line", "why"),
    [
        (
            "-- chaos:fault terminate when blocked\nSELECT 1;",
            2,
            "the statement was over before the fault could be delivered",
        ),
        ("-- chaos:fault terminate of b when blocked\nSELECT 1;", 2, "b[1] ended without being blocked"),
        ("-- chaos:fault terminate on 3rd execution\nSELECT 1;", 2, "its line was reached only once"),
        ("\\if 0\n-- chaos:fault terminate\nSELECT 1;\n\\endif\nSELECT 1;", 3, "no session reached its line"),
        ("-- chaos:wait for over\n-- chaos:fault cancel of b\nSELECT 1;", 3, "without being in a statement"),
    ],
)
def test_a_fault_that_is_not_delivered_fails_the_scenario(play: Play, body: str, line: int, why: str) -> None:
    result = play(f"-- chaos:session a\n{body}\n-- chaos:session b\nSELECT 1;\n-- chaos:signal over\n{CHECK}")
    failure = only(result)
    assert failure.kind == "fault"
    assert why in failure.text
    assert str(failure.place) == f"scenario.sql:{line}"


def test_a_fault_counts_for_its_values_of_a_matrix_only(play: Play) -> None:
    body = (
        "-- chaos:matrix how in hard, soft\n-- chaos:session a\n-- chaos:fault terminate when how = hard\nSELECT 1;\n"
    )
    assert held(play(body + CHECK, how="soft")) == ["checked"]
    assert "57P01" in only(play(body + CHECK, how="hard")).names


def test_an_invariant_is_evaluated_after_a_crash(play: Play) -> None:
    body = '-- chaos:invariant\nSELECT count(*) < 2 AS "at most one" FROM t;\n-- chaos:teardown\nDROP TABLE t;\n'
    steps = (
        "-- chaos:session a allow 08006\nINSERT INTO t VALUES (1);\n-- chaos:fault crash\nINSERT INTO t VALUES (2);\n"
    )
    result = play(OWN + TABLE + body + steps)
    assert not result.failures
    assert result.evaluations > result.missed


def test_the_ledger_holds_what_was_acknowledged_with_its_variables(play: Play) -> None:
    text = """
        -- chaos:sandbox server
        -- chaos:setup
        CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who int);
        -- chaos:session a repeat 2 allow 08006
        INSERT INTO t (who) VALUES (:iteration) RETURNING id \\gset
        BEGIN;
        INSERT INTO t (who) VALUES (:iteration) RETURNING id AS other \\gset
        -- chaos:fault kill during on 2nd execution
        COMMIT;
        BEGIN;
        ROLLBACK;
        -- chaos:check
        SELECT results_eq(
            $$SELECT position::int, iteration, step, variables->>'id', variables->>'other' FROM chaos.acknowledged
               ORDER BY position$$,
            $$VALUES (1, 1, '1', '1', NULL), (2, 1, '4', '1', '2'), (3, 2, '1', '3', NULL)$$, 'the ledger');
        SELECT is(count(*), 4::bigint, 'the table has what nobody was told, too') FROM t;
    """
    assert held(play(text)) == ["the ledger", "the table has what nobody was told, too"]


def test_connections_are_given_back_after_the_statement(play: Play) -> None:
    # who made the server ready and is ending would take room, and not be counted
    others = "backend_type = 'client backend' AND application_name NOT IN ('admin', 'a[1]')"
    text = f"""
        -- chaos:sandbox server
        -- chaos:server max_connections = 20
        -- chaos:session a
        {until_sql(f"NOT EXISTS (SELECT FROM pg_stat_activity WHERE {others})")}
        -- chaos:fault fill connections during
        SELECT count(*) AS taken FROM pg_stat_activity WHERE backend_type = 'client backend' \\gset
        SELECT chaos.assert(:taken = 20, 'all were taken');
        SELECT count(*) AS taken FROM pg_stat_activity WHERE backend_type = 'client backend' \\gset
        SELECT chaos.assert(:taken < 12, 'and given back');
    """
    assert held(play(text)) == ["all were taken", "and given back"]


def test_a_parameter_that_the_server_refuses_is_reported_at_its_line(play: Play) -> None:
    head = "-- chaos:sandbox server\n-- chaos:server jit = off\n-- chaos:server work_mem = '4 m'\n"
    failure = only(play(head + CHECK))
    assert str(failure.place) == "scenario.sql:3"
    assert failure.text == 'invalid value for parameter "work_mem": "4 m": correct or remove this line'
    assert failure.details[0].startswith("HINT: Valid units for this parameter are ")
    failure = only(play("-- chaos:sandbox server\n-- chaos:server work_men = '4MB'\n" + CHECK))
    assert failure.text == 'unrecognized configuration parameter "work_men": correct or remove this line'


def test_the_log_of_its_server_is_kept_where_a_scenario_fails(play: Play) -> None:
    result = play(OWN + "-- chaos:session a\nSELECT 1 / 0;\n" + CHECK)
    assert any("division by zero" in line for line in result.log)
    assert result.server.endswith("a private server of the scenario's own")
