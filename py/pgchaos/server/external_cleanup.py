"""What protects a server that is not ours: a supervisor that cleans up, and a lease that says that the run lives."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

import psycopg

from pgchaos.server import threads
from pgchaos.server.answering import Answering
from pgchaos.server.database_factory import DatabaseFactory
from pgchaos.server.run_id import RunId
from pgchaos.server.settings import ServerError
from pgchaos.server.supervisor_client import SupervisorClient

_CLEANS_WITHIN = 2.0
"""Seconds in which it does so where nothing is the matter; what takes longer, nobody waits for."""


class ExternalCleanup:
    """A supervisor that knows the run; there is none before it is needed. Safe to use from several threads.

    Args:
        conninfo: how to connect to the server.
        run: whose databases, schemas and extensions go.
    """

    def __init__(self, conninfo: str, run: RunId) -> None:
        self._conninfo = conninfo
        self._run = run
        self._lock = threading.Lock()
        self._watch: SupervisorClient | None = None

    def begin(self) -> None:
        """Begin; more than once does no harm.

        Raises:
            ServerError: the process cannot be started.
        """
        with self._lock:
            if self._watch is None:
                watch = SupervisorClient(connecting=True)
                try:
                    watch.ask("watch", conninfo=self._conninfo, run=self._run.id, path=sys.path)
                except BaseException:  # Ctrl-C too: it is not left behind
                    watch.close()
                    raise
                self._watch = watch

    def end(self, answering: Answering, *, clean: bool) -> bool:
        """End it, if it was begun.

        Args:
            answering: of the server.
            clean: nothing is left that it has to see to; else it does so now, for as long as `supervisor.WATCH_LIMIT`.

        Returns:
            Whether it has ended, and nothing is left.
        """
        with self._lock:
            watch, self._watch = self._watch, None
        if watch is None:
            return clean
        if not clean:
            return watch.leave(0.0 if answering.in_doubt else _CLEANS_WITHIN)
        with suppress(ServerError):  # a watch that is gone cleans nothing up
            watch.ask("forget")
        watch.close()
        return True


RENEWAL_INTERVAL = 300.0
"""Seconds from one renewal to the next; `runs.LEASE` is many times that."""
_AGAIN = 60.0
"""Seconds until it is tried again where the server did not answer."""


class Lease:
    """Renews the records of a run. It is connected only while it does so, and connects anew each time.

    Args:
        maker: of the run's databases, used by nobody else.
        every: seconds from one renewal to the next.
    """

    def __init__(self, maker: DatabaseFactory, every: float = RENEWAL_INTERVAL) -> None:
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
