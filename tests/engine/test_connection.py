"""What a connection says of its own end."""

from __future__ import annotations

from contextlib import closing

from pgchaos.engine.connection import Connection
from pgchaos.engine.loop import alone
from pgchaos.server import Server
from pgchaos.stop import Stop


def test_who_is_terminated_while_idle_learns_why_even_if_it_was_read_before(server: Server) -> None:
    stop = Stop()
    with server.sandbox() as sandbox, closing(alone(Connection.open(sandbox.conninfo, stop))) as connection:
        with server.connect() as conn:
            conn.execute("SELECT pg_terminate_backend(%s, 60000)", [connection.pid])
        # no query runs: libpq takes the server's last words for a notice
        assert connection.notifications() == []
        error = connection.ask("SELECT 1").error
        assert error is not None
        assert (error.sqlstate, error.lost, error.said) == ("57P01", True, True)
    stop.close()
