"""Runs PgBouncer between the sessions of one run and a private server, in the server's folder."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pgchaos.language.header_model import Pooler
from pgchaos.server.conninfo import make_conninfo
from pgchaos.server.private import PrivateServer
from pgchaos.server.settings import ServerError

_PROGRAM = "pgbouncer"
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin")  # sbin is in root's PATH only
_PORT = "6432"
_SOCKET = f".s.PGSQL.{_PORT}"
_CONSOLE = "pgbouncer"
_numbers = itertools.count(1)  # atomic in CPython
# clients disconnect at the end of the scenario, so no idle timeout is needed
_SETTINGS = {
    "auth_type": "trust",
    "unix_socket_mode": "0700",
    "listen_port": _PORT,
    "max_client_conn": "10000",
    "ignore_startup_parameters": "extra_float_digits,options",
    "log_connections": "0",
    "log_disconnections": "0",
    "log_stats": "0",
}


class PoolerError(ServerError):
    """PgBouncer does not start."""


@dataclass(frozen=True, slots=True)
class RunningPooler:
    """A pooler that accepts connections.

    Args:
        mode: of its pools.
        size: of each pool, or None.
        parameters: libpq's, of a connection to it.
    """

    mode: str
    size: int | None
    parameters: Mapping[str, str]

    def conninfo(self, name: str) -> str:
        """Return the connection string of a session; `name` is its application_name."""
        return make_conninfo(**self.parameters, application_name=name)

    @property
    def console(self) -> str:
        """The connection string of PgBouncer's admin console."""
        return make_conninfo(**{**self.parameters, "dbname": _CONSOLE})


def find_pooler() -> str:
    """Return the path of PgBouncer's program, '' if it is not installed."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_FOLDERS))
    return shutil.which(_PROGRAM, path=path) or ""


def missing_pooler() -> str:
    """Explain how to install PgBouncer, '' if it is installed."""
    if find_pooler():
        return ""
    return (
        f"`pooler` needs PgBouncer, and there is none in PATH or {_FOLDERS[0]}: install it (apt-get install pgbouncer)"
    )


@contextmanager
def running_pooler(
    server: PrivateServer, database: str, pooler: Pooler, settings: Mapping[str, str]
) -> Iterator[RunningPooler]:
    """Start a pooler; it ends with the context, and at the latest with the server's supervisor.

    Args:
        server: the server behind it.
        database: the database that its clients may use.
        pooler: what the file asks for.
        settings: parameters of PgBouncer; they override ours.

    Raises:
        PoolerError: it does not start.
    """
    name = f"p{next(_numbers)}"
    folder = server.folder / name
    files = {"pgbouncer.ini": _configuration(server, folder, database, pooler, settings), "users": '"postgres" ""\n'}
    try:
        server.start_pooler(name, [find_pooler(), str(folder / "pgbouncer.ini")], files, _SOCKET)
    except ServerError as error:
        text = f"PgBouncer cannot be started: {error}"
        raise PoolerError(text) from error
    try:
        parameters = {**server.parameters, "host": str(folder), "port": _PORT, "dbname": database}
        yield RunningPooler(pooler.mode, pooler.size, parameters)
    finally:
        with contextlib.suppress(ServerError):  # the supervisor has ended, and the pooler with it
            server.stop_pooler(name)


def _configuration(
    server: PrivateServer, folder: Path, database: str, pooler: Pooler, settings: Mapping[str, str]
) -> str:
    upstream = server.parameters
    size = {} if pooler.size is None else {"default_pool_size": str(pooler.size)}
    own = {"unix_socket_dir": str(folder), "auth_file": str(folder / "users"), "admin_users": upstream["user"]}
    values = {**_SETTINGS, **own, "pool_mode": pooler.mode, **size, **settings}
    lines = [f"{name} = {value}" for name, value in values.items()]
    target = f"{database} = host={upstream['host']} port={upstream['port']}"
    return "\n".join(("[databases]", target, "[pgbouncer]", "listen_addr =", *lines, ""))
