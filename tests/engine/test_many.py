"""Many sessions, connections that are refused, and what many runs leave in this process."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.server import Server, ServerSettings, open_server
from tests.conftest import ForeignServer
from tests.engine.playing import CHECKED, Play, held, only
from tests.waiting import until


def test_a_hundred_sessions_at_once(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        CREATE TABLE t (worker int);
        -- chaos:session s x 100
        BEGIN;
        INSERT INTO t VALUES (:worker);
        -- chaos:barrier all
        COMMIT;
        -- chaos:check
        SELECT is(count(DISTINCT worker), 100::bigint, 'all of them') FROM t;
        """
    )
    assert held(result) == ["all of them"]


def has_room(server: Server) -> bool:
    try:
        with server.connect() as conn:
            query = "SELECT FROM pg_stat_activity WHERE application_name LIKE 's[%'"
            return conn.execute(query).fetchone() is None
    except psycopg.OperationalError:
        return False


def test_more_sessions_than_the_server_takes(play: Play) -> None:
    result = play("-- chaos:session s x 250\nSELECT 1;\n" + CHECKED)
    failure = only(result)
    assert failure.text.startswith("the sessions have 250 connections, and the server takes 200 at most")
    assert str(failure.place).endswith(":1")
    assert (result.records, result.output) == ([], [])


def test_more_sessions_than_a_server_of_its_own_takes(play: Play) -> None:
    head = "-- chaos:sandbox server\n-- chaos:server max_connections = 50\n"
    result = play(f"{head}-- chaos:session s x 51\nSELECT 1;\n{CHECKED}")
    assert "the sessions have 51 connections, and the server takes 50 at most" in only(result).text


def test_more_sessions_than_there_is_room_for(play: Play) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(play.server.connect())
        failure = only(play("-- chaos:session s x 195\nSELECT 1;\n" + CHECKED))
    assert failure.names == ("53300", "too_many_connections")
    assert "too many clients already" in failure.text
    assert failure.place is not None
    # the server is the other tests' too: their connections need the room that backends still take which are ending
    until(lambda: has_room(play.server), "the sessions' backends have ended")


def test_a_role_that_may_not_connect_so_often(server: Server, tmp_path: Path) -> None:
    with server.connect() as conn:
        conn.execute("CREATE ROLE limited LOGIN CREATEDB CONNECTION LIMIT 20")
    try:
        dsn = make_conninfo(server.conninfo(), user="limited", options="")
        with open_server(ServerSettings(dsn=dsn, clones=1)) as limited:
            result = Play(limited, tmp_path)("-- chaos:session s x 40\nSELECT 1;\n" + CHECKED)
        assert only(result).names == ("53300", "too_many_connections")
        assert "too many connections for role" in only(result).text
    finally:
        with server.connect() as conn:
            conn.execute("DROP ROLE limited")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # a Path for each would be opened and closed too


RUNS = {
    "ends": "SELECT 1;",
    "fails": "SELECT 1/0;",
    "waits in vain": "-- chaos:barrier met",
    "is cancelled": "\\if :first\nSELECT 1/0;\n\\endif\nSELECT pg_sleep(100);",
    "loses its connection": ("-- chaos:allow 57P01\nSELECT pg_terminate_backend(pg_backend_pid());\nSELECT 1;"),
}


@pytest.mark.parametrize("what", RUNS.values(), ids=RUNS.keys())
def test_runs_leave_no_thread_and_no_descriptor(play: Play, what: str) -> None:
    text = f"""
-- chaos:session s x 3
SELECT :worker = 1 AS first \\gset
{what}
-- chaos:session other
SELECT 1;
\\quit
{what if "barrier" in what else ""}
-- chaos:invariant
SELECT true;
{CHECKED}"""
    play(text)
    threads, before = threading.active_count(), descriptors()
    for _ in range(10):
        play(text)
    # one that has done its work may still be ending, and databases are made in the background
    until(lambda: threading.active_count() <= threads, "no thread is left")
    until(lambda: descriptors() <= before, "no descriptor is left")


@contextmanager
def room_for(more: int) -> Iterator[None]:
    """Let this process open so many files more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + more, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


_MEET = "-- chaos:session s x 60\nSELECT 1;\n-- chaos:barrier all\nSELECT 2;\n" + CHECKED
_OF_THE_RUN = 20
"""Descriptors that a run takes beside its sessions: its stops, who watches, and who makes databases."""


def test_a_session_takes_one_descriptor(play: Play) -> None:
    with room_for(60 + _OF_THE_RUN):
        assert held(play(_MEET)) == ["checked"]


def test_too_few_descriptors_are_reported(play: Play) -> None:
    with room_for(40):
        failure = only(play(_MEET))
    assert "file descriptors of this process are in use" in failure.text
    assert "ulimit -n" in failure.text
    assert held(play(_MEET)) == ["checked"]


def test_a_role_whose_connections_are_limited_is_told_how_many_it_needs(
    foreign_server: ForeignServer, tmp_path: Path
) -> None:
    dsn = foreign_server.role("few", "LOGIN CREATEDB CONNECTION LIMIT 4")
    with open_server(ServerSettings(dsn=dsn)) as server:
        result = Play(server, tmp_path)(
            f"-- chaos:session s x 3\nSELECT 1;\n-- chaos:barrier all\nSELECT 2;\n{CHECKED}"
        )
    needs = 'it takes up to 11 connections, 3 of its sessions and 8 of pgchaos: ALTER ROLE "few" CONNECTION LIMIT 11'
    assert [needs in failure.details for failure in result.failures].count(True) == 1
