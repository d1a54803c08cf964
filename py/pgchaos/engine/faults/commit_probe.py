"""A commit of ours, which shows whether commits wait for a standby."""

from __future__ import annotations

from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.engine.loop import Task, begin
from pgchaos.stop import Stop

_LET_GO_WITHIN = 2.0
"""Seconds for a released commit to end: the checkpointer has to read the settings first."""
_CANCELLED_WITHIN = 2.5
"""Seconds for a cancelled commit to end, before its connection is aborted."""
_COMMIT = "SET synchronous_commit = on; SELECT pg_catalog.pg_logical_emit_message(true, 'pgchaos', '')"


class CommitProbe:
    """Makes commits, one at a time."""

    def __init__(self, fault_connection: FaultConnection, stop: Stop) -> None:
        self._fault_connection, self._stop = fault_connection, stop
        self._running: tuple[Connection, Task[None]] | None = None

    async def waits(self) -> bool:
        """Start a commit; return whether it waits for a standby. `end` ends it."""
        await self.end()
        try:
            connection = await self._fault_connection.open_another()
        except ConnectionLost:
            return False
        task = begin(_commit(connection))
        self._running = connection, task
        query = f"SELECT FROM pg_catalog.pg_stat_activity WHERE pid = {connection.pid} AND wait_event = 'SyncRep'"
        while not task.done and not self._stop.is_set():
            if await self._fault_connection.ask(query):
                return True
        return False

    async def end(self) -> None:
        """End the commit; cancel it if it still waits although commits were released.

        An internal error in its task is raised here.
        """
        if self._running is None:
            return
        (connection, task), self._running = self._running, None
        if not await task.ends(_LET_GO_WITHIN):
            await connection.cancel()
            if not await task.ends(_CANCELLED_WITHIN):
                connection.abort()
                await task.ends()
        await connection.end()
        task.result()


async def _commit(connection: Connection) -> None:
    # errors of the server stay in the answer: it may be cancelled, or lose its connection, at any time
    await connection.execute(_COMMIT)
