"""Looks at the server to see who waits for whom; one thread, on a connection of its own.

`pg_blocking_pids` sees heavyweight locks, and a prepared transaction as pid 0; who waits for a safe snapshot is told by
`pg_safe_snapshot_blocking_pids` (PostgreSQL docs, "Session Information Functions").
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from psycopg import pq

from pgchaos.engine.answer import Answer
from pgchaos.engine.link import Link, LinkError
from pgchaos.engine.stage import Stage

_TIGHT = 0.001
_LOOSE = 0.02
"""Seconds between looks: while somebody waits for others to be blocked, and else."""
_LONG = 0.005
"""Seconds that a statement may take before it is looked at without being asked for."""
_PATIENCE = 10.0
"""Seconds for one look."""


class Watcher:
    """Watches a stage until it is closed.

    Args:
        connect: opens a connection for looks alone; again where it was lost.
        stage: whose sessions are watched.

    Raises:
        LinkError: the server refused the connection.
    """

    def __init__(self, connect: Callable[[], Link], stage: Stage) -> None:
        self._connect, self._stage = connect, stage
        self._link: Link | None = connect()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pgchaos watcher", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Watch no more; single looks are possible still."""
        self._over.set()
        self._stage.wake()
        if self._thread.ident is not None:
            self._thread.join()

    def disconnect(self) -> None:
        """End the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _ask(self, query: str) -> Answer:
        if self._link is None or not self._link.alive:
            self.disconnect()
            try:
                self._link = self._connect()
            except LinkError as refused:
                return Answer(pq.TransactionStatus.UNKNOWN, error=refused.error)
        return self._link.ask(query, deadline=time.monotonic() + _PATIENCE)

    def _watch(self) -> None:
        while not self._over.is_set():
            asked = self._stage.needs_looks()
            self.look(0.0 if asked else _LONG)
            if asked or self._link is None:
                self._over.wait(_TIGHT if self._link is not None else _LOOSE)
            else:
                self._stage.rest(_LOOSE, self._over)

    def look(self, longer_than: float = 0.0) -> None:
        """Look once, and tell the stage.

        Args:
            longer_than: leave out statements that have not run so many seconds.
        """
        asked, tickets = time.time(), self._stage.busy(longer_than)
        if not tickets:
            self._stage.see({}, {}, asked)
            return
        pids = ",".join(map(str, tickets))
        answer = self._ask(
            "SELECT pid, array_to_string(CASE wait_event WHEN 'SafeSnapshot'"
            " THEN pg_catalog.pg_safe_snapshot_blocking_pids(pid) ELSE pg_catalog.pg_blocking_pids(pid) END, ',')"
            " FROM pg_catalog.pg_stat_get_activity(NULL)"
            f" WHERE pid = ANY ('{{{pids}}}') AND wait_event_type IN ('Lock', 'IPC')"
        )
        blockers = {
            int(pid): tuple(map(int, by.split(",")))
            for result in answer.results
            for pid, by in result.rows()
            if pid and by
        }
        self._stage.see(tickets, blockers, asked)

    def patient(self) -> bool:
        """Say whether sessions wait for locks without limit, by the settings that every session begins with."""
        # this session has none of its own; the view of all settings would take ten times as long
        answer = self._ask(
            "SELECT count(*) FROM unnest(ARRAY['lock_timeout', 'statement_timeout', 'transaction_timeout',"
            " 'idle_in_transaction_session_timeout']) name WHERE pg_catalog.current_setting(name, true) <> '0'"
        )
        return any(row == ("0",) for result in answer.results for row in result.rows())

    def may_set_deadlock_timeout(self) -> bool:
        """Say whether our role may set deadlock_timeout, which changes nothing here."""
        return self._ask("SET deadlock_timeout = DEFAULT").error is None

    def describe(self, pid: int) -> str:
        """Tell what a backend is that is none of ours.

        Args:
            pid: as `pg_blocking_pids` gave it.
        """
        if pid == 0:
            return "a prepared transaction"
        answer = self._ask(
            "SELECT backend_type || coalesce(' ' || nullif(application_name, ''), '') || coalesce(', ' || state, '')"
            f" FROM pg_catalog.pg_stat_activity WHERE pid = {pid}"
        )
        told = [row[0] for result in answer.results for row in result.rows()]
        return f"pid {pid} ({told[0]})" if told and told[0] else f"pid {pid}"
