"""A scenario that needs the server for itself begins when all earlier ones have ended completely."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial

import psycopg

from pgchaos.server import Server, ServerSettings, open_server
from tests.engine.playing import Play, held
from tests.waiting import until

LINGERS = """
-- chaos:alone
-- chaos:session s
SELECT chaos.assert(count(*) = 0, 'nobody lingers') FROM pg_stat_activity WHERE application_name = 'lingers';
"""
RESTS = """
-- chaos:alone
-- chaos:session s
SELECT chaos.assert(count(*) = 0, 'all is at rest')
  FROM pg_stat_activity WHERE application_name LIKE 'pgchaos %' AND state = 'active';
"""
PLAIN = """
-- chaos:sandbox schema
-- chaos:session s
CREATE TABLE t (id int);
-- chaos:check
SELECT pass('checked');
"""


def is_waited_for(server: Server) -> bool:
    """Say whether a run has looked who else is there."""
    with server.connect() as conn:
        query = (
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'admin' AND query LIKE '%pg_stat_get_activity%'"
        )
        return conn.execute(query).fetchone() is not None


def test_a_backend_that_outlives_its_connection_is_waited_for(play_own: Play) -> None:
    server = play_own.server

    def go_on() -> None:
        try:
            until(partial(is_waited_for, server), "the run waits for it")
        finally:
            os.kill(pid, signal.SIGCONT)

    with server.sandbox() as before:
        conn = psycopg.connect(before.conninfo, application_name="lingers")
        pid = conn.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        conn.close()
        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            result = play_own(LINGERS)
        finally:
            thread.join(30)
    assert held(result) == ["nobody lingers"]


def test_databases_and_schemas_neither_come_nor_go(play_own: Play) -> None:
    with open_server(ServerSettings(clones=5)) as server:
        play = Play(server, play_own.folder)
        assert held(play(RESTS)) == ["all is at rest"]
        for _ in range(3):
            assert held(play(PLAIN)) == ["checked"]
            assert held(play(RESTS)) == ["all is at rest"]
