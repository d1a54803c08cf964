"""Holds a COMMIT where it is durable and its answer has not been sent, so that a fault can strike just there.

A commit that shall be confirmed by a standby waits, after its WAL is flushed, until one has answered (PostgreSQL docs,
"Synchronous Replication"; SyncRepWaitForLSN in syncrep.c). With a standby named that does not exist, it waits there for
as long as we like: what is killed then has committed, and nobody was told.
"""

from __future__ import annotations

from pgchaos.engine.faults.actions import NotDelivered
from pgchaos.engine.faults.commit_probe import CommitProbe
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.engine.waits import sleep
from pgchaos.language.section_items import Statement
from pgchaos.language.transaction_statements import closes_block
from pgchaos.stop import Stop

_NOBODY = "pgchaos_nobody"
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE"})
_POLL_INTERVAL = 0.001
_RESET = "ALTER SYSTEM RESET synchronous_standby_names"
_RELOAD = "SELECT pg_catalog.pg_reload_conf()"


def ends_in_commit(item: Statement, in_block: bool) -> bool:
    """Say whether a statement ends with a commit of its own work."""
    if in_block:
        return item.verb in ("COMMIT", "END") and closes_block(item.verb, item.text)
    return item.verb in _WRITES


class CommitHold:
    """Holds commits of a server of our own; one at a time."""

    def __init__(self, fault_connection: FaultConnection, stop: Stop) -> None:
        self._fault_connection, self._stop = fault_connection, stop
        self._probe = CommitProbe(fault_connection, stop)
        self._taken = False

    async def take(self) -> bool:
        """Have all commits of the server wait from now on, until `give`.

        Returns:
            False where they cannot be held: then a commit is over when it is.

        Raises:
            NotDelivered: the server refuses it.
        """
        rows = await self._fault_connection.ask("SHOW max_wal_senders")
        if not rows or rows[0][0] == "0":
            return False
        if not await self._fault_connection.holding.acquire(self._stop):
            return False
        self._taken = True
        try:
            await self._hold()
        except BaseException:
            await self.give()
            raise
        return True

    async def _hold(self) -> None:
        await self._fault_connection.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{_NOBODY}'")
        self._fault_connection.named = True
        await self._fault_connection.ask(_RELOAD)
        # the checkpointer makes it known to all: see one of our own commits wait for it
        while not self._stop.is_set() and not await self._probe.waits():
            pass
        # whoever starts the server again shall not find it
        await self._fault_connection.ask(_RESET)

    async def holds(self, pid: int, attempts: int) -> bool:
        """Say whether a backend's statement stands where it can be struck."""
        rows = await self._fault_connection.ask(
            "SELECT wait_event, wait_event_type IN ('Lock', 'Timeout') FROM pg_catalog.pg_stat_activity"
            f" WHERE pid = {pid} AND state = 'active'"
        )
        if not rows:
            return False
        return rows[0][0] == "SyncRep" or (rows[0][1] == "t" and attempts > 0)

    def _comes_back(self) -> bool:
        return (
            not self._stop.is_set()
            and self._fault_connection.server_control is not None
            and self._fault_connection.server_control.running
        )

    async def give(self) -> None:
        """Let all commits go that still wait."""
        if not self._taken:
            return
        self._taken = False
        try:
            while not await self._gone() and self._comes_back():
                await sleep(_POLL_INTERVAL)  # polled: the server tells nobody that it is back
            await self._probe.end()
        finally:
            self._fault_connection.holding.release()

    async def _gone(self) -> bool:
        try:
            return await let_go(self._fault_connection)
        except NotDelivered:
            # the server refuses it, and would again
            return True


async def let_go(fault_connection: FaultConnection) -> bool:
    """Have commits wait for nobody, where one may have named a standby; doing so again does nothing."""
    if fault_connection.named:
        try:
            # also where it was taken back already: that may have met a server that was down
            taken_back = await fault_connection.ask(_RESET)
        finally:
            # also where that is refused: nobody shall wait for what is not in the settings any more
            known = await fault_connection.ask(_RELOAD)
        fault_connection.named = taken_back is None or known is None
    return not fault_connection.named
