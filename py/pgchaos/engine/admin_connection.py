"""The connection that a run itself uses: to fill the history, to find leaks and to read which session blocks which."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pgchaos.engine.answer import LOST
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.connection_factory import SILENT_LIMIT, ConnectionFactory
from pgchaos.engine.loop import run_sync
from pgchaos.engine.waits import sleep
from pgchaos.results import Record
from pgchaos.stop import Stop

NAME = "admin"
"""Its application_name."""
_CRASH = 0.5
"""Seconds in which a crash of the server shows."""
_T = TypeVar("_T")


class AdminConnection:
    """A connection that is replaced if it is lost, for example because the sessions made the server crash.

    Args:
        factory: to the scenario's database.
        cleanup_stop: the stop for work that continues after the sessions are stopped.
        pids: the backend of each connection is added.
        records: of the run; they show whether a session lost its connection.
        connection: kept from another run; None to open one.
    """

    def __init__(
        self,
        factory: ConnectionFactory,
        cleanup_stop: Stop,
        pids: set[int],
        records: Sequence[Record],
        connection: Connection | None = None,
    ) -> None:
        self._factory, self._cleanup_stop, self._pids, self._records = factory, cleanup_stop, pids, records
        self._connection = connection
        if connection is not None:
            connection.ends_when_late = True
            pids.add(connection.pid)

    @property
    def current(self) -> Connection | None:
        """The connection, if there is one."""
        return self._connection

    def release(self) -> None:
        """Leave the connection open for another run."""
        self._connection = None

    def connection(self) -> Connection:
        """Call `connected` without a loop."""
        return run_sync(self.connected())

    async def connected(self) -> Connection:
        """Return a usable connection outside a transaction.

        Raises:
            ConnectionLost: the server could not be reached or refused.
        """
        if self._connection is not None and not await self._is_usable(self._connection):
            if self._connection.silent:
                self._factory.note_no_answer()
            connection, self._connection = self._connection, None
            await connection.end()
        if self._connection is None:
            # without OWN_SETTINGS: it reads the defaults with which the sessions of the scenario begin
            self._connection = await self._factory.open(NAME, self._cleanup_stop, while_recovering=True)
            # it only reads: a late query is not cancelled
            self._connection.ends_when_late = True
            self._pids.add(self._connection.pid)
        return self._connection

    async def _is_usable(self, connection: Connection) -> bool:
        uncertain = self._factory.silent or self._was_lost()
        return connection.is_usable() and not (uncertain and not await _answers(connection))

    def _was_lost(self) -> bool:
        return any(record.sqlstate == LOST for record in self._records)

    def ask(self, query: Callable[[Connection], _T]) -> _T:
        """Run a query; a second time if the first shows that the connection is lost.

        Args:
            query: called with the connection, at most twice.

        Returns:
            What it returns.

        Raises:
            ConnectionLost: the query failed.
        """
        try:
            return query(self.connection())
        except ConnectionLost as broken:
            if not broken.error.lost:
                raise
        return query(self.connection())

    async def wait_for_crash(self) -> None:
        """If a session lost its connection, wait until a crash of the server shows, or until it is unlikely.

        The postmaster needs a moment to notice a killed backend; then all connections break, this one too.
        """
        until = time.monotonic() + _CRASH
        broken = self._was_lost()
        while broken and time.monotonic() < until and self._connection is not None and await _answers(self._connection):
            await sleep(0.005, self._cleanup_stop)  # polled: a crash is not reported

    def close(self) -> None:
        """End the connection. Idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


async def _answers(connection: Connection) -> bool:
    return (await connection.execute("", deadline=time.monotonic() + SILENT_LIMIT)).error is None
