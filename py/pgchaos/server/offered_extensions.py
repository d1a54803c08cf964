"""Which extensions a server offers, also where the control file of one of them cannot be read."""

from __future__ import annotations

from typing import NamedTuple

import psycopg

_OFFERED = """
    SELECT e.default_version, v.superuser AND NOT v.trusted
    FROM pg_catalog.pg_available_extensions e
    JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version
    WHERE e.name = %s
"""
_ALONE = "SELECT FROM pg_catalog.pg_extension_update_paths(%s)"
_NO_CONTROL_FILE = ("58P01", "0A000")
"""SQLSTATEs of "could not open extension control file", and since PostgreSQL 16 of "extension is not available"."""


class Offer(NamedTuple):
    """What a server offers of one extension.

    Args:
        version: that would be created; '' where it is not known.
        restricted: only a superuser can create it.
        broken: what is wrong with its control file, or ''.
    """

    version: str
    restricted: bool = False
    broken: str = ""


def offer(conn: psycopg.Connection[tuple[object, ...]], name: str) -> Offer | None:
    """Ask what a server offers of an extension.

    PostgreSQL reads all control files to list what it offers, and one that it cannot read ends the list with an error.
    Then the one extension is asked for, whose file may be right.
    """
    try:
        row = conn.execute(_OFFERED, [name]).fetchone()
    except psycopg.OperationalError:
        raise
    except psycopg.Error:
        return _alone(conn, name)
    return None if row is None else Offer(str(row[0]), bool(row[1]))


def _alone(conn: psycopg.Connection[tuple[object, ...]], name: str) -> Offer | None:
    try:
        conn.execute(_ALONE, [name])
    except psycopg.Error as error:
        if error.sqlstate in _NO_CONTROL_FILE:
            return None
        if isinstance(error, psycopg.OperationalError) and conn.closed:
            raise
        return Offer("", broken=str(error).strip())
    return Offer("")
