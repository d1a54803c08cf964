"""Looks at who is blocked, on a connection of its own.

That connection is one to another database: a look takes a snapshot, and in the spec's database that would hold back
what VACUUM removes, and be waited for by CREATE INDEX CONCURRENTLY. Locks are the whole server's.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Sequence

from psycopg import pq, sql
from psycopg.errors import OperationalError

from pgchaos.engine.specs.spec_connection import Interrupted, SpecConnection
from pgchaos.isolation.blocked import SeenSession
from pgchaos.isolation.model import decoded
from pgchaos.stop import Stop

_PATIENCE = 10.0
"""Seconds for one look."""
_TURN = 3600.0
"""Seconds to wait for what another spec uses."""
_LOCKS = 0x70677370
"""The first key of our advisory locks, taken in the database from which the server is administered."""

_PREPARE = """
    PREPARE look (int[], int[]) AS
    SELECT p, pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(p)
                                         || pg_catalog.pg_safe_snapshot_blocking_pids(p), ',')
    FROM pg_catalog.unnest($1) p
    WHERE pg_catalog.pg_isolation_test_session_is_blocked(p, $2)
"""
"""What isolationtester asks, for all that are busy; only they have to be looked at who are blocked."""


class BlockedDetector:
    """Looks at the sessions of a spec, over a connection to another database that nobody else uses."""

    def __init__(self, connection: SpecConnection, stop: Stop) -> None:
        self._connection, self._stop = connection, stop
        self._poll = select.poll()
        self._poll.register(connection.fileno(), select.POLLIN)
        self._poll.register(stop.fileno(), select.POLLIN)
        self._pids = ""
        self._turns = False
        self.patience = _PATIENCE
        """Seconds for one look."""
        self._asked: list[int] = []
        self.takes_turn = False
        """It may be waiting for something that another spec uses."""
        self.queries = 0
        """How many were begun."""

    @property
    def connection(self) -> SpecConnection:
        """The connection, busy while a look is not over."""
        return self._connection

    def prepare(self) -> None:
        """Make a new connection ready for looks.

        Raises:
            Interrupted: the run is stopped, or there is no answer.
        """
        self.ask(_PREPARE)

    def take_turn(self, what: str, *, shared: bool) -> None:
        """Wait for something that only one spec may use at a time; it is given back by `rest`."""
        self._turns = True
        key = sql.Literal(what).as_string(None)
        how = "_shared" if shared else ""
        self.takes_turn = True
        self.ask(f"SELECT pg_catalog.pg_advisory_lock{how}({_LOCKS}, pg_catalog.hashtext({key}))", _TURN)
        self.takes_turn = False

    def rest(self) -> None:
        """Give back all that was taken, and have no look under way.

        Raises:
            Interrupted: the run is stopped, or there is no answer.
        """
        if self._turns or self._connection.busy:
            self.ask("SELECT pg_catalog.pg_advisory_unlock_all()")

    def set_sessions(self, pids: Sequence[int]) -> None:
        """Watch these sessions from now on."""
        self._pids = ",".join(map(str, pids))

    def begin(self, pids: Iterable[int]) -> SpecConnection:
        """Begin to look; the answer is there when the connection is not busy any more.

        Args:
            pids: of the sessions that are busy.

        Returns:
            The connection, to be waited for with others: a step may be over before the look is.

        Raises:
            Interrupted: the server is gone.
        """
        self._asked = list(pids)
        self.queries += 1
        self._connection.events.clear()
        asked = ",".join(map(str, self._asked))
        self._send(f"EXECUTE look ('{{{asked}}}', '{{{self._pids}}}')")
        return self._connection

    def seen(self) -> dict[int, SeenSession]:
        """Tell what was seen of each session, once the look is over.

        Raises:
            Interrupted: the server could not tell.
        """
        seen = dict.fromkeys(self._asked, SeenSession(blocked=False))
        for pid, by in self._rows():
            seen[int(pid)] = SeenSession(True, frozenset(map(int, filter(None, by.split(",")))))
        return seen

    def waits_for_prepared(self, pid: int) -> bool:
        """Say whether a session waits for a prepared transaction, which isolationtester does not see."""
        return bool(self.ask(f"SELECT 1 WHERE 0 = ANY (pg_catalog.pg_blocking_pids({pid}))"))

    def ask(self, query: str, seconds: float | None = None) -> list[tuple[str, ...]]:
        """Ask the server something.

        Args:
            query: one statement.
            seconds: to answer in; None: as for a look.

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
                raise Interrupted(f"who is blocked cannot be told: {decoded(result.error_message).strip()}")
        last = results[-1]
        return [tuple(decoded(last.get_value(i, j) or b"") for j in range(last.nfields)) for i in range(last.ntuples)]
