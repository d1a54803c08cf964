"""How a connection reports its own end."""

from __future__ import annotations

import time
from contextlib import closing

from pgchaos.engine.connection import Connection
from pgchaos.engine.loop import run_sync
from pgchaos.server import Server
from pgchaos.stop import Stop


def test_who_is_terminated_while_idle_learns_why_even_if_it_was_read_before(server: Server) -> None:
    stop = Stop()
    with server.sandbox() as sandbox, closing(run_sync(Connection.open(sandbox.conninfo, stop))) as connection:
        with server.connect() as conn:
            conn.execute("SELECT pg_terminate_backend(%s, 60000)", [connection.pid])
        # no query runs: libpq takes the server's last words for a notice
        assert connection.notifications() == []
        error = connection.ask("SELECT 1").error
        assert error is not None
        assert (error.sqlstate, error.lost, error.from_server) == ("57P01", True, True)
    stop.close()


def test_what_is_late_in_the_next_run_is_cancelled_whatever_the_connection_was_for_before(server: Server) -> None:
    stop = Stop()
    with server.sandbox() as sandbox, closing(run_sync(Connection.open(sandbox.conninfo, stop))) as connection:
        # as that of the looks, which is broken off
        connection.ends_when_late = True
        connection.ignore_stop()
        connection.attach(stop, None)
        error = connection.ask("SELECT pg_sleep(60)", deadline=time.monotonic() + 0.05).error
        assert error is not None
        assert (error.sqlstate, connection.silent) == ("57014", False)
        assert connection.ask("SELECT 1").error is None
    stop.close()
