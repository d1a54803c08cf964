"""The objects of a database of the user's, and which are new after a run.

To list them takes longer than many a file: the list is used, from one run to the next too, for as long as it holds.
"""

from __future__ import annotations

from pgchaos.engine.connection import Connection
from pgchaos.engine.leaks import Leak, rows_of_each, unqualified
from pgchaos.server.object_list import ObjectList

_OBJECTS = """
    SELECT 'schema', quote_ident(nspname) FROM pg_catalog.pg_namespace
     WHERE nspname !~ '^pg_(toast|temp)' AND nspname NOT IN ('chaos', 'chaos_sandbox')
    UNION ALL
    SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' WHEN 'i' THEN 'index' ELSE 'table' END,
           c.oid::regclass::text
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
     WHERE nspname !~ '^pg_(toast|temp)' AND nspname NOT IN ('chaos', 'chaos_sandbox') AND relkind <> 'c'
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend
                        WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text
      FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = pronamespace
     WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'chaos', 'chaos_sandbox')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend
                        WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
    UNION ALL SELECT 'extension', quote_ident(extname) FROM pg_catalog.pg_extension
"""
# The names are those that the search path makes of them.
_STATE = "SELECT pg_catalog.txid_current_snapshot()::text, pg_catalog.current_setting('search_path')"


class DatabaseObjects:
    """The objects of a database of the user's.

    Args:
        known: what an earlier run has listed; what this one lists is put there.
    """

    def __init__(self, known: ObjectList) -> None:
        self._known = known

    def read(self, connection: Connection) -> None:
        """List them before the run, unless the list is known.

        Raises:
            ConnectionLost: the server refused.
        """
        if not self._is_unchanged(connection):
            self._list(connection)

    def new(self, connection: Connection) -> list[Leak]:
        """Name those that are new since `read`; they are not touched.

        Raises:
            ConnectionLost: the server refused.
        """
        if self._is_unchanged(connection):
            return []
        before = self._known.names
        self._list(connection)
        new = [thing for thing in self._known.names if thing not in before]
        return [Leak("object", f"{kind} {name}", name=unqualified(name)) for kind, name in new]

    def _is_unchanged(self, connection: Connection) -> bool:
        if not self._known.snapshot:
            return False
        ((row,),) = rows_of_each(connection, self._known.unchanged_query())
        return self._known.is_unchanged(row)

    def _list(self, connection: Connection) -> None:
        """List them; the snapshot is taken first, so that what is committed meanwhile counts as a change."""
        state, objects = rows_of_each(connection, _STATE, _OBJECTS)
        ((self._known.snapshot, self._known.path),) = state
        # in this order they are reported; a thousand functions, where pgTAP is there
        self._known.names = dict.fromkeys(objects)
        self._known.listed += 1
