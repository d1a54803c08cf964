"""Restores the rows and sequences of a schema as setup left them, and proves that nothing else was changed.

The server counts inserted, updated and deleted rows, also of transactions that were rolled back (PostgreSQL docs, "The
Cumulative Statistics System"). Every definition is a row of a catalog, so a run that defined something has increased
the counters of the catalogs. Each session sends its counters before they are read: pg_stat_force_next_flush().
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from psycopg import sql

from pgchaos.engine.answer import NOT_CONNECTED, Answer, Result, ServerError
from pgchaos.engine.connection import PATIENCE, Connection, ConnectionLost
from pgchaos.engine.leaks import ADVISORY
from pgchaos.engine.lock_monitor import WAITS
from pgchaos.engine.loop import run_sync
from pgchaos.engine.setup_contents import RECORDS, SetupContents, Table, query_rows
from pgchaos.server.outside_schemas import SANDBOXES

SEND_COUNTERS = "SELECT pg_catalog.pg_stat_force_next_flush()"
"""The session sends its counters after it has answered this."""

_COUNTED = " + ".join(f"pg_catalog.pg_stat_get_{{xact}}tuples_{what}(o)" for what in ("inserted", "updated", "deleted"))
_LOOKED = " + ".join(
    f"pg_catalog.pg_stat_get_{what}_count(o)" for what in ("vacuum", "autovacuum", "analyze", "autoanalyze")
)
# Without the statistics that ANALYZE writes: the server itself runs it on catalogs, and counts it at other tables.
_CATALOGS = """
    SELECT pg_catalog.array_agg(oid)::text FROM pg_catalog.pg_class
     WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
       AND (NOT relisshared OR relname = 'pg_db_role_setting')
       AND relname NOT IN ('pg_statistic', 'pg_statistic_ext_data')
"""
_OUTSIDE = """
    SELECT coalesce(pg_catalog.array_agg(c.oid) FILTER (WHERE relkind <> 'S'), '{}')::text,
           (count(*) FILTER (WHERE relkind = 'S'))::text
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
     WHERE relkind IN ('r', 'm', 'S') AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '%s'
       AND c.oid <> ALL ('{%s}'::oid[])
"""
_OWN = "EXECUTE own; "
_NOT_LONG = "SET LOCAL lock_timeout = '1s'"
_RECORDS = "SELECT " + ", ".join(f"'{name}'::regclass::oid" for name in RECORDS)


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters at one moment."""

    catalogs: int  # rows of catalogs, and how often the tables were vacuumed or analyzed
    outside: int  # rows of tables outside the schemas of runs
    tables: tuple[int, ...]  # rows of each table, those of `RECORDS` last

    def with_(self, own: Counters) -> Counters:
        """Add the changes of one of our own transactions."""
        tables = tuple(one + other for one, other in zip(self.tables, own.tables, strict=True))
        return Counters(self.catalogs + own.catalogs, self.outside + own.outside, tables)


@dataclass(frozen=True, slots=True)
class RunChanges:
    """What a run has changed."""

    same_definitions: bool  # it changed only rows of the schema's tables
    changed: frozenset[int]  # the numbers of the tables whose rows it changed


class RowReset:
    """Restores what setup has left in one schema.

    Args:
        connection: to its database, kept as long as this is used.
        schema: the schema.
        contents: of the schema, as they are now.

    Raises:
        ConnectionLost: the server refused.
    """

    def __init__(self, connection: Connection, schema: str, contents: SetupContents) -> None:
        self.connection, self._schema, self._contents = connection, schema, contents
        # disables triggers; not set for each run, as that would discard all plans of the session
        query_rows(connection, "SET session_replication_role = replica; SET plan_cache_mode = force_generic_plan")
        # each counter is read once a message: a copy of it would cost more
        query_rows(connection, "SET stats_fetch_consistency = none")
        query_rows(connection, f"PREPARE locks AS {ADVISORY}; PREPARE waits (int[]) AS {WAITS}")
        connection.prepared = {ADVISORY: "EXECUTE locks", WAITS: "EXECUTE waits"}
        ((records),) = query_rows(connection, _RECORDS)
        oids = [*(table.oid for table in contents.tables), *map(str, records)]
        ((catalogs,),) = query_rows(connection, _CATALOGS)
        ((outside, sequences),) = query_rows(connection, _OUTSIDE % (SANDBOXES, ",".join(map(str, records))))
        self.has_outside_sequences = sequences != "0"
        """There are sequences outside: these have no counters, and are compared."""
        for name, xact in (("counted", ""), ("own", "xact_")):
            query_rows(
                connection, f"PREPARE {name} AS {_query(xact, str(catalogs), str(outside), oids, len(contents.tables))}"
            )
        self._texts: dict[frozenset[int], str] = {}
        self._own: dict[frozenset[int], Counters] = {}  # by the changed tables: what restoring them changes
        self._last: frozenset[int] = frozenset()
        self.expected = self.counters()

    def counters(self) -> Counters:
        """Read the counters."""
        answer = self.connection.ask("EXECUTE counted", deadline=time.monotonic() + PATIENCE)
        if answer.error is not None:
            raise ConnectionLost(answer.error)
        return _counters(answer.results)

    def read_changes(self) -> RunChanges:
        """Read the counters, and restore the tables that the run before this one changed.

        Most runs of a search change the same tables, and one message takes half the time of two.

        Raises:
            ConnectionLost: the server refused; nothing is restored.
        """
        begun = self.connection.begin(f"EXECUTE counted; {self._text_of(self._last)}", rows_only=True)
        answer = run_sync(self.connection.finish(begun, time.monotonic() + PATIENCE))
        if answer.error is not None or answer.interrupted:
            raise ConnectionLost(
                answer.error or ServerError(NOT_CONNECTED, "the query took too long", from_server=False)
            )
        before, now = self.expected, _counters(answer.results[:1])
        self.expected = now.with_(self._own_changes(answer.results[1:])) if self._last else now
        pairs = enumerate(zip(before.tables, now.tables, strict=True))
        changed = frozenset(number for number, (one, other) in pairs if one != other)
        return RunChanges(_same_definitions(before, now), changed)

    def copy(self) -> None:
        """Copy the rows as they are now to temporary tables."""
        copies = "; ".join(
            f"CREATE TEMP TABLE chaos_copy_{number} AS SELECT {table.columns} FROM ONLY {table.name}"
            for number, table in enumerate(self._contents.tables)
            if table.filled and table.columns
        )
        query_rows(self.connection, f"{copies}; {SEND_COUNTERS}")
        self.expected = self.counters()

    def begin(self, changed: frozenset[int]) -> Answer | None:
        """Start to restore the changed tables; None if `read_changes` has restored them."""
        before, self._last = self._last, changed
        text = "" if changed <= before else self._text_of(changed)
        return self.connection.begin(text, rows_only=True) if text else None

    def _text_of(self, changed: frozenset[int]) -> str:
        text = self._texts.get(changed)
        if text is None:
            text = self._texts[changed] = self._text(changed)
        return text

    async def finish(self, begun: Answer) -> bool:
        """Wait for what `begin` started; return whether all was restored."""
        answer = await self.connection.finish(begun, time.monotonic() + PATIENCE)
        if answer.error is not None or answer.interrupted:
            return False
        self.expected = self.expected.with_(self._own_changes(answer.results))
        return True

    def _own_changes(self, results: Sequence[Result]) -> Counters:
        """Return what restoring the tables changed; only the first answer for these tables contains it."""
        own = self._own.get(self._last)
        if own is None:
            own = _counters(results)
            if all(number < len(self._contents.tables) for number in self._last):
                # the same each time, unless rows of `RECORDS` were deleted
                self._own[self._last] = own
                self._texts[self._last] = self._texts[self._last].replace(_OWN, "")
        return own

    def _text(self, changed: Collection[int]) -> str:
        tables, records = self._contents.tables, len(self._contents.tables)
        again = self._with_referring([tables[number] for number in sorted(changed) if number < records])
        statements = []
        if again:
            statements.append(f"TRUNCATE {', '.join(f'ONLY {table.name}' for table in again)}")
        statements += [
            f"INSERT INTO {table.name} ({table.columns}) OVERRIDING SYSTEM VALUE"
            f" SELECT {table.columns} FROM pg_temp.chaos_copy_{tables.index(table)}"
            for table in again
            if table.filled and table.columns
        ]
        if any(number >= records for number in changed):
            statements.append(f"SELECT chaos._forget('{self._schema}')")
        statements += [
            f"SELECT pg_catalog.setval({sql.Literal(one.name).as_string(None)}, {one.last_value}, {one.is_called})"
            for one in self._contents.sequences
        ]
        if not statements:
            return ""
        # one message is one transaction
        return f"{_NOT_LONG}; {'; '.join(statements)}; {_OWN}{SEND_COUNTERS}"

    def _with_referring(self, tables: list[Table]) -> list[Table]:
        """Add the tables that refer to these: TRUNCATE refuses a table without them."""
        oids = [table.oid for table in tables]
        for oid in oids:
            oids += [other for one, other in self._contents.references if one == oid and other not in oids]
        return [table for table in self._contents.tables if table.oid in oids]


def is_true(connection: Connection, query: str) -> bool:
    """Whether a query returns true; False on an error. The session sends its counters after it."""
    answer = connection.ask(f"{query}; {SEND_COUNTERS}", deadline=time.monotonic() + PATIENCE)
    return answer.error is None and list(answer.results[0].rows()) == [("t",)]


def _query(xact: str, catalogs: str, outside: str, oids: Sequence[str], tables: int) -> str:
    counted = _COUNTED.format(xact=xact)
    looked = (
        "0" if xact else f"(SELECT coalesce(sum({_LOOKED}), 0) FROM unnest('{{{','.join(oids[:tables])}}}'::oid[]) o)"
    )
    return (
        f"SELECT (SELECT sum({counted}) FROM unnest('{catalogs}'::oid[]) o) + {looked},"
        f" (SELECT coalesce(sum({counted}), 0) FROM unnest('{outside}'::oid[]) o),"
        f" pg_catalog.array_to_string(ARRAY(SELECT {counted} FROM unnest('{{{','.join(oids)}}}'::oid[])"
        " WITH ORDINALITY u (o, n) ORDER BY n), ',')"
    )


def _same_definitions(now: Counters, before: Counters) -> bool:
    return now.catalogs == before.catalogs and now.outside == before.outside


def _counters(results: Sequence[Result]) -> Counters:
    for result in results:
        if result.width == 3:
            ((catalogs, outside, tables),) = result.rows()
            return Counters(int(catalogs or 0), int(outside or 0), tuple(map(int, (tables or "").split(","))))
    raise AssertionError("EXECUTE returns a row")
