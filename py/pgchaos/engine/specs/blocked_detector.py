"""Queries which sessions are blocked, on a separate connection.

The connection is to another database: the query takes a snapshot, which in the spec's database would keep VACUUM from
removing rows, and CREATE INDEX CONCURRENTLY would wait for it. Locks belong to the whole server.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Sequence

from psycopg import pq, sql
from psycopg.errors import OperationalError

from pgchaos.engine.specs.spec_connection import Interrupted, SpecConnection
from pgchaos.isolation.blocked import SeenSession
from pgchaos.server_text import decoded
from pgchaos.stop import Stop

_PATIENCE = 10.0
"""Seconds for one query."""
_TURN = 3600.0
"""Seconds to wait for a resource that another spec uses."""
_LOCKS = 0x70677370
"""The first key of our advisory locks, which are taken in the maintenance database."""

_PREPARE = """
    PREPARE look (int[], int[]) AS
    SELECT p, pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(p)
                                         || pg_catalog.pg_safe_snapshot_blocking_pids(p), ',')
    FROM pg_catalog.unnest($1) p
    WHERE pg_catalog.pg_isolation_test_session_is_blocked(p, $2)
"""
"""isolationtester's query for all busy sessions, with the blockers of the blocked ones."""


class BlockedDetector:
    """Queries the locks of a spec's sessions, on its own connection to another database."""

    def __init__(self, connection: SpecConnection, stop: Stop) -> None:
        self._connection, self._stop = connection, stop
        self._poll = select.poll()
        self._poll.register(connection.fileno(), select.POLLIN)
        self._poll.register(stop.fileno(), select.POLLIN)
        self._pids = ""
        self._turns = False
        self.patience = _PATIENCE
        """Seconds for one query."""
        self._asked: list[int] = []
        self.takes_turn = False
        """It may be waiting for a resource that another spec uses."""
        self.queries = 0
        """The number of queries so far."""

    @property
    def connection(self) -> SpecConnection:
        """The connection, busy during a query."""
        return self._connection

    def prepare(self) -> None:
        """Prepare a new connection.

        Raises:
            Interrupted: the run is stopped, or there is no answer.
        """
        self.ask(_PREPARE)

    def take_turn(self, what: str, *, shared: bool) -> None:
        """Wait for a resource that only one spec may use at a time; `release` frees it."""
        self._turns = True
        key = sql.Literal(what).as_string(None)
        how = "_shared" if shared else ""
        self.takes_turn = True
        self.ask(f"SELECT pg_catalog.pg_advisory_lock{how}({_LOCKS}, pg_catalog.hashtext({key}))", _TURN)
        self.takes_turn = False

    def release(self) -> None:
        """Free all resources, and end a query in progress.

        Raises:
            Interrupted: the run is stopped, or there is no answer.
        """
        if self._turns or self._connection.busy:
            self.ask("SELECT pg_catalog.pg_advisory_unlock_all()")

    def set_sessions(self, pids: Sequence[int]) -> None:
        """Set the sessions."""
        self._pids = ",".join(map(str, pids))

    def begin(self, pids: Iterable[int]) -> SpecConnection:
        """Send the query; the answer is there when the connection is no longer busy.

        Args:
            pids: of the busy sessions.

        Returns:
            The connection, to poll with others: a step may end before the query does.

        Raises:
            Interrupted: the connection is lost.
        """
        self._asked = list(pids)
        self.queries += 1
        self._connection.events.clear()
        asked = ",".join(map(str, self._asked))
        self._send(f"EXECUTE look ('{{{asked}}}', '{{{self._pids}}}')")
        return self._connection

    def seen(self) -> dict[int, SeenSession]:
        """Return the state of each session, after the query has ended.

        Raises:
            Interrupted: the query failed.
        """
        seen = dict.fromkeys(self._asked, SeenSession(blocked=False))
        for pid, by in self._rows():
            seen[int(pid)] = SeenSession(True, frozenset(map(int, filter(None, by.split(",")))))
        return seen

    def waits_for_prepared(self, pid: int) -> bool:
        """Whether a session waits for a prepared transaction, which isolationtester does not see."""
        return bool(self.ask(f"SELECT 1 WHERE 0 = ANY (pg_catalog.pg_blocking_pids({pid}))"))

    def ask(self, query: str, seconds: float | None = None) -> list[tuple[str, ...]]:
        """Run a query.

        Args:
            query: one statement.
            seconds: for the answer; None: `patience`.

        Returns:
            Its rows as text.

        Raises:
            Interrupted: the run is stopped, or there is no answer.
        """
        connection = self._connection
        end = time.monotonic() + (self.patience if seconds is None else seconds)
        self._finish(end, query)
        connection.events.clear()
        self._send(query)
        self._finish(end, query)
        return self._rows()

    def _send(self, query: str) -> None:
        try:
            self._connection.send(query)
        except OperationalError as error:
            raise Interrupted(f"the server does not answer: {error}") from error

    def _finish(self, end: float, query: str) -> None:
        while self._connection.busy:
            ready = self._poll.poll(max(0.0, end - time.monotonic()) * 1000)
            if not ready or self._stop.is_set():
                raise Interrupted("the run was stopped" if ready else f"no answer in time to {query}")
            self._connection.pump()

    def _rows(self) -> list[tuple[str, ...]]:
        results = [event for event in self._connection.events if not isinstance(event, str)]
        for result in results:
            if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
                raise Interrupted(f"cannot read which sessions are blocked: {decoded(result.error_message).strip()}")
        last = results[-1]
        return [tuple(decoded(last.get_value(i, j) or b"") for j in range(last.nfields)) for i in range(last.ntuples)]
