"""A plain pgTAP file's visit to a database: does it leave it as it found it?

Almost every such file is BEGIN, assertions, ROLLBACK. Where it is proven that nothing came of it, the next file gets
the same database and the same connection; where it is not, both go. The proof is the server's, not a reading of the
file: every change that lasts is made by a transaction with an id, and what became of the ids given out meanwhile is in
pg_xact (PostgreSQL docs, "Transactions and Identifiers"). What changes without an id is asked for one by one, or
told by its name in `MARKS`.
"""

from __future__ import annotations

import re
import time

from psycopg import sql

from pgchaos.engine.answer import Answer, Result
from pgchaos.engine.door import AS_NEW, LASTING, NOT_AS_NEW, VISITOR, Door, KeptLink, Notice
from pgchaos.engine.leaks import SHARED, Thing
from pgchaos.engine.link import LinkError
from pgchaos.engine.stop import Stop

MARKS = re.compile(
    r"\bvacuum\b|\banaly[sz]e\b|\bcheckpoint\b|\balter\s+system\b|\bpg_stat|\bpg_replication_|\bpgstat",
    re.IGNORECASE,
)
"""What changes a database without a transaction id, and what asks for that: statistics, settings of the server."""

_PATIENCE = 10.0
"""Seconds for what takes none on a server that answers."""

# The end of all ids that are completed: those given out from now on are none of them smaller.
_IDS = "pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())"
_SLOTS = (
    "SELECT coalesce(pg_catalog.array_agg(slot_name::text ORDER BY slot_name)::text, '') FROM"
    " pg_catalog.pg_get_replication_slots()"
)
_BEGIN = f"{AS_NEW}; SELECT {_IDS}, ({_SLOTS}); {SHARED}"

# One statement after the other, each with a snapshot of its own: who is connected is asked first, since one who has
# left by then has completed what he did.
_END = f"""
    BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
    {AS_NEW};
    SELECT NOT EXISTS (
        SELECT FROM pg_catalog.pg_stat_get_activity(NULL) a JOIN pg_catalog.pg_database d ON d.oid = a.datid
         WHERE d.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()
           AND a.backend_type IS DISTINCT FROM 'autovacuum worker');
    SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database())
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relkind = 'S' AND relpersistence <> 't')
       AND ({_SLOTS}) = {{slots}}
       AND {_IDS} - {{since}} < {{most}}
       AND NOT EXISTS (
        SELECT FROM pg_catalog.generate_series({{since}}, {_IDS} - 1) id
         WHERE pg_catalog.txid_status(id) = 'committed');
    COMMIT
"""
_MOST_IDS = 100_000
"""Transaction ids that are looked at one by one; where more were given out, nothing is proven."""
_QUESTIONS = 3


class VisitorLink(KeptLink):
    """The connection of a plain file; it remembers whether something was said that lasts."""

    marks = False
    """The database may have changed without a transaction id."""
    lasts = False
    """The session can no longer be made as if it were new."""

    def ask(self, query: str, copy: str | None = None, deadline: float | None = None) -> Answer:
        """Send a query as `Link.ask` does; look at it first, for what is sent is more than what the file says."""
        self.marks = self.marks or MARKS.search(query) is not None
        self.lasts = self.lasts or LASTING.search(query) is not None
        return super().ask(query, copy, deadline)

    def engine(self, query: str) -> Answer:
        """Send a query of the engine's own, which changes nothing."""
        return super().ask(query, deadline=time.monotonic() + _PATIENCE)


class Visit:
    """The time from a file's first statement to the proof that it changed nothing.

    Args:
        door: to the database.
        stop: of the run.
        notice: called with each notice of the server.

    Raises:
        LinkError: the server could not be reached or refused.
    """

    def __init__(self, door: Door, stop: Stop, notice: Notice) -> None:
        self._sandbox = door.sandbox
        self.link, said = _begun(door, stop, notice)
        ((since, slots),) = said[1].rows()
        self._since, self._slots = int(since or 0), slots or ""
        self.shared: list[Thing] = [(str(kind), str(name)) for kind, name in said[2].rows()]
        """What `leaks.SHARED` said at the beginning."""

    def unchanged(self) -> bool:
        """Find out whether the file left everything as it was: then the next may have the database.

        Returns:
            False too where it cannot be proven.
        """
        return not self.link.marks and self.link.reset() and self._proven()

    def _proven(self) -> bool:
        slots = sql.Literal(self._slots).as_string(None)
        answer = self.link.engine(_END.format(since=self._since, slots=slots, most=_MOST_IDS))
        said = [result for result in answer.results if result.width]
        return answer.error is None and len(said) == _QUESTIONS and all(map(_true, said))

    def end(self, unchanged: bool) -> None:
        """End the visit; the connection stays only with a database that is lent again.

        Args:
            unchanged: what `unchanged` said.
        """
        shelf = self._sandbox.shelf
        if not (unchanged and not self.link.lasts and shelf is not None and shelf.put(VISITOR, self.link)):
            self.link.shut()
        if unchanged:
            self._sandbox.keep()


def _begun(door: Door, stop: Stop, notice: Notice) -> tuple[VisitorLink, list[Result]]:
    """Open a connection and look around; a kept one that somebody has ended meanwhile is passed over."""
    kept = True
    while kept:
        link, kept = door.visitor(VisitorLink, stop, notice)
        try:
            answer = link.engine(_BEGIN)
        except BaseException:
            link.shut()
            raise
        if answer.error is None and _true(answer.results[0]):
            return link, answer.results
        link.shut()
    raise LinkError(answer.error or NOT_AS_NEW)


def _true(result: Result) -> bool:
    return list(result.rows()) == [("t",)]
