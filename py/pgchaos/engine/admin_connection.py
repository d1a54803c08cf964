"""The connection by which a run itself looks at the server: for history and leaks, and who waits for whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pgchaos.engine.answer import LOST
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.connection_factory import SILENT_LIMIT, ConnectionFactory
from pgchaos.engine.loop import alone
from pgchaos.engine.waits import sleep
from pgchaos.results import Record
from pgchaos.stop import Stop

NAME = "looks"
"""What it is called on the server."""
_CRASH = 0.5
"""Seconds in which a crash of the server is noticed."""
_T = TypeVar("_T")


class AdminConnection:
    """A connection that comes again where the sessions made the server crash.

    Args:
        door: to the scenario's database.
        calm: a stop for what goes on when the sessions are stopped.
        pids: every backend that this opens is put in.
        records: of the run: they tell whether a connection of a session was lost.
    """

    def __init__(self, door: ConnectionFactory, calm: Stop, pids: set[int], records: Sequence[Record]) -> None:
        self._door, self._calm, self._pids, self._records = door, calm, pids, records
        self._link: Connection | None = None

    def link(self) -> Connection:
        """Do what `connected` does where nothing else goes on meanwhile."""
        return alone(self.connected())

    async def connected(self) -> Connection:
        """Give the connection, outside a transaction.

        Raises:
            ConnectionLost: the server could not be reached or refused.
        """
        if self._link is not None and not await self._stands(self._link):
            if self._link.silent:
                self._door.note_end() if self._door.silent else self._door.note_silence()
            link, self._link = self._link, None
            await link.end()
        if self._link is None:
            self._link = await self._door.open(NAME, self._calm, again=True)
            # who waits for this one waits for nothing but a look
            self._link.impatient = True
            self._pids.add(self._link.pid)
        return self._link

    async def _stands(self, link: Connection) -> bool:
        doubted = self._door.silent or self._was_lost()
        return link.stands() and not (doubted and not await _answers(link))

    def _was_lost(self) -> bool:
        return any(record.sqlstate == LOST for record in self._records)

    def ask(self, look: Callable[[Connection], _T]) -> _T:
        """Look; once more where only that shows that the connection is lost.

        Args:
            look: asks by the connection that it is given, and may be called twice.

        Returns:
            What it returns.

        Raises:
            ConnectionLost: what was asked failed.
        """
        try:
            return look(self.link())
        except ConnectionLost as broken:
            if not broken.error.lost:
                raise
        return look(self.link())

    async def settle(self) -> None:
        """Where a connection broke, a crash may be on its way: wait until it has come, or it seems there is none.

        The postmaster needs a moment to notice that a backend was killed; then all connections break, ours too.
        """
        until = time.monotonic() + _CRASH
        broken = self._was_lost()
        while broken and time.monotonic() < until and self._link is not None and await _answers(self._link):
            await sleep(0.005, self._calm)

    def close(self) -> None:
        """End the connection; doing so again does nothing."""
        if self._link is not None:
            self._link.close()
            self._link = None


async def _answers(link: Connection) -> bool:
    return (await link.execute("", deadline=time.monotonic() + SILENT_LIMIT)).error is None
