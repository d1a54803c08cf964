"""Many connections at once."""

from __future__ import annotations

from concurrent.futures import wait

import psycopg
import pytest
from psycopg import sql

from tests.chaos.projects import Project
from tests.chaos.utils import ChaosExecutor

pytestmark = [pytest.mark.chaos, pytest.mark.concurrent]

Pool = list[psycopg.Connection]


def test_ten_connections_by_default(conn_pool: Pool) -> None:
    assert isinstance(conn_pool, list)
    assert len({conn.info.backend_pid for conn in conn_pool}) == 10


@pytest.mark.parametrize("conn_pool", [5, 10, 20], indirect=True)
def test_as_many_connections_as_asked_for(conn_pool: Pool, request: pytest.FixtureRequest) -> None:
    size = request.node.callspec.params["conn_pool"]
    assert len({conn.info.backend_pid for conn in conn_pool}) == size
    for conn in conn_pool:
        assert conn.execute("SELECT 1").fetchone() == (1,)


def test_an_invalid_number_is_refused(project: Project) -> None:
    result = project.run(
        """
        import pytest

        @pytest.mark.parametrize("conn_pool", [0], indirect=True)
        def test_it(conn_pool):
            pass
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*conn_pool: 0 is not a number of connections*"])


@pytest.mark.parametrize("conn_pool", [20], indirect=True)
def test_sessions_that_count_at_once_lose_no_count(
    conn_pool: Pool, concurrent_executor: ChaosExecutor, isolated_schema: str
) -> None:
    counter = sql.Identifier(isolated_schema, "counter")
    conn_pool[0].execute(sql.SQL("CREATE TABLE {} AS SELECT 0 AS n").format(counter))
    conn_pool[0].commit()

    def count(conn: psycopg.Connection) -> None:
        for _ in range(10):
            conn.execute(sql.SQL("UPDATE {} SET n = n + 1").format(counter))
            conn.commit()

    for done in wait([concurrent_executor.submit(count, conn) for conn in conn_pool]).done:
        done.result()
    assert conn_pool[0].execute(sql.SQL("SELECT n FROM {}").format(counter)).fetchone() == (200,)


def test_a_connection_that_was_killed_is_replaced_for_the_next_test(project: Project) -> None:
    result = project.run(
        """
        import psycopg, pytest

        def test_kills(conn_pool):
            victim = conn_pool[3]
            conn_pool[0].execute("SELECT pg_terminate_backend(%s, 5000)", [victim.info.backend_pid])
            with pytest.raises(psycopg.errors.AdminShutdown):
                victim.execute("SELECT 1")

        def test_next(conn_pool):
            assert [conn.execute("SELECT 1").fetchone() for conn in conn_pool] == [(1,)] * 10
        """
    )
    result.assert_outcomes(passed=2)
