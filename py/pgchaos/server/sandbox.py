"""What a scenario gets to work in, and how a template of it is furnished."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from pgchaos.server import pgtap
from pgchaos.server.connection_cache import ConnectionCache
from pgchaos.server.conninfo import Connection
from pgchaos.server.outside_schemas import Outside
from pgchaos.server.private import PrivateServer
from pgchaos.server.settings import ServerError

MARK = "chaos.mark"
"""The setting by which the toolkit knows the sessions of a run in a database where others work."""


def _nothing() -> None:
    pass


def _unspoiled() -> tuple[str, ...]:
    return ()


def _no_matter(_: Collection[str]) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A place for one scenario.

    Args:
        database: its name.
        conninfo: how to connect to it.
        in_place: the user's own database, not one of ours.
        ours: the server was started by this run, and all that is on it is ours.
        schema: the scenario's own in a database that others use too, else ''.
        shelf: where that database's connections wait from one scenario to the next; None where none are kept.
        spare: closes all the connections that wait so on the server.
        keep: says that the database is as it was lent, so that it may be lent again; for one that was asked for so.
        explains: says whether transactions, by their ids, are all of the run's own that makes and drops databases.
        outside: what lies outside the schema in a database that serves several runs; None where it serves one.
        searched: the runs are those of one search, which looks at the catalogs by itself now and then.
        spoil: says that something outside the schema has changed, and what, so that the database serves no other run.
        spoiled: tells what another run has found to be changed so, since this one began.
        power: the server itself, where it may be stopped, killed and started again: it is the scenario's own, or a
            private one that nobody else uses meanwhile.
        banner: one line on that server where it is the scenario's own, else ''.
        doubt: begins to find out whether the server answers, where a backend does not.
        begins: what each session must begin with, where that is looked at: in a database of the user's.
    """

    database: str
    conninfo: str
    in_place: bool = False
    ours: bool = False
    schema: str = ""
    shelf: ConnectionCache | None = None
    spare: Callable[[], None] = _nothing
    keep: Callable[[], None] = _nothing
    explains: Callable[[Collection[int]], bool] = operator.not_
    outside: Outside | None = None
    searched: bool = False
    spoil: Callable[[Collection[str]], None] = _no_matter
    spoiled: Callable[[], tuple[str, ...]] = _unspoiled
    power: PrivateServer | None = None
    banner: str = ""
    doubt: Callable[[], None] = _nothing
    begins: Mapping[str, str] = field(default_factory=dict)

    @property
    def shared(self) -> bool:
        """Whether other scenarios may use the database at the same time."""
        return self.shelf is not None and self.schema != ""

    @property
    def settings(self) -> dict[str, str]:
        """What each session of a shared database begins with."""
        return {"search_path": f"{self.schema}, public", "chaos.run": self.schema} if self.shared else {}


def read_toolkit() -> str:
    """Read the SQL of the toolkit."""
    # importlib.resources would import its readers here, which a thread may not be the first to do
    file = Path(__file__).parents[1] / "toolkit" / "toolkit.sql"
    if not file.is_file():
        raise ServerError(f"the toolkit's SQL is missing: there is no {file}; install pgchaos again, whole")
    return file.read_text(encoding="utf-8")


def set_up_database(conn: Connection, extensions: tuple[str, ...], pgtap_from: Path | None) -> None:
    """Bring pgTAP, the toolkit and extensions into a database."""
    install_pgtap(conn, pgtap_from)
    install_toolkit(conn, extensions)
    create_extensions(conn, extensions)


def install_toolkit(conn: Connection, extensions: tuple[str, ...]) -> None:
    """Bring the toolkit into a database."""
    with _naming("the toolkit"):
        # the extension is the same SQL: where it is installed, or will be, that is the one
        if _has_extension(conn):
            conn.execute("TRUNCATE chaos._history, chaos._transactions, chaos._acknowledged, chaos._notifications")
        elif "pgchaos" not in extensions:
            conn.execute(read_toolkit().encode())


def create_extensions(conn: Connection, extensions: tuple[str, ...]) -> None:
    """Create extensions where they are missing; pgTAP, where it was loaded from a file, is not missing."""
    for name in extensions:
        with _naming(f"extension {name}"):
            if name == "pgtap" and pgtap.is_visible(conn):
                continue
            conn.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE").format(sql.Identifier(name)))


def install_pgtap(conn: Connection, pgtap_from: Path | None) -> None:
    """Bring pgTAP into a database, into the first schema of the search path."""
    with _naming("pgTAP"):
        pgtap.install(conn, pgtap_from)


def _has_extension(conn: Connection) -> bool:
    return conn.execute("SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'pgchaos'").fetchone() is not None


@contextmanager
def _naming(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        # OperationalError alone says little: a missing control file is one too (58P01, up to PostgreSQL 15)
        if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
            raise
        raise ServerError(f"{what} cannot be created: {str(error).strip()}") from error
