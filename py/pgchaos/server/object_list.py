"""What is known of the objects of a database of the user's, and whether that still holds.

What changes them is a transaction with an id: where none of those that were not over in a snapshot has been committed,
all is as it was, definitions and settings on the whole server too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from psycopg import sql

_MOST_IDS = 10_000
"""Transaction ids that are looked at one by one; where more were given out, all counts as changed."""
_UNCHANGED = """
    SELECT CASE WHEN pg_catalog.current_setting('search_path') = {path}
                 AND pg_catalog.txid_snapshot_xmax(now) - pg_catalog.txid_snapshot_xmax(old) BETWEEN 0 AND {most}
                THEN NOT EXISTS (
                    SELECT FROM (SELECT pg_catalog.txid_snapshot_xip(old)
                                 UNION ALL
                                 SELECT pg_catalog.generate_series(pg_catalog.txid_snapshot_xmax(old),
                                                                   pg_catalog.txid_snapshot_xmax(now) - 1)) ids (id)
                     WHERE coalesce(pg_catalog.txid_status(id), 'committed') = 'committed')
                ELSE false END::text,
           now::text
      FROM (SELECT pg_catalog.txid_current_snapshot() AS now, {snapshot}::pg_catalog.txid_snapshot AS old) snapshots
"""
"""Whether all transactions that were not over in a snapshot have been aborted, or are still not over."""


@dataclass(slots=True)
class ObjectList:
    """The objects of a database of the user's, as they were when a snapshot was taken."""

    names: Collection[tuple[str, str]] = ()  # kind and name of each
    snapshot: str = ""  # the server's text of it; '' where nothing is listed yet
    path: str = ""  # the search path with which they have these names
    listed: int = 0  # how often they were listed: again only where somebody has committed something

    def unchanged_query(self) -> str:
        """Ask whether the list still holds; `is_unchanged` takes the row. Only where there is a list."""
        query = sql.SQL(_UNCHANGED).format(path=self.path, most=_MOST_IDS, snapshot=self.snapshot)
        return query.as_string(None)

    def is_unchanged(self, row: tuple[object, ...]) -> bool:
        """Say whether the list still holds, and note that it held until now.

        Args:
            row: the answer to `unchanged_query`.
        """
        holds, snapshot = row
        if holds == "true":
            self.snapshot = str(snapshot)
        return holds == "true"
