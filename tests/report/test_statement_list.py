"""Which rows the table of a long run holds, what it says of those it leaves out, and what was sent."""

from __future__ import annotations

from pgchaos.report.formatting import BOXES
from pgchaos.report.important_rows import shown_rows
from pgchaos.report.statement_list import session_lines, statement_list
from pgchaos.results import Record
from tests.report.runs import START, row


def load(count: int = 2000) -> list[Record]:
    return [row("shop", number / 1000, f"SELECT {number}") for number in range(count)]


def table(records: list[Record], *, summary: bool = False, everything: bool = False) -> list[str]:
    return statement_list(records, START, width=100, summary=summary, everything=everything, symbols=BOXES)


def test_important_rows_are_shown_wherever_they_are() -> None:
    records = load()
    records[100].waited_on = ("migration[1]",)
    records[700].sqlstate, records[700].message = "40001", "could not serialize"
    records[900].fault = "terminate"
    records[1300].ended_at = START + 1.3 + 0.327
    lines = table(records)
    text = "\n".join(lines)
    for number in (100, 700, 900, 1300, 1999):
        assert f"  SELECT {number}\n" in text
    # the neighbours of each, as far as there is room
    for number in (99, 101, 699, 701, 899, 901, 1299, 1301):
        assert f"  SELECT {number}\n" in text
    assert "-> waited for migration[1]" in text
    assert len([line for line in lines if "SELECT" in line]) == 15


def test_what_is_left_out_is_counted_in_its_place() -> None:
    records = load(300)
    records[100].waited_on = ("migration[1]",)
    lines = table(records)
    at = [number for number, line in enumerate(lines) if "not shown …" in line]
    left_out = [int(lines[number].split()[1]) for number in at]
    assert sum(left_out) == 300 - 15
    # before the row, and between its neighbours and the end of the session
    assert lines[at[0] - 1].split()[-1] == "statement"
    assert "SELECT 297" in lines[at[1] + 1]
    assert lines[-2] == "(-v shows all)"


def test_each_session_has_a_summary() -> None:
    records = load(9600)
    records[3].waited_on = records[5].waited_on = records[8].waited_on = ("migration[1]",)
    records[5].ended_at = START + 0.005 + 0.327
    migration = [row("migration", 1.0, "ALTER TABLE t …", 0.25)]
    assert table(records + migration)[-2:] == [
        "shop: 9600 statements, longest 327 ms (waited for migration[1]), 3 waited",
        "migration: 1 statement, longest 250 ms",
    ]


def test_a_summary_counts_failures_but_no_waits_of_the_file() -> None:
    barrier = row("a", 0.1, "-- barrier met", 5.0, step="", sqlstate=None)
    failed = row("a", 0.2, sqlstate="23505", fault="cancel")
    never = row("a", 0.3, skipped=True, started_at=None, ended_at=None, sqlstate=None)
    assert session_lines([barrier, failed, never], 100) == [
        "a: 2 statements, longest 1.0 ms, 1 failed, 1 hit by a fault, 1 not sent"
    ]


def test_a_short_run_is_shown_whole_with_a_summary_on_demand() -> None:
    records = load(15)
    assert len(table(records)) == 16
    assert table(records, summary=True)[-1].startswith("shop: 15 statements, longest ")


def test_thousands_of_rows_that_waited_do_not_flood_the_terminal() -> None:
    records = [row("shop", n / 1000, took=n / 1000, waited_on=("other[1]",)) for n in range(5000)]
    failed = row("shop", 2.5, "UPDATE t", sqlstate="40001", message="no")
    shown = shown_rows([*records[:2500], failed, *records[2500:]])
    assert len(shown) <= 123
    assert 2500 in shown
    assert 5000 in shown


def test_a_wait_of_the_file_that_did_not_end_is_shown() -> None:
    stands = row("other", 0.0, "-- barrier met", step="", sqlstate=None, ended_at=None)
    assert "-- barrier met" in "\n".join(table([stands, *load(500)]))


def test_what_was_sent_is_shown_where_it_differs() -> None:
    written = "UPDATE seat SET buyer = :worker WHERE id = 1"
    lines = table([row("a", 0.0, written, sent="UPDATE seat SET buyer = 2 WHERE id = 1")])
    assert lines[2].strip() == "sent: UPDATE seat SET buyer = 2 WHERE id = 1"
    assert not any("sent:" in line for line in table([row("a", 0.0, written)]))


def test_the_difference_is_visible_in_a_long_statement() -> None:
    long = "SELECT " + "column_of_a_table, " * 20
    record = row("a", 0.0, long + ":n FROM t", sent=long + "4711 FROM t")
    lines = table([record])
    assert max(map(len, lines)) <= 100
    assert "4711" in lines[2]
    assert f"sent: {record.sent}" in "\n".join(table([record], everything=True))
