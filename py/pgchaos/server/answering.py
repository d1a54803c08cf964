"""Whether a server answers: known in one place, so that one whose processes are stopped delays no run for long."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from socket import SHUT_RDWR

# by itself: pytest-socket may put another class in its place
from socket import socket as Socket
from typing import Any

import psycopg

from pgchaos.server.conninfo import make_conninfo
from pgchaos.server.settings import SILENT, ServerError
from pgchaos.server.threads import start

_UNASKED = 1.0
"""Seconds to wait before it is asked whether the server answers, and from one such question to the next."""
_CONNECT_LIMIT = 2
"""Seconds for a server that answers to take one connection; libpq takes no less."""

_IN_DOUBT = 3.0
"""Seconds for what a server does while one of its backends is stopped: DROP DATABASE waits for all of them."""

ANSWERS_WITHIN = 8
"""Seconds for all hosts of a connection string together, where the user gives no connect_timeout."""
AnyConnection = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]


class NoAnswer(psycopg.OperationalError):
    """The server has not answered in time."""

    def __init__(self, seconds: float = math.inf) -> None:
        limit = f" within {seconds:g} s" if seconds < math.inf else ""
        super().__init__(f"the server has not answered{limit}: its processes may be stopped")


class Answering:
    """Waits for what a server does, as long as it answers. Safe to use from several threads.

    Once the server has not answered, no further wait takes any time, until it is asked anew.

    Args:
        conninfo: how to connect to it.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = make_conninfo(conninfo, connect_timeout=_CONNECT_LIMIT)
        self._lock = threading.Lock()
        self._doubt: threading.Thread | None = None
        self._doubted = False
        self.silent = False
        """The server did not answer when it was asked last."""

    def doubt(self) -> None:
        """Ask in the background: a backend did not answer, and it may be the whole server that does not."""
        self._doubted = True
        self._ask_soon()

    def _ask_soon(self) -> None:
        if self._doubt is None or not self._doubt.is_alive():
            self._doubt = threading.Thread(target=self.ask, name="pgchaos asks", daemon=True)
            with suppress(ServerError):  # no room for a thread: it is found out later
                start(self._doubt)

    @property
    def in_doubt(self) -> bool:
        """Whether the server, or one of its backends, did not answer."""
        return self.silent or self._doubted

    def answers(self) -> bool:
        """Say whether the server answers, as far as is known; a question that was begun is waited for."""
        doubt = self._doubt
        if doubt is not None and doubt.ident is not None:
            doubt.join()
        return not self.silent

    def ask(self) -> bool:
        """Find out whether the server answers: its postmaster, and a new backend.

        Returns:
            Whether it does.
        """
        with self._lock:
            try:
                psycopg.connect(self._conninfo).close()
            except psycopg.errors.ConnectionTimeout:
                self.silent = True
            except psycopg.OperationalError:
                self.silent = False  # a refusal is an answer
            else:
                self.silent = False
        return not self.silent

    def demand(self) -> None:
        """Go on only where the server answers; one that did not is asked once more.

        Raises:
            ServerError: it does not answer.
        """
        if self.silent and not self.ask():
            raise ServerError(SILENT)

    def wait(self, done: Callable[[float], bool], limit: float = math.inf) -> bool:
        """Wait for something that the server does.

        Args:
            done: waits for so many seconds, and says whether it is done.
            limit: seconds to wait where the server answers, and no backend was found that does not.

        Returns:
            Whether it is done.
        """
        end = time.monotonic() + (min(limit, _IN_DOUBT) if self._doubted else limit)
        while not self.silent and end - time.monotonic() > _UNASKED:
            if done(_UNASKED):
                return True
            if self._doubt is not None and self._doubt.is_alive():
                self.answers()  # it is being asked
            else:
                self.ask()
        return done(0.0 if self.silent else max(0.0, end - time.monotonic()))

    def wait_on(self, changed: threading.Condition, seconds: float) -> None:
        """Wait for a change that comes of what the server does, no longer than it takes to ask whether it answers."""
        if not changed.wait(min(seconds, _UNASKED)):
            self._ask_soon()
        if self.silent:
            raise ServerError(SILENT)

    def join(self, thread: threading.Thread, limit: float) -> bool:
        """Wait for the end of a thread that has the server do something.

        Args:
            thread: that was started.
            limit: seconds to wait where the server answers.

        Returns:
            Whether it has ended.
        """

        def done(seconds: float) -> bool:
            thread.join(seconds)
            return not thread.is_alive()

        return self.wait(done, limit)

    def attending(self, conn: AnyConnection) -> AbstractContextManager[None]:
        """Break a connection off where the server answers nobody any more.

        Args:
            conn: that something is done on in the context.

        Returns:
            The context; it raises NoAnswer where the connection was broken off.
        """
        return _attending(conn, self.wait, NoAnswer())


def within(seconds: float, conn: AnyConnection) -> AbstractContextManager[None]:
    """Break a connection off where the server does not answer on it in time.

    Args:
        seconds: for all that is done in the context.
        conn: that it is done on.

    Returns:
        The context; it raises NoAnswer where the connection was broken off.
    """
    return _attending(conn, lambda done: done(seconds), NoAnswer(seconds))


@contextmanager
def _attending(
    conn: AnyConnection, wait: Callable[[Callable[[float], bool]], bool], problem: NoAnswer
) -> Iterator[None]:
    over, late = threading.Event(), threading.Event()
    # a number of its own: it stays this connection's whatever becomes of that
    own = Socket(fileno=os.dup(conn.fileno()))

    def watch() -> None:
        if not wait(over.wait):
            late.set()
            with suppress(OSError):  # the other end has hung up
                own.shutdown(SHUT_RDWR)

    thread = threading.Thread(target=watch, name="pgchaos answers", daemon=True)
    start(thread)
    try:
        yield
    except psycopg.OperationalError as error:
        if late.is_set():
            raise problem from error
        raise
    finally:
        over.set()
        thread.join()
        own.close()
