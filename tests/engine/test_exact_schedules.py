"""Exact schedules: one step at a time, between real sessions."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from pgchaos.engine import invariant_monitor
from pgchaos.engine.stepped_coordinator import SteppedCoordinator
from pgchaos.results import RunResult
from tests.engine.playing import CHECKED, Play, held, only, outcomes, over_once, said

ACCOUNT = """
-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int);
INSERT INTO account VALUES (1, 100), (2, 100);
"""
TWO = """
-- chaos:session a
BEGIN;
UPDATE account SET balance = 1 WHERE id = 1;
COMMIT;
-- chaos:session b
BEGIN;
UPDATE account SET balance = 2 WHERE id = 1;
COMMIT;
"""


def order(result: RunResult) -> list[str]:
    """Give the steps as they began, marked where they waited."""
    return [f"{o.session}.{o.step}{' <' + o.waited_on if o.waited_on else ''}" for o in result.order]


def test_steps_go_as_listed_and_one_that_blocks_is_left_waiting(play: Play) -> None:
    result = play(
        "-- chaos:schedule b.1 a.1 b.2 a.2 b.3 a.3\n" + ACCOUNT + TWO + "-- chaos:check\n"
        "SELECT is(balance, 1, 'a came last') FROM account WHERE id = 1;\n"
        "SELECT is(waited_on, 'b[1]', 'a waited for b') FROM chaos.history WHERE session = 'a' AND step = '2';\n"
    )
    assert held(result) == ["a came last", "a waited for b"]
    assert order(result) == ["b.1", "a.1", "b.2", "a.2 <b[1]", "b.3", "a.3"]
    records = sorted(result.records, key=lambda record: record.started_at or 0)
    assert [f"{r.session}.{r.step}" for r in records] == ["b.1", "a.1", "b.2", "a.2", "b.3", "a.3"]


def test_no_step_begins_before_the_one_before_is_done_or_blocked(play: Play) -> None:
    # each lasts a while on purpose: one that did not wait would begin in that time
    result = play(
        """
        -- chaos:schedule a.1 b.1 a.2 b.2
        -- chaos:session a
        SELECT pg_sleep(0.05);
        SELECT pg_sleep(0.05);
        -- chaos:session b
        SELECT pg_sleep(0.05);
        SELECT 1;
        """
        + CHECKED
    )
    assert held(result) == ["checked"]
    ordered = sorted(result.records, key=lambda record: record.started_at or 0)
    for before, after in pairwise(ordered):
        assert before.ended_at is not None
        assert after.started_at is not None
        assert before.ended_at <= after.started_at


def test_a_listed_step_whose_session_still_waits_is_an_error_at_once(play: Play) -> None:
    result = play("-- chaos:schedule a.1 b.1 a.2 b.2 b.3 a.3\n" + ACCOUNT + TWO + CHECKED, timeout=600)
    failure = only(result)
    assert failure.kind == "error"
    assert failure.text == (
        "the schedule cannot go on: its step b.3 is due, and b[1] still waits for a lock that a[1] holds"
    )
    assert str(failure.place) == "scenario.sql:1"
    assert result.duration < 60
    assert [s.session for s in result.stopped_sessions] == []


def test_sessions_that_cannot_end_are_reported_at_once(play: Play) -> None:
    body = (
        "-- chaos:schedule a.1 a.2 b.1\n-- chaos:session a\nBEGIN;\nLOCK account;\n-- chaos:session b\nTABLE account;\n"
    )
    failure = only(play(body + ACCOUNT + CHECKED, timeout=60))
    assert failure.kind == "timeout"
    assert "b[1] waits for a lock that a[1] holds, which has ended and left its transaction open" in failure.text


def test_a_prepared_transaction_blocks_too(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule a.1 a.2 a.3 b.1 a.4
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:session a
        BEGIN;
        LOCK t;
        PREPARE TRANSACTION 'kept';
        COMMIT PREPARED 'kept';
        -- chaos:session b
        TABLE t;
        """
        + CHECKED
    )
    assert held(result) == ["checked"]
    assert order(result)[3:] == ["b.1 <a prepared transaction", "a.4"]


@pytest.mark.parametrize(
    ("takes", "waits", "lets_go"),
    [
        ("SELECT pg_advisory_lock(7)", "SELECT pg_advisory_lock(7)", "SELECT pg_advisory_unlock(7)"),
        (
            "BEGIN ISOLATION LEVEL SERIALIZABLE \\; INSERT INTO account VALUES (3, 0) \\; TABLE account",
            "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE \\; TABLE account \\; COMMIT",
            "COMMIT",
        ),
        ("BEGIN \\; DELETE FROM account", "TRUNCATE account", "COMMIT"),
    ],
    ids=["advisory lock", "safe snapshot", "table lock"],
)
def test_all_kinds_of_waits_are_seen(play: Play, takes: str, waits: str, lets_go: str) -> None:
    result = play(
        f"-- chaos:schedule a.1 b.1 a.2\n{ACCOUNT}-- chaos:session a\n{takes};\n{lets_go};\n"
        f"-- chaos:session b\n{waits};\nSELECT pg_advisory_unlock_all();\n{CHECKED}".replace("b.1 a.2", "b.1 a.2 b.2")
    )
    assert held(result) == ["checked"]
    assert order(result) == ["a.1", "b.1 <a[1]", "a.2", "b.2"]


def test_a_queue_of_waiters_is_left_waiting_as_a_whole(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule holder.1 holder.2 ddl.1 reader.1 holder.3
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:session holder
        BEGIN;
        TABLE t;
        COMMIT;
        -- chaos:session ddl
        ALTER TABLE t ADD note text;
        -- chaos:session reader
        TABLE t;
        """
        + CHECKED
    )
    assert held(result) == ["checked"]
    assert order(result)[2:4] == ["ddl.1 <holder[1]", "reader.1 <ddl[1]"]


CYCLE = """
-- chaos:session a allow deadlock_detected
BEGIN;
UPDATE account SET balance = 0 WHERE id = 1;
UPDATE account SET balance = 0 WHERE id = 2;
COMMIT;
-- chaos:session b allow deadlock_detected
BEGIN;
UPDATE account SET balance = 0 WHERE id = 2;
UPDATE account SET balance = 0 WHERE id = 1;
COMMIT;
"""


def cycle(first: str, second: str) -> str:
    head = f"-- chaos:schedule a.1 b.1 a.2 b.2 {first}.3 {second}.3 {first}.4 {second}.4"
    return head + ACCOUNT + CYCLE


@pytest.mark.parametrize(("first", "second"), ["ab", "ba"])
def test_who_closes_a_circle_is_the_victim_every_time(play: Play, first: str, second: str) -> None:
    # the other looks for a deadlock, too, once it has waited as long as the database says: not while it is awaited here
    patient = """
-- chaos:setup
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET %I = %L', current_database(), 'deadlock' || '_timeout', '10min');
END $$;
"""
    for _ in range(10):
        result = play(cycle(first, second) + patient + CHECKED)
        assert held(result) == ["checked"]
        assert outcomes(result, second) == [(1, 1, True, "rolled back", "40P01")]
        assert outcomes(result, first) == [(1, 1, True, "committed", "00000")]


def test_deadlock_timeout_is_left_alone_where_the_scenario_sets_it(play: Play) -> None:
    text = cycle("a", "b").replace("BEGIN;", "SET deadlock_timeout = '20ms' \\; BEGIN;")
    result = play(text + "-- chaos:check\nSELECT is(count(*), 1::bigint, 'one victim')"
                  " FROM chaos.transactions WHERE sqlstate = '40P01';\n")  # fmt: skip
    assert held(result) == ["one victim"]


@pytest.mark.parametrize("role", ["ROLE", "SESSION AUTHORIZATION"])
def test_a_role_that_may_not_set_deadlock_timeout_meets_no_error_of_ours(role: str, play: Play) -> None:
    text = cycle("b", "a").replace("a.2 b.2 b.3", "a.2 a.3 b.2 b.3").replace("a.3 b.4 a.4", "a.4 a.5 b.4 a.6")
    ours = f"SET LOCAL {role} pg_monitor;\nRESET {role};"
    text = text.replace("WHERE id = 1;\nUPDATE", f"WHERE id = 1;\n{ours}\nUPDATE", 1)
    result = play(text + CHECKED)
    assert held(result) == ["checked"]
    assert outcomes(result, "a") == [(1, 1, True, "rolled back", "40P01")]
    assert outcomes(result, "b") == [(1, 1, True, "committed", "00000")]


def test_steps_that_do_nothing_are_gone_past(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule a.1 b.1 a.2 a.3 b.2 a.4 c.1 c.2 c.3 c.4
        -- chaos:session a
        SELECT false AS go \\gset
        \\if :go
        SELECT 'not taken';
        SELECT 'nor this';
        \\endif
        SELECT 'after';
        -- chaos:session b
        SELECT 1;
        \\quit
        SELECT 'never';
        -- chaos:session c allow 22012
        BEGIN;
        SELECT 1/0;
        SELECT 'skipped';
        COMMIT;
        """
        + CHECKED
    )
    assert held(result) == ["checked"]
    assert order(result) == ["a.1", "b.1", "a.4", "c.1", "c.2"]


def test_named_steps_are_several_statements(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule a.looks b.looks a.writes b.writes
        -- chaos:setup
        CREATE TABLE t (session text, seen bigint);
        -- chaos:session a
        -- chaos:step looks
        BEGIN ISOLATION LEVEL REPEATABLE READ;
        SELECT count(*) AS seen FROM t \\gset
        -- chaos:step writes
        INSERT INTO t VALUES ('a', :seen);
        COMMIT;
        -- chaos:session b
        -- chaos:step looks
        BEGIN ISOLATION LEVEL REPEATABLE READ;
        SELECT count(*) AS seen FROM t \\gset
        -- chaos:step writes
        INSERT INTO t VALUES ('b', :seen);
        COMMIT;
        -- chaos:check
        SELECT set_eq('TABLE t', $$VALUES ('a', 0::bigint), ('b', 0)$$, 'both looked first');
        """
    )
    assert held(result) == ["both looked first"]
    assert order(result) == ["a.looks", "b.looks", "a.writes", "b.writes"]


def test_iterations_and_connections_are_listed_each(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule s[2].1#1 s[1].1#1 s[1].1#2 s[2].1#2
        -- chaos:setup
        CREATE TABLE went (id serial, worker int, iteration int);
        -- chaos:session s x 2 repeat 2
        INSERT INTO went (worker, iteration) VALUES (:worker, :iteration);
        -- chaos:check
        SELECT is(string_agg(worker || '#' || iteration, ' ' ORDER BY id), '2#1 1#1 1#2 2#2', 'as listed') FROM went;
        """
    )
    assert held(result) == ["as listed"]


def test_a_retry_belongs_to_the_step_that_failed(play: Play) -> None:
    body = """
    BEGIN ISOLATION LEVEL REPEATABLE READ;
    SELECT balance AS had FROM account WHERE id = 1 \\gset
    UPDATE account SET balance = :had + 1 WHERE id = 1;
    COMMIT;
    """
    result = play(
        "-- chaos:schedule a.1 a.2 b.1 b.2 a.3 b.3 a.4 b.4\n" + ACCOUNT + "-- chaos:session a\n" + body
        + "-- chaos:session b retry 40001\n" + body + "-- chaos:check\n"
        "SELECT is(balance, 102, 'both count') FROM account WHERE id = 1;\n"
    )  # fmt: skip
    assert held(result) == ["both count"]
    assert [(r.attempt, r.step) for r in said(result, "b")] == [
        (1, "1"), (1, "2"), (1, "3"), (2, "1"), (2, "2"), (2, "3"), (2, "4"),
    ]  # fmt: skip
    assert order(result)[-3:] == ["b.3 <a[1]", "a.4", "b.4"]


def test_a_wait_that_the_servers_time_out_ends_is_waited_for(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    # the test is the time-out: the server's own might end the wait before it is seen
    real, waited = SteppedCoordinator.wait_for_change, threading.Event()

    async def wait_for_change(self: SteppedCoordinator, seconds: float) -> None:
        waited.set()
        await real(self, seconds)

    def cancel() -> None:
        assert waited.wait(60)
        with play.server.connect() as conn:
            conn.execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'b[1]' AND wait_event_type = 'Lock'"
            )

    monkeypatch.setattr(SteppedCoordinator, "wait_for_change", wait_for_change)
    thread = threading.Thread(target=cancel)
    thread.start()
    result = play(
        """
        -- chaos:schedule a.1 a.2 b.1 b.2 b.3 a.3
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:session a
        BEGIN;
        TABLE t;
        COMMIT;
        -- chaos:session b
        SET lock_timeout = '10min';
        -- chaos:expect query_canceled
        ALTER TABLE t ADD note text;
        TABLE t;
        """
        + CHECKED
    )
    thread.join(30)
    assert held(result) == ["checked"]
    assert order(result) == ["a.1", "a.2", "b.1", "b.2 <a[1]", "b.3", "a.3"]


def test_an_invariant_is_evaluated_after_every_step(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(invariant_monitor.SETTINGS, "statement_timeout", "10min")
    result = play(
        """
        -- chaos:schedule a.1 b.1 a.2
        -- chaos:setup
        CREATE TABLE t (n int);
        INSERT INTO t VALUES (0);
        -- chaos:session a
        UPDATE t SET n = 1;
        UPDATE t SET n = 0;
        -- chaos:session b
        SELECT 1;
        -- chaos:invariant every 1min
        SELECT n = 0 AS "nothing in between" FROM t;
        """
    )
    failure = only(result)
    assert failure.names == ("nothing in between",)
    # before, after each of three steps, at the end
    assert result.evaluations == 5


def test_an_unexpected_error_stops_who_pauses_before_a_step(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule a.1 b.1 a.2 b.2
        -- chaos:session a
        SELECT 1;
        SELECT 1/0;
        -- chaos:session b
        BEGIN;
        SELECT 'never';
        """
        + CHECKED,
        timeout=600,
    )
    assert only(result).names[0] == "22012"
    assert order(result) == ["a.1", "b.1", "a.2"]
    assert result.duration < 60


def test_the_time_is_over_for_steps_too(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    over_once(monkeypatch, lambda reported: reported["a[1]"] == "runs")
    sessions = "-- chaos:session a\nSELECT pg_sleep(600);\n-- chaos:session b\nSELECT 1;\nSELECT 2;\n"
    result = play("-- chaos:schedule b.1 a.1 b.2\n" + sessions + CHECKED, timeout=600)
    failure = only(result)
    assert failure.kind == "timeout"
    assert failure.text == "the sessions did not end within 600s"
    assert [(s.session, s.doing) for s in result.stopped_sessions] == [
        ("a[1]", "runs"),
        ("b[1]", "is before step 2"),
    ]
    assert result.duration < 60


def test_delays_between_steps_hold_up_nobody_else_forever(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule a.1 b.1 a.2
        -- chaos:session a
        SELECT 1;
        -- chaos:delay 20ms
        SELECT 2;
        -- chaos:session b
        SELECT 3;
        """
        + CHECKED
    )
    assert held(result) == ["checked"]
    assert order(result) == ["a.1", "b.1", "a.2"]


CIRCLE = """-- chaos:schedule one.1 one.2 two.1 two.2 two.3 one.3 one.4 two.4
-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO account VALUES (1, 0), (2, 0);
-- chaos:session one allow 40P01
BEGIN;
UPDATE account SET n = 1 WHERE id = 1;
UPDATE account SET n = 1 WHERE id = 2;
COMMIT;
-- chaos:session two
BEGIN;
UPDATE account SET n = 2 WHERE id = 2;
UPDATE account SET n = 2 WHERE id = 1;
COMMIT;
-- chaos:check
SELECT is(
    (SELECT sqlstate || ' ' || waited_on FROM chaos.history WHERE session = 'one' AND step = '3'), '40P01 two[1]');
"""


def test_the_blockers_of_a_deadlock_victim_are_always_known(play: Play) -> None:
    """The victim waits for a millisecond, so that a look at the server often comes too late: its error says it too."""
    assert [play(CIRCLE).failures for _ in range(20)] == [[]] * 20
