"""Opens a connection on libpq, with a way out of every wait; and what a refusal means."""

from __future__ import annotations

import select
import time

from psycopg import pq

from pgchaos.engine.answer import NOT_CONNECTED, ServerError
from pgchaos.engine.stop import Stop

CANNOT_CONNECT_NOW = "57P03"
"""The server starts, recovers or shuts down."""
TOO_MANY_CONNECTIONS = "53300"
"""The server has no slot left for one more."""


class LinkError(Exception):
    """No connection: `error` says why, with SQLSTATE 08001 or the server's own."""

    def __init__(self, error: ServerError) -> None:
        super().__init__(error.message)
        self.error = error


def connected(conninfo: str, stop: Stop, seconds: float) -> pq.abc.PGconn:
    """Open a connection.

    Args:
        conninfo: libpq's connection string.
        stop: ends the wait.
        seconds: to connect in.

    Returns:
        The connection, blocking still.

    Raises:
        LinkError: the server could not be reached or refused.
    """
    pg = pq.PGconn.connect_start(conninfo.encode())
    try:
        _connect(pg, stop, time.monotonic() + seconds)
    except BaseException:  # a stop and Ctrl-C too: no connection is left half made
        pg.finish()
        raise
    return pg


def _connect(pg: pq.abc.PGconn, stop: Stop, deadline: float) -> None:
    while True:
        if pg.status == pq.ConnStatus.BAD:
            raise LinkError(ServerError(*_why_not(pg)))
        state = pg.connect_poll()
        if state == pq.PollingStatus.OK:
            return
        if state == pq.PollingStatus.FAILED:
            raise LinkError(ServerError(*_why_not(pg)))
        # libpq may open another socket between two polls (several hosts): register anew each time
        poll = select.poll()
        poll.register(pg.socket, select.POLLIN if state == pq.PollingStatus.READING else select.POLLOUT)
        poll.register(stop.fileno(), select.POLLIN)
        left = deadline - time.monotonic()
        ready = poll.poll(left * 1000) if left > 0 else []
        if not ready or stop.is_set():
            why = "the run was stopped" if ready else "connection timed out"
            raise LinkError(ServerError(NOT_CONNECTED, why, said=False))


def recovers(error: ServerError) -> bool:
    """Say whether a refusal is that of a server that recovers from a crash, or is about to."""
    # a postmaster that has not noticed the crash takes a connection and breaks it a moment later
    return error.sqlstate == CANNOT_CONNECT_NOW or "server closed the connection unexpectedly" in error.message


def _why_not(pg: pq.abc.PGconn) -> tuple[str, str]:
    """Tell SQLSTATE and message of a refusal: libpq gives no SQLSTATE, so match the message (lc_messages=C)."""
    message = pg.get_error_message().strip()
    for part, state in _REFUSALS.items():
        if part in message:
            return state, message
    return NOT_CONNECTED, message


_REFUSALS = {
    "sorry, too many clients already": TOO_MANY_CONNECTIONS,
    "remaining connection slots are reserved": TOO_MANY_CONNECTIONS,
    "too many connections for": TOO_MANY_CONNECTIONS,
    "the database system is starting up": "57P03",
    "the database system is shutting down": "57P03",
    "the database system is in recovery mode": "57P03",
    "the database system is not yet accepting connections": "57P03",
    "the database system is not accepting connections": "57P03",
    "is not permitted to log in": "28000",
    "password authentication failed": "28P01",
    "no pg_hba.conf entry": "28000",
}
"""Refusals by postmaster.c, postinit.c and auth.c, and their SQLSTATEs."""
