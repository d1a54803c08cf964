"""The connection URI that a function of a test is called with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote, urlencode

import psycopg

from pgchaos.engine.applications.client import Address

_VARIABLES = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER", "password": "PGPASSWORD"}
_MAY_BE_PLAIN = ("", "prefer", "allow", "disable")
_MORE = ("options", "sslmode", "sslrootcert", "sslcert", "sslkey")
"""What a connection without a proxy may need besides."""


class Dsn(str):
    """A connection URI with its parts: the argument of functions of a test.

    Args:
        url: the URI.
        parameters: its parts, as keyword arguments of psycopg.connect() and others.
    """

    __slots__ = ("parameters",)

    parameters: dict[str, str]
    """host, port, dbname, user and password; and `sslmode` and, for setup, `options` and the like, where needed."""

    def __new__(cls, url: str, parameters: Mapping[str, str]) -> Dsn:
        """Make one."""
        dsn = super().__new__(cls, url)
        dsn.parameters = dict(parameters)
        return dsn


def session_dsn(address: Address) -> Dsn:
    """Return the URI of a session, which connects to a proxy: without TLS, whatever PGSSLMODE demands."""
    parts = {name: address.variables[variable] for name, variable in _VARIABLES.items()}
    if os.environ.get("PGSSLMODE", "prefer") in _MAY_BE_PLAIN:
        return Dsn(address.url, parts)
    return Dsn(f"{address.url}?sslmode=disable", {**parts, "sslmode": "disable"})


def direct_dsn(conninfo: str) -> Dsn:
    """Return the URI for libpq's connection string; psycopg.Error if the server refuses a connection.

    It connects, because services, password files and variables may name the parts.
    """
    with psycopg.connect(conninfo) as conn:
        info = conn.info
        parts = {"host": info.host, "port": str(info.port), "dbname": info.dbname, "user": info.user}
        parts["password"] = info.password
        used = info.get_parameters()
    more = {name: used[name] for name in _MORE if used.get(name)}
    password = f":{quote(parts['password'], safe='')}" if parts["password"] else ""
    # SQLAlchemy, asyncpg and libpq take the folder of a Unix socket, and IPv6, as a parameter
    where = {"host": parts["host"], "port": parts["port"], **more}
    query = urlencode(where, quote_via=quote, safe="")
    url = f"postgresql://{quote(parts['user'], safe='')}{password}@/{quote(parts['dbname'], safe='')}?{query}"
    return Dsn(url, {**parts, **more})
