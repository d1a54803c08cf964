"""Sends a cancel request for a connection, within a limit of time."""

from __future__ import annotations

import contextlib
import select
import time
from functools import partial

from psycopg import pq
from psycopg.errors import OperationalError

from pgchaos.engine.blocking import in_thread
from pgchaos.engine.waits import LATE, Wait

CANCEL_LIMIT = 3.0
"""Seconds to deliver a cancel request; a server that has not accepted it by then counts as silent."""


async def cancel(pg: pq.abc.PGconn, seconds: float = CANCEL_LIMIT) -> bool:
    """Send a cancel request for a connection. Errors of it are ignored.

    Args:
        pg: the connection.
        seconds: to deliver the request.

    Returns:
        False if it was not delivered in time: the server does not answer.
    """
    if pq.version() < 170000:
        # psycopg's binary build has a newer libpq; this is its ctypes build, which releases the GIL
        try:
            await in_thread(partial(_cancel_blocking, pg.get_cancel()), "cancel", seconds)
        except TimeoutError:
            return False
        return True
    with contextlib.suppress(OperationalError):  # the statement, or the server, has ended
        request = pg.cancel_conn()
        try:
            request.start()
            deadline = time.monotonic() + seconds
            while (state := request.poll()) not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
                events = select.POLLIN if state == pq.PollingStatus.READING else select.POLLOUT
                if await Wait(request.socket, events, deadline) is LATE:
                    return False
        finally:
            request.finish()
    return True


def _cancel_blocking(request: pq.abc.PGcancel) -> None:
    with contextlib.suppress(OperationalError):  # the statement, or the server, has ended
        request.cancel()
