"""The queries of the catalogs that an oracle and a search ask about all columns."""

from __future__ import annotations

import psycopg
import pytest

from pgchaos.engine.table_catalog import _COLUMNS
from pgchaos.search.touched_relations import _QUERY
from pgchaos.server import Server

COLUMNS, TABLES = 1600, 32
"""As many columns as a table can have, and among how many tables they are shared out."""
MOST = 4
"""Times as long. If the server lists all columns for each default, 18 takes 7 times as long or more, 15 over 300."""
TRIES = 6
"""Pairs that are measured at most: what else the machine does makes some of them longer."""
QUERIES = {"oracle": _COLUMNS.format(schema="''"), "search": _QUERY.format(newest=0)}


def milliseconds(server: Server, query: str, tables: int) -> float:
    """Return the shortest of some times of a query, with all columns shared out among so many tables."""
    columns = ", ".join(f"c{number} int DEFAULT {number}" for number in range(COLUMNS // tables))
    with server.sandbox(()) as sandbox, psycopg.connect(sandbox.conninfo) as conn:
        for number in range(tables):
            conn.execute(f"CREATE TABLE t{number} ({columns})".encode())
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {query}".encode()
        explained = [conn.execute(explain).fetchone() for _ in range(5)]
    return min(float(row[0][0]["Execution Time"]) for row in explained if row is not None)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_a_table_of_many_columns_takes_no_longer_than_many_tables(server: Server, query: str) -> None:
    assert any(milliseconds(server, query, 1) < MOST * milliseconds(server, query, TABLES) for _ in range(TRIES))
