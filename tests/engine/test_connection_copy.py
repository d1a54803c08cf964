"""COPY in and out on one connection, more of it than a socket takes at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from pgchaos.engine.connection import Connection
from pgchaos.engine.loop import run_sync
from pgchaos.server import Server
from pgchaos.stop import Stop

ROWS = 200_000


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    stop = Stop()
    with server.sandbox() as sandbox, closing(run_sync(Connection.open(sandbox.conninfo, stop))) as made:
        yield made
    stop.close()


def test_much_data_goes_in_and_comes_out(connection: Connection) -> None:
    connection.ask("CREATE TEMP TABLE t (n int, filler text)")
    data = "".join(f"{number}\t{'x' * 40}\n" for number in range(ROWS))
    answer = connection.ask("COPY t FROM STDIN; SELECT count(*) FROM t", data)
    assert answer.error is None
    assert [result.tag for result in answer.results] == [f"COPY {ROWS}", "SELECT 1"]
    answer = connection.ask("SELECT 1; COPY (SELECT * FROM t ORDER BY n) TO STDOUT; SELECT 2")
    assert [result.tag for result in answer.results] == ["SELECT 1", f"COPY {ROWS}", "SELECT 1"]
    assert "".join(f"{line}\n" for line in answer.copied) == data


def test_data_that_the_server_refuses_is_an_error_and_the_connection_continues(connection: Connection) -> None:
    connection.ask("CREATE TEMP TABLE t (n int)")
    answer = connection.ask("COPY t FROM STDIN", "1\nno number\n" + "2\n" * ROWS)
    assert answer.error is not None
    assert answer.error.sqlstate == "22P02"
    assert connection.ask("SELECT 1").error is None


def test_a_copy_without_data_says_so(connection: Connection) -> None:
    connection.ask("CREATE TEMP TABLE t (n int)")
    error = connection.ask("COPY t FROM STDIN").error
    assert error is not None
    assert "no data stands behind this COPY" in error.message
