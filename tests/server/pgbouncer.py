"""PgBouncer in front of a server."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import ForeignServer
from tests.waiting import until

PORT = "6432"
_INI = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr =
listen_port = {own_port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
admin_users = postgres
pool_mode = {mode}
ignore_startup_parameters = {ignored}
"""


@contextlib.contextmanager
def pgbouncer(foreign: ForeignServer, dsn: str, mode: str, ignored: str = "extra_float_digits") -> Iterator[str]:
    """Start PgBouncer in front of a server, as the account that the server runs as.

    Args:
        foreign: the server.
        dsn: of one of its databases.
        mode: of its pools: session, transaction or statement.
        ignored: startup parameters that it drops; others than its own it refuses.

    Yields:
        The same database through PgBouncer.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("needs pgbouncer: apt-get install pgbouncer")
    server = conninfo_to_dict(dsn)
    process = psutil.Process(foreign.private.pid)
    account, group = process.uids().real, process.gids().real
    with tempfile.TemporaryDirectory(prefix="pooler-") as name:
        folder = Path(name)
        settings = {"host": server["host"], "port": server["port"], "folder": name, "own_port": PORT}
        (folder / "pgbouncer.ini").write_text(_INI.format(mode=mode, ignored=ignored, **settings))
        (folder / "users").write_text('"postgres" ""\n"reader" ""\n')
        for path in (folder, *folder.iterdir()):
            os.chown(path, account, -1)
        as_root = {"user": account, "group": group, "extra_groups": []} if os.geteuid() == 0 else {}
        process = subprocess.Popen([program, "-q", str(folder / "pgbouncer.ini")], **as_root)  # type: ignore[call-overload]  # a dict
        through = make_conninfo(dsn, host=name, port=PORT)
        try:
            until(lambda: _answers(through), "PgBouncer takes connections")
            yield through
        finally:
            process.terminate()
            process.wait(30)


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
