"""Whether a plain pgTAP file leaves its database unchanged.

Almost every such file is BEGIN, assertions, ROLLBACK. If it is proven that the file changed nothing, the next file gets
the same database and connection; otherwise both are discarded. The proof comes from the server, not from the text of
the file: every lasting change is made by a transaction with an id, and pg_xact has the outcome of the ids assigned
meanwhile (PostgreSQL docs, "Transactions and Identifiers"). Changes without an id are queried one by one, or found by
name (`MARKS`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import pq

from pgchaos.engine.answer import Answer, Result, Row
from pgchaos.engine.connection import PATIENCE, ConnectionLost
from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.created import Thing
from pgchaos.engine.in_place_connection import Notice
from pgchaos.engine.leaks import SHARED
from pgchaos.engine.loop import run_sync
from pgchaos.engine.pooled_connection import (
    IS_PRISTINE,
    LASTING,
    NOT_PRISTINE,
    RESET,
    WORDS_OF_LASTING,
    PooledConnection,
)
from pgchaos.engine.text_search import query_matches
from pgchaos.server import Sandbox
from pgchaos.stop import Stop

MARKS = re.compile(
    r"\bvacuum\b|\banaly[sz]e\b|\bcheckpoint\b|\balter\s+system\b|\bpg_stat|\bpg_replication_|\bpgstat",
    re.IGNORECASE,
)
"""What changes a database without a transaction id, or reads such changes: statistics, settings of the server."""
_WORDS_OF_MARKS = ("vacuum", "analy", "checkpoint", "alter", "pg_stat", "pg_replication_", "pgstat")
"""Each match contains one of them."""


# All ids below it are completed; ids assigned from now on are not smaller.
_IDS = "pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())"
_COMMITTED = f"""
    {_IDS}, CASE WHEN {_IDS} - {{since}} < {{most}} THEN
        (SELECT pg_catalog.array_to_string(pg_catalog.array_agg(id), ',')
           FROM pg_catalog.generate_series({{since}}, {_IDS} - 1) id WHERE pg_catalog.txid_status(id) = 'committed')
    ELSE 'too many' END,
    (SELECT pg_catalog.array_to_string(pg_catalog.array_agg(slot_name::text ORDER BY slot_name), ',')
       FROM pg_catalog.pg_get_replication_slots())
"""
_FIRST = f"""
    {IS_PRISTINE};
    SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relkind = 'S');
    SELECT {_IDS}
"""
"""A sequence advances without a transaction: nothing can be proven of a database that has one."""
_BEGIN = f"SELECT {_COMMITTED}"

# Each statement has its own snapshot. The connections are counted first: a session that has left by then has completed
# its transactions. The reset is committed before.
_END = f"""
    BEGIN; {RESET}; DISCARD TEMP; COMMIT;
    BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
    SELECT current_user = session_user AND pg_catalog.pg_my_temp_schema() = 0
       AND pg_catalog.pg_stat_get_db_numbackends({{database}}) = 1;
    SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_prepared_xact() WHERE dbid = {{database}});
    SELECT {_COMMITTED};
    COMMIT
"""
_MOST_IDS = 10_000
"""Transaction ids that are looked up one by one; if more were assigned, nothing is proven."""


@dataclass(slots=True)
class _ServerState:
    """The state of the server at one moment."""

    database: int  # the OID of the file's database; 0: nothing can be proven of it
    since: int  # ids from this on were assigned later
    slots: str = ""  # the names of all replication slots
    shared: Sequence[Thing] = ()  # the result of `leaks.SHARED`


class PlainFileConnection(PooledConnection):
    """The connection of a plain file; it records whether a query may have a lasting effect."""

    marks = False
    """The database may have changed without a transaction id."""
    lasts = False
    """The session can no longer be reset completely."""
    seen: _ServerState | None = None
    """The state of the server at the end of the last file."""

    def ask(self, query: str, copy: str | None = None, deadline: float | None = None) -> Answer:
        """Send a query as `Connection.ask` does, after examining its text: more is sent than the file contains."""
        self.marks = self.marks or query_matches(query, MARKS, _WORDS_OF_MARKS)
        self.lasts = self.lasts or query_matches(query, LASTING, WORDS_OF_LASTING)
        return super().ask(query, copy, deadline)

    def is_reset_now(self) -> bool:
        """Drop pending notifications; return whether it can be used again after a successful reset."""
        self.notifications()
        return not self.disturbed and self.status == pq.TransactionStatus.IDLE

    def engine(self, query: str) -> Answer:
        """Send a query of the engine, which changes nothing."""
        return super().ask(query, deadline=time.monotonic() + PATIENCE)


class CleanDatabaseProof:
    """The time from a file's first statement to the proof that it changed nothing.

    Raises:
        ConnectionLost: the server could not be reached or refused.
    """

    def __init__(self, factory: ConnectionFactory, stop: Stop, notice: Notice) -> None:
        self._sandbox = factory.sandbox
        self.connection, self._seen = _begun(factory, stop, notice)

    @property
    def shared(self) -> Sequence[Thing]:
        """The result of `leaks.SHARED` at the beginning."""
        return self._seen.shared

    def unchanged(self) -> bool:
        """Whether the file is proven to have changed nothing, so that the next can use its database."""
        connection = self.connection
        return (
            self._seen.database != 0
            and not connection.marks
            and run_sync(connection.end_transaction())
            and self._proven()
            and connection.is_reset_now()
        )

    def _proven(self) -> bool:
        now = self._seen
        answer = self.connection.engine(_END.format(database=now.database, since=now.since, most=_MOST_IDS))
        # the first row belongs to the reset
        rows = answer.rows()[1:]
        if answer.error is not None or len(rows) != 3 or rows[:2] != [("t",), ("t",)]:
            return False
        committed, slots, now.since = _parse_committed(rows[2])
        return slots == now.slots and self._sandbox.explains(committed)

    def end(self, unchanged: bool) -> None:
        """End the proof; the connection is kept only with a database that another file gets."""
        connection_cache = self._sandbox.connection_cache
        self.connection.seen = self._seen
        if not (
            unchanged
            and not self.connection.lasts
            and connection_cache is not None
            and connection_cache.put(self.connection)
        ):
            self.connection.shut()
        if unchanged:
            self._sandbox.keep()


def _begun(factory: ConnectionFactory, stop: Stop, notice: Notice) -> tuple[PlainFileConnection, _ServerState]:
    """Open a connection and read the state; skip kept connections that were ended meanwhile."""
    cached = True
    while cached:
        connection, cached = run_sync(factory.open_cached(PlainFileConnection, stop, notice))
        try:
            return connection, _read_state(connection, factory.sandbox)
        except BaseException as error:  # Ctrl-C too: the caller does not have the connection yet
            connection.shut()
            if not cached or not isinstance(error, ConnectionLost):
                raise
    raise AssertionError("a new connection is returned, or refused")


def _read_state(connection: PlainFileConnection, sandbox: Sandbox) -> _ServerState:
    """Read the state; most of it is known from the last file, unless another session has committed since."""
    seen = connection.seen
    if seen is None:
        new, database, end = _query_rows(connection, _FIRST)
        if list(new.rows()) != [("t",)]:
            raise ConnectionLost(NOT_PRISTINE)
        ((ids,),) = end.rows()
        seen = _ServerState(next((int(oid or 0) for (oid,) in database.rows()), 0), int(ids or 0))
    (result,) = _query_rows(connection, _BEGIN.format(since=seen.since, most=_MOST_IDS))
    (row,) = result.rows()
    committed, slots, since = _parse_committed(row)
    shared = seen.shared
    if connection.seen is None or slots != seen.slots or not sandbox.explains(committed):
        (things,) = _query_rows(connection, SHARED)
        shared = [(str(kind), str(name)) for kind, name in things.rows()]
    return _ServerState(seen.database, since, slots, shared)


def _query_rows(connection: PlainFileConnection, query: str) -> list[Result]:
    answer = connection.engine(query)
    if answer.error is not None:
        raise ConnectionLost(answer.error)
    return answer.results


def _parse_committed(row: Row) -> tuple[list[int], str, int]:
    """Parse a row of `_COMMITTED`: the committed ids (-1: too many), the slots, and the end of the ids."""
    ids, committed, slots = row
    if committed == "too many":
        return [-1], slots or "", int(ids or 0)
    return [int(one) for one in (committed or "").split(",") if one], slots or "", int(ids or 0)
