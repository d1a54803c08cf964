"""Protects a server that is not ours: a supervisor that cleans up, and a lease that shows that the run is alive."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

import psycopg

from pgchaos.server import threads
from pgchaos.server.database_factory import DatabaseFactory
from pgchaos.server.health import ServerHealth
from pgchaos.server.run_id import RunId
from pgchaos.server.settings import ServerError
from pgchaos.server.supervisor_client import SupervisorClient

_CLEANUP_LIMIT = 2.0  # seconds to wait for the supervisor's cleanup; it continues without the run
RENEWAL_INTERVAL = 300.0  # seconds between two renewals; run_id.LEASE_SECONDS is many times that
_RETRY_INTERVAL = 60.0  # seconds until the next try if the server did not answer


class ExternalCleanup:
    """A supervisor that removes what a run created, even if the run is killed. Thread-safe."""

    def __init__(self, conninfo: str, run: RunId) -> None:
        self._conninfo = conninfo
        self._run = run
        self._lock = threading.Lock()
        self._supervisor: SupervisorClient | None = None

    def begin(self) -> None:
        """Start the supervisor unless it runs; ServerError if it cannot be started."""
        with self._lock:
            if self._supervisor is None:
                supervisor = SupervisorClient(connecting=True)
                try:
                    supervisor.request("watch", conninfo=self._conninfo, run=self._run.id, path=sys.path)
                except BaseException:  # Ctrl-C too: no process remains
                    supervisor.close()
                    raise
                self._supervisor = supervisor

    def end(self, health: ServerHealth, *, clean: bool, limit: float) -> bool:
        """End the supervisor, if it was started.

        Args:
            health: of the server.
            clean: nothing is left to remove; else the supervisor removes it now, within `supervisor.WATCH_LIMIT`.
            limit: seconds to wait for its answer.

        Returns:
            Whether the supervisor has ended and nothing remains.
        """
        with self._lock:
            supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return clean
        if not clean:
            return supervisor.detach(0.0 if health.any_silent else _CLEANUP_LIMIT)
        with suppress(ServerError):  # it has ended, so it removes nothing
            supervisor.request("forget", limit)
        supervisor.close()
        return True


class Lease:
    """Renews the records of a run every few minutes: other hosts cannot see whether its process lives.

    Args:
        factory: of the run's databases; only the lease's thread uses it. It is connected only during a renewal.
        every: seconds between two renewals.
    """

    def __init__(self, factory: DatabaseFactory, every: float = RENEWAL_INTERVAL) -> None:
        self._factory, self._every = factory, every
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._error = ""
        self._thread = threading.Thread(target=self._work, name="pgchaos lease", daemon=True)

    def begin(self) -> None:
        """Start the thread unless it runs; ServerError if it failed or cannot be started."""
        with self._lock:
            if self._error:
                raise ServerError(self._error)
            if self._thread.ident is None and not self._over.is_set():
                threads.start(self._thread)

    def end(self, health: ServerHealth, limit: float = 5.0) -> None:
        """Stop; wait at most `limit` seconds for a renewal that is running, and only as long as the server answers."""
        self._over.set()
        if self._thread.is_alive():
            health.join(self._thread, limit)

    def _work(self) -> None:
        try:
            self._renew_until_over()
        except Exception as error:  # a bug of pgchaos: the next call of `begin` reports it
            self._error = threads.internal_error("in the lease", error)
            raise

    def _renew_until_over(self) -> None:
        pause = self._every
        while not self._over.wait(pause):
            pause = min(_RETRY_INTERVAL, self._every)
            with suppress(psycopg.Error):  # tried again soon
                self._factory.renew()
                pause = self._every
            self._factory.close()
