"""Connections that are lost, on a server that may be harmed: before COMMIT was sent, and while it runs."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import psycopg
import pytest

from pgchaos.engine import admin_connection
from pgchaos.results import RunResult
from pgchaos.server import Server, ServerError, ServerSettings
from tests.engine.playing import Play, held, only, outcomes
from tests.waiting import until

SLOW_COMMIT = """
    -- chaos:setup
    CREATE TABLE t (id int);
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM dawdle();
        RETURN NULL;
    END $$;
    -- a crash takes back what nextval did in a transaction that it ended, hence the second condition
    CREATE TABLE birth AS SELECT clock_timestamp() AS at;
    CREATE SEQUENCE tries;
    CREATE FUNCTION dawdle() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('tries') = 1 AND (
            SELECT backend_start < at FROM pg_stat_activity, birth WHERE backend_type = 'checkpointer'
        ) THEN
            PERFORM pg_sleep(100);
        END IF;
    END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
    -- chaos:session victim {options}
    BEGIN;
    INSERT INTO t VALUES (1);
    {before}
    COMMIT;
    -- chaos:check
    SELECT pass('checked');
"""


@pytest.fixture
def _late_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the engine wait for the crash that is on its way, however late the postmaster notices it."""
    monkeypatch.setattr(admin_connection, "_CRASH", 10.0)


def sleeper(server: Server) -> int | None:
    """Find the backend of the session named victim while it sleeps."""
    with server.connect() as conn:
        row = conn.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'victim[1]' AND wait_event = 'PgSleep'"
        ).fetchone()
    return None if row is None else int(str(row[0]))


def break_off(server: Server, how: str) -> None:
    """Take the connection of the sleeping victim away."""
    pid = until(partial(sleeper, server), "the victim sleeps")
    assert pid is not None
    if how == "kill":
        os.kill(pid, signal.SIGKILL)
    else:
        with server.connect() as conn:
            conn.execute("SELECT pg_terminate_backend(%s)", [pid])


def recovered(server: Server) -> bool:
    """Say whether the server makes databases again, beyond those that were made ahead."""
    try:
        with ExitStack() as stack:
            for _ in range(ServerSettings().clones + 1):
                stack.enter_context(server.sandbox())
            server.connect().close()
            return True
    except (ServerError, psycopg.OperationalError):
        return False


@contextmanager
def breaking_off(server: Server, how: str) -> Iterator[None]:
    """Break it off from another thread while the block runs; wait until the server has recovered."""
    thread = threading.Thread(target=break_off, args=(server, how))
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
        assert not thread.is_alive()
        until(partial(recovered, server), "the server has recovered")


def broken_off(play: Play, how: str, options: str, before: str = "") -> RunResult:
    with breaking_off(play.server, how):
        return play(SLOW_COMMIT.format(options=options, before=before))


@pytest.mark.usefixtures("_late_crash")
def test_killed_in_commit_the_outcome_is_unknown(play_own: Play) -> None:
    result = broken_off(play_own, "kill", "allow 08006")
    assert held(result) == ["checked"]
    assert outcomes(result, "victim") == [(1, 1, True, "unknown", "08006")]


def test_killed_in_commit_08006_is_not_retried(play_own: Play) -> None:
    result = broken_off(play_own, "kill", "retry 08006 57P03 08001 up to 50")
    failure = only(result)
    assert "08006" in failure.names
    assert [row[1:4] for row in outcomes(result, "victim")] == [(1, True, "unknown")]


def test_an_unknown_outcome_is_retried_with_unknown(play_own: Play) -> None:
    # 08006 too: until the postmaster has noticed it takes connections, which are lost in turn
    result = broken_off(play_own, "kill", "retry unknown 08006 57P03 08001 57P02 up to 50 backoff 20ms")
    assert held(result) == ["checked"]
    rows = outcomes(result, "victim")
    assert rows[0] == (1, 1, True, "unknown", "08006")
    assert rows[-1][2:] == (True, "committed", "00000")


@pytest.mark.parametrize(
    ("how", "codes", "state"), [("kill", "08006 57P03 08001 57P02", "08006"), ("terminate", "57P01", "57P01")]
)
def test_lost_before_commit_it_is_retried_by_its_code(play_own: Play, how: str, codes: str, state: str) -> None:
    before = "SELECT dawdle();"
    result = broken_off(play_own, how, f"retry {codes} up to 50 backoff 20ms", before)
    assert held(result) == ["checked"]
    rows = outcomes(result, "victim")
    assert rows[0] == (1, 1, True, "rolled back", state)
    assert rows[-1][2:] == (True, "committed", "00000")


def test_outside_a_block_a_lost_statement_is_its_own_commit(play_own: Play) -> None:
    text = """
        -- chaos:session victim retry 08006 57P03 08001 up to 50
        SELECT pg_sleep(100);
        -- chaos:check
        SELECT pass('never');
    """
    with breaking_off(play_own.server, "kill"):
        result = play_own(text)
    assert "08006" in only(result).names
    assert [row[1:4] for row in outcomes(result, "victim")] == [(1, False, "unknown")]


@pytest.mark.usefixtures("_late_crash")
def test_an_invariant_is_evaluated_again_after_the_server_recovered(play_own: Play) -> None:
    text = SLOW_COMMIT.format(options="allow 08006", before="") + (
        '-- chaos:invariant\nSELECT count(*) = 0 AS "nothing was committed" FROM t;\n'
    )
    with breaking_off(play_own.server, "kill"):
        result = play_own(text.replace("-- chaos:check", "-- chaos:teardown\nDROP TABLE t;\n-- chaos:check"))
    assert held(result) == ["checked"]
    assert result.evaluations > result.missed


@pytest.mark.parametrize("statement", ["INSERT INTO t VALUES (1);", "BEGIN;\nINSERT INTO t VALUES (1);\nCOMMIT;"])
def test_what_was_never_sent_is_sent_again_by_its_code(play_own: Play, statement: str) -> None:
    """Between two statements the connection is lost: nothing of the second can have been done."""
    result = play_own(
        f"""
        -- chaos:sandbox server
        -- chaos:setup
        CREATE TABLE t (n int);
        -- chaos:session bob retry 08006
        -- chaos:fault crash after
        SELECT 1;
        {statement}
        -- chaos:check
        SELECT is((SELECT count(*) FROM t), 1::bigint, 'inserted once');
        """
    )
    assert held(result) == ["inserted once"]
    rows = outcomes(result, "bob")
    assert [row[3] for row in rows] == ["committed", "rolled back", "committed"]
