"""Works in a database that the user named: what a run installs there, it removes again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from pgchaos.language.plain_files import Contents
from pgchaos.server import pgtap
from pgchaos.server.answering import Answering, NoAnswer
from pgchaos.server.conninfo import Connection
from pgchaos.server.run_id import RunId, is_over, record
from pgchaos.server.sandbox import create_extensions, install_pgtap, install_toolkit
from pgchaos.server.settings import ServerError

if TYPE_CHECKING:
    from typing_extensions import LiteralString

_ENABLED = """
    SELECT evtname, evtenabled::text FROM pg_catalog.pg_event_trigger
    WHERE evtenabled <> 'D' AND evtevent <> 'login' ORDER BY evtname
"""
_HAS_SETTING = 170000
"""The first version with the setting event_triggers."""


def disable_event_triggers(conn: Connection) -> tuple[str, ...]:
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


def restore_event_triggers(conn: Connection) -> None:
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


PGTAP_SCHEMA = "chaos_pgtap"
SANDBOX_SCHEMA = "chaos_sandbox"
_QUIETLY = "SET LOCAL client_min_messages = 'warning'; SET LOCAL lock_timeout = '10s'"
_SCHEMAS = ("chaos", PGTAP_SCHEMA, SANDBOX_SCHEMA)
REMOVAL_STATEMENT = f"DROP SCHEMA IF EXISTS {', '.join(_SCHEMAS)} CASCADE"
"""What a run brought in, but for extensions."""

_COMMENTED = """
    SELECT 'SCHEMA', nspname, pg_catalog.obj_description(oid, 'pg_namespace')
    FROM pg_catalog.pg_namespace WHERE nspname = ANY (%(schemas)s) AND NOT EXISTS (
        -- the toolkit's, where it is installed as an extension, stays and goes with that
        SELECT FROM pg_catalog.pg_depend
        WHERE classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND objid = pg_namespace.oid AND deptype = 'e')
    UNION ALL
    SELECT 'EXTENSION', extname, pg_catalog.obj_description(oid, 'pg_extension') FROM pg_catalog.pg_extension
"""

_PGTAP = """
    SELECT quote_ident(nspname) FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace
    WHERE extname = 'pgtap'
"""


@contextmanager
def installed(
    conn: Connection,
    answering: Answering,
    run: RunId,
    extensions: tuple[str, ...],
    pgtap_from: Path | None,
    contents: Contents = Contents.TOOLKIT,
) -> Iterator[str]:
    """Bring what a file needs into a database for as long as the context lasts.

    Everything comes in one transaction, marked with the run, so that a run killed at any moment leaves either nothing
    or what `remove` finds.
    """
    try:
        with answering.attending(conn):
            remove_leftovers(conn, run)
    except NoAnswer as error:
        raise ServerError(f"cannot work in database {conn.info.dbname}: {error}") from error
    if contents is Contents.NOTHING:
        yield ""
        return
    try:
        with answering.attending(conn), conn.transaction():
            where = _bring(conn, run, extensions, pgtap_from, contents)
    except psycopg.errors.InsufficientPrivilege as error:
        raise ServerError(
            f"in place, the role needs to make schemas: {str(error).strip()} "
            f"(GRANT CREATE ON DATABASE {conn.info.dbname} TO {conn.info.user})"
        ) from error
    except psycopg.Error as error:
        raise ServerError(f"cannot work in database {conn.info.dbname}: {str(error).strip()}") from error
    try:
        yield where
    finally:
        _remove_or_say(conn, answering, run)


def _bring(
    conn: Connection, run: RunId, extensions: tuple[str, ...], pgtap_from: Path | None, contents: Contents
) -> str:
    conn.execute("SET LOCAL client_min_messages = 'warning'")
    before = _extensions(conn)
    disable_event_triggers(conn)
    where = _bring_pgtap(conn, pgtap_from, contents)
    if contents is Contents.TOOLKIT:
        conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SANDBOX_SCHEMA)))
        if where:
            conn.execute(sql.SQL("SET LOCAL search_path = {}, public").format(sql.SQL(where)))
        install_toolkit(conn, extensions)
    _mark(conn, run, before)
    if extensions:
        # the file asks for these: they come as they would for anybody
        restore_event_triggers(conn)
        before = _extensions(conn)
        create_extensions(conn, extensions)
        _mark(conn, run, before)
    return where


def _bring_pgtap(conn: Connection, pgtap_from: Path | None, contents: Contents) -> str:
    """Bring pgTAP, and say in which schema it is where the search path does not lead there."""
    if pgtap.is_visible(conn):
        return ""
    row = conn.execute(_PGTAP).fetchone()
    if row is not None:
        # the user's own: a plain file finds it only by a search path of its own, as it does under pg_prove
        return str(row[0]) if contents is Contents.TOOLKIT else ""
    if pgtap_from is None and pgtap.is_offered(conn) and _create_in_public(conn):
        # a file may set a search path of its own: public is what most have
        return "" if pgtap.is_visible(conn) else "public"
    name = sql.Identifier(PGTAP_SCHEMA)
    (path,) = conn.execute("SELECT pg_catalog.current_setting('search_path')").fetchone() or ("",)
    conn.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    conn.execute(sql.SQL("SET LOCAL search_path = {}, public").format(name))
    install_pgtap(conn, pgtap_from)
    conn.execute("SELECT pg_catalog.set_config('search_path', %s, true)", [path])
    return PGTAP_SCHEMA


def _create_in_public(conn: Connection) -> bool:
    """Say whether pgTAP could be created there: the role may not, or functions of such names may be there."""
    try:
        with conn.transaction():
            conn.execute("CREATE EXTENSION pgtap SCHEMA public")
    except psycopg.Error:
        if conn.closed:
            raise
        return False
    return True


def _mark(conn: Connection, run: RunId, before: set[str]) -> None:
    """Write the run beside what is new, so that it is known as the run's."""
    mark = sql.Literal(record(conn, run))
    for name in sorted(_extensions(conn) - before):
        conn.execute(sql.SQL("COMMENT ON EXTENSION {} IS {}").format(sql.Identifier(name), mark))
    for kind, name, owner in _marked(conn):
        if kind == "SCHEMA" and owner is None:
            conn.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(name), mark))


def _extensions(conn: Connection) -> set[str]:
    return {str(name) for (name,) in conn.execute("SELECT extname FROM pg_catalog.pg_extension")}


def remove_leftovers(conn: Connection, own: RunId) -> None:
    """Make way: remove what dead runs left, refuse what is not ours.

    Args:
        conn: to the database.
        own: the run that comes now.

    Raises:
        ServerError: a schema of the user's, or of a run that still lives, is in the way.
    """
    for kind, name, run in _marked(conn):
        if run is not None and run.id != own.id and not is_over(conn, run):
            raise ServerError(_in_use(conn.info.dbname, run))
        if run is not None:
            remove_installed(conn, run.id)
        elif kind == "SCHEMA":
            raise ServerError(
                f"database {conn.info.dbname} has a schema {name} that is not ours: rename it, or work without "
                "--chaos-in-place"
            )


def _in_use(database: str, run: RunId) -> str:
    text = f"database {database} is in use by another run, process {run.pid} on {run.host}"
    if run.visible:
        return text
    # which cannot be looked at from here
    return f"{text}; if that run is over, remove what it left: {REMOVAL_STATEMENT}"


def _marked(conn: Connection) -> list[tuple[str, str, RunId | None]]:
    rows = conn.execute(_COMMENTED, {"schemas": list(_SCHEMAS)}).fetchall()
    return [(str(kind), str(name), RunId.loads(str(comment))) for kind, name, comment in rows]


def remove_installed(conn: Connection, run: str) -> None:
    """Remove what a run brought into a database.

    Args:
        conn: to it, autocommit.
        run: its id.

    Raises:
        psycopg.Error: something holds it.
    """
    ours = [(kind, name) for kind, name, owner in _marked(conn) if owner is not None and owner.id == run]
    with conn.transaction():
        conn.execute(_QUIETLY)
        disable_event_triggers(conn)
        for kind, name in ours:
            if kind == "SCHEMA":
                conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))
    extensions = [name for kind, name in ours if kind == "EXTENSION"]
    drop_extensions(conn, [name for name in extensions if name != "pgtap"])
    drop_extensions(conn, [name for name in extensions if name == "pgtap"], silently=True)


def drop_extensions(conn: Connection, names: Sequence[str], *, silently: bool = False) -> None:
    """Drop extensions that a run brought into a database of the user's, and nothing that depends on them.

    Args:
        conn: to it, autocommit.
        names: of the extensions.
        silently: event triggers are not to fire; what a file asked for goes as it would for anybody.

    Raises:
        psycopg.Error: something depends on one: they stay, and are the user's from now on.
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


def _remove_or_say(conn: Connection, answering: Answering, run: RunId) -> None:
    try:
        with answering.attending(conn):
            remove_installed(conn, run.id)
    except NoAnswer:
        pass  # what was run says so, and the end of the run what was left
    except psycopg.Error as error:
        raise ServerError(
            f"could not remove all that was brought into database {conn.info.dbname}: {str(error).strip()}"
        ) from error
