"""The connections of a spec, a control connection and one for each session: opens, resets and closes them."""

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
"""The number of the connection for the spec's own setup and teardown."""

_NAMED = sql.SQL("SET application_name = {}")
_SPARE = "SET application_name = 'pgchaos spare'"
_END = 5.0
"""Seconds for a session to be reset."""
_CANCELLED_WITHIN = 2.0
"""Seconds for a query to end after a cancel."""
SILENT = "the server does not answer"


class SessionConnections:
    """Connections by number: the control connection's is 0, the first session's 1.

    Args:
        spec: of the connections.
        connect: opens the connection of a session, by its name.
        name: returns the application_name of a session, by its name.
        poller: of the run.
        session_cache: sessions of other specs that can be reused.
    """

    def __init__(
        self,
        spec: Spec,
        connect: Callable[[str], SpecConnection],
        name: Callable[[str], str],
        poller: Poller,
        session_cache: SessionCache,
    ) -> None:
        self._connect, self._name, self._poller, self._session_cache = connect, name, poller, session_cache
        self._calls_need_reset = calls_need_reset(spec)
        self._names = ("control connection", *(session.name for session in spec.sessions))
        self.silent = False
        """The server did not answer a cancel in time."""
        self.created: Created | None = None
        """Records what the sessions create; None on a server of ours."""
        self._connections: list[SpecConnection | None] = [None] * len(self._names)
        self._changed: set[int] = set()
        self._lasting: dict[str, bool] = {}

    def __getitem__(self, number: int) -> SpecConnection:
        """Return a connection that `open` has opened."""
        connection = self._connections[number]
        assert connection is not None, "opened by open()"
        return connection

    def __iter__(self) -> Iterator[SpecConnection]:
        """Iterate over the open connections."""
        return (connection for connection in self._connections if connection is not None)

    @property
    def pids(self) -> list[int]:
        """The backends of the sessions, in order."""
        return [self[number].pid for number in range(1, len(self._names))]

    def names(self) -> dict[int, str]:
        """Name the sessions by their backends."""
        return dict(zip(self.pids, self._names[1:], strict=True))

    def open(self, *, reset: bool) -> bool:
        """Open the missing connections, and reset those whose state was changed.

        Args:
            reset: reset them; otherwise they keep their state.

        Returns:
            Whether any was reset.

        Raises:
            pgchaos.engine.connect.ConnectionLost: the server refuses a connection.
        """
        self._fetch([number for number in range(len(self._names)) if not self._is_open(number)])
        for number, name in enumerate(self._names):
            if not self._is_open(number):
                self._connections[number] = self._connect(name)
                self._changed.discard(number)
        for connection in self:
            connection.created = self.created
        changed = sorted(self._changed) if reset else []
        self._changed.clear()
        self._ask((self[number], "DISCARD ALL") for number in changed)
        return bool(changed)

    def _is_open(self, number: int) -> bool:
        connection = self._connections[number]
        if connection is not None and not connection.alive:
            connection.drop()
            connection = self._connections[number] = None
        return connection is not None

    def _fetch(self, numbers: Iterable[int]) -> None:
        """Take sessions of other specs, and rename them."""
        fetched = []
        for number in numbers:
            connection = self._session_cache.take(number)
            if connection is not None:
                # its stop belongs to another run, and is closed
                connection.attach(self._poller.stop, None)
                self._connections[number] = connection
                self._changed.discard(number)
                fetched.append((connection, _NAMED.format(sql.Literal(self._name(self._names[number])))))
        self._ask((connection, query.as_string(None)) for connection, query in fetched)

    def send(self, number: int, query: str) -> SpecConnection:
        """Send a query of the spec, and poll its connection.

        Raises:
            psycopg.OperationalError: it is lost.
        """
        connection = self[number]
        connection.send(query)
        self._poller.add(connection)
        if number not in self._changed and self._lasts(query):
            self._changed.add(number)
        return connection

    def _lasts(self, query: str) -> bool:
        found = self._lasting.get(query)
        if found is None:
            found = self._lasting[query] = self._calls_need_reset or needs_reset(query)
        return found

    def roll_back(self) -> bool:
        """Roll back open transactions of sessions; return whether there were any."""
        open_ = [one for one in self._connections[1:] if one is not None and one.alive and one.in_block]
        self._ask((one, "ROLLBACK") for one in open_)
        return bool(open_)

    def _ask(self, queries: Iterable[tuple[SpecConnection, str]]) -> None:
        """Run queries of the engine; close a connection whose query does not end, to be opened again."""
        busy = []
        for connection, query in queries:
            try:
                connection.send(query)
            except OperationalError:
                connection.drop()
                continue
            self._poller.add(connection)
            busy.append(connection)
        self._end(busy)
        for connection in busy:
            connection.events.clear()

    def cancel_running(self) -> None:
        """Cancel running queries after a permutation was given up, so that its teardowns can run."""
        busy = [connection for connection in self if connection.busy]
        for connection in busy:
            self.cancel(connection)
        self._end(busy)
        for connection in self:
            # also events of ended steps that were not reported
            connection.events.clear()

    def _end(self, connections: Sequence[SpecConnection]) -> None:
        if not self._poller.until_over(connections, _END):
            for connection in connections:
                if connection.busy:
                    self.drop(connection)

    def drop(self, connection: SpecConnection) -> None:
        """Close a connection, and cancel its query; it is opened again when needed."""
        self._poller.drop(connection)
        answers = connection.drop(cancels=not self.silent)
        self.silent = self.silent or not answers

    def cancel(self, connection: SpecConnection) -> None:
        """Cancel the query of a connection.

        Raises:
            Interrupted: the server does not answer.
        """
        if self.silent or not connection.try_cancel():
            self.silent = True
            raise Interrupted(SILENT)

    def ends_when_cancelled(self, connection: SpecConnection) -> bool:
        """Cancel the query of a connection; return whether it ends."""
        self.cancel(connection)
        return self._poller.until_over([connection], _CANCELLED_WITHIN)

    def reset_control(self) -> SpecConnection | None:
        """Close the sessions that no other spec can use, and reset the control connection.

        Returns:
            The control connection; None if it is lost.
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
        """Leave sessions that equal new ones to the next spec."""
        fit = [(number, one) for number, one in enumerate(self._connections) if one is not None and one.idle]
        fit = [(number, one) for number, one in fit if self._session_cache.fits(number)]
        # a spec that looks for its sessions must not find an idle one
        self._ask((one, _SPARE) for _, one in fit)
        for number, connection in fit:
            if self._session_cache.put(number, connection):
                self._connections[number] = None

    def close(self) -> None:
        """Close all connections, and cancel their queries."""
        for connection in self:
            self.drop(connection)
