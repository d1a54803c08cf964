"""Who sees to it that all goes that a run makes on a server that is not its own, even if the run is killed."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

from pgchaos.server.answering import Answering
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
