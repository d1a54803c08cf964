"""What harms the server as a whole, and what takes long."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.chaos.projects import Project
from tests.chaos.utils import ChaosExecutor, with_retry_sync

pytestmark = pytest.mark.chaos

Sync = psycopg.Connection[dict[str, Any]]


@pytest.mark.destructive
def test_connections_are_used_up_and_come_back(sync_conn: Sync, db_connection_string: str) -> None:
    row = sync_conn.execute("SELECT current_setting('max_connections')::int AS most").fetchone()
    assert row is not None
    held: list[psycopg.Connection] = []
    try:
        with pytest.raises(psycopg.OperationalError, match=r"too many clients|remaining connection slots"):
            held.extend(psycopg.connect(db_connection_string) for _ in range(row["most"] + 1))
        assert sync_conn.execute("SELECT 1 AS one").fetchone() == {"one": 1}
    finally:
        for conn in held:
            conn.close()
    with_retry_sync(psycopg.connect, 10, 0.01, db_connection_string).close()


@pytest.mark.slow
@pytest.mark.concurrent
@pytest.mark.parametrize("conn_pool", [20], indirect=True)
def test_many_serializable_transactions_give_the_result_of_a_serial_order(
    conn_pool: list[psycopg.Connection], concurrent_executor: ChaosExecutor, isolated_schema: str
) -> None:
    account = sql.Identifier(isolated_schema, "account")
    conn_pool[0].execute(
        sql.SQL("CREATE TABLE {} AS SELECT id, 100 AS balance FROM generate_series(1, 5) AS id").format(account)
    )
    conn_pool[0].commit()
    query = sql.SQL("UPDATE {0} SET balance = balance + (SELECT sum(balance) FROM {0}) %% 7 - 3 WHERE id = %s")
    rounds = 10

    def work(conn: psycopg.Connection, number: int) -> int:
        def once() -> None:
            with conn.transaction():
                conn.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
                conn.execute(query.format(account), [number % 5 + 1])
                conn.execute(sql.SQL("INSERT INTO {} VALUES (0, 0)").format(account))

        for _ in range(rounds):
            with_retry_sync(once, max_attempts=1000, backoff=0.0001, retry_on=["40001", "40P01"])
        return rounds

    futures = [concurrent_executor.submit(work, conn, number) for number, conn in enumerate(conn_pool)]
    assert sum(future.result(300) for future in futures) == 20 * rounds
    row = conn_pool[0].execute(sql.SQL("SELECT count(*) FROM {} WHERE id = 0").format(account)).fetchone()
    assert row == (20 * rounds,)


HARMS = """
    import pytest

    @pytest.mark.destructive
    def test_harms(sync_conn):
        pass

    @pytest.mark.destructive
    def test_harms_nothing_of_ours():
        pass
"""


def test_harm_to_a_server_that_is_not_ours_needs_permission(project: Project) -> None:
    result = project.run(HARMS, "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*destructive: requires a private server*--chaos-allow-destructive postgres*"])
    project.run(HARMS, "--chaos-allow-destructive=postgres").assert_outcomes(passed=2)
