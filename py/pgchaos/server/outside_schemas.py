"""Proves that nothing outside the schemas of a shared database has changed since the database was created.

A row that a session writes has an xmin that is not older than the database; a row that it updates or deletes is missing
among the older ones (PostgreSQL docs, "System Columns"). Sequences change without a transaction, so their values are
compared. Each database is a clone of its template, so all with the same extensions start with the same state.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql

from pgchaos.server.conninfo import Connection

Row = tuple[str, str]  # the name of a thing, and its state as text

# the schemas of runs, of TOAST tables and of temporary tables
SANDBOXES = "^(chaos_s[0-9]+$|pg_toast$|pg_(toast_)?temp_)"

# the schemas that a run creates in place, of TOAST tables and of temporary tables
_OURS = "^(chaos|chaos_pgtap|chaos_sandbox|pg_toast|pg_(toast_)?temp_.*)$"
_MOST_BYTES = 16 * 1024 * 1024

_BASE = "SELECT pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) % 4294967296"

# Without the tables in which the toolkit records what scenarios do: the toolkit clears them itself, by run.
# With schemas: a table of the scenario's can have the same name, and comes first on the search path.
_RELATIONS = """
    SELECT pg_catalog.quote_ident(nspname) || '.' || pg_catalog.quote_ident(relname), c.relkind::text,
           pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
           AND NOT pg_catalog.row_security_active(c.oid),
           EXISTS (SELECT FROM pg_catalog.pg_depend
                    WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = c.oid AND deptype = 'e')
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
     WHERE relkind IN ('r', 'm', 'S') AND nspname NOT IN ('pg_catalog', 'information_schema')
       AND NOT (nspname = 'chaos' AND relname IN ('_history', '_transactions', '_acknowledged', '_notifications'))
       AND nspname !~ %s
     ORDER BY 1
"""
_LARGE_OBJECTS = """
    SELECT oid::regclass::text FROM pg_catalog.pg_class
     WHERE oid IN ('pg_catalog.pg_largeobject'::regclass, 'pg_catalog.pg_largeobject_metadata'::regclass)
       AND pg_catalog.has_table_privilege(oid, 'SELECT')
"""

# Without statistics, which the server changes by itself, and large objects, which are compared like tables.
_CATALOGS = """
    SELECT c.relname::text,
           pg_catalog.array_agg(a.attname::text ORDER BY attnum) FILTER (WHERE atttypid IN (26, 24)),
           (SELECT pg_catalog.max(a.attname::text) FROM pg_catalog.pg_attribute a
             WHERE a.attrelid = c.oid AND a.attname ~ '^[a-z]+namespace$' AND atttypid = 26)
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND attnum > 0
     WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared
       AND relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', 'pg_largeobject_metadata')
       AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
     GROUP BY c.oid, c.relname ORDER BY 1
"""
# the object that a catalog's row belongs to, if it is not the row's oid or first column
_OWNERS = {
    "pg_cast": "castsource",
    "pg_constraint": "CASE WHEN conrelid <> 0 THEN conrelid ELSE contypid END",
    "pg_inherits": "LEAST(inhrelid, inhparent)",
    "pg_trigger": "tgrelid",
    "pg_rewrite": "ev_class",
    "pg_policy": "polrelid",
    "pg_attrdef": "adrelid",
    "pg_enum": "enumtypid",
    "pg_statistic_ext": "stxrelid",
    "pg_amop": "amopfamily",
    "pg_amproc": "amprocfamily",
    "pg_index": "indrelid",
    "pg_depend": "objid",
    "pg_description": "objoid",
    "pg_seclabel": "objoid",
    "pg_init_privs": "objoid",
}

# catalogs of objects that are in no schema
_GLOBAL = re.split(
    r"\s+",
    """pg_language pg_extension pg_foreign_data_wrapper pg_foreign_server pg_user_mapping pg_publication
    pg_publication_rel pg_publication_namespace pg_event_trigger pg_am pg_transform""",
)

# Without the comment that records the owner and its last sign of life (run_id.py).
_OF_DATABASE = """
    SELECT 'settings of the database', coalesce(pg_catalog.string_agg(s::text, ' ' ORDER BY s::text), '')
      FROM pg_catalog.pg_db_role_setting s WHERE setdatabase = {database}
    UNION ALL SELECT 'privileges of the database', coalesce(datacl::text, '') || ' ' || datconnlimit
      FROM pg_catalog.pg_database WHERE oid = {database}
    UNION ALL SELECT 'definition of the database',
                     pg_catalog.concat_ws(' ', datdba, datistemplate, datallowconn,
                                          CASE WHEN comment NOT LIKE '{{"id": %' THEN comment END)
      FROM pg_catalog.pg_database, pg_catalog.shobj_description(oid, 'pg_database') comment WHERE oid = {database}
    UNION ALL SELECT 'subscriptions', count(*)::text FROM pg_catalog.pg_subscription WHERE subdbid = {database}
    UNION ALL SELECT 'prepared transactions', count(*)::text FROM pg_catalog.pg_prepared_xact() WHERE dbid = {database}
    UNION ALL SELECT 'replication slots', count(*)::text FROM pg_catalog.pg_replication_slots
               WHERE database = pg_catalog.current_database()
"""
_DATABASE_OID = "(SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"

# extensions without session state that survives DISCARD ALL: those of PostgreSQL, and those in every database
_STATELESS = re.split(
    r"\s+",
    """amcheck bloom btree_gin btree_gist citext cube dict_int dict_xsyn earthdistance fuzzystrmatch hstore intarray isn
    lo ltree pageinspect pg_buffercache pg_freespacemap pg_trgm pg_visibility pgcrypto pgrowlocks pgstattuple seg
    tablefunc tcn unaccent uuid-ossp pgtap pgchaos plpgsql""",
)
_KEEPS_STATE = """
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
          JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
          JOIN pg_catalog.pg_proc p ON p.oid = d.objid
          JOIN pg_catalog.pg_language l ON l.oid = p.prolang
         WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.refclassid = 'pg_catalog.pg_extension'::regclass
           AND d.deptype = 'e' AND e.extname <> ALL (%s)
           AND (lanname NOT IN ('sql', 'plpgsql') OR prosrc ~* %s))
"""
_SETS = r"\mset_config\M|\msetseed\M|\mset\s|\mload\M|\mexecute\M"


@dataclass(frozen=True, slots=True)
class StateQuery:
    """A query for names with their state as text, and its result in the new database."""

    query: str
    expected: frozenset[Row]

    def changed(self, rows: Iterable[Sequence[object]]) -> list[str]:
        """List the names whose state differs from that in `rows`, the query's result now."""
        now = {(str(name), str(state)) for name, state in rows}
        return sorted({name for name, _ in self.expected ^ now})


@dataclass(frozen=True, slots=True)
class OutsideState:
    """The state outside the schemas of runs, in databases with the same extensions.

    Args:
        data: compares tables, sequences and large objects; takes almost no time.
        catalogs: compares all other objects; takes some milliseconds.
        of_database: compares the part of `catalogs` that no row counter shows; takes almost no time.
        unreadable: the tables and sequences that our role may not read: nothing is proven about them.
        extension_relations: the tables and sequences of extensions.
        keeps_session_state: functions of an extension may change session state that a reset does not restore.
    """

    data: StateQuery
    catalogs: StateQuery
    of_database: StateQuery
    unreadable: tuple[str, ...] = ()
    extension_relations: frozenset[str] = frozenset()
    keeps_session_state: bool = False


def read_outside_state(conn: Connection) -> OutsideState:
    """Read the state of a database that no run has used yet; psycopg.Error if it cannot be read."""
    ((base,),) = conn.execute(_BASE)
    relations = conn.execute(_RELATIONS, [SANDBOXES]).fetchall()
    readable = [(str(name), str(kind)) for name, kind, may, _ in relations if may]
    large = [(str(name), "r") for (name,) in conn.execute(_LARGE_OBJECTS)]
    ((keeps_session_state,),) = conn.execute(_KEEPS_STATE, [_STATELESS, _SETS])
    # a subquery runs once for all rows; the planner does not fold age() of a constant
    old = f"pg_catalog.age(xmin) > (SELECT pg_catalog.age('{base}'::xid))"
    return OutsideState(
        _state_query(conn, _data([*readable, *large], old)),
        _state_query(conn, _catalogs(conn, old)),
        _state_query(conn, _OF_DATABASE.format(database=_DATABASE_OID)),
        tuple(str(name) for name, _, may, _ in relations if not may),
        frozenset(str(name) for name, _, _, member in relations if member),
        bool(keeps_session_state),
    )


def read_contents(conn: Connection) -> tuple[StateQuery, tuple[str, ...]]:
    """Read the tables and sequences of the user's database.

    Compares contents, because a teardown may restore them. Tables above `_MOST_BYTES` are omitted: reading them after
    each run takes too long.

    Returns:
        Their contents, and the names of those that our role cannot read, or not in full because of row security.
    """
    relations = conn.execute(_RELATIONS, [_OURS]).fetchall()
    queries = []
    for name, kind in ((name, kind) for name, kind, may, _ in relations if may):
        ((size,),) = conn.execute("SELECT pg_catalog.pg_relation_size(%s::regclass)", [name])
        if int(str(size)) <= _MOST_BYTES:
            # `every` alone would be a column of that name
            counted = "count(*) || ' ' || coalesce(sum(pg_catalog.hashtextextended((every.*)::text, 0)), 0)"
            queries.append(_state_of(str(name), str(kind), counted))
    unreadable = tuple(str(name) for name, _, may, _ in relations if not may)
    return _state_query(conn, "\nUNION ALL ".join(queries) or "SELECT '', ''"), unreadable


def _state_of(name: str, kind: str, counted: str) -> str:
    """Write the query for the state of a sequence, or of a table by the expression `counted`."""
    state = "last_value || ' ' || is_called" if kind == "S" else counted
    # the name is quoted
    return f"SELECT {sql.Literal(name).as_string(None)}, {state} FROM {name} every"


def _state_query(conn: Connection, query: str) -> StateQuery:
    rows = conn.execute(query.encode()).fetchall()
    return StateQuery(query, frozenset((str(name), str(state)) for name, state in rows))


def _data(relations: Sequence[tuple[str, str]], old: str) -> str:
    counted = _counted(old, "true")
    return "\nUNION ALL ".join(_state_of(name, kind, counted) for name, kind in relations) or "SELECT '', ''"


def _counted(old: str, outside: str) -> str:
    """Write a sum that counts the old rows, and is much larger if there are new rows."""
    return f"coalesce(sum(CASE WHEN {old} THEN 1 WHEN {outside} THEN 1000000000 ELSE 0 END), 0)::text"


def _catalogs(conn: Connection, old: str) -> str:
    ((largest_oid,),) = conn.execute(_largest_oid(conn))
    queries = [_OF_DATABASE.format(database=_DATABASE_OID)]
    for name, columns, namespace in conn.execute(_CATALOGS).fetchall():
        assert isinstance(columns, list)
        outside = _is_outside(str(name), [str(one) for one in columns], str(namespace or ""), str(largest_oid))
        queries.append(f"SELECT '{name}', {_counted(old, outside)} FROM pg_catalog.{name}")
    inside = f"SELECT oid FROM pg_catalog.pg_namespace WHERE nspname ~ '{SANDBOXES}'"
    return f"WITH inside AS MATERIALIZED ({inside})\n" + "\nUNION ALL ".join(queries)


def _is_outside(catalog: str, columns: Sequence[str], namespace: str, largest_oid: str) -> str:
    """Write the condition that a new row of a catalog describes an object outside the schemas of runs."""
    if catalog in _GLOBAL:
        return "true"
    if catalog == "pg_namespace":
        return "oid NOT IN (SELECT oid FROM inside)"
    owner = _OWNERS.get(catalog) or ("oid" if "oid" in columns else columns[0])
    about = f"({owner})::oid <= {largest_oid}"
    return f"({about} OR {namespace} NOT IN (SELECT oid FROM inside))" if namespace else about


def _largest_oid(conn: Connection) -> bytes:
    """Write the query for the largest oid: objects that are created later have larger ones."""
    query = """
        SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
         WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared AND a.attname = 'oid'
           AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
    """
    each = (f"SELECT max(oid) AS oid FROM pg_catalog.{name}" for (name,) in conn.execute(query).fetchall())
    return f"SELECT max(oid) FROM ({' UNION ALL '.join(each)}) every".encode()
