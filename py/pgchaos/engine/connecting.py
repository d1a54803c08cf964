"""Opens a connection on libpq, with a way out of every wait; and what a refusal means."""

from __future__ import annotations

import errno
import os
import resource
import select
import time
from socket import MSG_DONTWAIT, MSG_PEEK

# by itself: pytest-socket may put another class in its place
from socket import socket as Socket

from psycopg import pq

from pgchaos.engine.answer import NOT_CONNECTED, ServerError
from pgchaos.engine.states import state_of, telling_states
from pgchaos.engine.stop import Stop

CANNOT_CONNECT_NOW = "57P03"
"""The server starts, recovers or shuts down."""
TOO_MANY_CONNECTIONS = "53300"
"""The server has no slot left for one more."""


STOPPED = ServerError(NOT_CONNECTED, "the run was stopped", said=False)
TIMED_OUT = ServerError(NOT_CONNECTED, "connection timed out: the server does not answer", said=False)


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
        with telling_states(pg):
            _connect(pg, stop, time.monotonic() + seconds)
    except BaseException:  # a stop and Ctrl-C too: no connection is left half made
        pg.finish()
        raise
    return pg


def _connect(pg: pq.abc.PGconn, stop: Stop, deadline: float) -> None:
    broken = False
    while True:
        if pg.status == pq.ConnStatus.BAD:
            raise LinkError(_refusal(pg, stop, broken=broken))
        state = pg.connect_poll()
        if state == pq.PollingStatus.OK:
            return
        if state == pq.PollingStatus.FAILED:
            raise LinkError(_refusal(pg, stop, broken=broken))
        # libpq may open another socket between two polls (several hosts): register anew each time
        poll = select.poll()
        poll.register(pg.socket, select.POLLIN if state == pq.PollingStatus.READING else select.POLLOUT)
        poll.register(stop.fileno(), select.POLLIN)
        left = deadline - time.monotonic()
        ready = poll.poll(left * 1000) if left > 0 else []
        if not ready or stop.is_set():
            raise LinkError(STOPPED if stop.is_set() else TIMED_OUT)
        broken = state == pq.PollingStatus.READING and _has_ended(pg.socket)


def _has_ended(descriptor: int) -> bool:
    """Say whether the server ended a connection and nothing that it said is left to be read."""
    peer = Socket(fileno=descriptor)
    try:
        return not peer.recv(1, MSG_DONTWAIT | MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:  # reset
        return True
    finally:
        peer.detach()  # it is libpq's


def recovers(error: ServerError) -> bool:
    """Say whether a refusal is that of a server that recovers from a crash, or is about to."""
    # a postmaster that has not noticed the crash takes a connection and breaks it a moment later
    return error.sqlstate == CANNOT_CONNECT_NOW or error.broken


def _refusal(pg: pq.abc.PGconn, stop: Stop, *, broken: bool) -> ServerError:
    """Tell why there is no connection."""
    state, message = state_of(pg.get_error_message().strip())
    if state is None:
        lack = _lack_of_descriptors(stop)
        return ServerError(NOT_CONNECTED, lack or message, (message,) if lack else (), broken=broken)
    return ServerError(state, message)


def _lack_of_descriptors(stop: Stop) -> str:
    """Say so where no file can be opened any more."""
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
