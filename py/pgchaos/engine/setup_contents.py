"""What setup has left in the schema of a run, and whether restoring rows and sequences is enough to repeat it.

Two schemas with the same contents are equivalent for a scenario: the same rows at the same places of the same tables,
no dead rows, the same sizes and the same planner estimates.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from pgchaos.engine.answer import Row
from pgchaos.engine.connection import PATIENCE, Connection

RECORDS = ("chaos._history", "chaos._transactions", "chaos._acknowledged", "chaos._notifications")
"""The toolkit's tables of recorded runs: each run has its own rows there."""
_MOST_TABLES = 32
_MOST_BYTES = 1024 * 1024

# With any of these, restoring rows does not restore what setup made, or not at the same places.
_OBSTACLES = f"""
    WITH r AS MATERIALIZED (
        SELECT oid, relkind, relam FROM pg_catalog.pg_class WHERE relnamespace = {{schema}}::regnamespace)
    SELECT 'a relation of kind ' || relkind::text FROM r WHERE relkind NOT IN ('r', 'p', 'i', 'I', 'S', 'v', 'c')
    UNION ALL SELECT 'many tables' FROM r WHERE relkind = 'r' HAVING count(*) > {_MOST_TABLES}
    UNION ALL SELECT 'a large table' FROM r
               WHERE relkind = 'r' AND pg_catalog.pg_total_relation_size(oid) > {_MOST_BYTES}
    UNION ALL SELECT 'an access method' FROM r JOIN pg_catalog.pg_am a ON a.oid = relam
               WHERE amname NOT IN ('heap', 'btree')
    UNION ALL SELECT 'a partial index' FROM pg_catalog.pg_index JOIN r ON r.oid = indexrelid WHERE indpred IS NOT NULL
    UNION ALL SELECT 'a trigger that always fires' FROM pg_catalog.pg_trigger JOIN r ON r.oid = tgrelid
               WHERE tgenabled IN ('A', 'R')
    UNION ALL SELECT 'a rule that always applies' FROM pg_catalog.pg_rewrite JOIN r ON r.oid = ev_class
               WHERE ev_enabled IN ('A', 'R')
    UNION ALL SELECT 'a column that was added or dropped later' FROM pg_catalog.pg_attribute JOIN r ON r.oid = attrelid
               WHERE relkind = 'r' AND attnum > 0 AND (attisdropped OR atthasmissing)
    UNION ALL SELECT 'statistics' FROM pg_catalog.pg_statistic JOIN r ON r.oid = starelid
    UNION ALL SELECT 'rows that were changed' FROM r WHERE relkind = 'r'
                 AND pg_catalog.pg_stat_get_tuples_updated(oid) + pg_catalog.pg_stat_get_tuples_deleted(oid) <> 0
    UNION ALL SELECT 'a setting'
               WHERE current_setting('is_superuser') <> 'on' OR current_setting('track_counts') <> 'on'
"""
_RELATIONS = """
    SELECT relname::text, relkind::text, c.oid::text, pg_catalog.format('%I.%I', {schema}, relname),
           (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(attname), ', ' ORDER BY attnum)
              FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND attgenerated = ''),
           pg_catalog.concat_ws(' ', relpersistence, relhasindex,
               CASE WHEN relkind <> 'i' THEN pg_catalog.concat_ws(' ', relpages, reltuples, relallvisible) END,
               CASE WHEN relkind IN ('r', 'i', 'S') THEN pg_catalog.pg_relation_size(c.oid) END,
               CASE WHEN reltoastrelid <> 0 THEN pg_catalog.pg_relation_size(reltoastrelid) END),
           pg_catalog.pg_stat_get_tuples_inserted(c.oid)::text
      FROM pg_catalog.pg_class c WHERE relnamespace = {schema}::regnamespace ORDER BY 1
"""
"""The planner uses the estimates of an index only if it is partial."""
_REFERENCES = """
    SELECT confrelid::text, conrelid::text FROM pg_catalog.pg_constraint
     WHERE contype = 'f' AND connamespace = {schema}::regnamespace
"""
_ROWS = """
    SELECT count(*)::text,
           pg_catalog.md5(coalesce(pg_catalog.string_agg(one.ctid::text || (one.*)::text, ' ' ORDER BY one.ctid), ''))
      FROM ONLY {name} one
"""
# pg_depend has an index for this query, pg_proc has none
_FUNCTIONS = """
    SELECT EXISTS (SELECT FROM pg_catalog.pg_depend
                    WHERE refclassid = 'pg_catalog.pg_namespace'::regclass AND refobjid = {schema}::regnamespace
                      AND classid = 'pg_catalog.pg_proc'::regclass)::text
"""
_VALUE = "SELECT last_value::text, is_called::text FROM {name}"

VOLATILE = re.compile(
    r"\b(?:random\w*|\w*uuid\w*|now|today|tomorrow|yesterday|current_(?:date|time|timestamp)|localtime(?:stamp)?"
    r"|(?:clock|statement|transaction)_timestamp|timeofday|\w*xid\w*|\w*xact\w*|\w*lsn|\w*pid|seed|setseed|tablesample"
    r"|jitter|pg_stat\w*|pg_postmaster\w*|pg_conf_load\w*|nextval_\w*)\b",
    re.IGNORECASE,
)
"""Expressions by which setup may leave other contents in later runs, although the first two were equal."""
_FINE_DEFAULTS = re.compile(
    r"\b(?:timestamptz|timestamp(?:\s+with(?:out)?\s+time\s+zone)?)\s+(?:not\s+null\s+)?default\s+"
    r"(?:now\s*\(\s*\)|current_timestamp\b(?!\s*\()|clock_timestamp\s*\(\s*\))"
    r"|\buuid\s+(?:primary\s+key\s+|not\s+null\s+)*default\s+gen_random_uuid\s*\(\s*\)",
    re.IGNORECASE,
)
"""Defaults whose values always differ: if setup has used one, the rows of two schemas differ."""


COUNTERS = re.compile(r"pg_stat(?!istic)|track_counts|\bctid\b|\bx(?:min|max)\b|pg_\w*relation_filenode", re.IGNORECASE)
"""Expressions that show whether a schema is new, or change what the server counts."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table."""

    oid: str
    name: str  # as written in SQL
    columns: str  # that can be inserted, as written in SQL; '' for none
    filled: bool  # it has rows


@dataclass(frozen=True, slots=True)
class SequenceState:
    """A sequence with its state."""

    name: str
    last_value: str
    is_called: bool


@dataclass(frozen=True, slots=True)
class SetupContents:
    """What setup has left."""

    tables: tuple[Table, ...] = ()
    sequences: tuple[SequenceState, ...] = ()
    references: tuple[tuple[str, str], ...] = ()  # the OID of a table, and of a table that refers to it
    definitions: tuple[Row, ...] = ()  # of each relation: what equivalent schemas have in common
    obstacle: str = ""  # why restoring rows and sequences is not enough; '': it is
    functions: bool = True  # there are functions, whose plans may depend on the number of calls


def is_repeatable(statements: Sequence[str]) -> bool:
    """Whether statements, or values in them, leave the same each time if they have left the same twice."""
    return not any(VOLATILE.search(_FINE_DEFAULTS.sub(" ", text)) for text in statements)


def read_contents(connection: Connection, schema: str, *, put_back: bool = False) -> SetupContents:
    """Read what setup has left in a schema.

    Args:
        connection: to its database.
        schema: the schema.
        put_back: the rows were restored; otherwise the counters of setup's session must have been sent.

    Raises:
        ConnectionLost: the server refused.
    """
    literal = sql.Literal(schema).as_string(None)
    obstacles = [] if put_back else query_rows(connection, _OBSTACLES.format(schema=literal))
    if obstacles:
        return SetupContents(obstacle=str(obstacles[0][0]))
    relations = query_rows(connection, _RELATIONS.format(schema=literal))
    references = tuple(
        (str(one), str(other)) for one, other in query_rows(connection, _REFERENCES.format(schema=literal))
    )
    ((functions,),) = query_rows(connection, _FUNCTIONS.format(schema=literal))
    tables, sequences, definitions = [], [], []
    for name, kind, oid, written, columns, state, inserted in relations:
        details: Row = ()
        if kind == "r":
            ((count, digest),) = query_rows(connection, _ROWS.format(name=written))
            if count != inserted and not put_back:
                return SetupContents(obstacle="rows that are gone")
            if count != "0" and not columns:
                return SetupContents(obstacle="rows without a column")
            details = (count, digest)
            tables.append(Table(str(oid), str(written), columns or "", count != "0"))
        elif kind == "S":
            ((value, called),) = query_rows(connection, _VALUE.format(name=written))
            details = (value, called)
            sequences.append(SequenceState(str(written), str(value), called == "true"))
        definitions.append((name, kind, columns, state, *details))
    return SetupContents(tuple(tables), tuple(sequences), references, tuple(definitions), functions=functions == "true")


def query_rows(connection: Connection, query: str) -> list[Row]:
    """Return the rows of a query.

    Raises:
        ConnectionLost: the server refused.
    """
    return connection.rows(query, time.monotonic() + PATIENCE)
