from __future__ import annotations

import pytest

from pgchaos.oracle.outputs import changes_by_itself, parse_statements


@pytest.mark.parametrize(
    ("text", "ordered"),
    [
        ("SELECT a FROM t", False),
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from (select * from t order by a) s", False),
        ("SELECT array_agg(a ORDER BY a) FROM t", False),
        ("WITH s AS (SELECT 1 ORDER BY 1) SELECT * FROM s order /* x */ by 1", True),
        ("(SELECT 1) UNION (SELECT 2) ORDER BY 1", True),
        ("TABLE t ORDER BY a", True),
        ("SELECT 'ORDER BY'", False),
        ('SELECT "order" FROM t', False),
        ("INSERT INTO t SELECT a FROM s ORDER BY a RETURNING a", False),
        ("UPDATE t SET a = 1", False),
    ],
)
def test_rows_are_in_order_where_the_statement_asks_for_one_outside_of_brackets(text: str, ordered: bool) -> None:
    assert [one.ordered for one in parse_statements(text)] == [ordered]


def left_out(text: str, width: int, *drawn: str) -> list[int]:
    return [column for column in range(width) if parse_statements(text)[0].changes(column, width, drawn)]


@pytest.mark.parametrize(
    ("text", "width", "columns"),
    [
        ("SELECT 1, now(), 2", 3, [1]),
        ("SELECT DISTINCT f(a, now()), b FROM t", 2, [0]),
        ("SELECT a, (b), ARRAY[1, random()] FROM t", 3, [2]),
        ("SELECT pg_catalog.now ( ), now FROM t", 2, [0]),
        ("SELECT CURRENT_TIMESTAMP, a - current_date, pg_backend_pid(), gen_random_uuid()", 4, [0, 1, 2, 3]),
        ("SELECT xmin::text, ctid, a FROM t", 3, [0, 1]),
        ("SELECT nextval('s'), currval('s'), lastval(), 4", 4, [0, 1, 2]),
        ("SELECT a FROM t WHERE b < now()", 1, []),
        ("SELECT 'now()', \"now\" FROM t", 2, []),
        ("INSERT INTO t VALUES (now()) RETURNING a, now() - b", 2, [1]),
        ("WITH x AS (SELECT now()) SELECT a, random() FROM x", 2, [1]),
        ("SELECT *, now() FROM t", 4, [0, 1, 2, 3]),
        ("SELECT * FROM t", 3, []),
        ("VALUES (1, now())", 2, [0, 1]),
        ("SELECT a FROM t UNION SELECT 1", 1, []),
        ("SELECT max(id), count(id), sum ( DISTINCT t.id), max(a), id + 1 FROM t", 5, [0, 2]),
    ],
)
def test_a_computed_column_changes_by_itself_where_its_expression_says_so(
    text: str, width: int, columns: list[int]
) -> None:
    assert left_out(text, width, "id") == columns


def test_a_group_is_read_statement_by_statement() -> None:
    assert [one.ordered for one in parse_statements("SELECT 1; SELECT 2 ORDER BY 1; ")] == [False, True]


def test_a_default_changes_by_itself_where_it_draws_or_asks_the_clock() -> None:
    assert changes_by_itself("nextval('orders_id_seq'::regclass)")
    assert changes_by_itself("CURRENT_TIMESTAMP")
    assert not changes_by_itself("'now'::text")
    assert not changes_by_itself("")
