"""Connections that a shared database keeps for the next scenario, and how they are made as if they were new.

DISCARD ALL brings a session back to what it began with (PostgreSQL docs, "DISCARD"): role, settings, prepared
statements, cursors, LISTEN, advisory locks, temporary tables, sequences. What it leaves is in `LASTING`.
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
from pgchaos.engine.loop import alone

LASTING = re.compile(
    r"\bset_config\b(?!\s*\(\s*'(?!seed')\w+'\s*,)|\bset(?:\s+(?:local|session))?\s+seed\b|\bset(?:\s+(?:local|session))?\s+(?:(?:\"[^\"]+\"|\w+)\s*\.|\"\w+\.)|\bsetseed\b|\bchaos\s*\.\s*seed\b"
    r"|\bset(?:\s+(?:local|session))?\s*['%$|]"
    r"|\bload\b|\bextension\b|\blanguage\s+['\"]?(?!sql\b|plpgsql\b)\w",
    re.IGNORECASE,
)
"""What a session is not rid of before it ends: settings of one's own, whose names stay known (a SET that is put
together may be of one); the seed of random(); libraries, those of extensions too; the interpreters of languages."""

WORDS_OF_LASTING = ("set", "seed", "load", "extension", "language")
"""Each match contains one of them."""

RESET_MOST = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DEALLOCATE ALL; UNLISTEN *; DISCARD SEQUENCES"
UNLOCK = "SELECT pg_catalog.pg_advisory_unlock_all()"
RESET = f"{RESET_MOST}; {UNLOCK}; DISCARD PLANS"
"""What DISCARD ALL does, which cannot be sent beside other statements (PostgreSQL docs, "DISCARD"), without its DISCARD
TEMP."""
_SHORT = 2.0
"""Seconds for that where the connection is given up anyway."""
_USABLE = (pq.TransactionStatus.IDLE, pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)

IS_PRISTINE = """
    SELECT current_user = session_user
       AND (pg_catalog.pg_my_temp_schema() = 0
            OR NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()))
       AS pristine
"""
"""Whether a session is as it was when it began: to be sure that it was reset, for DISCARD ALL does more than this."""


NOT_PRISTINE = ServerError(NOT_CONNECTED, "the session is not as it began", said=False)


class Cache(Protocol):
    """Takes connections that have ended."""

    def put(self, connection: PooledConnection) -> bool:
        """Take one; False where there is no room."""
        ...


Again = Callable[["PooledConnection"], str]


class PooledConnection(Connection):
    """A connection that its end gives back to the cache of its database, reset.

    Nobody waits for the reset: the server does it while the run goes on, and who takes it next learns of that.
    """

    planned = False
    """pgTAP's tables were as no_plan() makes them, and are to be so again."""
    _assigned = False
    _is_ready = False
    _resetting: Answer | None = None
    _configuring: Answer | None = None
    _connection_cache: Cache | None = None
    _again: Again | None = None

    def assign(self, connection_cache: Cache | None, again: Again | None = None) -> None:
        """Give it to a run.

        Args:
            connection_cache: where it goes at its end; None to end it for good.
            again: writes what makes it new, and ready for the same part of another run; None to make it new only.
        """
        self._assigned, self._connection_cache, self._again = True, connection_cache, again

    @property
    def stays(self) -> bool:
        """Whether it is kept at its end, for the same part of another run."""
        return self._assigned and self._again is not None and not self.disturbed and self.status in _USABLE

    async def begin_configure(self, settings: Mapping[str, str], *, join: bool, patience: float = PATIENCE) -> bool:
        """Begin to make it a session of a run; `refusal` says what came of it."""
        if not await self.is_reset(patience):
            return False
        # SET, which is not planned, takes half the time of set_config
        says = [IS_PRISTINE, settings_text(settings)]
        if join:
            says.append("SELECT chaos._join()")
        self._configuring = self.begin("; ".join(says), rows_only=True)
        return True

    async def refusal(self, patience: float = PATIENCE) -> ServerError | None:
        """Say why it is not as a new one would be, and good for nothing; or None. Waits for what was begun."""
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
        """Say whether it is as a new one would be; `refusal` waits for nothing then."""
        self._is_ready = await self.refusal(patience) is None
        return self._is_ready

    async def end(self) -> None:
        """Give it back, or end it where it cannot be made as if it were new; doing so again does nothing."""
        assigned, self._assigned = self._assigned, False
        cached = False
        try:
            if assigned and self._connection_cache is None:
                # `discard` waits for it: a backend may outlive its connection, and nobody shall meet its locks
                await self.begin_reset()
            cache = self._connection_cache
            cached = assigned and cache is not None and await self._begin_again() and cache.put(self)
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

    async def _begin_again(self) -> bool:
        """Begin to make it as if it were new, and ready for the same again where that is wanted."""
        if self._again is None:
            return await self.begin_reset()
        if not await self.end_transaction():
            return False
        if not self._is_ready:
            self.prepare()
        return True

    def ask_own(self, query: str, deadline: float, *, last: bool = False) -> Answer:
        """See `Connection`; what makes it ready for another run is in the same message as the last, where it stays."""
        if not last or self._again is None or not self.stays or self.status != pq.TransactionStatus.IDLE:
            return super().ask_own(query, deadline, last=last)
        begun = self.begin(f"{query}; {self._again(self)}", rows_only=True)
        answer = alone(self.finish(begun, deadline))
        if answer.error is None and not answer.interrupted:
            # where it failed, nothing of the message was done
            self._is_ready = _is_pristine(answer)
            del answer.results[1:]
        return answer

    def prepare(self) -> None:
        """Begin to make it ready for the part of a run that it was assigned to."""
        assert self._again is not None, "it was assigned so"
        self._configuring = self.begin(self._again(self), rows_only=True)

    async def begin_reset(self) -> bool:
        """Begin to make it as if it were new, as far as DISCARD ALL does; say whether that can be done."""
        if not await self.end_transaction():
            return False
        self.planned, self.settings, self.prepared = False, None, {}
        self._resetting = self.begin("DISCARD ALL")
        return True

    async def end_transaction(self) -> bool:
        """End the transaction that a run left open; say whether the connection can be used again."""
        if self.disturbed or not self.alive or self.status not in _USABLE:
            return False
        self.deafen()
        self._notice = None
        if self.status != pq.TransactionStatus.IDLE:
            await self.execute("ROLLBACK", deadline=time.monotonic() + PATIENCE)
        return True

    async def is_reset(self, patience: float = PATIENCE) -> bool:
        """Say whether the reset that was begun, if any, has made it as if it were new; wait for it."""
        begun, self._resetting = self._resetting, None
        if begun is None:
            return True
        answer = await self.finish(begun, time.monotonic() + patience)
        self.notifications()
        return answer.error is None and not self.disturbed and self.status == pq.TransactionStatus.IDLE


def _is_pristine(answer: Answer) -> bool:
    return [row for one in answer.results if one.columns() == ("pristine",) for row in one.rows()] == [("t",)]


def settings_text(settings: Mapping[str, str]) -> str:
    """Write settings as statements."""
    return "; ".join(_set(name, value) for name, value in settings.items())


@lru_cache(maxsize=1024)
def _set(name: str, value: str) -> str:
    # in a list such as search_path each element would be quoted by itself
    if name == "search_path":
        return f"SET search_path = {value}"
    return f"SET {name} = {sql.Literal(value).as_string(None)}"
