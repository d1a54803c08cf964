"""A commit of our own, which shows whether commits wait for a standby."""

from __future__ import annotations

from dataclasses import dataclass

from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.engine.stop import Stop
from pgchaos.engine.worker import Worker

_LET_GO_WITHIN = 2.0
"""Seconds in which a commit ends that waits for nobody any more: the checkpointer has to read the settings first."""
_ENDED_WITHIN = 15.0
"""Seconds in which a link ends its query that is told to stop: a cancel has some, then the connection is broken off."""
_COMMIT = "SET synchronous_commit = on; SELECT pg_catalog.pg_logical_emit_message(true, 'pgchaos', '')"


@dataclass(frozen=True, slots=True)
class _Running:
    """A commit under way.

    Args:
        link: that it runs on.
        worker: waits for its answer.
        over: set, the link cancels it, and breaks off where that is not answered.
    """

    link: Connection
    worker: Worker
    over: Stop


class CommitProbe:
    """Commits, one at a time.

    Args:
        hand: to the server.
        stop: of the sessions.
    """

    def __init__(self, hand: FaultConnection, stop: Stop) -> None:
        self._hand, self._stop = hand, stop
        self._running: _Running | None = None

    def waits(self) -> bool:
        """Commit something, and say whether that waits for a standby. `end` ends it."""
        self.end()
        running = self._begun()
        if running is None:
            return False
        self._running = running
        query = f"SELECT FROM pg_catalog.pg_stat_activity WHERE pid = {running.link.pid} AND wait_event = 'SyncRep'"
        while running.worker.alive and not self._stop.is_set():
            if self._hand.ask(query):
                return True
        return False

    def _begun(self) -> _Running | None:
        over = Stop()
        self._hand.calm.call(over.set)
        try:
            link = self._hand.another(over)
        except ConnectionLost:
            self._forget(over)
            return None
        worker = Worker(lambda: _commit(link), "pgchaos probe")
        try:
            worker.start()
        except BaseException:  # no room for a thread, and Ctrl-C too: its connection is not left open
            link.close()
            self._forget(over)
            raise
        return _Running(link, worker, over)

    def end(self) -> None:
        """See that the commit is over; where it still waits though commits were let go, cancel it.

        An error of ours in its thread is raised here.
        """
        if self._running is None:
            return
        running, self._running = self._running, None
        running.worker.ends(_LET_GO_WITHIN)
        running.over.set()
        if not running.worker.ends(_ENDED_WITHIN):
            # whatever it does there: nobody waits for it
            running.link.abort_soon()
            return
        running.link.close()
        self._forget(running.over)
        running.worker.check()

    def _forget(self, over: Stop) -> None:
        self._hand.calm.call_no_more(over.set)
        over.close()


def _commit(link: Connection) -> None:
    # an error of the server's is in the answer: it may be cancelled, or lose its connection, at any time
    link.ask(_COMMIT)
