"""The databases that runs make on a server: their names, whose they are, how they go."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgchaos.server import in_place
from pgchaos.server.runs import Run

PREFIX = "pgchaos_"
APPLICATION = "pgchaos "
"""Begins the application_name of connections that last as long as a run; its main one's ends with its id."""

NAMED = "pggit_chaos_test"
"""What the database of chaos tests in Python is called on a private server."""

_NAMES = "^pgchaos_[0-9a-f]{8}_t?[0-9]+$"
_DROP_LIMIT = 10.0

_OWN = """
    SELECT d.datname, d.comment,
           EXISTS (SELECT FROM pg_catalog.pg_stat_activity a
                   WHERE a.application_name = %(application)s || pg_catalog.substr(d.datname, 9, 8))
    FROM (SELECT datname, pg_catalog.shobj_description(oid, 'pg_database') AS comment
          FROM pg_catalog.pg_database WHERE pg_catalog.pg_get_userbyid(datdba) = CURRENT_USER) d
    WHERE d.datname ~ %(names)s
"""


def database_name(run: str, number: int, template: bool = False) -> str:
    """Name a database of a run.

    Args:
        run: its id.
        number: counted through the run.
        template: it is one to clone from.

    Returns:
        The name.
    """
    return f"{PREFIX}{run}_{'t' if template else ''}{number}"


def siblings(database: str) -> str:
    """Tell how the names of all databases of a run begin.

    Args:
        database: one of a run, or another.

    Returns:
        The beginning; '' where it is none of a run's.
    """
    return database[: database.rindex("_") + 1] if re.search(_NAMES, database) else ""


def own_databases(conn: psycopg.Connection[tuple[object, ...]]) -> Iterator[tuple[str, Run | None, bool]]:
    """List the databases that runs made as our role.

    One statement, whose snapshot of pg_database is older than its look at pg_stat_activity: a run that makes a database
    meanwhile is either not listed or seen alive.

    Args:
        conn: to the server.

    Returns:
        Name, the run as recorded, and whether that run holds a connection.
    """
    values = {"application": APPLICATION, "names": _NAMES}
    rows = conn.execute(_OWN, values).fetchall()
    for name, comment, connected in rows:
        yield str(name), Run.loads(str(comment)), bool(connected)


def drop_database(
    conn: psycopg.Connection[tuple[object, ...]], conninfo: str, name: str, limit: float = _DROP_LIMIT
) -> None:
    """Drop a database of ours with all that holds it: sessions, prepared transactions, replication slots.

    Args:
        conn: to another database, autocommit.
        conninfo: of the server.
        name: of the database.
        limit: seconds to go on trying while sessions end.

    Raises:
        psycopg.Error: it cannot be dropped.
    """
    end = time.monotonic() + limit
    while (held := _try_drop(conn, name)) is not None:
        if time.monotonic() > end:
            raise held
        with contextlib.suppress(psycopg.Error):  # the next try to drop it says what is wrong
            _release(conninfo, name)
        time.sleep(0.02)  # polled: sessions that were ended go without a word


def _try_drop(conn: psycopg.Connection[tuple[object, ...]], name: str) -> psycopg.Error | None:
    try:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    except (psycopg.errors.ObjectInUse, psycopg.errors.InsufficientPrivilege) as error:
        return error
    return None


def _release(conninfo: str, name: str) -> None:
    """End what FORCE does not: prepared transactions and slots, which only a session of that database may end."""
    with psycopg.connect(make_conninfo(conninfo, dbname=name), autocommit=True) as conn:
        prepared = conn.execute("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()").fetchall()
        for (gid,) in prepared:
            conn.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
        conn.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            " WHERE database = current_database() AND active"
        )
        conn.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE database = current_database() AND NOT active"
        )


def remove_run(conninfo: str, run: str) -> None:
    """Remove what a run that is over left on a server that is not ours.

    Args:
        conninfo: of the database that the run administered from.
        run: its id.

    Raises:
        psycopg.Error: the server cannot be reached.
    """
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for name, _, _ in own_databases(conn):
            if name.startswith(f"{PREFIX}{run}_"):
                with contextlib.suppress(psycopg.Error):  # of the others none is left for it
                    drop_database(conn, conninfo, name)
        in_place.remove(conn, run)


def remove_dead_runs(conn: psycopg.Connection[tuple[object, ...]], conninfo: str) -> list[str]:
    """Drop the databases of runs that are over.

    A run lives while it holds its connection, or while its process runs on this host.

    Args:
        conn: to the server, autocommit.
        conninfo: of the same.

    Returns:
        The names of the databases dropped.
    """
    removed = []
    for name, run, connected in own_databases(conn):
        if connected or (run is not None and run.alive()):
            continue
        # somebody else may be removing the same
        with contextlib.suppress(psycopg.Error):
            drop_database(conn, conninfo, name)
            removed.append(name)
    return removed
