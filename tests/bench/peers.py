"""What several lines are compared with: statements sent by libpq alone, and pytest by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg import pq

from pgchaos.server.server import Server
from tests.bench.work import program

_DONE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


@contextmanager
def connections(server: Server, number: int, setup: str = "") -> Iterator[list[pq.abc.PGconn]]:
    """Open some connections of libpq to a database of their own, where SQL is run before."""
    with server.sandbox(()) as sandbox:
        opened = [pq.PGconn.connect(sandbox.conninfo.encode()) for _ in range(number)]
        try:
            if setup:
                execute(opened[0], setup.encode())
            yield opened
        finally:
            for pg in opened:
                pg.finish()


def execute(pg: pq.abc.PGconn, query: bytes) -> None:
    """Send a query by PQexec, and wait for its end.

    Raises:
        RuntimeError: it failed.
    """
    if pg.exec_(query).status not in _DONE:
        raise RuntimeError(pg.get_error_message())


def empty_test(place: Path) -> float:
    """Tell the seconds that pytest takes for one empty test, in a folder that `workplace` made."""
    folder = place / "empty_test"
    folder.mkdir(exist_ok=True)
    (folder / "test_empty.py").write_text("def test_empty():\n    pass\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:pgchaos", "empty_test"]
    return program(command, place).seconds
