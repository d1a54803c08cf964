"""The objects of a user's database, and which of them are new after a run.

Listing them takes longer than many files. So runs share the list until the database changes.
"""

from __future__ import annotations

from pgchaos.engine.connection import Connection
from pgchaos.engine.leaks import QUALIFIED_NAMES, Leak, rows_of_each, unqualified
from pgchaos.server.object_list import ObjectList

_OBJECTS = """
    SELECT 'schema', quote_ident(nspname) FROM pg_catalog.pg_namespace
     WHERE nspname !~ '^pg_(toast|temp)' AND nspname NOT IN ('chaos', 'chaos_sandbox')
    UNION ALL
    SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
                WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'f' THEN 'foreign table' ELSE 'table' END,
           c.oid::regclass::text
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
     WHERE nspname !~ '^pg_(toast|temp)' AND nspname NOT IN ('chaos', 'chaos_sandbox') AND relkind <> 'c'
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend
                        WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
    UNION ALL
    SELECT CASE prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
           p.oid::regprocedure::text
      FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = pronamespace
     WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'chaos', 'chaos_sandbox')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend
                        WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
    UNION ALL
    SELECT 'extension', quote_ident(extname)
      FROM pg_catalog.pg_extension JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace
     WHERE nspname <> 'chaos_sandbox'
"""
_STATE = "SELECT pg_catalog.txid_current_snapshot()::text, pg_catalog.current_setting('search_path')"


class DatabaseObjects:
    """The objects of a user's database.

    Args:
        known: the list of an earlier run; this run updates it.
    """

    def __init__(self, known: ObjectList) -> None:
        self._known = known

    def read(self, connection: Connection) -> None:
        """List the objects before the run, unless the known list is valid.

        Raises:
            ConnectionLost: the server refused.
        """
        if not self._is_unchanged(connection):
            self._list(connection)

    def new(self, connection: Connection) -> list[Leak]:
        """Name the objects that are new since `read`, and leave them.

        Raises:
            ConnectionLost: the server refused.
        """
        if self._is_unchanged(connection):
            return []
        before = self._known.names
        self._list(connection)
        new = [thing for thing in self._known.names if thing not in before]
        left = "it stays in the database; to remove it: DROP {} {}"
        return [
            Leak("object", f"{kind} {name}", left.format(kind.upper(), name), unqualified(name)) for kind, name in new
        ]

    def _is_unchanged(self, connection: Connection) -> bool:
        if not self._known.snapshot:
            return False
        ((row,),) = rows_of_each(connection, self._known.unchanged_query())
        return self._known.is_unchanged(row)

    def _list(self, connection: Connection) -> None:
        """List the objects. The snapshot is taken first, so a commit meanwhile counts as a change."""
        state, _, objects = rows_of_each(connection, _STATE, QUALIFIED_NAMES, _OBJECTS)
        ((self._known.snapshot, self._known.path),) = state
        # a dict keeps the order of reports and finds names fast: pgTAP has a thousand functions
        self._known.names = dict.fromkeys(objects)
        self._known.listed += 1
