"""Says on the databases of a run, every few minutes, that the run lives: other hosts cannot look at its process."""

from __future__ import annotations

import threading
from contextlib import suppress

import psycopg

from pgchaos.server import threads
from pgchaos.server.answering import Answering
from pgchaos.server.database_factory import DatabaseFactory
from pgchaos.server.settings import ServerError

EVERY = 300.0
"""Seconds from one renewal to the next; `runs.LEASE` is many times that."""
_AGAIN = 60.0
"""Seconds until it is tried again where the server did not answer."""


class Lease:
    """Renews the records of a run. It is connected only while it does so, and connects anew each time.

    Args:
        maker: of the run's databases, used by nobody else.
        every: seconds from one renewal to the next.
    """

    def __init__(self, maker: DatabaseFactory, every: float = EVERY) -> None:
        self._maker, self._every = maker, every
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._error = ""
        self._thread = threading.Thread(target=self._work, name="pgchaos lease", daemon=True)

    def begin(self) -> None:
        """Begin; more than once does no harm.

        Raises:
            ServerError: an error of ours ended it, or the system has no room for its thread.
        """
        with self._lock:
            if self._error:
                raise ServerError(self._error)
            if self._thread.ident is None and not self._over.is_set():
                threads.start(self._thread)

    def end(self, answering: Answering, limit: float = 5.0) -> None:
        """End; more than once does no harm.

        Args:
            answering: of the server.
            limit: seconds to wait for a renewal that is under way, as long as the server answers.
        """
        self._over.set()
        if self._thread.is_alive():
            answering.join(self._thread, limit)

    def _work(self) -> None:
        try:
            self._renew_again_and_again()
        except Exception as error:  # a bug of ours: told to who makes the next database
            self._error = "\n".join(("internal error of pgchaos in the lease:", *threads.traceback_lines(error)))
            raise

    def _renew_again_and_again(self) -> None:
        pause = self._every
        while not self._over.wait(pause):
            pause = min(_AGAIN, self._every)
            with suppress(psycopg.Error):
                self._maker.renew()
                pause = self._every
            self._maker.close()
