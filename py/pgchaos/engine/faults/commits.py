"""Holds a COMMIT when it is durable but not yet acknowledged, so that a fault can be delivered between the two.

With synchronous replication a commit waits, after its WAL is flushed, for the answer of a standby (PostgreSQL docs,
"Synchronous Replication"; SyncRepWaitForLSN in syncrep.c). With a standby that does not exist it waits as long as we
like: a session that is killed then has committed, without an acknowledgement.
"""

from __future__ import annotations

from pgchaos.engine.faults.actions import NotDelivered
from pgchaos.engine.faults.commit_probe import CommitProbe
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.engine.waits import sleep
from pgchaos.language.section_items import Statement
from pgchaos.language.transaction_statements import closes_block
from pgchaos.stop import Stop

_MISSING_STANDBY = "pgchaos_nobody"
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE"})
_POLL_INTERVAL = 0.001
_RESET = "ALTER SYSTEM RESET synchronous_standby_names"
_RELOAD = "SELECT pg_catalog.pg_reload_conf()"


def ends_in_commit(item: Statement, in_block: bool) -> bool:
    """Whether a statement ends with the commit of its transaction."""
    if in_block:
        return item.verb in ("COMMIT", "END") and closes_block(item.verb, item.text)
    return item.verb in _WRITES


class CommitHold:
    """Holds the commits of a server of ours."""

    def __init__(self, fault_connection: FaultConnection, stop: Stop) -> None:
        self._fault_connection, self._stop = fault_connection, stop
        self._probe = CommitProbe(fault_connection, stop)
        self._holds = False

    async def hold(self) -> bool:
        """Let all commits of the server wait from now on, until `release`.

        Returns:
            False if they cannot be held.

        Raises:
            NotDelivered: the server refuses it.
        """
        rows = await self._fault_connection.ask("SHOW max_wal_senders")
        if not rows or rows[0][0] == "0":
            return False
        if not await self._fault_connection.holding.acquire(self._stop):
            return False
        self._holds = True
        try:
            await self._start_hold()
        except BaseException:
            await self.release()
            raise
        return True

    async def _start_hold(self) -> None:
        await self._fault_connection.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{_MISSING_STANDBY}'")
        self._fault_connection.standby_set = True
        await self._fault_connection.ask(_RELOAD)
        # the checkpointer has to reload the setting: wait until a commit of ours is held
        while not self._stop.is_set() and not await self._probe.waits():
            pass
        # a restarted server must not have it
        await self._fault_connection.ask(_RESET)

    async def holds(self, pid: int, attempts: int) -> bool:
        """Whether a backend's commit is held, or its statement waits for something else."""
        rows = await self._fault_connection.ask(
            "SELECT wait_event, wait_event_type IN ('Lock', 'Timeout') FROM pg_catalog.pg_stat_activity"
            f" WHERE pid = {pid} AND state = 'active'"
        )
        if not rows:
            return False
        return rows[0][0] == "SyncRep" or (rows[0][1] == "t" and attempts > 0)

    def _may_return(self) -> bool:
        return (
            not self._stop.is_set()
            and self._fault_connection.server_control is not None
            and self._fault_connection.server_control.running
        )

    async def release(self) -> None:
        """Let the held commits finish."""
        if not self._holds:
            return
        self._holds = False
        try:
            while not await self._is_reset() and self._may_return():
                await sleep(_POLL_INTERVAL)  # polled: the return of a server is not reported
            await self._probe.end()
        finally:
            self._fault_connection.holding.release()

    async def _is_reset(self) -> bool:
        try:
            return await release_commits(self._fault_connection)
        except NotDelivered:
            # the server refuses it, and would refuse it again
            return True


async def release_commits(fault_connection: FaultConnection) -> bool:
    """Remove the standby that commits may wait for; return whether that is certain. Idempotent."""
    if fault_connection.standby_set:
        try:
            # even if it was reset before: the server may have been down then
            was_reset = await fault_connection.ask(_RESET)
        finally:
            # even if that is refused: the file may not have the setting any more
            reloaded = await fault_connection.ask(_RELOAD)
        fault_connection.standby_set = was_reset is None or reloaded is None
    return not fault_connection.standby_set
