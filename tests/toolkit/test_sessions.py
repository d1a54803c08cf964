from __future__ import annotations

import os
import signal

import psycopg
import pytest
from psycopg import pq
from psycopg.conninfo import make_conninfo

from pgchaos.server import Server
from tests.toolkit.conftest import Connect, Connection, Play, one, reported
from tests.waiting import until


def test_a_barrier_holds_until_the_last_has_come(play: Play) -> None:
    text = """
-- chaos:session runner x 2 repeat 3
SELECT chaos.delay(interval '20ms' * (:worker - 1));
BEGIN;
SELECT chaos.barrier('round', 2, '10s');
ROLLBACK;
-- chaos:check
SELECT is(count(*), 3::bigint, 'there were three rounds, and nobody left one before both had come') FROM (
    SELECT FROM chaos.history WHERE statement LIKE '%barrier%'
     GROUP BY iteration HAVING max(started_at) <= min(ended_at)) AS round;
"""
    assert reported(play(text)) == []


def test_a_barrier_stays_open_for_a_transaction_that_is_tried_again(play: Play) -> None:
    text = """
-- chaos:session runner x 2 retry 40001
BEGIN;
SELECT chaos.barrier('both', 2, '10s');
SELECT chaos.fail_nth(:worker, '40001');
COMMIT;
-- chaos:check
SELECT is(count(*), 2::bigint, 'both came through') FROM chaos.transactions WHERE block AND outcome = 'committed';
SELECT is(count(*), 1::bigint, 'one at the second attempt')
  FROM chaos.transactions WHERE block AND outcome = 'committed' AND attempt = 2;
"""
    assert reported(play(text)) == []


def test_a_party_that_gives_up_does_not_open_a_barrier(play: Play) -> None:
    text = """
-- chaos:session hasty
-- chaos:expect CH002
SELECT chaos.barrier('both', 2, '1ms');
-- chaos:signal gave_up
-- chaos:session patient
-- chaos:wait for gave_up
-- chaos:expect CH002
SELECT chaos.barrier('both', 2, '1ms');
"""
    assert reported(play(text)) == []


def test_nobody_leaves_a_barrier_before_all_have_seen_it_open(connect: Connect) -> None:
    # else a session that ends at once would take its arrival with it
    slow, fast = connect("slow[1]"), connect("fast[1]")
    for number in range(1, 4):
        assert locks_when_the_fast_one_leaves(slow, fast, number) == 2 * number


def test_a_barrier_stays_open_while_one_who_passed_it_lives(connect: Connect) -> None:
    first, second, third = connect("runner[1]"), connect("runner[2]"), connect("runner[3]")
    for conn in (first, second):
        conn.pgconn.send_query(b"SELECT chaos.barrier('three', 3, '10s')")
    third.execute("SELECT chaos.barrier('three', 3, '10s')")
    for conn in (first, second):
        assert answer(conn) == pq.ExecStatus.TUPLES_OK
        third.execute("SELECT pg_terminate_backend(%s, 10000)", [conn.info.backend_pid])
    connect("late[1]").execute("SELECT chaos.barrier('three', 3, '0')")


def test_a_signal_is_given_at_once_and_survives_a_rollback(play: Play) -> None:
    text = """
-- chaos:session giver
-- so the waiter is there before it
SELECT chaos.delay('30ms');
BEGIN;
SELECT chaos.signal('go');
-- chaos:wait for came
ROLLBACK;
-- chaos:signal rolled_back
-- chaos:session waiter
SELECT chaos.wait_for('go', '10s');
-- chaos:signal came
-- chaos:session late
-- chaos:wait for rolled_back
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT chaos.wait_for('go', '0');
COMMIT;
-- chaos:check
SELECT cmp_ok(w.ended_at, '>=', g.started_at, 'the waiter waited for the giver')
  FROM chaos.history AS w, chaos.history AS g WHERE w.statement LIKE '%''10s''%' AND g.statement LIKE '%signal%';
SELECT is(count(*), 0::bigint, 'pg_locks without what the toolkit holds')
  FROM chaos.locks WHERE locktype = 'advisory';
"""
    assert reported(play(text)) == []


def test_terminate_and_cancel_affect_the_named_sessions_only(play: Play) -> None:
    text = """
-- chaos:setup
CREATE TABLE seat (id int);
-- chaos:session victim x 3 allow admin_shutdown query_canceled
-- chaos:wait for locked
INSERT INTO seat VALUES (:worker);
-- chaos:session operator
BEGIN;
LOCK TABLE seat;
-- chaos:signal locked
-- chaos:wait blocked victim
SELECT chaos.assert(chaos.terminate('victim', 2) = 1, 'one was terminated');
SELECT chaos.assert(count(*) = 2, 'and is gone when terminate returns') FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'victim%';
SELECT chaos.assert(chaos.cancel('victim[1]') = 1, 'one was cancelled');
COMMIT;
-- chaos:check
SELECT results_eq('SELECT worker, sqlstate FROM chaos.history WHERE session = ''victim'' ORDER BY worker',
    $$VALUES (1, '57014'), (2, '57P01'), (3, '00000')$$, 'each got its own');
"""
    assert reported(play(text)) == []


def test_terminate_without_a_number_ends_them_all(connect: Connect, private_server: Server) -> None:
    victims = [connect("victim[1]"), connect("victim[2]")]
    bystanders = [connect("victim"), connect("victims[1]"), connect("operator[1]")]
    elsewhere = make_conninfo(private_server.conninfo(), application_name="victim[3]")
    with psycopg.connect(elsewhere, autocommit=True) as foreign:
        assert one(bystanders[2], "SELECT chaos.terminate('victim')") == 2
        assert [one(conn, "SELECT 1") for conn in (*bystanders, foreign)] == [1, 1, 1, 1]
    for conn in victims:
        with pytest.raises(psycopg.errors.AdminShutdown):
            conn.execute("SELECT 1")


def test_terminate_waits_for_the_end_and_says_when_it_does_not_come(connect: Connect) -> None:
    operator, pid = connect("operator[1]"), connect("victim[1]").info.backend_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(psycopg.Error, match=r"victim\[1\] \(pid \d+\) did not end within 00:00:00.03") as caught:
            operator.execute("SELECT chaos.terminate('victim', timeout => '30ms')")
        assert caught.value.sqlstate == "CH002"
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_number_that_was_given_to_another_backend_is_known(connect: Connect) -> None:
    operator, pid = connect("operator[1]"), connect("victim[1]").info.backend_pid
    found = f"SELECT chaos._is_still({pid}, since {{}}) FROM chaos._connections('victim')"
    assert one(operator, found.format("")) is True
    assert one(operator, found.format("- interval '1 microsecond'")) is False


def test_who_came_since_the_transaction_began_is_found(connect: Connect) -> None:
    # pg_stat_activity stays as a transaction has first seen it
    operator = connect("operator[1]")
    operator.execute("BEGIN; SELECT count(*) FROM pg_stat_activity")
    connect("late[1]")
    assert one(operator, "SELECT chaos.cancel('late')") == 1
    operator.execute("ROLLBACK")


def test_blockers_are_listed(play: Play) -> None:
    text = """
-- chaos:setup
CREATE TABLE seat (id int);
-- chaos:session holder
BEGIN;
LOCK TABLE seat;
-- chaos:signal locked
SELECT chaos.wait_blocked('waiter', '10s');
SELECT chaos.assert(chaos.is_blocked('waiter'), 'all waiters wait');
SELECT chaos.assert(chaos.is_blocked('waiter[2]', 'holder'), 'one of them, for the holder');
SELECT chaos.assert(NOT chaos.is_blocked('waiter', 'bystander'), 'not for the bystander');
SELECT chaos.assert(NOT chaos.is_blocked('holder'), 'the holder does not wait');
COMMIT;
-- chaos:session waiter x 2
-- chaos:wait for locked
SELECT FROM seat;
-- chaos:session bystander
SELECT 1;
"""
    assert reported(play(text)) == []


def test_blocked_by_returns_ok_or_lists_blockers(connect: Connect) -> None:
    holder, waiter, check = connect("holder[1]"), connect("waiter[1]"), connect("check")
    connect("waiter[2]")
    holder.execute("CREATE TABLE seat (id int)")
    holder.execute("BEGIN; LOCK TABLE seat")
    waiter.pgconn.send_query(b"SELECT FROM seat")
    check.execute("SELECT chaos.wait_blocked('waiter[1]', '10s')")
    check.execute("SELECT plan(3)")
    assert one(check, "SELECT chaos.blocked_by('waiter[1]', 'holder')") == "ok 1 - waiter[1] waits for holder"
    said = str(one(check, "SELECT chaos.blocked_by('waiter', 'holder', 'all wait')")).splitlines()
    assert said[0] == "not ok 2 - all wait"
    assert said[-2:] == ["# waiter[1] waits for holder[1]", "# waiter[2] does not wait for a lock"]
    said = str(one(check, "SELECT chaos.blocked_by('nobody', 'holder')")).splitlines()
    assert said[-1] == "# there is no connection nobody"
    holder.execute("ROLLBACK")


def test_no_leaks_names_what_was_left_behind(connect: Connect) -> None:
    check, idle, stranger = connect("check"), connect("worker[1]"), connect("stranger")
    check.execute("SELECT no_plan()")
    idle.execute("CREATE TABLE seat (id int); INSERT INTO seat VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        idle.execute("CREATE UNIQUE INDEX CONCURRENTLY seat_unique ON seat (id)")
    stranger.execute("BEGIN; INSERT INTO seat VALUES (2); PREPARE TRANSACTION 'orphan'")
    idle.execute("BEGIN; SELECT 1")
    try:
        found = {str(row[0]).split(", pid")[0] for row in check.execute("SELECT chaos._left_behind()")}
        assert found == {
            "open transaction: worker[1], idle in transaction",
            "prepared transaction: orphan",
            "invalid index: seat_unique",
            "session: stranger",
        }
        said = str(one(check, "SELECT chaos.no_leaks('clean')")).splitlines()
        assert said[0] == "not ok 1 - clean"
        assert {line.split(", pid")[0].removeprefix("# ") for line in said[2:]} == found
    finally:
        idle.execute("ROLLBACK")
        stranger.execute("ROLLBACK PREPARED 'orphan'")


def test_eventually_sees_what_another_session_commits(connect: Connect) -> None:
    check, other = connect("check"), connect("other[1]")
    other.execute("CREATE TABLE job (done boolean)")
    check.execute("SELECT plan(1)")
    check.pgconn.send_query(b"SELECT chaos.eventually('SELECT done FROM job', '10s', 'done in the end')")
    other.execute("INSERT INTO job VALUES (true)")
    result = check.pgconn.get_result()
    assert result is not None
    assert result.get_value(0, 0) == b"ok 1 - done in the end"
    assert check.pgconn.get_result() is None


def test_eventually_sees_what_sessions_do(connect: Connect) -> None:
    # pg_stat_activity stays as a transaction has first seen it
    check, other = connect("check"), connect("other[1]")
    check.execute("BEGIN; SELECT plan(1); SELECT count(*) FROM pg_stat_activity")
    check.pgconn.send_query(
        b"SELECT chaos.eventually($$SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'other[1]'"
        b" AND datname = current_database()$$, '10s', 'it leaves')"
    )
    other.close()
    result = check.pgconn.get_result()
    assert result is not None
    assert result.get_value(0, 0) == b"ok 1 - it leaves"
    assert check.pgconn.get_result() is None
    check.execute("ROLLBACK")


def locks_when_the_fast_one_leaves(slow: Connection, fast: Connection, number: int) -> object:
    """Tell how many locks the slow one holds then: two at each barrier, for having come and for having passed."""
    slow.pgconn.send_query(f"SELECT chaos.barrier('pair {number}', 2, '10s')".encode())
    until(lambda: locks(fast, slow) == 2 * number - 1, "the slow one has come")
    # the longer it waits the more seldom it looks
    fast.execute("SELECT chaos.delay('60ms')")
    held = one(fast, f"SELECT held FROM chaos.barrier('pair {number}', 2, '10s'), LATERAL ({locks_of(slow)}) AS l")
    assert answer(slow) == pq.ExecStatus.TUPLES_OK
    return held


def locks_of(conn: Connection) -> str:
    return f"SELECT count(*) AS held FROM pg_locks WHERE classid = 1667785071 AND pid = {conn.info.backend_pid}"


def locks(asker: Connection, conn: Connection) -> object:
    return one(asker, locks_of(conn))


def answer(conn: Connection) -> int:
    result = conn.pgconn.get_result()
    assert result is not None
    assert conn.pgconn.get_result() is None
    return result.status
