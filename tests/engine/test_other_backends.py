"""Backends that do not belong to sessions of the scenario are named where they wait or block."""

from __future__ import annotations

import pytest

from pgchaos.engine.other_backends import names, read
from pgchaos.schedule.wait_rules import Actor
from tests.engine.playing import Play, held, over_once, said

TABLE = """
-- chaos:requires extension dblink
-- chaos:setup
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t VALUES (1, 0);
CREATE FUNCTION here() RETURNS text LANGUAGE sql AS $$
    SELECT format('dbname=%s port=%s host=%s user=%s', current_database(), current_setting('port'),
        split_part(current_setting('unix_socket_directories'), ',', 1), current_user)
$$;
"""
OUTSIDE_WAITS = """
-- chaos:session holder
BEGIN;
UPDATE t SET v = 1 WHERE id = 1;
-- chaos:signal held
{until}
COMMIT;
-- chaos:session caller
-- chaos:wait for held
SELECT dblink_exec(here(), 'UPDATE t SET v = 2 WHERE id = 1');
-- chaos:check
SELECT pass('done');
"""
WAITING = "SELECT FROM pg_locks WHERE NOT granted"
# until it waits, and the lock monitor has then begun and evaluated a snapshot: five queries of its connection begin
UNTIL_IT_IS_SEEN = """
DO $$ DECLARE latest timestamptz; began timestamptz; queries int := 0; BEGIN
    FOR i IN 1..60000 LOOP
        PERFORM pg_stat_clear_snapshot();
        IF EXISTS (SELECT FROM pg_locks WHERE NOT granted) THEN
            began := (SELECT query_start FROM pg_stat_activity
                WHERE application_name = 'admin' AND datname = current_database());
            queries := queries + (began IS DISTINCT FROM latest)::int;
            latest := began;
            IF queries = 6 THEN RETURN; END IF;
        END IF;
        PERFORM pg_sleep(0.001);
    END LOOP;
    RAISE 'the lock monitor took no snapshots';
END $$;
"""


def test_a_backend_of_dblink_that_blocks_is_named(play: Play) -> None:
    result = play(
        TABLE
        + """
-- chaos:session keeper
SELECT dblink_connect('other', here());
SELECT dblink_exec('other', 'BEGIN');
SELECT dblink_exec('other', 'UPDATE t SET v = 1 WHERE id = 1');
-- chaos:signal held
-- chaos:wait blocked waiter
SELECT dblink_exec('other', 'COMMIT');
-- chaos:session waiter
-- chaos:wait for held
UPDATE t SET v = 2 WHERE id = 1;
-- chaos:check
SELECT pass('done');
"""
    )
    assert held(result) == ["done"]
    (waited,) = said(result, "waiter")
    assert waited.waited_on == ("keeper[1]",)
    (who,) = waited.blocked_by
    assert who.startswith("pid ")
    assert "(client backend of keeper[1], idle in transaction: UPDATE t SET v = 1 WHERE id = 1)" in who


def test_a_backend_of_dblink_that_waits_is_named_at_its_caller(play: Play) -> None:
    result = play(TABLE + OUTSIDE_WAITS.format(until=UNTIL_IT_IS_SEEN))
    assert held(result) == ["done"]
    (called,) = said(result, "caller")
    (who,) = called.blocked_by
    assert who.endswith(", which waits for holder[1]")
    assert called.waited_on == ("holder[1]",)
    assert "client backend of caller[1]" in who
    assert "UPDATE t SET v = 2 WHERE id = 1" in who


def test_it_is_named_among_those_who_stood_when_the_time_was_over(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    with play.server.connect() as conn:

        def outside_waits(reported: dict[str, str]) -> bool:
            return reported["caller[1]"] in ("runs", "is blocked") and bool(conn.execute(WAITING).fetchall())

        over_once(monkeypatch, outside_waits)
        result = play(TABLE + OUTSIDE_WAITS.format(until="-- chaos:delay 600s"), timeout=600)
    stopped = {one.session: one for one in result.stopped_sessions}
    (stranger,) = (one for name, one in stopped.items() if name.startswith("pid "))
    assert (stranger.doing, stranger.waits_for) == ("is blocked", ("holder[1]",))


def test_names_tell_what_a_backend_does() -> None:
    rows = [
        ("3", "client backend", "a[1]", "active", None, "SELECT 1"),
        ("7", "autovacuum worker", "", "active", None, "autovacuum: VACUUM public.t"),
        ("8", "parallel worker", "a[1]", "active", "3", "SELECT 1"),
        ("9", "client backend", "psql", "idle in transaction", None, "UPDATE  t\nSET " + "x" * 90),
        ("10", "client backend", "postgres_fdw", "idle", None, "COMMIT"),
    ]
    assert names(read(rows), {3: Actor("a", 1)}, {10: 3}) == {
        7: "pid 7 (autovacuum worker, active: autovacuum: VACUUM public.t)",
        8: "pid 8 (parallel worker of a[1], active: SELECT 1)",
        9: f"pid 9 (client backend psql, idle in transaction: UPDATE t SET {'x' * 46}…)",
        10: "pid 10 (client backend of a[1], idle: COMMIT)",
    }
