"""Is a session what it was asked to be? Poolers, and login event triggers, give others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql

from pgchaos.safe_output import one_line
from pgchaos.server.conninfo import make_conninfo


def question(settings: Mapping[str, str]) -> str:
    """Ask a session what it is, in one row.

    Args:
        settings: that it was to begin with.

    Returns:
        SQL, without variables.
    """
    values = [f"pg_catalog.current_setting({sql.Literal(name).as_string(None)}, true)" for name in settings]
    return "SELECT " + ", ".join(["pg_catalog.pg_backend_pid()", *values])


def difference(settings: Mapping[str, str], row: Sequence[object], announced: int) -> str:
    """Say how a session is not as it was asked to be.

    Args:
        settings: that it was to begin with.
        row: the answer to `question`.
        announced: the id of its process, as libpq was told when it connected.

    Returns:
        What is wrong, '' where nothing is.
    """
    backend, *values = row
    if str(backend) != str(announced):
        return behind_pooler(announced, backend)
    for (name, wanted), value in zip(settings.items(), values, strict=True):
        if value != wanted:
            return (
                f"a session was asked to begin with {name} = {wanted}, and began with {value or 'none'}: a connection "
                "pooler that drops startup options is between here and the server, or a login event trigger of the "
                "database sets it"
            )
    return ""


def behind_pooler(announced: int, backend: object, name: str = "") -> str:
    """Word that a pooler is in the way."""
    return (
        f"a connection pooler is between here and the server ({name or 'PgBouncer, or one like it'}): the session was "
        f"announced as process {announced}, and is process {backend} of the server. pgchaos watches, cancels and ends "
        "sessions by their processes, and begins them with settings of its own: no pool mode permits that"
    )


def pooler(conninfo: str) -> str:
    """Ask a pooler for its name and version, in the database that PgBouncer and its like have for that."""
    try:
        with psycopg.connect(make_conninfo(conninfo, dbname="pgbouncer", options=""), autocommit=True) as console:
            result = console.pgconn.exec_(b"SHOW VERSION")
            return one_line((result.get_value(0, 0) or b"").decode("utf-8", "replace")) if result.ntuples else ""
    except psycopg.Error:
        return ""
