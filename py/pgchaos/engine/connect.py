"""Opens a connection with libpq, where a stop ends every wait, and explains refusals."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import resource
import select
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from socket import MSG_DONTWAIT, MSG_PEEK
from socket import socket as Socket  # bound here: pytest-socket may replace socket.socket
from typing import TypeVar

from psycopg import pq

from pgchaos.engine.answer import NOT_CONNECTED, ServerError
from pgchaos.engine.blocking import in_thread
from pgchaos.engine.waits import READY, Wait, sleep
from pgchaos.server.free_slot import SLOT_INTERVAL, SLOT_LIMIT, TOO_MANY_CONNECTIONS
from pgchaos.stop import Stop

T = TypeVar("T")

_DEFAULT, _VERBOSE = 1, 2
_STATED = re.compile(r"(?<=:  )([0-9A-Z]{5}): ")
"""The SQLSTATE between severity and message (pqBuildErrorMessage3 in fe-protocol3.c)."""
_LOCATION = re.compile(r"\n[^\n]*:  [^\n]*\.c:\d+$", re.MULTILINE)
"""The line that names the server's source; its label is in the server's language."""


@contextmanager
def sqlstates_in_messages(pg: pq.abc.PGconn) -> Iterator[None]:
    """Include SQLSTATEs in the messages of a connection while it is being made."""
    set_verbosity = _verbosity()
    if set_verbosity is None:
        yield
        return
    pointer: int | None = pg.pgconn_ptr  # type: ignore[attr-defined]  # of both builds, though not of the protocol
    set_verbosity(pointer, _VERBOSE)
    yield
    set_verbosity(pointer, _DEFAULT)


def split_sqlstate(message: str) -> tuple[str | None, str]:
    """Split a message into its SQLSTATE, None if unknown, and the rest."""
    found = _STATED.findall(message)
    if found:
        return found[-1], _LOCATION.sub("", _STATED.sub("", message))
    english = next((state for part, state in _REFUSALS.items() if part in message), None)
    return english, message


@lru_cache(maxsize=1)
def _verbosity() -> Callable[[int | None, int], int] | None:
    """Find PQsetErrorVerbosity of the libpq that psycopg uses; None if the build hides it."""
    module = sys.modules[pq.PGconn.__module__]
    try:
        library = getattr(module, "pq", None) if pq.__impl__ == "python" else ctypes.CDLL(module.__file__)
        assert library is not None
        function: Callable[[int | None, int], int] = library.PQsetErrorVerbosity
        function.argtypes = [ctypes.c_void_p, ctypes.c_int]  # type: ignore[attr-defined]  # of ctypes' own kind
    except (OSError, AttributeError, AssertionError, TypeError):  # a build that hides it
        return None
    return function


_REFUSALS = {
    "sorry, too many clients already": "53300",
    "remaining connection slots are reserved": "53300",
    "too many connections for": "53300",
    "the database system is starting up": "57P03",
    "the database system is shutting down": "57P03",
    "the database system is in recovery mode": "57P03",
    "the database system is not yet accepting connections": "57P03",
    "the database system is not accepting connections": "57P03",
    "is not permitted to log in": "28000",
    "password authentication failed": "28P01",
    "no pg_hba.conf entry": "28000",
}
"""Refusals of postmaster.c, postinit.c and auth.c, for messages without an SQLSTATE; only English ones."""


CANNOT_CONNECT_NOW = "57P03"
"""The server starts up, recovers or shuts down."""


STOPPED = ServerError(NOT_CONNECTED, "the run was stopped", from_server=False)
TIMED_OUT = ServerError(NOT_CONNECTED, "connection timed out: the server does not answer", from_server=False)


class ConnectionLost(Exception):
    """There is no connection; `error` has the reason, with SQLSTATE 08001 or the server's own."""

    def __init__(self, error: ServerError) -> None:
        super().__init__(error.message)
        self.error = error


async def with_free_slot(
    connect: Callable[[], Awaitable[T]], close_unused: Callable[[], None], stop: Stop, seconds: float | None = None
) -> T:
    """Connect; while the server has no free connection slot, close unused connections and try again.

    Args:
        connect: makes one attempt.
        close_unused: closes cached connections.
        stop: ends the wait.
        seconds: to wait for a free slot; None: as long as ending backends take.

    Raises:
        ConnectionLost: the server could not be reached or refused.
    """
    until = time.monotonic() + (SLOT_LIMIT if seconds is None else seconds)
    while True:
        try:
            return await connect()
        except ConnectionLost as refused:  # noqa: PERF203  # a retry after the refusal
            if refused.error.sqlstate != TOO_MANY_CONNECTIONS or time.monotonic() > until:
                raise
            await in_thread(close_unused, "close unused")
            if await sleep(SLOT_INTERVAL, stop):
                raise


async def open_pgconn(conninfo: str, stop: Stop, seconds: float) -> pq.abc.PGconn:
    """Open a connection.

    Args:
        conninfo: libpq's connection string.
        stop: ends the wait.
        seconds: to connect within.

    Returns:
        The connection, still in blocking mode.

    Raises:
        ConnectionLost: the server could not be reached or refused.
    """
    pg = pq.PGconn.connect_start(conninfo.encode())
    try:
        with sqlstates_in_messages(pg):
            await _connect(pg, stop, time.monotonic() + seconds)
    except BaseException:  # a stop and Ctrl-C too: do not leave a half-open connection
        pg.finish()
        raise
    return pg


async def _connect(pg: pq.abc.PGconn, stop: Stop, deadline: float) -> None:
    broken = False
    while True:
        if pg.status == pq.ConnStatus.BAD:
            raise ConnectionLost(_refusal(pg, stop, broken=broken))
        state = pg.connect_poll()
        if state == pq.PollingStatus.OK:
            return
        if state == pq.PollingStatus.FAILED:
            raise ConnectionLost(_refusal(pg, stop, broken=broken))
        # with several hosts libpq may open another socket between two polls
        events = select.POLLIN if state == pq.PollingStatus.READING else select.POLLOUT
        why = await Wait(pg.socket, events, deadline, stop)
        if why is not READY or stop.is_set():
            raise ConnectionLost(STOPPED if stop.is_set() else TIMED_OUT)
        broken = state == pq.PollingStatus.READING and _has_ended(pg.socket)


def _has_ended(descriptor: int) -> bool:
    """Whether the server has closed a connection and no data is left to read."""
    peer = Socket(fileno=descriptor)
    try:
        return not peer.recv(1, MSG_DONTWAIT | MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:  # reset
        return True
    finally:
        peer.detach()  # the descriptor belongs to libpq


def is_recovering(error: ServerError) -> bool:
    """Whether a server refuses because it recovers from a crash, or is about to."""
    # a postmaster that has not noticed the crash accepts a connection and closes it a moment later
    return error.sqlstate == CANNOT_CONNECT_NOW or error.broken


def _refusal(pg: pq.abc.PGconn, stop: Stop, *, broken: bool) -> ServerError:
    """Return why there is no connection."""
    state, message = split_sqlstate(pg.get_error_message().strip())
    if state is None:
        lack = _lack_of_descriptors(stop)
        return ServerError(NOT_CONNECTED, lack or message, (message,) if lack else (), broken=broken)
    return ServerError(state, message)


def _lack_of_descriptors(stop: Stop) -> str:
    """Return an error text if no descriptor can be opened; otherwise ''."""
    try:
        os.close(os.dup(stop.fileno()))
    except OSError as error:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if error.errno == errno.EMFILE:
            return (
                f"all {limit} file descriptors of this process are in use, of which each session takes one: "
                "raise the limit (ulimit -n), or run less at once (--chaos-jobs, sessions `x N`)"
            )
        return error.strerror or str(error)
    return ""
