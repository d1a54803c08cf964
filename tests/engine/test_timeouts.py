"""Time limits of sessions and sections, and backends that do not answer."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from functools import partial

import psycopg
import pytest

from pgchaos.engine import connection, invariant_monitor
from pgchaos.engine.lock_monitor import LockMonitor
from pgchaos.engine.section import Section
from pgchaos.language.section_items import Item
from pgchaos.results import Failure, RunResult
from tests.engine.playing import Play, held, only, over_once, stranger
from tests.waiting import until, until_sql

CHECKED = """
-- chaos:teardown
DO $$ BEGIN RAISE NOTICE 'teardown ran'; END $$;
-- chaos:check
SELECT pass('never');
"""


def only_for(monkeypatch: pytest.MonkeyPatch, part: str) -> list[float]:
    """Have only one part of a scenario end at its time-out; return the seconds that all would have had."""
    had = []

    def limit(of: str, seconds: float) -> float:
        had.append(seconds)
        return seconds if of == part else 600.0

    watch, run = LockMonitor.watch, Section.run

    def running(self: Section, items: Iterable[Item], seconds: float) -> Failure | None:
        items = list(items)
        here = part if any("pg_sleep" in str(getattr(item, "text", "")) for item in items) else "another"
        return run(self, items, limit(here, seconds))

    monkeypatch.setattr(LockMonitor, "watch", lambda self, seconds: watch(self, limit("sessions", seconds)))
    monkeypatch.setattr(Section, "run", running)
    return had


def test_sessions_that_do_not_end_are_stopped(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    patience = only_for(monkeypatch, "sessions")
    result = play("-- chaos:timeout 300ms\n-- chaos:session s\nSELECT pg_sleep(600);\n" + CHECKED)
    failure = only(result)
    assert (failure.kind, failure.text) == ("timeout", "the sessions did not end within 0.3s")
    assert set(patience) == {0.3}
    assert result.duration < 60
    assert result.assertions == []
    assert result.output == ["teardown: NOTICE: teardown ran"]


def test_session_states_at_a_timeout_name_blockers(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    stood = {"holder[1]": "runs", "late[1]": "is blocked", "over[1]": "waits at barrier never"}
    over_once(monkeypatch, lambda reported: all(reported[who] == doing for who, doing in stood.items()))
    result = play(
        """
        -- chaos:timeout 10min
        -- chaos:session holder
        BEGIN;
        SELECT pg_advisory_xact_lock(1);
        -- chaos:signal locked
        SELECT pg_sleep(100);
        -- chaos:session waiter
        -- chaos:wait blocked late
        SELECT 1;
        -- chaos:session late
        -- chaos:wait for locked
        -- chaos:barrier met
        SELECT pg_advisory_xact_lock(1);
        -- chaos:session over
        -- chaos:barrier met
        SELECT 1;
        -- chaos:barrier never
        -- chaos:session last
        -- chaos:wait for locked
        SELECT pg_advisory_xact_lock(1);
        -- chaos:barrier never
        """
        + CHECKED
    )
    assert only(result).kind == "timeout"
    reported = {s.session: (s.doing, s.waits_for) for s in result.stopped_sessions}
    assert reported["holder[1]"] == ("runs", ())
    assert reported["late[1]"][0] == "is blocked"
    assert "holder[1]" in reported["late[1]"][1]
    assert reported["over[1]"] == ("waits at barrier never", ("last[1]",))


def test_standings_name_a_prepared_transaction(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    over_once(monkeypatch, lambda reported: reported["s[1]"] == "is blocked")
    result = play(
        """
        -- chaos:timeout 10min
        -- chaos:setup
        CREATE TABLE t (id int PRIMARY KEY);
        BEGIN;
        INSERT INTO t VALUES (1);
        PREPARE TRANSACTION 'orphan';
        -- chaos:session s
        INSERT INTO t VALUES (1);
        """
        + CHECKED
    )
    assert only(result).kind == "timeout"
    (stopped,) = result.stopped_sessions
    assert (stopped.doing, stopped.waits_for) == ("is blocked", ("a prepared transaction",))


def test_standings_name_a_foreign_backend(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    over_once(monkeypatch, lambda reported: reported["ready[1]"] == "is blocked")
    with stranger(play.server, 7):
        result = play(
            """
            -- chaos:timeout 10min
            -- chaos:session ready
            -- chaos:allow query_canceled
            SELECT pg_sleep(100);
            SELECT pg_advisory_lock(7);
            """
            + CHECKED
        )
    assert only(result).kind == "timeout"
    (stopped,) = result.stopped_sessions
    assert stopped.doing == "is blocked"
    assert "client backend a stranger, idle" in stopped.waits_for[0]


@pytest.mark.parametrize("part", ["setup", "check", "teardown"])
def test_each_section_has_a_limit_of_its_own(play: Play, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sections = {"setup": "SELECT 1;", "teardown": "SELECT 1;", "check": "SELECT pass('checked');"}
    sections[part] = f"SELECT pg_sleep(600);\n{sections[part]}"
    text = "".join(f"-- chaos:{name}\n{sql}\n" for name, sql in sections.items())
    patience = only_for(monkeypatch, part)
    result = play(f"-- chaos:timeout 200ms\n-- chaos:session s\nSELECT 1;\n{text}")
    failure = only(result)
    assert failure.kind == "timeout"
    assert failure.text == f"{part} was stopped: it did not end within 0.2s"
    assert failure.place is not None
    assert patience
    assert set(patience) == {0.2}
    assert result.duration < 60


def test_a_backend_that_does_not_answer_a_cancel_loses_its_socket(
    play_own: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_ANSWER_TO_CANCEL", 0.3)

    def sleeper() -> int | None:
        with play_own.server.connect() as conn:
            row = conn.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'frozen[1]' AND wait_event = 'PgSleep'"
            ).fetchone()
        return None if row is None else int(str(row[0]))

    frozen: list[int] = []

    def freeze() -> None:
        pid = until(sleeper, "the session sleeps")
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        frozen.append(pid)

    over_once(monkeypatch, lambda _: bool(frozen))
    thread = threading.Thread(target=freeze)
    thread.start()
    try:
        result = play_own("-- chaos:timeout 10min\n-- chaos:session frozen\nSELECT pg_sleep(600);\n" + CHECKED)
    finally:
        thread.join(30)
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert only(result).kind == "timeout"
    assert frozen
    assert result.duration < 60


HAS_FROZEN = until_sql("EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'has frozen it')")
"""Waits until `frozen` has done so."""


def frozen(play: Play, who: str, waits: str, text: str) -> RunResult:
    """Play a scenario in which the backend of one connection is frozen while another waits for that by HAS_FROZEN."""
    pids: list[int] = []

    def freeze(conn: psycopg.Connection[tuple[object, ...]]) -> bool:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND query LIKE 'DO %%'"
        row = conn.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", [who]).fetchone()
        if conn.execute(waiting, [waits]).fetchone() is None or row is None:
            return False
        pids.append(int(str(row[0])))
        os.kill(pids[0], signal.SIGSTOP)
        conn.execute("SET application_name = 'has frozen it'")
        return True

    with play.server.connect() as conn:
        thread = threading.Thread(target=partial(until, partial(freeze, conn), f"{waits} waits"))
        thread.start()
        try:
            result = play(text)
        finally:
            thread.join(30)
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
    assert pids
    return result


def test_a_backend_frozen_at_the_end_of_its_session_does_not_delay_the_run(
    play_own: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    # it left a transaction open: ROLLBACK is sent to it, and nobody answers
    from pgchaos.engine import session_connection

    monkeypatch.setattr(connection, "_ANSWER_TO_CANCEL", 0.2)
    monkeypatch.setattr(session_connection, "_SHORT", 0.2)
    result = frozen(
        play_own,
        "frozen[1]",
        "check",
        f"""
-- chaos:session frozen
BEGIN;
SELECT 1;
-- chaos:check
{HAS_FROZEN}
SELECT pass('checked');
""",
    )
    assert [f.names for f in result.failures] == [("open transaction",)]
    assert result.duration < 60


def test_a_frozen_invariant_does_not_delay_the_run(play_own: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_ANSWER_TO_CANCEL", 0.2)
    monkeypatch.setattr(invariant_monitor, "_PATIENCE", 0.3)
    result = frozen(
        play_own,
        "invariant",
        "s[1]",
        f"""
-- chaos:invariant every 10ms
SELECT true AS "it holds";
-- chaos:session s
{HAS_FROZEN}
-- chaos:check
SELECT pass('checked');
""",
    )
    assert held(result) == ["checked"]
    assert result.duration < 60
