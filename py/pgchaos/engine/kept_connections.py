"""Connections that a search keeps, each for the same part of all its runs, such as the session a[1] or the check.

One message resets such a connection and sets its initial settings. The server executes it while the run ends.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from pgchaos.engine.connection import PATIENCE
from pgchaos.engine.loop import run_sync
from pgchaos.engine.pooled_connection import RESET_MOST, UNLOCK, PooledConnection, settings_text
from pgchaos.engine.row_reset import SEND_COUNTERS, is_true
from pgchaos.server.connection_cache import ConnectionCache

_PLANNED = """
    SELECT (SELECT pg_catalog.array_agg(relname::text ORDER BY relname::text) FROM pg_catalog.pg_class
             WHERE relnamespace = pg_catalog.pg_my_temp_schema())
         = '{__tcache__,__tcache___id_seq,__tcache___key,__tresults___numb_seq}'::text[]
       AND (SELECT pg_catalog.array_agg(ROW(id, label, value, note)::text ORDER BY id) FROM pg_temp.__tcache__)
         = ARRAY['(1,plan,0,"")', '(2,failed,0,"")']
"""
"""Whether pgTAP's tables are as no_plan() makes them, and the session has no other temporary tables."""
_LEAST = 0.05
"""Seconds to wait once a backend has not answered."""
_PLAN_AGAIN = """
    DELETE FROM pg_temp.__tcache__;
    INSERT INTO pg_temp.__tcache__ (id, label, value, note) VALUES (1, 'plan', 0, ''), (2, 'failed', 0, '');
    SELECT pg_catalog.setval('pg_temp.__tcache___id_seq', 2),
           pg_catalog.setval('pg_temp.__tresults___numb_seq', 1, false)
"""
_IS_PRISTINE = "SELECT current_user = session_user AS pristine"
"""Without the search for temporary tables of `IS_PRISTINE`: it follows their reset in the same message."""


def learn_plan(connection: PooledConnection) -> None:
    """Record whether pgTAP's tables of a session are as no_plan() makes them, so that they can be kept."""
    connection.planned = is_true(connection, _PLANNED)


class KeptConnections:
    """Connections by the part of a run that uses them.

    Args:
        connection_cache: gets those that are no longer kept.
    """

    def __init__(self, connection_cache: ConnectionCache) -> None:
        self._cache = connection_cache
        self._kept: dict[str, tuple[PooledConnection, Mapping[str, str]]] = {}
        self.plans_last = False
        """Keep plans: the schema has no function whose plan might depend on the number of its calls."""
        self.no_locks = False
        """No session can hold an advisory lock: none is listed or released."""
        self.silent = False
        """A backend has not answered: waits for the others are short."""

    async def take(self, name: str, settings: Mapping[str, str]) -> PooledConnection | None:
        """Take the connection that is kept for a part; it gets new settings if the schema is another."""
        connection, begins_with = self._kept.pop(name, (None, settings))
        if connection is None or begins_with == settings:
            return connection
        if not await connection.is_ready(self._patience):
            await connection.discard(self._patience)
            return None
        self.assign(connection, name, settings)
        connection.prepare()
        return connection

    def ask(self, query: str) -> None:
        """Run a query on any of them; if it fails, that connection is no longer kept."""
        name = next(iter(self._kept), None)
        if name is None:
            return
        connection, _ = self._kept[name]
        if not self._is_ready(connection) or connection.ask(query, deadline=time.monotonic() + PATIENCE).error:
            self._kept.pop(name)[0].shut(self._patience)

    def assign(self, connection: PooledConnection, name: str, settings: Mapping[str, str]) -> None:
        """Let a connection be kept at its end, for the same part of the next run."""
        slot = _Slot(self, name, settings)
        connection.assign(slot, slot.reset_sql)

    def put(self, name: str, connection: PooledConnection, settings: Mapping[str, str]) -> bool:
        """Keep a connection; False if one is kept for this part already."""
        if name in self._kept:
            return False
        self._kept[name] = connection, settings
        return True

    @property
    def backends(self) -> frozenset[int]:
        """The pids of their backends."""
        return frozenset(connection.pid for connection, _ in self._kept.values())

    def ready(self) -> bool:
        """Wait until all are reset and have sent their counters; return whether all succeeded."""
        refused = [name for name, (connection, _) in self._kept.items() if not self._is_ready(connection)]
        for name in refused:
            self._kept.pop(name)[0].shut(self._patience)
        return not refused

    @property
    def _patience(self) -> float:
        return _LEAST if self.silent else PATIENCE

    def _is_ready(self, connection: PooledConnection) -> bool:
        # then a late query is not cancelled, but the connection ended
        connection.ends_when_late = self.silent
        ready = run_sync(connection.is_ready(self._patience))
        self.silent = self.silent or connection.silent
        return ready

    def close(self) -> None:
        """Return them to the cache."""
        while self._kept:
            _, (connection, _) = self._kept.popitem()
            if self._is_ready(connection):
                connection.assign(self._cache)
                connection.close()
            else:
                connection.shut(self._patience)


class _Slot:
    """The cache that gets the connection of one part at its end."""

    def __init__(self, kept: KeptConnections, name: str, settings: Mapping[str, str]) -> None:
        self._kept, self._name, self._settings = kept, name, settings

    def reset_sql(self, connection: PooledConnection) -> str:
        """Write the statements that reset the connection and set its settings."""
        temporary = f"{_PLAN_AGAIN if connection.planned else 'DISCARD TEMP'}; {_IS_PRISTINE}"
        plans = "" if self._kept.plans_last else "DISCARD PLANS; "
        locks = "" if self._kept.no_locks else f"{UNLOCK}; "
        return f"{RESET_MOST}; {plans}{locks}{temporary}; {settings_text(self._settings)}; {SEND_COUNTERS}"

    def put(self, connection: PooledConnection) -> bool:
        """See `KeptConnections.put`."""
        return self._kept.put(self._name, connection, self._settings)
