"""Event triggers of a database that is not ours: they are not to fire for what is brought in and taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_ENABLED = """
    SELECT evtname, evtenabled::text FROM pg_catalog.pg_event_trigger
    WHERE evtenabled <> 'D' AND evtevent <> 'login' ORDER BY evtname
"""
_HAS_SETTING = 170000
"""The first version with the setting event_triggers."""

Connection = psycopg.Connection[tuple[object, ...]]


def silence(conn: Connection) -> tuple[str, ...]:
    """Have no event trigger fire until the end of the transaction, as far as our role may.

    Since PostgreSQL 17 the setting event_triggers turns all of them off. Before, session_replication_role = replica
    does, but for those that are enabled ALWAYS; it would wake those enabled for REPLICA, and is left alone where there
    are any. Either takes a superuser, or a role that was granted SET on the parameter.
    """
    enabled = [(str(name), str(mode)) for name, mode in conn.execute(_ENABLED)]
    if not enabled:
        return ()
    if conn.info.server_version >= _HAS_SETTING and _try(conn, "SET LOCAL event_triggers = off"):
        return ()
    modes = {mode for _, mode in enabled}
    if modes == {"A"} or "R" in modes or not _try(conn, "SET LOCAL session_replication_role = replica"):
        return tuple(name for name, mode in enabled if mode != "R")
    return tuple(name for name, mode in enabled if mode == "A")


def silence_no_more(conn: Connection) -> None:
    """Undo `silence` within its transaction, for what is to be done as anybody would."""
    if conn.info.server_version >= _HAS_SETTING:
        _try(conn, "SET LOCAL event_triggers TO DEFAULT")
    _try(conn, "SET LOCAL session_replication_role TO DEFAULT")


def _try(conn: Connection, statement: LiteralString) -> bool:
    try:
        with conn.transaction():  # a savepoint: a refusal does not end the transaction around it
            conn.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True
