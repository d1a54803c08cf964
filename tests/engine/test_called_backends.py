"""Backends that sessions open by dblink or postgres_fdw lock and wait for their session."""

from __future__ import annotations

import time
from collections.abc import Collection

import pytest

from pgchaos.engine import called_backends
from pgchaos.engine.other_backends import Backend, hidden_deadlock
from tests.engine.playing import Play, held, line, only, said

SHORT = 20.0
"""Seconds for the sessions: what is not noticed at once runs into this limit."""
SOON = 10.0
"""Seconds within which a run ends that notices it at once, also on a busy machine."""
TABLE = """
-- chaos:requires extension dblink
-- chaos:schedule {schedule}
-- chaos:setup
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t VALUES (1, 0);
"""
FOREIGN = """
-- chaos:requires extension postgres_fdw
-- chaos:schedule a.1 a.2 b.1 b.2 a.3 b.3
-- chaos:setup
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t VALUES (1, 0);
DO $$ BEGIN
    EXECUTE format('CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname %L)', current_database());
    CREATE USER MAPPING FOR CURRENT_USER SERVER here;
    EXECUTE format(
        'CREATE FOREIGN TABLE far (id int, v int) SERVER here OPTIONS (schema_name %L, table_name $_$t$_$)',
        current_schema());
END $$;
-- chaos:session a
BEGIN;
UPDATE far SET v = v + 1 WHERE id = 1;
COMMIT;
-- chaos:session b allow serialization_failure
BEGIN;
UPDATE far SET v = v + 10 WHERE id = 1;
COMMIT;
-- chaos:check
SELECT is(v, 1, 'the first update is counted') FROM t;
"""
BY_DBLINK = """
-- chaos:session a
-- chaos:step opens
SELECT dblink_connect('far', 'dbname=' || current_database(){named});
-- chaos:step changes
SELECT dblink_exec('far', 'BEGIN; UPDATE t SET v = 1 WHERE id = 1');
-- chaos:step ends
SELECT dblink_exec('far', 'COMMIT');
-- chaos:session b
-- chaos:step changes
{statement}
-- chaos:check
SELECT is(v, 2, 'both have changed it') FROM t;
"""
ORDER = "a.opens a.changes b.changes a.ends"
DIRECT = "UPDATE t SET v = 2 WHERE id = 1;"
CALLED = "SELECT dblink_exec('dbname=' || current_database(){named}, 'UPDATE t SET v = 2 WHERE id = 1');"
NAMED = " || ' application_name=' || current_setting('application_name')"

HELD_AND_CALLED = """
-- chaos:session holder
BEGIN;
UPDATE t SET v = 1 WHERE id = 1;
-- chaos:signal held
-- chaos:wait blocked caller
COMMIT;
-- chaos:session caller
-- chaos:wait for held
SELECT dblink_exec('dbname=' || current_database(), 'UPDATE t SET v = 2 WHERE id = 1');
"""
CHECKED = """\
-- chaos:check
SELECT is(v, 2, 'both have changed it') FROM t;
"""


def cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server be on another machine, as far as its sockets tell."""

    def nothing(_: Collection[int]) -> dict[int, set[int]]:
        return {}

    monkeypatch.setattr(called_backends, "connected", nothing)


def test_transactions_of_postgres_fdw_wait_for_each_other(play: Play) -> None:
    result = play(FOREIGN, timeout=SHORT)
    assert held(result) == ["the first update is counted"]
    assert [record.waited_on for record in said(result, "b")] == [(), ("a[1]",), ()]


@pytest.mark.parametrize("statement", [DIRECT, CALLED.format(named="")])
def test_a_session_waits_for_the_one_whose_dblink_holds_the_lock(play: Play, statement: str) -> None:
    result = play(TABLE.format(schedule=ORDER) + BY_DBLINK.format(named="", statement=statement), timeout=SHORT)
    assert held(result) == ["both have changed it"]
    assert [record.waited_on for record in said(result, "b")] == [("a[1]",)]


def test_wait_blocked_sees_a_session_whose_dblink_waits(play: Play) -> None:
    result = play(
        TABLE.format(schedule="free") + HELD_AND_CALLED + CHECKED,
        timeout=SHORT,
    )
    assert held(result) == ["both have changed it"]


@pytest.mark.parametrize("schedule", ["free", "holder.1 holder.2 caller.1 holder.3"])
def test_a_fault_when_blocked_is_delivered_where_the_session_s_dblink_waits(play: Play, schedule: str) -> None:
    free = schedule == "free"
    result = play(
        TABLE.format(schedule=schedule)
        + f"""
-- chaos:session holder
BEGIN;
UPDATE t SET v = 1 WHERE id = 1;
{"-- chaos:signal held" if free else ""}
{"-- chaos:wait for lost" if free else ""}
COMMIT;
-- chaos:session caller allow 08006
{"-- chaos:wait for held" if free else ""}
-- chaos:fault cut when blocked
SELECT dblink_exec('dbname=' || current_database(), 'UPDATE t SET v = 2 WHERE id = 1');
{"-- chaos:signal lost" if free else ""}
-- chaos:check
SELECT pass('checked');
""",
        timeout=SHORT,
    )
    assert held(result) == ["checked"]
    (called,) = said(result, "caller")
    assert (called.sqlstate, called.waited_on) == ("08006", ("holder[1]",))
    assert called.fault is not None


def test_a_statement_is_not_blocked_because_the_one_before_it_was(play: Play) -> None:
    result = play(
        TABLE.format(schedule="free")
        + HELD_AND_CALLED
        + """\
-- chaos:fault cancel when blocked
SELECT pg_sleep(0.1);
"""
        + CHECKED,
        timeout=SHORT,
    )
    failure = only(result)
    assert (failure.kind, line(failure)) == ("fault", 17)
    assert said(result, "caller")[0].waited_on == ("holder[1]",)


def test_a_session_that_waits_for_itself_by_dblink_fails_at_once(play: Play) -> None:
    began = time.monotonic()
    result = play(
        TABLE.format(schedule="all")
        + """
-- chaos:session a
BEGIN;
UPDATE t SET v = 1 WHERE id = 1;
SELECT dblink_exec('dbname=' || current_database(), 'UPDATE t SET v = 2 WHERE id = 1');
COMMIT;
-- chaos:check
SELECT pass('done');
""",
        timeout=SHORT,
    )
    failure = only(result)
    assert time.monotonic() - began < SOON
    assert (failure.kind, line(failure)) == ("timeout", 11)
    assert failure.text.startswith("the sessions cannot end: a[1] waits for pid ")
    assert "which waits for a[1]: the server does not detect a deadlock" in failure.text


@pytest.mark.parametrize("statement", [DIRECT, CALLED])
def test_a_caller_that_cannot_be_determined_is_reported_at_once(
    play: Play, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    cannot_be_told(monkeypatch)
    began = time.monotonic()
    text = BY_DBLINK.format(named="", statement=statement.format(named=""))
    failure = only(play(TABLE.format(schedule=ORDER) + text, timeout=SHORT))
    assert time.monotonic() - began < SOON
    assert (failure.kind, line(failure)) == ("timeout", 17)
    assert "It is not known which session has opened this connection" in failure.text
    assert "application_name = current_setting('application_name')" in failure.text


@pytest.mark.parametrize("statement", [DIRECT, CALLED])
def test_there_its_name_tells_the_session(play: Play, monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    cannot_be_told(monkeypatch)
    text = BY_DBLINK.format(named=NAMED, statement=statement.format(named=NAMED))
    assert held(play(TABLE.format(schedule=ORDER) + text, timeout=SHORT)) == ["both have changed it"]


@pytest.mark.parametrize(
    ("waits", "callers", "wanted"),
    [
        ({5: (1,)}, {5: 1}, (1, 5)),
        ({5: (2,), 6: (1,)}, {5: 1, 6: 2}, (1, 5, 2, 6)),
        ({5: (6,), 2: (1,)}, {5: 1, 6: 2}, (1, 5, 6, 2)),
        ({5: (2,)}, {5: 1}, ()),
        ({5: (6,)}, {5: 1, 6: 2}, ()),
        # the server ends this one
        ({1: (2,), 2: (1,)}, {}, ()),
        ({5: (3,), 1: (2,), 2: (1,)}, {5: 3}, ()),
        # its caller does not wait for it
        ({5: (9,)}, {5: 9}, ()),
    ],
)
def test_which_deadlocks_the_server_does_not_detect(
    waits: dict[int, tuple[int, ...]], callers: dict[int, int], wanted: tuple[int, ...]
) -> None:
    assert hidden_deadlock(waits, callers, (1, 2, 3), backends("idle in transaction")) == wanted


def backends(state: str) -> dict[int, Backend]:
    """Give the backends 5 and 6, which sessions have called, a state."""
    return dict.fromkeys((5, 6), Backend("client backend", "", state, None, ""))


@pytest.mark.parametrize(("state", "wanted"), [("idle in transaction", (1, 5)), ("active", ())])
def test_a_called_backend_that_runs_a_query_of_its_own_goes_on(state: str, wanted: tuple[int, ...]) -> None:
    assert hidden_deadlock({1: (5,)}, {5: 1}, (1,), backends(state)) == wanted


@pytest.mark.parametrize("schedule", ["free", "a.opens a.sends a.changes"])
def test_a_session_can_wait_for_its_own_asynchronous_query(play: Play, schedule: str) -> None:
    result = play(
        TABLE.format(schedule=schedule)
        + """
CREATE FUNCTION change_until_waited_for() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE t SET v = v + 1;
    PERFORM pg_advisory_xact_lock(pg_backend_pid());
    WHILE NOT EXISTS (
        SELECT FROM pg_locks
         WHERE waitstart < clock_timestamp() - interval '1 s' AND pg_backend_pid() = ANY (pg_blocking_pids(pid))
    ) LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
-- chaos:session a
-- chaos:step opens
SELECT dblink_connect('far', 'dbname=' || current_database());
-- chaos:step sends
SELECT dblink_send_query('far', 'SELECT change_until_waited_for()');
DO $$ BEGIN
    WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = pid) LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
-- chaos:step changes
UPDATE t SET v = v + 1;
-- chaos:check
SELECT is(v, 2, 'both have changed it') FROM t;
""",
        timeout=SHORT,
    )
    assert held(result) == ["both have changed it"]
