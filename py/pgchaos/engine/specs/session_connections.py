"""The connections of a spec, one for itself and one for each session: opened, brought back to the start, closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from psycopg import sql
from psycopg.errors import OperationalError

from pgchaos.engine.created import Created
from pgchaos.engine.specs.poller import Poller
from pgchaos.engine.specs.session_cache import SessionCache
from pgchaos.engine.specs.spec_connection import Interrupted, SpecConnection
from pgchaos.isolation.model import Spec
from pgchaos.isolation.reuse import calls_need_reset, needs_reset

CONTROL = 0
"""The number of the connection that does what is the spec's and no session's."""

_NAMED = sql.SQL("SET application_name = {}")
_SPARE = "SET application_name = 'pgchaos spare'"
_END = 5.0
"""Seconds in which a session goes back to what it began with."""
_CANCELLED_WITHIN = 2.0
"""Seconds in which what a session does ends after a cancel."""
SILENT = "the server does not answer"


class SessionConnections:
    """Connections by number: the control connection's is 0, the first session's 1.

    Args:
        spec: whose they are.
        connect: opens the connection of a session, by its name.
        name: says the application_name of a session, by its name.
        waiting: of the run.
        session_cache: sessions of other specs, which will do as well.
    """

    def __init__(
        self,
        spec: Spec,
        connect: Callable[[str], SpecConnection],
        name: Callable[[str], str],
        waiting: Poller,
        session_cache: SessionCache,
    ) -> None:
        self._connect, self._name, self._waiting, self._session_cache = connect, name, waiting, session_cache
        self._calls_need_reset = calls_need_reset(spec)
        self._names = ("control connection", *(session.name for session in spec.sessions))
        self.silent = False
        """The server did not answer a cancel in time."""
        self.created: Created | None = None
        """Takes what the sessions create, on a server that is not ours."""
        self._connections: list[SpecConnection | None] = [None] * len(self._names)
        self._changed: set[int] = set()
        self._lasting: dict[str, bool] = {}

    def __getitem__(self, number: int) -> SpecConnection:
        """Give a connection; `open` has opened it."""
        connection = self._connections[number]
        assert connection is not None, "open() has made it"
        return connection

    def __iter__(self) -> Iterator[SpecConnection]:
        """Give those that were opened."""
        return (connection for connection in self._connections if connection is not None)

    @property
    def pids(self) -> list[int]:
        """The backends of the sessions, in order."""
        return [self[number].pid for number in range(1, len(self._names))]

    def names(self) -> dict[int, str]:
        """Name the sessions by their backends."""
        return dict(zip(self.pids, self._names[1:], strict=True))

    def open(self, *, reset: bool) -> bool:
        """Open what is not open, and bring back what was changed.

        Args:
            reset: do so; else sessions keep what they have.

        Returns:
            True where something was brought back.

        Raises:
            pgchaos.engine.connect.ConnectionLost: the server refuses a connection.
        """
        self._fetch([number for number in range(len(self._names)) if not self._stands(number)])
        for number, name in enumerate(self._names):
            if not self._stands(number):
                self._connections[number] = self._connect(name)
                self._changed.discard(number)
        for connection in self:
            connection.created = self.created
        changed = sorted(self._changed) if reset else []
        self._changed.clear()
        self._ask((self[number], "DISCARD ALL") for number in changed)
        return bool(changed)

    def _stands(self, number: int) -> bool:
        connection = self._connections[number]
        if connection is not None and not connection.alive:
            connection.drop()
            connection = self._connections[number] = None
        return connection is not None

    def _fetch(self, numbers: Iterable[int]) -> None:
        """Take sessions of other specs, and give them their new names."""
        fetched = []
        for number in numbers:
            connection = self._session_cache.take(number)
            if connection is not None:
                # the stop that it was made with is another run's, and closed
                connection.attach(self._waiting.stop, None)
                self._connections[number] = connection
                self._changed.discard(number)
                fetched.append((connection, _NAMED.format(sql.Literal(self._name(self._names[number])))))
        self._ask((connection, query.as_string(None)) for connection, query in fetched)

    def send(self, number: int, query: str) -> SpecConnection:
        """Send a query of the spec, and have its connection waited for.

        Raises:
            psycopg.OperationalError: it is gone.
        """
        connection = self[number]
        connection.send(query)
        self._waiting.add(connection)
        if number not in self._changed and self._lasts(query):
            self._changed.add(number)
        return connection

    def _lasts(self, query: str) -> bool:
        found = self._lasting.get(query)
        if found is None:
            found = self._lasting[query] = self._calls_need_reset or needs_reset(query)
        return found

    def roll_back(self) -> bool:
        """End the sessions' transactions that are open, and say whether there were any."""
        open_ = [one for one in self._connections[1:] if one is not None and one.alive and one.in_block]
        self._ask((one, "ROLLBACK") for one in open_)
        return bool(open_)

    def _ask(self, queries: Iterable[tuple[SpecConnection, str]]) -> None:
        """Have something done that is not of the spec; a connection that does not end it is closed, and opened anew."""
        asked = []
        for connection, query in queries:
            try:
                connection.send(query)
            except OperationalError:
                connection.drop()
                continue
            self._waiting.add(connection)
            asked.append(connection)
        self._end(asked)
        for connection in asked:
            connection.events.clear()

    def cancel_running(self) -> None:
        """After a permutation was given up: end what still runs, so that its teardowns can run."""
        busy = [connection for connection in self if connection.busy]
        for connection in busy:
            self.cancel(connection)
        self._end(busy)
        for connection in self:
            # also of steps that are over, and were not reported
            connection.events.clear()

    def _end(self, connections: Sequence[SpecConnection]) -> None:
        if not self._waiting.until_over(connections, _END):
            for connection in connections:
                if connection.busy:
                    self.drop(connection)

    def drop(self, connection: SpecConnection) -> None:
        """Close a connection, and what runs on it; it is opened anew when needed."""
        self._waiting.drop(connection)
        answers = connection.drop(cancels=not self.silent)
        self.silent = self.silent or not answers

    def cancel(self, connection: SpecConnection) -> None:
        """Ask the server to cancel what runs on a connection.

        Raises:
            Interrupted: the server does not answer that.
        """
        if self.silent or not connection.try_cancel():
            self.silent = True
            raise Interrupted(SILENT)

    def ends_when_cancelled(self, connection: SpecConnection) -> bool:
        """Cancel what runs on a connection, and say whether it ends."""
        self.cancel(connection)
        return self._waiting.until_over([connection], _CANCELLED_WITHIN)

    def alone(self) -> SpecConnection | None:
        """Close the sessions that serve no other spec, and bring the control connection back to the start.

        Returns:
            It; None where it is gone.
        """
        for number, connection in enumerate(self._connections):
            if connection is not None and number != CONTROL and not self._session_cache.fits(number):
                self.drop(connection)
        control = self[CONTROL]
        if control.alive and control.in_block:
            self._ask([(control, "ROLLBACK")])
        if control.alive and CONTROL in self._changed:
            self._ask([(control, "DISCARD ALL")])
        return control if control.alive else None

    def keep(self) -> None:
        """Leave sessions that are as new to the next spec."""
        fit = [(number, one) for number, one in enumerate(self._connections) if one is not None and one.idle]
        fit = [(number, one) for number, one in fit if self._session_cache.fits(number)]
        # who looks for sessions of specs is not to find one that waits
        self._ask((one, _SPARE) for _, one in fit)
        for number, connection in fit:
            if self._session_cache.put(number, connection):
                self._connections[number] = None

    def close(self) -> None:
        """End all connections, and what runs on them."""
        for connection in self:
            self.drop(connection)
