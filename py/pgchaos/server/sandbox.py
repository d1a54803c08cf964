"""The database or schema that a scenario works in, and how a database is set up."""

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
from pgchaos.server.object_list import ObjectList
from pgchaos.server.outside_schemas import OutsideState
from pgchaos.server.pooler import RunningPooler
from pgchaos.server.private import PrivateServer
from pgchaos.server.settings import ServerError, nothing

MARK = "chaos.mark"  # the setting that marks the sessions of a run in a database with other users, for the toolkit


def _no_changes() -> tuple[str, ...]:
    return ()


def _ignore(_: Collection[str]) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A database, or a schema in one, for one scenario.

    Args:
        database: its name.
        conninfo: connection string for sessions of the scenario.
        in_place: the database is the user's.
        ours: this run started the server.
        schema: the scenario's schema in a database with other users, else ''.
        connection_cache: connections that stay open between scenarios, or None.
        close_unused: closes all such connections to the server.
        keep: called if the database is unchanged: then another scenario can use it.
        explains: returns whether the run itself made all of these transactions, to create and drop databases.
        outside: the state outside the schema in a database that several runs use, else None.
        in_search: all runs belong to one search, which checks the catalogs itself.
        retire: called with what changed outside the schema: then no other run uses the database.
        outside_changes: returns what another run found changed since this run began.
        pooler: between the sessions and the server, or None.
        server_control: the server, if the scenario may stop, kill and start it: no other scenario uses it meanwhile.
        banner: one line about a server for this scenario alone, else ''.
        report_silent_backend: called if a backend did not answer: starts a check of the server in the background.
        required_settings: the settings that each session must start with, to be checked in the user's database.
        check_settings: the settings of the check that differ from these.
        objects: of the user's database, if an earlier run has listed them.
        plain_connections: returns the connections that plain files keep open in the user's database, by connection
            string; None if they keep none.
    """

    database: str
    conninfo: str
    in_place: bool = False
    ours: bool = False
    schema: str = ""
    connection_cache: ConnectionCache | None = None
    close_unused: Callable[[], None] = nothing
    keep: Callable[[], None] = nothing
    explains: Callable[[Collection[int]], bool] = operator.not_
    outside: OutsideState | None = None
    in_search: bool = False
    retire: Callable[[Collection[str]], None] = _ignore
    outside_changes: Callable[[], tuple[str, ...]] = _no_changes
    pooler: RunningPooler | None = None
    server_control: PrivateServer | None = None
    banner: str = ""
    report_silent_backend: Callable[[], None] = nothing
    required_settings: Mapping[str, str] = field(default_factory=dict)
    check_settings: Mapping[str, str] = field(default_factory=dict)
    objects: ObjectList = field(default_factory=ObjectList)
    plain_connections: Callable[[str], ConnectionCache] | None = None

    @property
    def shared(self) -> bool:
        """Whether other scenarios can use the database at the same time."""
        return self.connection_cache is not None and self.schema != ""

    @property
    def only_ours(self) -> bool:
        """Whether nothing but the runs of one scenario, one at a time, uses the database."""
        return not self.in_place and (self.in_search or not self.shared)

    @property
    def settings(self) -> dict[str, str]:
        """The settings of each session in a shared database."""
        return {"search_path": f"{self.schema}, public", "chaos.run": self.schema} if self.shared else {}


def read_toolkit() -> str:
    """Read the SQL of the toolkit."""
    # not by importlib.resources: it would import its readers here, possibly in a thread (runner/preload.py)
    file = Path(__file__).parents[1] / "toolkit" / "toolkit.sql"
    if not file.is_file():
        raise ServerError(f"the toolkit's SQL is missing: there is no {file}; reinstall pgchaos")
    return file.read_text(encoding="utf-8")


def set_up_database(conn: Connection, extensions: tuple[str, ...], pgtap_from: Path | None) -> None:
    """Install pgTAP, the toolkit and extensions in a database."""
    install_pgtap(conn, pgtap_from)
    install_toolkit(conn, extensions)
    create_extensions(conn, extensions)


def install_toolkit(conn: Connection, extensions: tuple[str, ...]) -> None:
    """Install the toolkit in a database, unless the pgchaos extension is there or is among `extensions`."""
    with _errors_about("the toolkit"):
        # the extension has the same SQL
        if _has_extension(conn):
            conn.execute("TRUNCATE chaos._history, chaos._transactions, chaos._acknowledged, chaos._notifications")
        elif "pgchaos" not in extensions:
            conn.execute(read_toolkit().encode())


def create_extensions(conn: Connection, extensions: tuple[str, ...]) -> None:
    """Create missing extensions; pgTAP that was loaded from a file is not missing."""
    for name in extensions:
        with _errors_about(f"extension {name}"):
            if name == "pgtap" and pgtap.is_visible(conn):
                continue
            conn.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE").format(sql.Identifier(name)))


def install_pgtap(conn: Connection, pgtap_from: Path | None) -> None:
    """Install pgTAP in the first schema of the search path."""
    with _errors_about("pgTAP"):
        pgtap.install(conn, pgtap_from)


def _has_extension(conn: Connection) -> bool:
    return conn.execute("SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'pgchaos'").fetchone() is not None


@contextmanager
def _errors_about(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        # not by the class: a missing control file is an OperationalError too (58P01, up to PostgreSQL 15)
        if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
            raise
        raise ServerError(f"{what} cannot be created: {str(error).strip()}") from error
