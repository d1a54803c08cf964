"""Looks at who is blocked, on a connection of its own.

That connection is one to another database: a look takes a snapshot, and in the spec's database that would hold back
what VACUUM removes, and be waited for by CREATE INDEX CONCURRENTLY. Locks are the whole server's.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Sequence

from psycopg import pq
from psycopg.errors import OperationalError

from pgchaos.engine.specs.connection import Connection, Interrupted
from pgchaos.engine.stop import Stop
from pgchaos.isolation.blocked import Seen
from pgchaos.isolation.model import decoded

_PATIENCE = 10.0
"""Seconds for one look."""

_PREPARE = """
    PREPARE look_{number} (int[]) AS
    SELECT p, pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(p)
                                         || pg_catalog.pg_safe_snapshot_blocking_pids(p), ',')
    FROM pg_catalog.unnest($1) p
    WHERE pg_catalog.pg_isolation_test_session_is_blocked(p, '{{{pids}}}')
"""
"""What isolationtester asks, for all that are busy; only they have to be looked at who are blocked."""


class Watch:
    """Looks at the sessions of a spec.

    Args:
        conninfo: to a database that is not the spec's.
        stop: ends every wait.

    Raises:
        pgchaos.engine.connecting.LinkError: the server refused the connection.
    """

    def __init__(self, conninfo: str, stop: Stop) -> None:
        self._connection, self._stop = Connection(conninfo, stop), stop
        self._poll = select.poll()
        self._poll.register(self._connection.fileno(), select.POLLIN)
        self._poll.register(stop.fileno(), select.POLLIN)
        self._number = 0
        self.asked = 0

    def attend(self, pids: Sequence[int]) -> None:
        """Watch these sessions from now on.

        Args:
            pids: of all the sessions of the spec: whom else they wait for does not count.
        """
        self._number += 1
        self.ask(_PREPARE.format(number=self._number, pids=",".join(map(str, pids))))

    def look(self, pids: Iterable[int]) -> dict[int, Seen]:
        """Look once.

        Args:
            pids: of the sessions that are busy.

        Returns:
            What is seen of each.

        Raises:
            Interrupted: the run is stopped, or the server is gone.
        """
        asked = list(pids)
        self.asked += 1
        rows = self.ask(f"EXECUTE look_{self._number} ('{{{','.join(map(str, asked))}}}')")
        seen = dict.fromkeys(asked, Seen(blocked=False))
        for pid, by in rows:
            seen[int(pid)] = Seen(True, frozenset(map(int, filter(None, by.split(",")))))
        return seen

    def waits_for_prepared(self, pid: int) -> bool:
        """Say whether a session waits for a prepared transaction, which isolationtester does not see.

        Args:
            pid: of the session.
        """
        return bool(self.ask(f"SELECT 1 WHERE 0 = ANY (pg_catalog.pg_blocking_pids({pid}))"))

    def ask(self, query: str, seconds: float = _PATIENCE) -> list[tuple[str, ...]]:
        """Ask the server something.

        Args:
            query: one statement.
            seconds: to answer in.

        Returns:
            Its rows as text.

        Raises:
            Interrupted: the run is stopped, or there is no answer.
        """
        connection = self._connection
        end = time.monotonic() + seconds
        try:
            connection.send(query)
        except OperationalError as error:
            raise Interrupted(f"the server does not answer: {error}") from error
        while connection.busy:
            ready = self._poll.poll(max(0.0, end - time.monotonic()) * 1000)
            if not ready or self._stop.is_set():
                raise Interrupted("the run was stopped" if ready else f"no answer within {seconds:g} s to {query}")
            connection.pump()
        results = [event for event in connection.events if not isinstance(event, str)]
        connection.events.clear()
        for result in results:
            if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
                raise Interrupted(f"who is blocked cannot be told: {decoded(result.error_message).strip()}")
        last = results[-1]
        return [tuple(decoded(last.get_value(i, j) or b"") for j in range(last.nfields)) for i in range(last.ntuples)]

    def close(self) -> None:
        """End the connection, and the advisory locks that it holds."""
        self._connection.close()
