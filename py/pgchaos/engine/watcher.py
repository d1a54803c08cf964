"""Looks at the server to see who waits for whom, while nobody else uses the connection for that.

`pg_blocking_pids` sees heavyweight locks, and a prepared transaction as pid 0; who waits for a safe snapshot is told by
`pg_safe_snapshot_blocking_pids` (PostgreSQL docs, "Session Information Functions").
"""

from __future__ import annotations

import time
from collections.abc import Callable

from psycopg import pq

from pgchaos import clock
from pgchaos.engine.answer import Answer
from pgchaos.engine.link import Link, LinkError
from pgchaos.engine.stage import Stage
from pgchaos.schedule.gates import PREPARED

_TIGHT = 0.001
_LOOSE = 0.02
"""Seconds between looks: while somebody waits for others to be blocked, and else."""
_LONG = 0.005
"""Seconds that a statement may take before it is looked at without being asked for."""
_PATIENCE = 10.0
"""Seconds for one look."""
_MAY_SET = 150000
"""The first version whose roles other than superusers may be allowed a setting of theirs (GRANT SET ON PARAMETER)."""


class Watcher:
    """Watches a stage.

    Args:
        connect: gives a connection that nobody else uses meanwhile; a new one where the last is lost.
        stage: whose sessions are watched.

    Raises:
        LinkError: the server refused the connection.
    """

    def __init__(self, connect: Callable[[], Link], stage: Stage) -> None:
        self._connect, self._stage = connect, stage
        self._link: Link | None = connect()

    def _ask(self, query: str, patience: float = _PATIENCE) -> Answer:
        if self._link is None or not self._link.alive:
            try:
                self._link = self._connect()
            except LinkError as refused:
                self._link = None
                return Answer(pq.TransactionStatus.UNKNOWN, error=refused.error)
        answer = self._link.ask(query, deadline=time.monotonic() + patience)
        if answer.interrupted:
            # a cancel that comes late must not meet what is asked next
            self._link.abort()
            self._link = None
        return answer

    def watch(self, seconds: float) -> bool:
        """Watch until all sessions have ended or the run is stopped.

        Args:
            seconds: at most.

        Returns:
            False where the time was over.
        """
        stage, until = self._stage, time.monotonic() + seconds
        while not stage.is_over():
            left = until - time.monotonic()
            if left <= 0:
                return False
            asked = stage.needs_looks()
            self.look(0.0 if asked else _LONG, min(_PATIENCE, left + _LOOSE))
            if asked or self._link is None:
                stage.pause(_TIGHT if self._link is not None else _LOOSE)
            else:
                stage.rest(min(_LOOSE, left))
        return True

    def look(self, longer_than: float = 0.0, patience: float = _PATIENCE) -> None:
        """Look once, and tell the stage.

        Args:
            longer_than: leave out statements that have not run so many seconds.
            patience: seconds that the server has to answer.
        """
        asked, tickets = clock.now(), self._stage.busy(longer_than)
        if not tickets:
            self._stage.see({}, {}, asked)
            return
        pids = ",".join(map(str, tickets))
        answer = self._ask(
            "SELECT pid, array_to_string(CASE wait_event WHEN 'SafeSnapshot'"
            " THEN pg_catalog.pg_safe_snapshot_blocking_pids(pid) ELSE pg_catalog.pg_blocking_pids(pid) END, ',')"
            " FROM pg_catalog.pg_stat_get_activity(NULL)"
            f" WHERE pid = ANY ('{{{pids}}}') AND wait_event_type IN ('Lock', 'IPC')",
            patience,
        )
        blockers = {
            int(pid): tuple(map(int, by.split(",")))
            for result in answer.results
            for pid, by in result.rows()
            if pid and by
        }
        self._stage.see(tickets, blockers, asked)

    def settings(self) -> tuple[bool, bool]:
        """Tell what every session begins with.

        Returns:
            Whether sessions wait for locks without limit, and whether our role may set deadlock_timeout.
        """
        if self._link is None:
            return False, False
        may = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
        if self._link.version >= _MAY_SET:
            may = "SELECT pg_catalog.has_parameter_privilege('deadlock_timeout', 'SET')"
        # this session has none of its own; the view of all settings would take ten times as long
        answer = self._ask(
            "SELECT count(*) FROM unnest(ARRAY['lock_timeout', 'statement_timeout', 'transaction_timeout',"
            " 'idle_in_transaction_session_timeout']) name"
            f" WHERE pg_catalog.current_setting(name, true) <> '0'; {may}"
        )
        said = [row for result in answer.results for row in result.rows()]
        return ("0",) in said[:1], ("t",) in said[1:]

    @property
    def stands(self) -> bool:
        """Whether the server can be asked, as far as is known: no look is waited for that takes a new connection."""
        return self._link is not None and self._link.stands()

    def describe(self, pid: int) -> str:
        """Tell what a backend is that is none of ours.

        Args:
            pid: as `pg_blocking_pids` gave it.
        """
        if pid == PREPARED:
            return pid_text(pid)
        answer = self._ask(
            "SELECT backend_type || coalesce(' ' || nullif(application_name, ''), '') || coalesce(', ' || state, '')"
            f" FROM pg_catalog.pg_stat_activity WHERE pid = {pid}"
        )
        told = [row[0] for result in answer.results for row in result.rows()]
        return f"{pid_text(pid)} ({told[0]})" if told and told[0] else pid_text(pid)


def pid_text(pid: int) -> str:
    """Name a backend that is none of ours, of which nothing is known.

    Args:
        pid: as `pg_blocking_pids` gave it.
    """
    return "a prepared transaction" if pid == PREPARED else f"pid {pid}"
