"""Whether a server answers: one shared state, so that a server whose processes are stopped delays no run for long."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from socket import SHUT_RDWR

# by name: pytest-socket may replace the class in its module
from socket import socket as Socket
from typing import Any

import psycopg

from pgchaos.server.conninfo import make_conninfo
from pgchaos.server.settings import SILENT, ServerError
from pgchaos.server.threads import start

_CHECK_INTERVAL = 1.0  # seconds of waiting before, and between, two checks whether the server answers
_CONNECT_AGAIN_LIMIT = 2  # seconds for a connection to a server that was silent; libpq's minimum
_SILENT_BACKEND_LIMIT = 3.0  # seconds while one backend does not answer: DROP DATABASE waits for all backends
# Seconds for all hosts of a connection string, unless the user sets connect_timeout. A loaded machine needs some of
# them, and is not silent.
ANSWERS_WITHIN = 8

AnyConnection = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time."""

    def __init__(self, seconds: float = math.inf) -> None:
        limit = f" within {seconds:g} s" if seconds < math.inf else ""
        super().__init__(f"the server did not answer{limit}: its processes may be stopped")


class ServerHealth:
    """Limits every wait for a server to the time in which the server answers. Thread-safe.

    After the server did not answer once, further waits end at once until a check succeeds.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = make_conninfo(conninfo, connect_timeout=ANSWERS_WITHIN)
        self._conninfo_if_silent = make_conninfo(conninfo, connect_timeout=_CONNECT_AGAIN_LIMIT)
        self._lock = threading.Lock()
        self._check_thread: threading.Thread | None = None
        self._backend_silent = False
        self.silent = False  # the result of the last check

    def report_silent_backend(self) -> None:
        """Start a check in the background: a backend did not answer, and it may be the whole server."""
        self._backend_silent = True
        self._start_check()

    def _start_check(self) -> None:
        if self._check_thread is None or not self._check_thread.is_alive():
            self._check_thread = threading.Thread(target=self.check, name="pgchaos server check", daemon=True)
            with suppress(ServerError):  # without a thread, a later check finds out
                start(self._check_thread)

    @property
    def any_silent(self) -> bool:
        """Whether the server, or one of its backends, did not answer."""
        return self.silent or self._backend_silent

    def answers(self) -> bool:
        """Return whether the server answered the last check, after waiting for a check that is running."""
        check = self._check_thread
        if check is not None and check.ident is not None:
            check.join()
        return not self.silent

    def check(self) -> bool:
        """Check now by a new connection, which needs the postmaster and a new backend."""
        with self._lock:
            try:
                psycopg.connect(self._conninfo_if_silent if self.silent else self._conninfo).close()
            except psycopg.errors.ConnectionTimeout:
                self.silent = True
            except psycopg.OperationalError:
                self.silent = False  # a refusal is an answer
            else:
                self.silent = False
        return not self.silent

    def require_answer(self) -> None:
        """Raise ServerError if the server does not answer; if the last check failed, check again."""
        if self.silent and not self.check():
            raise ServerError(SILENT)

    def wait(self, done: Callable[[float], bool], limit: float = math.inf) -> bool:
        """Wait for the server to do something, while it answers.

        Args:
            done: waits for the given number of seconds, and returns whether it is done.
            limit: seconds to wait; shorter if a backend did not answer.

        Returns:
            Whether it is done.
        """
        end = time.monotonic() + (min(limit, _SILENT_BACKEND_LIMIT) if self._backend_silent else limit)
        while not self.silent and end - time.monotonic() > _CHECK_INTERVAL:
            if done(_CHECK_INTERVAL):
                return True
            if self._check_thread is not None and self._check_thread.is_alive():
                self.answers()
            else:
                self.check()
        return done(0.0 if self.silent else max(0.0, end - time.monotonic()))

    def wait_on(self, changed: threading.Condition, seconds: float) -> None:
        """Wait for a notification that depends on the server, at most until the next check.

        Raises:
            ServerError: the server does not answer.
        """
        if not changed.wait(min(seconds, _CHECK_INTERVAL)):
            self._start_check()
        if self.silent:
            raise ServerError(SILENT)

    def join(self, thread: threading.Thread, limit: float) -> bool:
        """Wait for the end of a thread that uses the server; return whether it ended within `limit` seconds."""

        def done(seconds: float) -> bool:
            thread.join(seconds)
            return not thread.is_alive()

        return self.wait(done, limit)

    def shutdown_if_silent(self, conn: AnyConnection) -> AbstractContextManager[None]:
        """Shut a connection down as soon as the server stops answering; then the context raises NoAnswer."""
        return _shut_down_unless(self.wait, conn, NoAnswer())


def within(seconds: float, conn: AnyConnection) -> AbstractContextManager[None]:
    """Shut a connection down if the context takes longer than `seconds`; then the context raises NoAnswer."""
    return _shut_down_unless(lambda done: done(seconds), conn, NoAnswer(seconds))


@contextmanager
def _shut_down_unless(
    wait: Callable[[Callable[[float], bool]], bool], conn: AnyConnection, problem: NoAnswer
) -> Iterator[None]:
    finished, expired = threading.Event(), threading.Event()
    # a duplicate: the connection's descriptor may be closed, and reused for another file, at any time
    duplicate = Socket(fileno=os.dup(conn.fileno()))

    def watch() -> None:
        if not wait(finished.wait):
            expired.set()
            with suppress(OSError):  # the server has closed the connection
                duplicate.shutdown(SHUT_RDWR)

    thread = threading.Thread(target=watch, name="pgchaos answer limit", daemon=True)
    start(thread)
    try:
        yield
    except psycopg.OperationalError as error:
        if expired.is_set():
            raise problem from error
        raise
    finally:
        finished.set()
        thread.join()
        duplicate.close()
