"""Turns on a server that other runs may use too: who must be alone there waits for the others, and they for him.

Runs that name the same database meet, such as the workers of pytest-xdist; those of one process keep apart by slots.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.loop import alone
from pgchaos.server.answering import Answering
from pgchaos.server.conninfo import PATIENT, with_settings
from pgchaos.stop import Stop

KEY = "1885823848, 0"
"""Of the advisory lock: `pgch` in ASCII, and nothing."""
_ATTEMPTS = 5
"""Connections that may be lost while a turn is waited for."""
_SOON = 2.0
"""Seconds for what a server answers at once, where it answers at all."""
_REACH = 5.0
"""Seconds to connect in, and to answer the first question; without that there is no turn, and the run says why."""


class ServerLock:
    """The turns of one process: an advisory lock, on a connection of their own, shared but by who must be alone.

    A crash of the server takes every lock with it: who has a turn then is not alone any more.

    Args:
        conninfo: of the database in which runs meet.
        answering: of its server.
    """

    def __init__(self, conninfo: str, answering: Answering) -> None:
        self._answering = answering
        # a turn may be long in coming, and is had for long
        self._conninfo = with_settings(conninfo, PATIENT)
        self._stop = Stop()
        self._door = threading.Lock()
        self._link: Connection | None = None
        self._inside = 0

    @contextmanager
    def take(self, *, alone: bool) -> Iterator[None]:
        """Wait for a turn, and have it for as long as the context lasts.

        Args:
            alone: nobody else shall have one; nobody else of this process has.
        """
        with self._door:
            # who is inside holds the lock for all of this process, and needs the door to leave
            if not self._inside:
                self._wait("" if alone else "_shared")
            self._inside += 1
        try:
            yield
        finally:
            with self._door:
                self._inside -= 1
                if not self._inside:
                    # a connection that does not answer is ended, and the turn with it
                    self._ask("SELECT pg_catalog.pg_advisory_unlock_all()", _SOON)

    def _wait(self, kind: str) -> None:
        """Ask for a turn; once more where the connection is lost meanwhile, by a crash of the server say."""
        # who waits for others may wait for long: first it is seen that the server answers
        if self._ask(f"SELECT pg_catalog.pg_try_advisory_lock{kind}({KEY})", _REACH):
            return
        for _ in range(_ATTEMPTS):
            if self._ask(f"SELECT pg_catalog.pg_advisory_lock{kind}({KEY})"):
                return

    def _ask(self, query: str, seconds: float = math.inf) -> bool:
        """Ask, and say whether no more is to be done: the answer was not false, or the server does not answer in time.

        Without a server there are no turns: what is the matter the run itself will be told.
        """
        if self._stop.is_set() or not self._answering.answers():
            return True
        try:
            if self._link is None or not self._link.alive:
                self._shut()
                self._link = alone(Connection.open(self._conninfo, self._stop, seconds=_REACH))
        except ConnectionLost:
            return True
        self._link.impatient = seconds < math.inf
        answer = self._link.ask(query, deadline=time.monotonic() + seconds)
        if answer.interrupted:
            return True
        if answer.error is not None:
            return not answer.error.lost
        return all(row != ("f",) for result in answer.results for row in result.rows())

    def _shut(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def stop(self) -> None:
        """Have nobody wait any more."""
        self._stop.set()

    def close(self) -> None:
        """End the connection, and with it the turn."""
        self._stop.set()
        self._shut()
        self._stop.close()
