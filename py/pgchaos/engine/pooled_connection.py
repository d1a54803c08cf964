"""Connections that a shared database keeps for the next scenario, and how they are made as if they were new.

DISCARD ALL brings a session back to what it began with (PostgreSQL docs, "DISCARD"): role, settings, prepared
statements, cursors, LISTEN, advisory locks, temporary tables, sequences. What it leaves is in `LASTING`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from functools import lru_cache

from psycopg import pq, sql

from pgchaos.engine.answer import NOT_CONNECTED, Answer, ServerError
from pgchaos.engine.connection import Connection
from pgchaos.engine.loop import alone
from pgchaos.server.connection_cache import ConnectionCache

LASTING = re.compile(
    r"\bset_config\b|\bset(?:\s+(?:local|session))?\s+(?:(?:\"[^\"]+\"|\w+)\s*\.|\"\w+\.)|\bsetseed\b|\bchaos\s*\.\s*seed\b"
    r"|\bset(?:\s+(?:local|session))?\s*['%$|]"
    r"|\bload\b|\bextension\b|\blanguage\s+'?(?!sql\b|plpgsql\b)\w",
    re.IGNORECASE,
)
"""What a session is not rid of before it ends: settings of one's own, whose names stay known (perhaps where a SET is
put together); the seed of random(); libraries, those of extensions too; the interpreters of languages."""

_PATIENCE = 10.0
"""Seconds for what takes none on a server that answers."""
_SHORT = 2.0
"""Seconds for that where the connection is given up anyway."""
_USABLE = (pq.TransactionStatus.IDLE, pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)

IS_PRISTINE = """
    SELECT current_user = session_user
       AND (pg_catalog.pg_my_temp_schema() = 0
            OR NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()))
"""
"""Whether a session is as it was when it began: to be sure that it was reset, for DISCARD ALL does more than this."""


NOT_PRISTINE = ServerError(NOT_CONNECTED, "the session is not as it began", said=False)


class PooledConnection(Connection):
    """A link that its end gives back to the shelf of its database, reset.

    Nobody waits for the reset: the server does it while the run goes on, and who takes the link next hears of it.
    """

    _assigned = False
    _resetting: Answer | None = None
    _configuring: Answer | None = None
    _connection_cache: ConnectionCache | None = None

    def assign(self, connection_cache: ConnectionCache | None) -> None:
        """Lend it to a run.

        Args:
            connection_cache: where it goes at its end; None to end it for good.
        """
        self._assigned, self._connection_cache = True, connection_cache

    async def begin_configure(self, settings: Mapping[str, str], *, join: bool, patience: float = _PATIENCE) -> bool:
        """Begin to make it a session of a run; `refusal` says what came of it."""
        if not await self.is_reset(patience):
            return False
        # SET, which is not planned, takes half the time of set_config
        says = [IS_PRISTINE, *(_set(name, value) for name, value in settings.items())]
        if join:
            says.append("SELECT chaos._join()")
        self._configuring = self.begin("; ".join(says))
        return True

    async def refusal(self, patience: float = _PATIENCE) -> ServerError | None:
        """Say why it is not as a new one would be, and good for nothing; or None. Waits for what was begun."""
        begun, self._configuring = self._configuring, None
        if begun is None:
            return NOT_PRISTINE
        answer = await self.finish(begun, time.monotonic() + patience)
        if answer.error is not None:
            return answer.error
        # the answer may have come long ago
        if self.disturbed or not self.is_usable() or list(answer.results[0].rows()) != [("t",)]:
            return NOT_PRISTINE
        return None

    async def end(self) -> None:
        """Give it back, or end it where it cannot be made as if it were new; doing so again does nothing."""
        assigned, self._assigned = self._assigned, False
        cached = False
        try:
            if assigned and self._connection_cache is None:
                # `discard` waits for it: a backend may outlive its connection, and nobody shall meet its locks
                await self.begin_reset()
            cached = (
                assigned
                and self._connection_cache is not None
                and await self.begin_reset()
                and self._connection_cache.put(self)
            )
        finally:
            if assigned and not cached:
                await self.discard()

    async def discard(self, patience: float = _SHORT) -> None:
        """End it for good.

        Args:
            patience: seconds to wait for what was begun.
        """
        # what does not answer by then is not cancelled, but broken off
        self.ends_when_late = True
        # a backend that is busy would be cancelled, and to open a connection for that takes longer than the rest of it
        await self.is_reset(patience)
        if self._configuring is not None:
            await self.refusal(patience)
        await super().end()

    def shut(self, patience: float = _SHORT) -> None:
        """Do what `discard` does where nothing else goes on meanwhile."""
        alone(self.discard(patience))

    async def begin_reset(self) -> bool:
        """Begin to make it as if it were new, as far as DISCARD ALL does; say whether that can be done."""
        if self.disturbed or not self.alive or self.status not in _USABLE:
            return False
        self.deafen()
        self._notice = None
        if self.status != pq.TransactionStatus.IDLE:
            await self.execute("ROLLBACK", deadline=time.monotonic() + _PATIENCE)
        self._resetting = self.begin("DISCARD ALL")
        return True

    async def is_reset(self, patience: float = _PATIENCE) -> bool:
        """Say whether the reset that was begun, if any, has made it as if it were new; wait for it."""
        begun, self._resetting = self._resetting, None
        if begun is None:
            return True
        answer = await self.finish(begun, time.monotonic() + patience)
        self.notifications()
        return answer.error is None and not self.disturbed and self.status == pq.TransactionStatus.IDLE

    async def reset(self) -> bool:
        """Make it as if it were new, as far as DISCARD ALL does; say whether that could be done."""
        return await self.begin_reset() and await self.is_reset()


@lru_cache(maxsize=1024)
def _set(name: str, value: str) -> str:
    # in a list such as search_path each element would be quoted by itself
    if name == "search_path":
        return f"SET search_path = {value}"
    return f"SET {name} = {sql.Literal(value).as_string(None)}"
