"""Faults of the network: what sessions see of them, what the server has done, and how they end."""

from __future__ import annotations

import time

import pytest

from pgchaos.engine import session_network
from pgchaos.engine.proxy import link
from pgchaos.engine.proxy.connection import ProxyConnection
from tests.engine.playing import Play, held, only, outcomes, said

TABLE = """
-- chaos:setup
CREATE TABLE t (k int PRIMARY KEY, v int NOT NULL);
INSERT INTO t VALUES (1, 0), (2, 0);
"""
CUT_WHEN_BLOCKED = f"""
{TABLE}
-- chaos:session a
BEGIN;
UPDATE t SET v = 10 WHERE k = 1;
-- chaos:signal locked
-- chaos:wait for goes_on
COMMIT;
-- chaos:session b allow 08006
-- chaos:wait for locked
-- chaos:fault cut when blocked
UPDATE t SET v = v + 1 WHERE k = 1;
"""


@pytest.mark.parametrize("kind", ["cut", "reset"])
@pytest.mark.parametrize(
    ("moment", "lost", "value"),
    [("before", "rolled back", 1), ("during", "unknown", 2), ("after", "committed", 1)],
)
def test_a_connection_is_lost_around_a_statement(play: Play, kind: str, moment: str, lost: str, value: int) -> None:
    """Outside a block; `during`, the server has done what the session does not hear of."""
    result = play(f"""
        {TABLE}
        -- chaos:session a retry 08006 unknown
        -- chaos:fault {kind} {moment}
        UPDATE t SET v = v + 1 WHERE k = 1;
        SELECT pg_backend_pid();
        -- chaos:check
        SELECT is(v, {value}, 'as often as it was sent to the server') FROM t WHERE k = 1;
        SELECT is(count(*), 1::bigint, 'delivered') FROM chaos.history WHERE fault = '{kind}';
    """)
    assert held(result) == ["as often as it was sent to the server", "delivered"]
    ended = outcomes(result, "a")
    assert ended[0][3] == lost
    if moment != "after":
        assert ended[0][4] == "08006"
    else:
        assert [r.sqlstate for r in said(result, "a")] == ["00000", "08006", "00000"]


@pytest.mark.parametrize(
    ("moment", "outcome", "values"), [("before", "unknown", [1, 1]), ("during", "unknown", [2, 2])]
)
def test_a_commit_is_ambiguous(play: Play, moment: str, outcome: str, values: list[int]) -> None:
    """Cut before or during COMMIT, the application cannot know; the server has committed only in the second case."""
    result = play(f"""
        {TABLE}
        -- chaos:session a retry unknown
        BEGIN;
        UPDATE t SET v = v + 1 WHERE k = 1;
        UPDATE t SET v = v + 1 WHERE k = 2;
        -- chaos:fault cut {moment}
        COMMIT;
        -- chaos:check
        SELECT is(array_agg(v ORDER BY k), '{{{values[0]},{values[1]}}}', 'done as often as committed') FROM t;
    """)
    assert held(result) == ["done as often as committed"]
    assert [(o[1], o[3]) for o in outcomes(result, "a")] == [(1, outcome), (2, "committed")]


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_a_copy_is_done_when_its_answer_is_lost(play: Play, kind: str) -> None:
    """Its data is sent only once the server has asked for it: that part of the answer comes through."""
    session = f"-- chaos:session a allow 08006\n-- chaos:fault {kind} during\nCOPY t FROM STDIN;\n3\t4\n\\.\n"
    check = "-- chaos:check\nSELECT is(v, 4, 'done') FROM t WHERE k = 3;\n"
    result = play(f"-- chaos:timeout 20s\n{TABLE}{session}{check}")
    assert held(result) == ["done"]
    assert [(r.sqlstate, r.fault) for r in said(result, "a")] == [("08006", kind)]


def test_what_a_cut_session_was_blocked_with_goes_on_without_it(play: Play) -> None:
    result = play(f"""
        {CUT_WHEN_BLOCKED}
        -- chaos:signal goes_on
        DO $$
        BEGIN
            WHILE EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'UPDATE t %') LOOP
                PERFORM pg_sleep(0.001), pg_stat_clear_snapshot();
            END LOOP;
        END $$;
        -- chaos:check
        SELECT is(v, 11, 'the lost one was done') FROM t WHERE k = 1;
    """)
    assert held(result) == ["the lost one was done"]
    assert outcomes(result, "b") == [(1, 1, False, "unknown", "08006"), (1, 1, False, "committed", "00000")]


def test_the_backend_that_a_cut_session_left_is_not_taken_for_its_next_one(play: Play) -> None:
    """It still waits for a lock while the session sleeps; the sleep spans several snapshots of the locks."""
    result = play(f"""
        {CUT_WHEN_BLOCKED}
        SELECT pg_sleep(0.3);
        -- chaos:signal goes_on
        -- chaos:check
        SELECT is(waited_on, '', 'it waited for nobody') FROM chaos.history WHERE statement LIKE '%sleep%';
    """)
    assert held(result) == ["it waited for nobody"]


def test_a_stall_passes_and_the_session_continues(play: Play) -> None:
    result = play(f"""
        {TABLE}
        -- chaos:session a
        -- chaos:fault stall 150ms
        UPDATE t SET v = 1 WHERE k = 1;
        -- chaos:check
        SELECT ok(ended_at - started_at >= interval '150ms', 'late') FROM chaos.history;
    """)
    assert held(result) == ["late"]


def test_a_stall_holds_up_what_comes_next_however_late_that_is(play: Play) -> None:
    """Its time begins with the next data, not while the session is idle: the sleep is longer than the stall."""
    result = play(f"""
        {TABLE}
        -- chaos:session a
        SELECT 1;
        -- chaos:signal connected
        -- chaos:wait for stalled
        UPDATE t SET v = 1 WHERE k = 1;
        -- chaos:session b
        -- chaos:wait for connected
        -- chaos:fault stall 60ms of a
        SELECT pg_sleep(0.1);
        -- chaos:signal stalled
        -- chaos:check
        SELECT ok(ended_at - started_at >= interval '60ms', 'late') FROM chaos.history WHERE statement ~ 'UPDATE';
    """)
    assert held(result) == ["late"]


@pytest.mark.parametrize("moment", ["before", "during"])
def test_a_stall_lasts_until_it_is_healed(play: Play, moment: str) -> None:
    result = play(f"""
        {TABLE}
        -- chaos:session a
        -- chaos:signal begins
        -- chaos:fault stall {moment}
        UPDATE t SET v = 1 WHERE k = 1;
        -- chaos:session b
        -- chaos:wait for begins
        -- chaos:delay 100ms
        SELECT v FROM t WHERE k = 1;
        -- chaos:fault heal of a
        SELECT 1;
        -- chaos:check
        SELECT is(rows, 1::bigint, 'heard') FROM chaos.history WHERE session = 'a';
    """)
    assert held(result) == ["heard"]
    assert (said(result, "a")[0].ended_at or 0.0) > (said(result, "b")[0].ended_at or 0.0)


def test_the_client_s_own_time_out_ends_a_half_open_connection(play: Play) -> None:
    result = play(f"""
        {TABLE}
        -- chaos:session a connect 'tcp_user_timeout=200' retry 08006 unknown
        -- chaos:fault stall
        UPDATE t SET v = v + 1 WHERE k = 1;
        -- chaos:check
        SELECT is(v, 1, 'once') FROM t WHERE k = 1;
    """)
    assert held(result) == ["once"]
    assert [r.sqlstate for r in said(result, "a")] == ["08006", "00000"]
    assert "timed out" in str(said(result, "a")[0].message)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        # what other machines have: packets that start with the highest TTL, and a system without the option
        ("_HIGHEST_TTL", 1, "set net.ipv4.ip_default_ttl to 64"),
        ("_MIN_TTL", 9999, "the system does not drop its packets"),
    ],
)
def test_a_stall_that_is_not_half_open_is_not_delivered(
    play: Play, monkeypatch: pytest.MonkeyPatch, name: str, value: int, why: str
) -> None:
    monkeypatch.setattr(link, name, value)
    result = play(f"""
        {TABLE}
        -- chaos:session a connect 'tcp_user_timeout=200' retry 08006 unknown
        -- chaos:fault stall
        UPDATE t SET v = v + 1 WHERE k = 1;
        -- chaos:check
        SELECT ok(true);
    """)
    failure = only(result)
    assert failure.kind == "fault"
    assert "the connection of a[1] cannot be made half-open" in failure.text
    assert why in failure.text


def test_a_short_stall_does_not_end_the_one_that_it_meets(play: Play) -> None:
    result = play(f"""
        {TABLE}
        -- chaos:session a connect 'tcp_user_timeout=300' retry 08006 unknown
        -- chaos:fault stall
        -- chaos:fault stall 1ms
        UPDATE t SET v = v + 1 WHERE k = 1;
        -- chaos:check
        SELECT is(v, 1, 'once') FROM t WHERE k = 1;
    """)
    assert held(result) == ["once"]
    assert [r.sqlstate for r in said(result, "a")] == ["08006", "00000"]


def test_a_session_behind_a_stall_ends_the_run_with_a_clear_text(play: Play) -> None:
    result = play(
        f"""
        -- chaos:timeout 500ms
        {TABLE}
        -- chaos:session a
        -- chaos:fault stall
        UPDATE t SET v = 1 WHERE k = 1;
        -- chaos:check
        SELECT ok(true);
    """
    )
    failure = only(result)
    assert failure.kind == "timeout"
    assert failure.text == (
        "the sessions did not end within 0.5s: nothing passes between a[1] and the server since `fault stall`"
        " at scenario.sql:9"
    )
    assert not result.silent


def test_a_stall_that_has_lasted_ends_with_the_run_at_once(play: Play) -> None:
    """TCP would repeat what was lost only after as long again; the server is not taken for silent."""
    began = time.monotonic()
    # it is repeated after 0.2, 0.6, 1.4, 3.0 and 6.2 s
    result = play(f"""
        -- chaos:timeout 3100ms
        {TABLE}
        -- chaos:session a
        -- chaos:fault stall
        UPDATE t SET v = 1 WHERE k = 1;
        -- chaos:check
        SELECT ok(true);
    """)
    assert only(result).kind == "timeout"
    assert not result.silent
    assert time.monotonic() - began < 6


def test_latency_and_rate_stay_with_the_session_until_they_are_healed(play: Play) -> None:
    result = play(f"""
        {TABLE}
        -- chaos:session a
        -- chaos:fault latency 60ms jitter 5ms
        SELECT 1;
        -- chaos:fault heal
        SELECT 2;
        -- chaos:fault rate 64kB
        SELECT repeat('x', 8192);
        -- chaos:fault heal of server
        SELECT repeat('x', 8192);
        -- chaos:check
        SELECT ok(bool_and(took >= least) AND bool_and(took < most), 'as long as it takes')
          FROM (SELECT extract(epoch FROM ended_at - started_at) AS took,
                       (ARRAY[0.055, 0, 0.12, 0])[step::int] AS least, (ARRAY[9, 0.05, 9, 0.1])[step::int] AS most
                  FROM chaos.history) AS h;
    """)
    assert held(result) == ["as long as it takes"]


def test_the_network_refuses_until_it_is_healed(play: Play) -> None:
    result = play(f"""
        {TABLE}
        -- chaos:session a retry 08006 08001 up to 1000 backoff 1ms
        -- chaos:fault refuse
        SELECT 1;
        -- chaos:fault cut
        UPDATE t SET v = v + 1 WHERE k = 1;
        -- chaos:session b
        -- chaos:wait for refused
        -- chaos:fault heal of a
        SELECT 1;
        -- chaos:session c
        SELECT count(*) FROM t;
        -- chaos:signal refused
        -- chaos:check
        SELECT is(v, 1, 'once') FROM t WHERE k = 1;
        SELECT ok(count(*) > 0, 'refused') FROM chaos.history WHERE sqlstate IN ('08006', '08001');
    """)
    assert held(result) == ["once", "refused"]


@pytest.mark.parametrize(
    ("faults", "why"),
    [
        ("-- chaos:fault heal", "nothing is wrong with the network of a[1]"),
        ("-- chaos:fault cut on 2nd execution", "its line was reached only once"),
        ("-- chaos:fault cut when blocked", "the statement was over before the fault could be delivered"),
        ("-- chaos:fault refuse", "`fault refuse` could not be delivered: no session connected after it"),
        ("-- chaos:fault refuse at any step", "at no step that the search chose: no session connected after it"),
        ("-- chaos:fault stall 5ms after", "nothing passed between a[1] and the server any more"),
        ("-- chaos:fault stall after", "nothing passed between a[1] and the server any more"),
        ("-- chaos:fault stall after at any step", "at no step that the search chose: nothing passed between a[1]"),
        ("-- chaos:fault latency 5ms after", "nothing passed between a[1] and the server any more"),
        ("-- chaos:fault rate 1kB of server after", "nothing passed between a[1] and the server any more"),
    ],
)
def test_what_has_no_effect_fails(play: Play, faults: str, why: str) -> None:
    result = play(f"""
        {TABLE}
        -- chaos:session a
        {faults}
        UPDATE t SET v = 1 WHERE k = 1;
        -- chaos:check
        SELECT ok(true);
    """)
    failure = only(result)
    assert failure.kind == "fault"
    assert why in failure.text


@pytest.mark.parametrize("fault", ["stall 1ms", "latency 1ms"])
@pytest.mark.parametrize(("schedule", "is_felt"), [("all", True), ("a.1 a.2 b.1", False)])
def test_a_search_must_feel_a_fault_of_another_session_in_one_run(
    play: Play, fault: str, schedule: str, is_felt: bool
) -> None:
    result = play(f"""
        -- chaos:schedule {schedule}
        {TABLE}
        -- chaos:session a
        SELECT 1;
        SELECT 2;
        -- chaos:session b
        -- chaos:fault {fault} of a
        SELECT 3;
        -- chaos:check
        SELECT ok(true, 'checked');
    """)
    assert [failure.kind for failure in result.failures] == ([] if is_felt else ["fault"])


def test_others_wait_for_the_locks_of_a_stalled_session_as_long_as_they_like(play: Play) -> None:
    """57014, by the server's own time-out, in another session."""
    result = play(f"""
        {TABLE}
        -- chaos:session a
        BEGIN;
        UPDATE t SET v = 1 WHERE k = 1;
        -- chaos:signal locked
        -- chaos:fault stall
        COMMIT;
        -- chaos:session b
        -- chaos:wait for locked
        SET statement_timeout = '50ms';
        -- chaos:expect query_canceled
        UPDATE t SET v = 2 WHERE k = 1;
        SET statement_timeout = 0;
        -- chaos:fault heal of a
        UPDATE t SET v = 2 WHERE k = 1;
        -- chaos:check
        SELECT is(v, 2, 'after it') FROM t WHERE k = 1;
    """)
    assert held(result) == ["after it"]
    assert [r.sqlstate for r in said(result, "b")] == ["00000", "57014", "00000", "00000"]


def test_what_a_cut_session_left_behind_ends_with_the_run(play: Play) -> None:
    """Its backend is in a statement still when the sessions have ended: it is cancelled, and no leak."""
    result = play(f"""
        {TABLE}
        -- chaos:session a allow 08006
        BEGIN;
        UPDATE t SET v = 10 WHERE k = 1;
        -- chaos:fault cut during after 1ms
        SELECT pg_sleep(60);
        -- chaos:check
        SELECT is(v, 0, 'it was rolled back') FROM t WHERE k = 1;
    """)
    assert held(result) == ["it was rolled back"]
    assert result.duration < 30


def test_open_transactions_and_locks_are_found_behind_the_proxy(play: Play) -> None:
    result = play(f"""
        {TABLE}
        -- chaos:session a
        -- chaos:fault latency 1ms
        SELECT pg_advisory_lock(7);
        BEGIN;
        UPDATE t SET v = 1 WHERE k = 1;
        -- chaos:check
        SELECT is(v, 0, 'it was rolled back') FROM t WHERE k = 1;
    """)
    assert {failure.kind for failure in result.failures} == {"leak"}
    text = " ".join(failure.text for failure in result.failures)
    assert "open transaction" in text
    assert "advisory lock" in text


@pytest.mark.parametrize("head", ["sandbox schema", "sandbox server", "schedule a.1 b.1 a.2"])
def test_every_sandbox_and_schedule_has_a_network(play: Play, head: str) -> None:
    result = play(f"""
        -- chaos:{head}
        {TABLE}
        -- chaos:session a retry unknown
        INSERT INTO t SELECT 10, chaos.iteration() ON CONFLICT (k) DO UPDATE SET v = t.v + 1;
        -- chaos:fault reset during
        UPDATE t SET v = v + 1 WHERE k = 1;
        -- chaos:session b
        SELECT 1;
        -- chaos:check
        SELECT is(v, 2, 'sent twice') FROM t WHERE k = 1;
        SELECT is(v, 1, 'once, by its own iteration') FROM t WHERE k = 10;
    """)
    assert held(result) == ["sent twice", "once, by its own iteration"]


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_a_connection_that_does_not_break_is_reported(play: Play, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    end = ProxyConnection.end

    def ended(connection: ProxyConnection, why: str) -> None:
        if kind not in why:
            end(connection, why)

    def reset(connection: ProxyConnection, why: str) -> None:
        connection.end(why)

    monkeypatch.setattr(session_network, "_NOTICED_WITHIN", 0.1)
    monkeypatch.setattr(ProxyConnection, "end", ended)
    monkeypatch.setattr(ProxyConnection, "reset", reset)
    result = play(f"""
        {TABLE}
        -- chaos:session a
        -- chaos:fault {kind}
        UPDATE t SET v = 1 WHERE k = 1;
        -- chaos:check
        SELECT ok(true);
    """)
    failure = only(result)
    assert failure.kind == "fault"
    assert "a[1] was not notified within 0.1 s that its connection has ended" in failure.text


def test_one_that_its_client_gave_up_is_cut_with_the_next(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one stands still at the proxy, where no packet of its client has come any more."""
    monkeypatch.setattr(session_network, "_NOTICED_WITHIN", 40.0)
    result = play(f"""
        {TABLE}
        -- chaos:session a connect 'tcp_user_timeout=200' retry 08006 unknown
        -- chaos:fault stall
        SELECT 1;
        -- chaos:signal again
        -- chaos:wait for cut
        UPDATE t SET v = v + 1 WHERE k = 1;
        -- chaos:session b
        -- chaos:wait for again
        -- chaos:fault cut of a
        SELECT 1;
        -- chaos:signal cut
        -- chaos:check
        SELECT is(v, 1, 'once') FROM t WHERE k = 1;
    """)
    assert held(result) == ["once"]
    assert [r.sqlstate for r in said(result, "a")] == ["08006", "00000", "08006", "00000"]
    assert result.duration < 30


def test_an_answer_is_held_of_no_connection_that_has_ended(play: Play) -> None:
    """In a block the session does not know yet: its statement finds it out, and the fault is not come to."""
    result = play(f"""
        {TABLE}
        -- chaos:session a allow 08006
        BEGIN;
        UPDATE t SET v = v + 1 WHERE k = 1;
        -- chaos:signal ready
        -- chaos:wait for cut
        -- chaos:fault reset during
        COMMIT;
        -- chaos:session b
        -- chaos:wait for ready
        -- chaos:fault cut of a
        SELECT 1;
        -- chaos:signal cut
        -- chaos:check
        SELECT is(v, 0, 'rolled back') FROM t WHERE k = 1;
    """)
    failure = only(result)
    assert failure.kind == "fault"


def test_a_lock_of_the_backend_that_a_cut_session_left_is_waited_for(play: Play) -> None:
    """It ends with its statement: nobody is stuck, though its session waits for whom it blocks."""
    result = play(f"""
        {TABLE}
        -- chaos:session a
        -- chaos:wait for locked
        UPDATE t SET v = v + 1 WHERE k = 1;
        -- chaos:signal done
        -- chaos:session b allow 08006
        BEGIN;
        UPDATE t SET v = 10 WHERE k = 1;
        -- chaos:signal locked
        -- chaos:fault cut during after 1ms
        SELECT pg_sleep(0.5);
        -- chaos:wait for done
        SELECT 1;
        -- chaos:check
        SELECT is(v, 1, 'the lock was let go') FROM t WHERE k = 1;
    """)
    assert held(result) == ["the lock was let go"]
