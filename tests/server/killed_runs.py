"""Runs that are killed while they create databases on an existing server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.conftest import ForeignServer
from tests.server.conftest import alive
from tests.waiting import until

ROUNDS = int(os.environ.get("PGCHAOS_TEST_KILLS", "2"))
"""How many runs each test kills; `make kills` sets many."""

MAKER = """
import sys
from pgchaos.server import ServerSettings, open_server
server = open_server(ServerSettings(dsn=sys.argv[1]))
print(server.run.id, *server.notes, sep="\\n", flush=True)
if sys.argv[2:]:
    sys.stdin.readline()
while True:
    with server.sandbox() as sandbox:
        print(sandbox.database, flush=True)
        if sys.argv[2:] and sys.stdin.readline().strip() == "end":
            break
server.close()
"""


class MakerRun:
    """A run that makes and drops databases without end.

    Args:
        dsn: of the server.
        before: a command that runs the rest of its arguments.
        steps: make the next database only when `go` is called.
    """

    def __init__(self, dsn: str, *before: str, steps: bool = False) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", MAKER, dsn, *(["steps"] if steps else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            cwd="/",
        )
        self.id = self.receive()

    def receive(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self, order: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()

    def guard(self) -> psutil.Process:
        """The process that removes what the run leaves; it is there before the first database."""
        return until(self._guards, "the guard of the run")[0]

    def _guards(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "supervisor.py" in " ".join(child.cmdline())]

    def kill(self) -> None:
        if not self.process.stdin or not self.process.stdin.closed:
            self.process.kill()
            self.process.communicate()


@contextmanager
def maker_run(dsn: str, *before: str, steps: bool = False) -> Iterator[MakerRun]:
    """Start such a run, and kill it at the end if nobody did."""
    run = MakerRun(dsn, *before, steps=steps)
    try:
        yield run
    finally:
        run.kill()


@contextmanager
def no_database_can_be_made(server: ForeignServer) -> Iterator[None]:
    """Hold a lock on template0 that CREATE DATABASE waits for."""
    with server.connect() as conn, conn.transaction(force_rollback=True):
        conn.execute("COMMENT ON DATABASE template0 IS 'held'")
        yield


def making(server: ForeignServer, run: str) -> list[tuple[int, bool]]:
    """List the backends of a run that are within CREATE DATABASE: their pids, and whether they wait for a lock."""
    with server.connect() as conn:
        rows = conn.execute(
            "SELECT pid, wait_event_type IS NOT DISTINCT FROM 'Lock' FROM pg_stat_activity"
            " WHERE application_name = %s AND state = 'active' AND query ILIKE 'create database %%'",
            [f"pgchaos {run}"],
        ).fetchall()
    return [(int(str(pid)), bool(waits)) for pid, waits in rows]


def backends(server: ForeignServer, run: str) -> int:
    """Count the backends of a run."""
    with server.connect() as conn:
        query = "SELECT FROM pg_stat_activity WHERE application_name LIKE %s"
        return len(conn.execute(query, [f"%{run}%"]).fetchall())


def kill_guard(run: MakerRun) -> None:
    """Kill the process that would clean up."""
    guard = run.guard().pid
    os.kill(guard, signal.SIGKILL)
    until(lambda: not alive(guard), "the guard gone")
