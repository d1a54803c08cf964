"""What a scenario left behind, and its removal.

Database and pids attribute it to the scenario. What belongs to the whole server (roles, tablespaces, databases,
physical slots), or is in a user's database, is removed only if the server told a session of the run that it created it
(created.py). On a server of ours it is enough that it is new and that the file creates it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pgchaos.engine.answer import Answer, Row
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.created import Created, Refused, Thing
from pgchaos.engine.removal import UNPROVEN, how_to_remove, remove
from pgchaos.language.problems import Place

# Functions instead of views that would join more than is needed: each backend plans such a query anew.
_THIS = "(SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
SHARED = """
    SELECT 'role', rolname::text FROM pg_catalog.pg_roles
    UNION ALL SELECT 'tablespace', spcname::text FROM pg_catalog.pg_tablespace
    UNION ALL SELECT 'database', datname::text FROM pg_catalog.pg_database WHERE datname NOT LIKE 'pgchaos\\_%'
    UNION ALL SELECT 'slot', slot_name::text FROM pg_catalog.pg_get_replication_slots()
               WHERE datoid IS NULL AND NOT temporary
"""
LEFT = f"""
    SELECT 'prepared transaction', gid FROM pg_catalog.pg_prepared_xact() WHERE dbid = {_THIS}
    UNION ALL
    SELECT 'invalid index', indexrelid::regclass::text
      FROM pg_catalog.pg_index JOIN pg_catalog.pg_class c ON c.oid = indexrelid
     WHERE NOT (indisvalid AND indisready) AND relkind = 'i'
    UNION ALL
    SELECT 'slot', slot_name::text FROM pg_catalog.pg_get_replication_slots() WHERE datoid = {_THIS} AND NOT temporary
"""
_LEFT_IN_SCHEMA = """
    SELECT 'invalid index', indexrelid::regclass::text
      FROM pg_catalog.pg_index JOIN pg_catalog.pg_class c ON c.oid = indexrelid
     WHERE NOT (indisvalid AND indisready) AND relkind = 'i'
       AND relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_setting('chaos.run'))
"""
ADVISORY = f"""
    SELECT pid, CASE objsubid WHEN 1 THEN ((classid::bigint << 32) | objid::bigint)::text
                ELSE classid || ', ' || objid END
      FROM pg_catalog.pg_lock_status()
     WHERE locktype = 'advisory' AND granted
       AND NOT (classid = 1667785071 AND objsubid = 2) -- chaos._class() of the toolkit
       AND database = {_THIS}
"""
_SESSIONS = f"""
    SELECT pid, coalesce(nullif(application_name, ''), backend_type) FROM pg_catalog.pg_stat_get_activity(NULL)
     WHERE datid = {_THIS} AND backend_type = 'client backend'
"""

QUALIFIED_NAMES = "SET LOCAL search_path = pg_catalog"
"""Goes before queries whose names are compared: in place, a scenario's table can hide the user's of the same name."""

_STAYS = ("database", "tablespace", "role")
_MOST_NAMES = 10
"""Objects named in a note."""
_NO_LOCKS = "53200"
"""out_of_memory: of the lock table, "out of shared memory" (lock.c)."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that a scenario left behind."""

    kind: str  # as in `leaves`, or 'session'
    text: str  # identifies it for users
    left: str = ""  # why it was not removed, and how to remove it; '': it was removed
    name: str = ""  # its name in statements, or ''
    place: Place | None = None  # the line that created it, if known

    def __str__(self) -> str:
        return f"left behind: {self.kind}: {self.text}" + (f"; {self.left}" if self.left else "")


@dataclass(frozen=True, slots=True)
class Ownership:
    """Decides which of the new objects on a server belong to the scenario."""

    source: str  # the text of the file
    # what the sessions provably created; None on a server of ours, which only scenarios use: there the text decides
    created: Created | None
    in_place: bool = False  # in a user's database
    before: Collection[Thing] = ()  # the rows of SHARED at the beginning
    here: Collection[Thing] = ()  # the rows of LEFT at the beginning, in a user's database
    keeps: bool = False  # what a plain file commits in a user's database stays, with its roles, as under pg_prove

    def proven(self, connection: Connection, kinds: Sequence[str]) -> list[Thing]:
        """List what the scenario has provably created and still exists."""
        if self.created is None:
            return []
        try:
            return self.created.still_there(lambda query: _rows(connection, query), kinds)
        except Refused:
            return []

    def unproven(self, new: Iterable[Thing], ours: Collection[Thing]) -> list[Leak]:
        """List what is new and may be the scenario's, by the text of its file; it is not removed."""
        found = [thing for thing in new if thing not in ours and makes(self.source, thing[1])]
        return [_leak(thing, f"{UNPROVEN}; {how_to_remove(thing)}") for thing in found]


_PATIENCE = 10.0
"""Seconds for one query or removal: a lock of a leaked session must not block the run for ever."""


def _ask(connection: Connection, query: str) -> Answer:
    return connection.ask(query, deadline=time.monotonic() + _PATIENCE)


def rows(connection: Connection, query: str) -> list[Thing]:
    """Return the rows of a query with two columns.

    Raises:
        ConnectionLost: the query failed; an empty result instead would make all objects look new and ours.
    """
    return [thing for found in rows_of_each(connection, query) for thing in found]


def rows_of_each(connection: Connection, *queries: str) -> list[list[Thing]]:
    """Return the rows of several queries, sent in one message, as `rows` does for one."""
    until = time.monotonic() + _PATIENCE
    query = ";".join(queries)
    answer = _ask(connection, query)
    while answer.error is not None and answer.error.sqlstate == _NO_LOCKS and time.monotonic() < until:
        # a session that filled the lock table was closed, and its backend outlives it for a moment
        time.sleep(0.01)  # polled: the end of a backend is not reported
        answer = _ask(connection, query)
    if answer.error is not None:
        raise ConnectionLost(answer.error)
    return [[(str(row[0]), str(row[1])) for row in result.rows()] for result in answer.results]


def makes(source: str, name: str) -> bool:
    """Whether a file creates an object: its name follows CREATE and a kind, or is in quotes, in any case."""
    made = rf"(?:\bcreate\s+(?:role|user|group|tablespace|database)\s+\"?|['\"]){re.escape(name)}(?![\w$])"
    return re.search(made, source, re.IGNORECASE) is not None


def advisory_locks(connection: Connection, pids: Mapping[int, str]) -> list[Leak]:
    """Find advisory locks that sessions still hold."""
    found = [(int(pid), key) for pid, key in rows(connection, connection.prepared.get(ADVISORY, ADVISORY))]
    return [Leak("advisory lock", f"{pids[pid]} holds ({key})") for pid, key in found if pid in pids]


def sessions(connection: Connection, known: Collection[int]) -> list[Leak]:
    """Find other connections to the scenario's database that last a second: a backend may outlive its client."""
    deadline = time.monotonic() + 1.0
    while True:
        found = [(int(pid), what) for pid, what in rows(connection, _SESSIONS) if int(pid) not in known]
        if not found or time.monotonic() > deadline:
            return [Leak("session", f"pid {pid} ({what})") for pid, what in found]
        time.sleep(0.01)  # polled: the end of a backend is not reported


def remove_new(connection: Connection, ownership: Ownership) -> list[Leak]:
    """Find and remove what the scenario left in its database and on the whole server."""
    *_, here, everywhere = rows_of_each(connection, *([QUALIFIED_NAMES] if ownership.in_place else []), LEFT, SHARED)
    return _in_database(connection, ownership, here) + _shared(connection, ownership, everywhere)


def _in_database(connection: Connection, ownership: Ownership, here: Iterable[Thing]) -> list[Leak]:
    """Remove the prepared transactions and slots of a database; list its invalid indexes."""
    found = [thing for thing in here if thing not in ownership.here]
    indexes = [_invalid_index(name) for kind, name in found if kind == "invalid index"]
    found = [thing for thing in found if thing[0] != "invalid index"]
    if not ownership.in_place:
        return indexes + [_removed(connection, thing, ownership) for thing in found]
    ours = [thing for thing in ownership.proven(connection, ("prepared transaction", "slot")) if thing in found]
    return indexes + [_removed(connection, thing, ownership) for thing in ours] + ownership.unproven(found, ours)


def in_schema(connection: Connection) -> list[Leak]:
    """List the invalid indexes of a schema in a shared database.

    Other leftovers cannot be told from those of other scenarios, so collection refuses what creates them:
    prepared transactions, slots, roles, objects in other schemas. Sessions cannot be told apart either.
    """
    return [_invalid_index(name) for _, name in rows(connection, _LEFT_IN_SCHEMA)]


def _invalid_index(name: str) -> Leak:
    return Leak("invalid index", name, name=unqualified(name))


def unqualified(name: str) -> str:
    """Strip schema, quotes and arguments from the name of an object."""
    return name.partition("(")[0].rpartition(".")[2].strip('"')


def _shared(connection: Connection, ownership: Ownership, everywhere: Iterable[Thing]) -> list[Leak]:
    """Remove what the scenario left on the whole server."""
    new = [thing for thing in everywhere if thing not in ownership.before]
    if ownership.keeps:
        new = [thing for thing in new if thing[0] not in _STAYS]
    if ownership.created is None:
        return [_removed(connection, thing, ownership) for thing in new if makes(ownership.source, thing[1])]
    ours = [] if ownership.keeps else ownership.proven(connection, _STAYS)
    ours += [thing for thing in ownership.proven(connection, ("slot",)) if thing in new]
    return [_removed(connection, thing, ownership) for thing in ours] + ownership.unproven(new, ours)


def on_server(connection: Connection, ownership: Ownership) -> list[Leak]:
    """List the new roles, tablespaces and databases of a file that keeps them."""
    new = [thing for thing in rows(connection, SHARED) if thing not in ownership.before and thing[0] in _STAYS]
    ours = ownership.proven(connection, _STAYS)
    return [_leak(thing, "") for thing in new if thing in ours or makes(ownership.source, thing[1])]


def _removed(connection: Connection, thing: Thing, ownership: Ownership) -> Leak:
    return _leak(thing, remove(lambda query: _rows(connection, query), thing, in_place=ownership.in_place))


def _leak(thing: Thing, left: str) -> Leak:
    kind, name = thing
    if kind == "prepared transaction":
        return Leak(kind, name, left, name)
    if kind == "slot":
        return Leak(kind, f"slot {name}", left, name)
    return Leak(kind if kind == "role" else "object", f"{kind} {name}", left, name)


def _rows(connection: Connection, query: str) -> list[Row]:
    answer = _ask(connection, query)
    if answer.error is not None:
        raise Refused(answer.error.message)
    return answer.rows()


def left(found: Iterable[Leak]) -> list[str]:
    """Describe what was not removed, for a note if it is no failure."""
    return [str(leak) for leak in found if leak.left]


def leak_notes(new: Sequence[Leak], where: str) -> list[str]:
    """Describe what a plain file left in a user's database or server: no failure, as pg_prove leaves it there too."""
    if not new:
        return []
    more = f" and {len(new) - _MOST_NAMES} more" if len(new) > _MOST_NAMES else ""
    return [f"the file left {where}: {', '.join(one.text for one in new[:_MOST_NAMES])}{more}"]
