"""Asks a server to cancel what runs on a connection, without waiting for it longer than a moment."""

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
"""Seconds to get a cancel request through; a server that has not taken it by then is known as silent."""


async def cancel(pg: pq.abc.PGconn, seconds: float = CANCEL_LIMIT) -> bool:
    """Ask the server to cancel what runs on a connection.

    Args:
        pg: the connection. It is no error when the server cannot be asked.
        seconds: to get the request through.

    Returns:
        False where it did not get through in that time: the server does not answer.
    """
    if pq.version() < 170000:
        # psycopg's binary build brings a newer libpq; ctypes, which this is, lets go of the GIL
        try:
            await in_thread(partial(_cancel_blocking, pg.get_cancel()), "cancel", seconds)
        except TimeoutError:
            return False
        return True
    with contextlib.suppress(OperationalError):
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
    with contextlib.suppress(OperationalError):
        request.cancel()
