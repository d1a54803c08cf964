from __future__ import annotations

from dataclasses import replace

import pytest

from pgchaos.language.problems import Place
from pgchaos.oracle.difference import adds_or_removes, changed_rows, differences, nearest, order_text, transaction_text
from pgchaos.oracle.model import Outcome, Row, SerialRun, StatementOutput, StatementResult, Table
from tests.oracle.toy import A, B, state, txn

AT = Place("t.sql", 3)
MANY: list[Row] = [(str(n),) for n in range(7)]
FIVE = " and ".join(f"(x = {n})" for n in range(5))


def said(
    *rows: Row, tag: str = "SELECT 1", sqlstate: str = "00000", columns: tuple[str, ...] = ("x",)
) -> StatementResult:
    return StatementResult(0, sqlstate, (StatementOutput(tag, columns, rows),), AT, "SELECT x\n  FROM t")


def texts(here: StatementResult, there: StatementResult) -> list[str]:
    one = replace(txn(A, 0, []), results=(here,))
    other = replace(one, results=(there,))
    return [one.text for one in differences(Outcome((one,), {}), SerialRun((A,), (other,), {}))]


@pytest.mark.parametrize(
    ("here", "there", "reported"),
    [
        (said(("1",)), said(("1",)), []),
        (said(("1",), ("2",)), said(("2",), ("3",)), ["a serial order gives (x = 3), this run gave (x = 1)"]),
        (said(("1",)), said(), ["a serial order gives no such row, this run gave (x = 1)"]),
        (said((None,)), said(("",)), ["a serial order gives (x = ), this run gave (x = NULL)"]),
        (
            said(("1",), ("2",)),
            said(("2",), ("1",)),
            ["a serial order gives (x = 2) and (x = 1), this run gave (x = 1) and (x = 2)"],
        ),
        (said(tag="UPDATE 1"), said(tag="UPDATE 0"), ["a serial order gives UPDATE 0, this run gave UPDATE 1"]),
        (said(sqlstate="23505"), said(), ["a serial order gives success, this run gave error 23505"]),
        (said(columns=("x", "y")), said(), ["a serial order gives the columns x, this run gave the columns x, y"]),
        (said(("y" * 99,)), said(), [f"a serial order gives no such row, this run gave (x = {'y' * 59}…)"]),
        (
            said(*MANY),
            said(),
            [
                "a serial order gives no such row, this run gave "
                + " and ".join(f"(x = {n})" for n in range(5))
                + " and 2 more"
            ],
        ),
    ],
)
def test_the_results_of_a_statement_are_shown_on_both_sides(
    here: StatementResult, there: StatementResult, reported: list[str]
) -> None:
    begun = "a[1] line 3, SELECT x FROM t: "
    assert texts(here, there) == [begun + one for one in reported]


def test_a_transaction_that_went_another_way_is_reported() -> None:
    one = txn(A, 0, ["1", "2"])
    run = SerialRun((A,), (replace(one, results=one.results[:1]),), {})
    assert [d.text for d in differences(Outcome((one,), {}), run)] == ["a[1]: only this run reaches line 2, step 1"]
    gone = SerialRun((), (), {})
    assert [d.text for d in differences(Outcome((one,), {}), gone)] == [
        "a[1]: a serial order does not reach line 1, step 0"
    ]
    failed = SerialRun((A,), (replace(one, fate="other"),), {})
    assert [d.text for d in differences(Outcome((one,), {}), failed)] == [
        "a[1]: in a serial order it does not commit: it rolled back"
    ]
    elsewhere = SerialRun((A,), (replace(one, results=(replace(one.results[1], number=5),)),), {})
    assert "a[1]: a serial order reaches line 2, step 1, this run reached line 1, step 0" in [
        d.text for d in differences(Outcome((one,), {}), elsewhere)
    ]


def test_a_table_is_reported_with_the_rows_that_differ_and_the_column() -> None:
    found = differences(Outcome((), state({"x": 1, "y": 2})), SerialRun((), (), state({"x": 1, "y": 3})))
    assert [d.text for d in found] == [
        "table row: a serial order gives (id = y, value = 3), this run gave (id = y, value = 2)"
    ]
    assert [d.column for d in found] == ["row, column value"]
    more = differences(Outcome((), state({"x": 1})), SerialRun((), (), state({})))
    assert [d.text for d in more] == ["table row: a serial order gives no such row, this run gave (id = x, value = 1)"]
    fewer = differences(Outcome((), state({})), SerialRun((), (), state({"x": 1})))
    assert [d.text for d in fewer] == ["table row: a serial order gives (id = x, value = 1), this run gave no such row"]
    alone = differences(Outcome((), state({})), SerialRun((), (), {}))
    assert [d.text for d in alone] == ["table row: only this run has it"]
    query = {"state query in line 9": Table(("sum",), (("1",),))}
    other = {"state query in line 9": Table(("sum",), (("2",),))}
    reported = differences(Outcome((), query), SerialRun((), (), other))
    assert [d.text for d in reported] == [
        "state query in line 9: a serial order gives (sum = 2), this run gave (sum = 1)"
    ]


def test_the_nearest_order_is_the_one_with_the_fewest_differences() -> None:
    one, other = txn(A, 0, ["1"]), txn(B, 0, ["2"])
    outcome = Outcome((one, other), state({"x": 3}))
    far = SerialRun((A, B), (txn(A, 0, ["9"]), txn(B, 0, ["9"])), state({"x": 3}))
    near = SerialRun((B, A), (other, txn(A, 0, ["9"])), state({"x": 3}))
    assert nearest(outcome, [far, near]) is near
    assert nearest(outcome, []) is None


def test_transactions_of_one_connection_are_told_apart_by_line_and_iteration() -> None:
    first, second, other = txn(A, 0, ["1"]), txn(A, 1, ["1"]), txn(B, 0, ["1"])
    assert order_text(SerialRun((), (first, other, second), {})) == "a[1] from line 1, b[1], a[1] from line 11"
    again = replace(first, position=(2, 0))
    assert transaction_text(again, [first, again]) == "a[1] from line 1, iteration 2"


def test_what_is_written_is_reported_by_keys() -> None:
    before, after = state({"x": 1, "y": 1, "z": 1}), state({"x": 2, "y": 1, "w": 5})
    assert changed_rows(before, after) == {("row", ("x",)), ("row", ("z",)), ("row", ("w",))}
    assert adds_or_removes(before, after)
    assert not adds_or_removes(before, state({"x": 9, "y": 9, "z": 9}))


def test_a_new_row_with_a_drawn_key_is_no_row_that_another_could_write() -> None:
    before, after = ({"row": replace(state(rows)["row"], drawn=True)} for rows in ({"x": 1}, {"x": 2, "y": 1}))
    assert changed_rows(before, after) == {("row", ("x",))}
