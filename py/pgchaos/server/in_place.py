"""Installs what a run needs in the user's database, and removes it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from pgchaos.language.plain_files import Contents
from pgchaos.server import pgtap
from pgchaos.server.conninfo import Connection
from pgchaos.server.health import NoAnswer, ServerHealth
from pgchaos.server.run_id import RunId, is_over, record
from pgchaos.server.sandbox import create_extensions, install_pgtap, install_toolkit
from pgchaos.server.settings import ServerError

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_ENABLED = """
    SELECT evtname, evtenabled::text FROM pg_catalog.pg_event_trigger
    WHERE evtenabled <> 'D' AND evtevent <> 'login' ORDER BY evtname
"""
_SETTING_SINCE = 170000  # the first version with the setting event_triggers

PGTAP_SCHEMA = "chaos_pgtap"
SANDBOX_SCHEMA = "chaos_sandbox"
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '10s'"  # for locks of other sessions
_QUIETLY = f"SET LOCAL client_min_messages = 'warning'; {LOCK_TIMEOUT}"
_SCHEMAS = ("chaos", PGTAP_SCHEMA, SANDBOX_SCHEMA)
TEST_SCHEMA = "chaos_test_"  # of a test in Python; the run's id and a number follow
REMOVAL_STATEMENT = f"DROP SCHEMA IF EXISTS {', '.join(_SCHEMAS)} CASCADE"  # does not drop extensions
_COMMENTED = """
    SELECT 'SCHEMA', nspname, pg_catalog.obj_description(oid, 'pg_namespace')
    FROM pg_catalog.pg_namespace WHERE nspname = ANY (%(schemas)s) AND NOT EXISTS (
        -- the toolkit's schema belongs to its extension, if that is installed
        SELECT FROM pg_catalog.pg_depend
        WHERE classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND objid = pg_namespace.oid AND deptype = 'e')
    UNION ALL
    SELECT 'EXTENSION', extname, pg_catalog.obj_description(oid, 'pg_extension') FROM pg_catalog.pg_extension
"""
# The toolkit's locks have this first key; that of the sessions of a run follows from its mark (chaos._class, _run_key).
_END_SESSIONS = """
    SELECT pg_catalog.pg_terminate_backend(l.pid)
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND (l.classid, l.objsubid) = (1667785071, 2)
      AND l.objid = (pg_catalog.hashtext(%s || ' run')::bigint & 4294967295)::pg_catalog.oid
      AND a.datid = l.database AND a.datname = pg_catalog.current_database()
      AND a.pid <> pg_catalog.pg_backend_pid() AND pg_catalog.pg_has_role(a.usesysid, 'USAGE')
"""
_TEST_SCHEMAS = """
    SELECT nspname, pg_catalog.obj_description(oid, 'pg_namespace')
    FROM pg_catalog.pg_namespace WHERE pg_catalog.starts_with(nspname, %s)
"""
_PGTAP = """
    SELECT quote_ident(nspname) FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace
    WHERE extname = 'pgtap'
"""


def disable_event_triggers(conn: Connection) -> tuple[str, ...]:
    """Disable event triggers until the end of the transaction; return the names of those that still fire.

    Since PostgreSQL 17 the setting event_triggers disables all of them. Before, session_replication_role = replica
    disables all but those enabled ALWAYS; it is not used if any are enabled for REPLICA, as it would fire these.
    Both need a superuser, or a role with SET on the parameter.
    """
    enabled = [(str(name), str(mode)) for name, mode in conn.execute(_ENABLED)]
    if not enabled:
        return ()
    if conn.info.server_version >= _SETTING_SINCE and _try_set(conn, "SET LOCAL event_triggers = off"):
        return ()
    modes = {mode for _, mode in enabled}
    if modes == {"A"} or "R" in modes or not _try_set(conn, "SET LOCAL session_replication_role = replica"):
        return tuple(name for name, mode in enabled if mode != "R")
    return tuple(name for name, mode in enabled if mode == "A")


def restore_event_triggers(conn: Connection) -> None:
    """Undo `disable_event_triggers` within its transaction."""
    if conn.info.server_version >= _SETTING_SINCE:
        _try_set(conn, "SET LOCAL event_triggers TO DEFAULT")
    _try_set(conn, "SET LOCAL session_replication_role TO DEFAULT")


def _try_set(conn: Connection, statement: LiteralString) -> bool:
    try:
        with conn.transaction():  # a savepoint: a refusal does not end the transaction around it
            conn.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


@contextmanager
def installed(
    conn: Connection,
    health: ServerHealth,
    run: RunId,
    extensions: tuple[str, ...],
    pgtap_from: Path | None,
    contents: Contents = Contents.TOOLKIT,
    note_clean: Callable[[bool], object] = bool,
) -> Iterator[str | None]:
    """Install what a file needs in a database while the context lasts.

    Yields the schema of pgTAP if that is not on the search path, else ''; None if nothing had to be installed. Calls
    `note_clean` with whether the database has nothing of the run, also if an exception (Ctrl-C) ends the context.

    Everything is installed in one transaction with the record of its owner: a run that is killed at any moment leaves
    either nothing, or what `remove_installed` finds.
    """
    try:
        with health.shutdown_if_silent(conn):
            remove_leftovers(conn, run)
            has_all = contents is Contents.NOTHING or (
                contents is Contents.PGTAP and not extensions and pgtap.is_visible(conn)
            )
    except (NoAnswer, psycopg.Error) as error:
        raise ServerError(f"cannot work in database {conn.info.dbname}: {str(error).strip()}") from error
    note_clean(True)
    if has_all:
        # nothing to install, to record or to remove
        yield None
        return
    try:
        with health.shutdown_if_silent(conn), _noting(conn, note_clean), conn.transaction():
            pgtap_schema = _install(conn, run, extensions, pgtap_from, contents)
    except psycopg.errors.InsufficientPrivilege as error:
        raise ServerError(
            f"--chaos-in-place needs a role that can create schemas: {str(error).strip()} "
            f"(GRANT CREATE ON DATABASE {conn.info.dbname} TO {conn.info.user})"
        ) from error
    except psycopg.Error as error:
        raise ServerError(f"cannot work in database {conn.info.dbname}: {str(error).strip()}") from error
    try:
        yield pgtap_schema
    finally:
        if _remove(conn, health, run):
            note_clean(True)


@contextmanager
def _noting(conn: Connection, note_clean: Callable[[bool], object]) -> Iterator[None]:
    """Note that the database may have something of the run, unless the server rolled it back."""
    note_clean(False)
    try:
        yield
    except BaseException:  # Ctrl-C too
        note_clean(not conn.closed)
        raise


def _install(
    conn: Connection, run: RunId, extensions: tuple[str, ...], pgtap_from: Path | None, contents: Contents
) -> str:
    conn.execute(_QUIETLY)
    before = _extensions(conn)
    disable_event_triggers(conn)
    pgtap_schema = _install_pgtap(conn, pgtap_from, contents)
    if contents is Contents.TOOLKIT:
        conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SANDBOX_SCHEMA)))
        if pgtap_schema:
            conn.execute(sql.SQL("SET LOCAL search_path = {}, public").format(sql.SQL(pgtap_schema)))
        install_toolkit(conn, extensions)
    _record_owner(conn, run, before)
    if extensions:
        # the file names these extensions: event triggers fire for them as for any user
        restore_event_triggers(conn)
        before = _extensions(conn)
        create_extensions(conn, extensions)
        _record_owner(conn, run, before)
    return pgtap_schema


def _install_pgtap(conn: Connection, pgtap_from: Path | None, contents: Contents) -> str:
    """Install pgTAP if it is missing; return its schema if that is not on the search path, else ''."""
    if pgtap.is_visible(conn):
        return ""
    row = conn.execute(_PGTAP).fetchone()
    if row is not None:
        # the user's own: a plain file must set a search path to find it, as under pg_prove
        return str(row[0]) if contents is Contents.TOOLKIT else ""
    if pgtap_from is None and pgtap.is_offered(conn) and _create_in_public(conn):
        # in public, because most search paths that a file sets include it
        return "" if pgtap.is_visible(conn) else "public"
    name = sql.Identifier(PGTAP_SCHEMA)
    (path,) = conn.execute("SELECT pg_catalog.current_setting('search_path')").fetchone() or ("",)
    conn.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    conn.execute(sql.SQL("SET LOCAL search_path = {}, public").format(name))
    install_pgtap(conn, pgtap_from)
    conn.execute("SELECT pg_catalog.set_config('search_path', %s, true)", [path])
    return PGTAP_SCHEMA


def _create_in_public(conn: Connection) -> bool:
    """Try to create pgTAP in public: the role may not be allowed to, or functions of these names may exist."""
    try:
        with conn.transaction():
            conn.execute("CREATE EXTENSION pgtap SCHEMA public")
    except psycopg.Error:
        if conn.closed:
            raise
        return False
    return True


def _record_owner(conn: Connection, run: RunId, before: set[str]) -> None:
    """Record the run as the owner of what is new."""
    mark = sql.Literal(record(conn, run))
    for name in sorted(_extensions(conn) - before):
        conn.execute(sql.SQL("COMMENT ON EXTENSION {} IS {}").format(sql.Identifier(name), mark))
    for kind, name, owner in _list_installed(conn):
        if kind == "SCHEMA" and owner is None:
            conn.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(name), mark))


def _extensions(conn: Connection) -> set[str]:
    return {str(name) for (name,) in conn.execute("SELECT extname FROM pg_catalog.pg_extension")}


def remove_leftovers(conn: Connection, run: RunId) -> None:
    """Remove what dead runs left.

    Raises:
        ServerError: a schema of the user, or of another run that may be alive, has a name that `run` needs.
    """
    for kind, name, owner in _list_installed(conn):
        if owner is not None and owner.id != run.id and not is_over(conn, owner):
            raise ServerError(_in_use_message(conn.info.dbname, owner))
        if owner is not None:
            remove_installed(conn, owner.id)
        elif kind == "SCHEMA":
            raise ServerError(
                f"database {conn.info.dbname} has a schema {name} that is not ours: rename it, or run without "
                "--chaos-in-place"
            )


def _in_use_message(database: str, run: RunId) -> str:
    text = f"database {database} is in use by another run, process {run.pid} on {run.host}: wait for its end"
    if run.is_local:
        return f"{text}, or name another database"
    # its process cannot be checked from here
    return f"{text}; if that run is over, remove what it left: {REMOVAL_STATEMENT}"


def _list_installed(conn: Connection) -> list[tuple[str, str, RunId | None]]:
    rows = conn.execute(_COMMENTED, {"schemas": list(_SCHEMAS)}).fetchall()
    return [(str(kind), str(name), RunId.loads(str(comment))) for kind, name, comment in rows]


def remove_installed(conn: Connection, run: str) -> None:
    """Remove what the run with this id installed in a database; psycopg.Error if something is in use.

    Sessions of its scenario that still run a statement after the run was killed are terminated. The connection must be
    in autocommit mode.
    """
    conn.execute(_END_SESSIONS, [run])
    ours = [(kind, name) for kind, name, owner in _list_installed(conn) if owner is not None and owner.id == run]
    with conn.transaction():
        conn.execute(_QUIETLY)
        disable_event_triggers(conn)
        for kind, name in ours:
            if kind == "SCHEMA":
                conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))
    extensions = [name for kind, name in ours if kind == "EXTENSION"]
    drop_extensions(conn, [name for name in extensions if name != "pgtap"])
    drop_extensions(conn, [name for name in extensions if name == "pgtap"], silently=True)


def remove_test_schemas(conn: Connection, run: str) -> None:
    """Remove the schemas of tests in Python that a killed run left; psycopg.Error if one is in use."""
    with conn.transaction():
        conn.execute(_QUIETLY)
        disable_event_triggers(conn)
        for name, comment in conn.execute(_TEST_SCHEMAS, [f"{TEST_SCHEMA}{run}_"]).fetchall():
            owner = RunId.loads(str(comment))
            if owner is not None and owner.id == run:
                conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(str(name))))


def drop_extensions(conn: Connection, names: Sequence[str], *, silently: bool = False) -> None:
    """Drop extensions that a run created in the user's database, but no objects that depend on them.

    Args:
        conn: a connection to it in autocommit mode.
        names: the extensions.
        silently: disable event triggers; they fire for the extensions that a file names.

    Raises:
        psycopg.Error: something depends on one of them: they stay, and belong to the user from now on.
    """
    if not names:
        return
    try:
        with conn.transaction():
            conn.execute(_QUIETLY)
            if silently:
                disable_event_triggers(conn)
            which = sql.SQL(", ").join(map(sql.Identifier, names))
            conn.execute(sql.SQL("DROP EXTENSION IF EXISTS {}").format(which))
    except psycopg.errors.DependentObjectsStillExist:
        for name in names:
            conn.execute(sql.SQL("COMMENT ON EXTENSION {} IS NULL").format(sql.Identifier(name)))
        raise


def _remove(conn: Connection, health: ServerHealth, run: RunId) -> bool:
    """Remove what the run installed; return whether the server did so, or raise ServerError if it refuses."""
    try:
        with health.shutdown_if_silent(conn):
            remove_installed(conn, run.id)
    except NoAnswer:
        return False  # the file's result reports it, and the end of the run lists what remains
    except psycopg.Error as error:
        raise ServerError(
            f"cannot remove all that was installed in database {conn.info.dbname}: {str(error).strip()}"
        ) from error
    return True
