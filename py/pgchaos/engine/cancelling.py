"""Asks a server to cancel what runs on a connection, without waiting for it longer than a moment."""

from __future__ import annotations

import contextlib
import select
import time

from psycopg import pq
from psycopg.errors import OperationalError

CANCEL_LIMIT = 3.0
"""To get a cancel request through."""


def cancel(pg: pq.abc.PGconn, seconds: float = CANCEL_LIMIT) -> None:
    """Ask the server to cancel what runs on a connection.

    Args:
        pg: the connection. It is no error when the server cannot be asked.
        seconds: to get the request through.
    """
    with contextlib.suppress(OperationalError):
        if pq.version() < 170000:
            # psycopg's binary build brings a newer libpq; ctypes, which this is, lets go of the GIL
            pg.get_cancel().cancel()
            return
        request = pg.cancel_conn()
        try:
            request.start()
            deadline = time.monotonic() + seconds
            while (state := request.poll()) not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
                poll = select.poll()
                poll.register(request.socket, select.POLLIN if state == pq.PollingStatus.READING else select.POLLOUT)
                if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    return
        finally:
            request.finish()
