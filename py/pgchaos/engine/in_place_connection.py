"""Connections that plain files use one after the other in a user's database.

A new backend takes longer to read the catalogs and to compile pgTAP's functions than most files take. After a reset as
by DISCARD ALL, a session equals a new one if three conditions hold. No query had an effect that lasts as long as the
session. No function that it may have called had one, according to the server (`_NOTHING_LASTS`). And nothing was
committed since it began, so these functions and the defaults of sessions are unchanged (`ObjectList.listed`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from psycopg import pq, sql

from pgchaos.engine.answer import Answer
from pgchaos.engine.connection import PATIENCE
from pgchaos.engine.pooled_connection import IS_PRISTINE, LASTING, WORDS_OF_LASTING, Cache, PooledConnection
from pgchaos.engine.text_search import query_matches
from pgchaos.server import Sandbox
from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.stop import Stop

Notice = Callable[[pq.abc.PGresult], None]

_LASTING = re.compile(
    rf"{LASTING.pattern}|_slot\b|_backup\b|_backup_|\bpg_replication_origin|\balter\s+system\b", re.IGNORECASE
)
"""Temporary slots, a backup and a replication origin end with their session; some settings apply from its start."""
_WORDS = (*WORDS_OF_LASTING, "_slot", "_backup", "pg_replication_origin", "alter")
"""Each match contains one of them."""

# A function in another language, C too, may keep any state. pgTAP's functions keep none. Those in pg_catalog that do
# are in `_LASTING`, and a rule, a default or a policy may call one of these two.
_NOTHING_LASTS = sql.SQL("""
    SELECT pg_catalog.current_setting('session_preload_libraries') = ''
       AND pg_catalog.current_setting('local_preload_libraries') = ''
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtevent = 'login' AND evtenabled <> 'D')
       AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = prolang
         WHERE p.oid >= 16384
           AND (lanname NOT IN ('sql', 'plpgsql')
                OR pg_catalog.array_to_string(proconfig, ' ') ~ '^[^=]*[.]| [^= ]*[.][^= ]*='
                OR coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), prosrc) ~* {lasting})
           AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = refobjid
             WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND objid = p.oid AND deptype = 'e'
               AND refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND extname = 'pgtap'))
       AND NOT EXISTS (
        SELECT FROM (SELECT ev_action::text FROM pg_catalog.pg_rewrite WHERE oid >= 16384
                     UNION ALL SELECT adbin::text FROM pg_catalog.pg_attrdef
                     UNION ALL SELECT pg_catalog.concat(polqual, polwithcheck) FROM pg_catalog.pg_policy) used (tree)
         WHERE tree ~ pg_catalog.format(':funcid (%s|%s)', 'pg_catalog.set_config'::pg_catalog.regproc::oid,
                                        'pg_catalog.setseed'::pg_catalog.regproc::oid))
""").format(lasting=sql.Literal(_LASTING.pattern.replace(r"\b", r"\y")))


class InPlaceConnection(PooledConnection):
    """A connection of a plain file, or of its leak check, in a user's database."""

    lasts = False
    """A query may have had an effect that lasts as long as the session."""
    listed = -1
    """How often the objects had been listed when it began: a higher number now means that something was committed."""
    _proven = False

    def assign_in_place(self, cache: Cache | None, sandbox: Sandbox) -> None:
        """Set the cache that gets it at its end; None to end it then."""
        self.listed = sandbox.objects.listed
        self.assign(cache)

    def ask(self, query: str, copy: str | None = None, deadline: float | None = None) -> Answer:
        """Send a query as `Connection.ask` does, after examining its text: more is sent than the file contains."""
        self.lasts = self.lasts or query_matches(query, _LASTING, _WORDS)
        return super().ask(query, copy, deadline)

    async def begin_reset(self) -> bool:
        """Start the reset; return False if it cannot be reset."""
        return not self.lasts and await super().begin_reset()

    async def is_pristine(self) -> bool:
        """Whether it equals a new connection; waits for the reset."""
        if not await self.is_reset():
            return False
        query = IS_PRISTINE if self._proven else f"{IS_PRISTINE}; {_NOTHING_LASTS.as_string(None)}"
        answer = await self.finish(self.begin(query), time.monotonic() + PATIENCE)
        self._proven = True
        return answer.error is None and {row for one in answer.results for row in one.rows()} == {("t",)}


async def take_cached(
    cache: ConnectionCache, sandbox: Sandbox, stop: Stop, notice: Notice | None
) -> InPlaceConnection | None:
    """Take a connection of an earlier file that equals a new one; close the others.

    Args:
        cache: of connections with the same connection string.
        sandbox: of the run.
        stop: ends every wait on it.
        notice: called with each notice of the server.
    """
    while isinstance(connection := cache.take(), InPlaceConnection):
        connection.attach(stop, None)
        if connection.listed == sandbox.objects.listed and await connection.is_pristine():
            connection.attach(stop, notice)
            return connection
        await connection.discard()
    return None
