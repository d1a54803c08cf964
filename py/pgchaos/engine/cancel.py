"""Asks a server to cancel what runs on a connection, without waiting for it longer than a moment."""

from __future__ import annotations

import contextlib
import select
import time
from functools import partial

from psycopg import pq
from psycopg.errors import OperationalError

from pgchaos.engine.worker import Worker

CANCEL_LIMIT = 3.0
"""To get a cancel request through."""


def cancel(pg: pq.abc.PGconn, seconds: float = CANCEL_LIMIT) -> bool:
    """Ask the server to cancel what runs on a connection.

    Args:
        pg: the connection. It is no error when the server cannot be asked.
        seconds: to get the request through.

    Returns:
        False where it did not get through in that time: the server does not answer.
    """
    if pq.version() < 170000:
        # psycopg's binary build brings a newer libpq; ctypes, which this is, lets go of the GIL
        worker = Worker(partial(_cancel_blocking, pg.get_cancel()), "cancel")
        worker.start()
        if not worker.ends(seconds):
            return False
        worker.check()
        return True
    with contextlib.suppress(OperationalError):
        request = pg.cancel_conn()
        try:
            request.start()
            deadline = time.monotonic() + seconds
            while (state := request.poll()) not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
                poll = select.poll()
                poll.register(request.socket, select.POLLIN if state == pq.PollingStatus.READING else select.POLLOUT)
                if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    return False
        finally:
            request.finish()
    return True


def _cancel_blocking(request: pq.abc.PGcancel) -> None:
    with contextlib.suppress(OperationalError):
        request.cancel()
