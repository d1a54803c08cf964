"""The objects of the user's database as of a snapshot, and whether the list is still valid.

Every change is made by a transaction with an id. If no transaction that was unfinished in the snapshot has committed
since, nothing has changed, including definitions and settings that are shared by all databases.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from psycopg import sql

_MOST_IDS = 10_000
"""Transaction ids that are checked one by one; if more were assigned, everything counts as changed."""
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
"""Whether all transactions that were unfinished in a snapshot were aborted, or are still running."""


@dataclass(slots=True)
class ObjectList:
    """The objects of the user's database when a snapshot was taken."""

    names: Collection[tuple[str, str]] = ()  # kind and name of each
    snapshot: str = ""  # as text; '' before the first listing
    path: str = ""  # the search path of sessions
    listed: int = 0  # how often they were listed: again only after another commit

    def unchanged_query(self) -> str:
        """Write the query whose row `is_unchanged` takes; there must be a snapshot."""
        query = sql.SQL(_UNCHANGED).format(path=self.path, most=_MOST_IDS, snapshot=self.snapshot)
        return query.as_string(None)

    def is_unchanged(self, row: tuple[object, ...]) -> bool:
        """Return whether the list is still valid, by the row of `unchanged_query`; if so, advance its snapshot."""
        valid, snapshot = row
        if valid == "true":
            self.snapshot = str(snapshot)
        return valid == "true"
