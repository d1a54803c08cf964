"""Sessions behind a real PgBouncer: their backends, waits for the pool, and state left on its connections."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from pgchaos.language.header_model import Pooler, Requirement
from pgchaos.language.problems import Place
from pgchaos.server import ServerSettings, open_server, pooler, start_private
from pgchaos.server.pooler import find_pooler, running_pooler
from tests.conftest import ForeignServer
from tests.engine.playing import Play, held, line, only, said
from tests.waiting import until

pytestmark = pytest.mark.skipif(not find_pooler(), reason="PgBouncer is not installed: apt-get install pgbouncer")

TABLE = """
-- chaos:setup
CREATE TABLE t (id int PRIMARY KEY, backend int);
INSERT INTO t VALUES (1, 0), (2, 0);
"""


def test_a_pool_of_one_connection_serves_one_transaction_at_a_time(play: Play) -> None:
    result = play(
        "-- chaos:pooler transaction size 1\n"
        + TABLE
        + """
-- chaos:session a
BEGIN;
UPDATE t SET backend = pg_backend_pid() WHERE id = 1;
-- chaos:signal began
-- chaos:wait blocked b
COMMIT;
-- chaos:session b
-- chaos:wait for began
UPDATE t SET backend = pg_backend_pid() WHERE id = 2;
-- chaos:check
SELECT is(count(DISTINCT backend), 1::bigint, 'one backend') FROM t;
SELECT is((SELECT waited_on FROM chaos.history WHERE session = 'b'), 'a[1]', 'b waited for a');
"""
    )
    assert held(result) == ["one backend", "b waited for a"]


def test_lock_waits_are_seen_through_the_pool(play: Play) -> None:
    result = play(
        "-- chaos:pooler transaction size 2\n-- chaos:schedule a.updates b.updates a.commits\n"
        + TABLE
        + """
-- chaos:session a
-- chaos:step updates
BEGIN;
UPDATE t SET backend = 1 WHERE id = 1;
-- chaos:step commits
COMMIT;
-- chaos:session b
-- chaos:step updates
UPDATE t SET backend = 2 WHERE id = 1;
-- chaos:check
SELECT is(backend, 2, 'b came second') FROM t WHERE id = 1;
"""
    )
    assert held(result) == ["b came second"]
    assert said(result, "b")[0].waited_on == ("a[1]",)


def test_sessions_that_wait_for_the_pool_for_good_fail_at_once(play: Play) -> None:
    result = play(
        """
-- chaos:pooler transaction size 1
-- chaos:session outer
BEGIN;
SELECT 1;
-- chaos:signal begun
-- chaos:wait for inner
COMMIT;
-- chaos:session inner
-- chaos:wait for begun
SELECT chaos.assert(true, 'it runs');
-- chaos:signal inner
""",
        timeout=600,
    )
    failure = only(result)
    assert failure.kind == "wait"
    assert "inner[1] waits for a lock, or a connection of the pool, that outer[1] holds" in failure.text
    assert result.duration < 60


def test_a_session_pool_gives_a_connection_on_when_its_client_has_left(play: Play) -> None:
    result = play(
        "-- chaos:pooler session size 1\n-- chaos:schedule a.sets b.looks a.ends\n"
        + TABLE
        + """
-- chaos:session a
-- chaos:step sets
SET work_mem = '1234kB';
-- chaos:step ends
UPDATE t SET backend = pg_backend_pid() WHERE id = 1;
-- chaos:session b
-- chaos:step looks
SELECT chaos.assert(current_setting('work_mem') <> '1234kB', 'it was reset');
UPDATE t SET backend = pg_backend_pid() WHERE id = 2;
-- chaos:check
SELECT is(count(DISTINCT backend), 1::bigint, 'one backend') FROM t;
"""
    )
    assert sorted(held(result)) == ["it was reset", "one backend"]


def test_a_lock_that_stays_in_the_pool_is_a_leak(play: Play) -> None:
    result = play(
        """
-- chaos:pooler transaction size 1
-- chaos:session a
SELECT pg_advisory_lock(42);
SELECT chaos.assert(true, 'it runs');
"""
    )
    failure = only(result)
    assert (failure.kind, failure.text) == ("leak", "left behind: advisory lock: connection 1 of the pool holds (42)")


def test_statement_pooling_refuses_transactions_as_pgbouncer_does(play: Play) -> None:
    result = play(
        """
-- chaos:pooler statement
-- chaos:session a
-- chaos:expect 08P01
BEGIN;
"""
    )
    assert not result.failures
    assert said(result, "a")[0].sqlstate == "08P01"


def test_a_search_runs_steps_on_different_tables_in_both_orders(play: Play) -> None:
    result = play(
        """
-- chaos:pooler transaction size 1
-- chaos:schedule explore 20
-- chaos:setup
CREATE TABLE one (id int);
CREATE TABLE two (id int);
-- chaos:session a
CREATE TEMPORARY TABLE mine (id int) ON COMMIT DROP;
INSERT INTO one VALUES (1);
-- chaos:session b
SET app.name = 'b';
INSERT INTO two VALUES (1);
-- chaos:check
SELECT is((SELECT count(*) FROM one), 1::bigint, 'a row');
"""
    )
    assert held(result) == ["a row"]
    assert result.explored is not None
    assert result.explored.runs == 6


def test_a_parameter_that_pgbouncer_does_not_know_fails_the_scenario(play: Play) -> None:
    result = play(
        """
-- chaos:pooler transaction
-- chaos:pooler no_such_thing = 1
-- chaos:session a
SELECT chaos.assert(true, 'it runs');
"""
    )
    failure = only(result)
    assert line(failure) == 3
    assert failure.text == "unknown parameter: pgbouncer/no_such_thing: correct or remove this line"


def test_without_pgbouncer_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(pooler, "_FOLDERS", (str(tmp_path),))
    assert pooler.missing_pooler().endswith("install it (apt-get install pgbouncer)")


def test_it_ends_with_the_supervisor_whatever_ends_that() -> None:
    with start_private() as server, running_pooler(server, "postgres", Pooler(Place("", 1), "session"), {}) as running:
        (process,) = [one for one in psutil.Process(server.supervisor).children() if "pgbouncer" in one.name()]
        assert process.uids().real == Path(server.folder, "data").stat().st_uid
        os.kill(server.supervisor, signal.SIGKILL)
        until(lambda: not psutil.pid_exists(process.pid), "the pooler has ended")
        assert running.mode == "session"


def test_another_server_than_a_private_one_is_refused(foreign_server: ForeignServer) -> None:
    with open_server(ServerSettings(dsn=foreign_server.role("pooled", "LOGIN CREATEDB"))) as server:
        assert "puts PgBouncer before a private server" in server.missing(Requirement(Place("", 1), "pooler"))
