"""Connections that a shared database keeps for the next scenario, and their reset.

DISCARD ALL resets a session to its initial state (PostgreSQL docs, "DISCARD"): role, settings, prepared statements,
cursors, LISTEN, advisory locks, temporary tables, sequences. `LASTING` matches what it does not reset.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol

from psycopg import pq, sql

from pgchaos.engine.answer import NOT_CONNECTED, Answer, ServerError
from pgchaos.engine.connection import PATIENCE, Connection
from pgchaos.engine.loop import run_sync

LASTING = re.compile(
    r"\bset_config\b(?!\s*\(\s*'(?!seed')\w+'\s*,)|\bset(?:\s+(?:local|session))?\s+seed\b|\bset(?:\s+(?:local|session))?\s+(?:(?:\"[^\"]+\"|\w+)\s*\.|\"\w+\.)|\bsetseed\b|\bchaos\s*\.\s*seed\b"
    r"|\bset(?:\s+(?:local|session))?\s*['%$|]"
    r"|\bload\b|\bextension\b|\blanguage\s+['\"]?(?!sql\b|plpgsql\b)\w",
    re.IGNORECASE,
)
"""Effects that last until the session ends: custom settings, whose names stay known (a composed SET may be of one); the
seed of random(); loaded libraries, of extensions too; the interpreters of languages."""

WORDS_OF_LASTING = ("set", "seed", "load", "extension", "language")
"""Each match contains one of them."""

RESET_MOST = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DEALLOCATE ALL; UNLISTEN *; DISCARD SEQUENCES"
UNLOCK = "SELECT pg_catalog.pg_advisory_unlock_all()"
RESET = f"{RESET_MOST}; {UNLOCK}; DISCARD PLANS"
"""DISCARD ALL without DISCARD TEMP, in parts: it cannot be sent with other statements (PostgreSQL docs, "DISCARD")."""
_SHORT = 2.0
"""Seconds for a reset if the connection is discarded anyway."""
_USABLE = (pq.TransactionStatus.IDLE, pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)

IS_PRISTINE = """
    SELECT current_user = session_user
       AND (pg_catalog.pg_my_temp_schema() = 0
            OR NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()))
       AS pristine
"""
"""Verifies that a session was reset; DISCARD ALL resets more than it checks."""


NOT_PRISTINE = ServerError(NOT_CONNECTED, "the session was not reset", from_server=False)


class Cache(Protocol):
    """Keeps connections after their use."""

    def put(self, connection: PooledConnection) -> bool:
        """Keep one; False if there is no room."""
        ...


ResetSql = Callable[["PooledConnection"], str]


class PooledConnection(Connection):
    """A connection whose end resets it and returns it to the cache of its database.

    The server resets it while the run continues; the next user waits for the result.
    """

    planned = False
    """pgTAP's tables were as no_plan() makes them, and are reset to that state."""
    _assigned = False
    _is_ready = False
    _resetting: Answer | None = None
    _configuring: Answer | None = None
    _connection_cache: Cache | None = None
    _reset_sql: ResetSql | None = None

    def assign(self, connection_cache: Cache | None, reset_sql: ResetSql | None = None) -> None:
        """Assign it to a run.

        Args:
            connection_cache: gets it at its end; None to close it then.
            reset_sql: writes the statements that reset it for the same part of another run; None for a plain reset.
        """
        self._assigned, self._connection_cache, self._reset_sql = True, connection_cache, reset_sql

    @property
    def stays(self) -> bool:
        """Whether it is kept at its end for the same part of another run."""
        return self._assigned and self._reset_sql is not None and not self.disturbed and self.status in _USABLE

    async def begin_configure(self, settings: Mapping[str, str], *, join: bool, patience: float = PATIENCE) -> bool:
        """Start to configure it as a session of a run; `refusal` returns the outcome. False if it cannot be used."""
        if not await self.is_reset(patience):
            return False
        # SET is not planned: it takes half the time of set_config
        statements = [IS_PRISTINE, settings_text(settings)]
        if join:
            statements.append("SELECT chaos._join()")
        self._configuring = self.begin("; ".join(statements), rows_only=True)
        return True

    async def refusal(self, patience: float = PATIENCE) -> ServerError | None:
        """Wait for the configuration; return why the connection cannot be used, or None."""
        begun, self._configuring = self._configuring, None
        ready, self._is_ready = self._is_ready, False
        if begun is None:
            return None if ready and self.is_usable() and not self.disturbed else NOT_PRISTINE
        answer = await self.finish(begun, time.monotonic() + patience)
        if answer.error is not None:
            return answer.error
        # the answer may have come long ago
        if self.disturbed or not self.is_usable() or not _is_pristine(answer):
            return NOT_PRISTINE
        return None

    async def is_ready(self, patience: float = PATIENCE) -> bool:
        """Wait until it is configured; return whether it can be used. `refusal` does not wait after it."""
        self._is_ready = await self.refusal(patience) is None
        return self._is_ready

    async def end(self) -> None:
        """Return it to its cache, or close it if it cannot be reset. Idempotent."""
        assigned, self._assigned = self._assigned, False
        cached = False
        try:
            if assigned and self._connection_cache is None:
                # `discard` waits for it: a backend may outlive its connection, and must not hold locks then
                await self.begin_reset()
            cache = self._connection_cache
            cached = assigned and cache is not None and await self._begin_reset_for_reuse() and cache.put(self)
        finally:
            if assigned and not cached:
                await self.discard()

    async def discard(self, patience: float = _SHORT) -> None:
        """Close it.

        Args:
            patience: seconds to wait for a reset or configuration in progress.
        """
        # a late query is not cancelled: the connection is ended
        self.ends_when_late = True
        # closing a busy connection sends a cancel, whose connection takes longer than the rest of the reset
        await self.is_reset(patience)
        if self._configuring is not None:
            await self.refusal(patience)
        await super().end()

    def shut(self, patience: float = _SHORT) -> None:
        """Call `discard` without a loop."""
        run_sync(self.discard(patience))

    async def _begin_reset_for_reuse(self) -> bool:
        """Start the reset, or the reset for the same part of another run."""
        if self._reset_sql is None:
            return await self.begin_reset()
        if not await self.end_transaction():
            return False
        if not self._is_ready:
            self.prepare()
        return True

    def ask_own(self, query: str, deadline: float, *, last: bool = False) -> Answer:
        """See `Connection`; the message with the last query also resets it for another run, if it is kept."""
        if not last or self._reset_sql is None or not self.stays or self.status != pq.TransactionStatus.IDLE:
            return super().ask_own(query, deadline, last=last)
        begun = self.begin(f"{query}; {self._reset_sql(self)}", rows_only=True)
        answer = run_sync(self.finish(begun, deadline))
        if answer.error is None and not answer.interrupted:
            # if it failed, the server has done nothing of the message
            self._is_ready = _is_pristine(answer)
            del answer.results[1:]
        return answer

    def prepare(self) -> None:
        """Start the reset for the part of a run that it is assigned to."""
        assert self._reset_sql is not None, "set by assign"
        self._configuring = self.begin(self._reset_sql(self), rows_only=True)

    async def begin_reset(self) -> bool:
        """Start DISCARD ALL; return False if the connection cannot be used again."""
        if not await self.end_transaction():
            return False
        self.planned, self.settings, self.prepared = False, None, {}
        self._resetting = self.begin("DISCARD ALL")
        return True

    async def end_transaction(self) -> bool:
        """Roll back an open transaction; return False if the connection cannot be used again."""
        if self.disturbed or not self.alive or self.status not in _USABLE:
            return False
        self.ignore_stop()
        self._notice = None
        if self.status != pq.TransactionStatus.IDLE:
            await self.execute("ROLLBACK", deadline=time.monotonic() + PATIENCE)
        return True

    async def is_reset(self, patience: float = PATIENCE) -> bool:
        """Wait for a reset in progress; return whether it succeeded, or there was none."""
        begun, self._resetting = self._resetting, None
        if begun is None:
            return True
        answer = await self.finish(begun, time.monotonic() + patience)
        self.notifications()
        return answer.error is None and not self.disturbed and self.status == pq.TransactionStatus.IDLE


def _is_pristine(answer: Answer) -> bool:
    return [row for one in answer.results if one.columns() == ("pristine",) for row in one.rows()] == [("t",)]


def settings_text(settings: Mapping[str, str]) -> str:
    """Write settings as SET statements."""
    return "; ".join(_set(name, value) for name, value in settings.items())


@lru_cache(maxsize=1024)
def _set(name: str, value: str) -> str:
    # a list: quoting the whole would make it one element
    if name == "search_path":
        return f"SET search_path = {value}"
    return f"SET {name} = {sql.Literal(value).as_string(None)}"
