"""Waits for a free connection slot of the server."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from pgchaos.server.conninfo import Connection

TOO_MANY_CONNECTIONS = "53300"
SLOT_LIMIT = 2.0
"""Seconds to wait for a free slot: for the backends of closed connections to end."""
SLOT_INTERVAL = 0.01
"""Seconds between attempts; polled, because the server does not report a free slot."""
# of postmaster.c and postinit.c: psycopg's error has no SQLSTATE before it is connected
_NO_SLOT = re.compile("too many (clients|connections)|connection slots are reserved")


def connect_with_free_slot(connect: Callable[[], Connection], close_unused: Callable[[], None]) -> Connection:
    """Connect; while the server has no free slot, close unused connections and try again.

    Raises:
        psycopg.Error: the server refused the connection, or had no free slot within SLOT_LIMIT.
    """
    attempts = Retrying(
        retry=retry_if_exception(_has_no_slot),
        stop=stop_after_delay(SLOT_LIMIT),
        wait=wait_fixed(SLOT_INTERVAL),
        before_sleep=lambda _: close_unused(),
        reraise=True,
    )
    return attempts(connect)


def _has_no_slot(error: BaseException) -> bool:
    return isinstance(error, psycopg.OperationalError) and _NO_SLOT.search(str(error)) is not None
