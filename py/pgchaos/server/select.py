"""Which server a run shall use: the user's word, then the environment's, then one of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pgchaos.server.conninfo import read_conninfo
from pgchaos.server.settings import Conninfo, ServerSettings

LIBPQ = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE", "PGSERVICE")
"""Variables of libpq that name a server; PGPASSWORD, PGSSLMODE and their like do not."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A server, not yet touched.

    Args:
        said: what named it, for messages.
        conninfo: a connection string of an existing server, None for a private one.
        bindir: the programs of a private one, None for the embedded ones.
        database: the user named the database.
        beside: the programs of private servers beside an existing one, None for the embedded ones.
    """

    said: str
    conninfo: Conninfo | None = None
    bindir: Path | None = None
    database: bool = False
    beside: Path | None = None


def choose(settings: ServerSettings, environ: Mapping[str, str]) -> Choice:
    """Choose a server: --chaos-dsn, a folder of programs, PG_BINDIR, libpq's environment, the embedded one."""
    if settings.dsn is not None:
        return _existing(settings.dsn, "--chaos-dsn", environ)
    if settings.pg_bindir is not None:
        return Choice("--chaos-pg-bindir", bindir=settings.pg_bindir)
    if environ.get("PG_BINDIR"):
        return Choice("PG_BINDIR", bindir=Path(environ["PG_BINDIR"]))
    said = [name for name in LIBPQ if environ.get(name)]
    if said:
        return _existing("", " ".join(said), environ)
    return Choice("nothing")


def _existing(dsn: str, said: str, environ: Mapping[str, str]) -> Choice:
    given = read_conninfo(dsn, said)
    # a service usually names its database; where it does not, libpq takes the role's name, as psql does
    named = any((given.get("dbname"), given.get("service"), environ.get("PGDATABASE"), environ.get("PGSERVICE")))
    beside = Path(environ["PG_BINDIR"]) if environ.get("PG_BINDIR") else None
    return Choice(said, conninfo=Conninfo(dsn), database=named, beside=beside)
