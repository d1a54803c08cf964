from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from pgchaos.language.header_model import Schedule
from pgchaos.language.model import Mutant, Program, Scenario, Session
from pgchaos.language.problems import Place
from pgchaos.report.formatting import BOXES
from pgchaos.report.replay import MAKE, item_name, replay_line
from pgchaos.report.statement_list import shorten, statement_list
from pgchaos.report.text import failure_text, run_text
from pgchaos.report.timeline import ReportedRun
from pgchaos.results import (
    STOPPED,
    Assertion,
    Explored,
    Failure,
    Launch,
    Permutations,
    Record,
    RunResult,
    StoppedSession,
)
from pgchaos.verdict import judge, judge_mutant

FILE = "sql/concurrency/ticket.sql"
START = 1000.0


def at(line: int) -> Place:
    return Place(FILE, line)


CASHIERS = Session(at(12), "cashier", (), ("14",), count=2)
SCENARIO = Scenario(Path(FILE), FILE, "ticket", "Two cashiers sell the last ticket once", "", sessions=(CASHIERS,))


def record(worker: int, line: int, statement: str, begun: float | None, **more: object) -> Record:
    ended = None if begun is None else START + begun + 0.001
    plain = Record("cashier", worker, 1, 1, str(line), at(line), statement, ended_at=ended, sqlstate="00000")
    plain.started_at = None if begun is None else START + begun
    return replace(plain, **more)  # type: ignore[arg-type]  # the fields are the caller's business


SOLD_TWICE = RunResult(
    seed=1234,
    started_at=START,
    server="PostgreSQL 18.6, private server (ours)",
    records=[
        record(1, 14, "BEGIN", 0.010),
        record(1, 15, "SELECT buyer IS NULL AS free\n  FROM seat\n WHERE id = 1", 0.012, rows=1),
        record(2, 14, "BEGIN", 0.011),
        record(2, 15, "UPDATE seat SET buyer = 2", 0.013, waited_on=("cashier[1]",), ended_at=START + 0.250, rows=1),
        record(1, 18, "COMMIT", 0.240),
        record(2, 18, "COMMIT", 0.260, sqlstate="40001", message="could not serialize access"),
    ],
    failures=[
        Failure("assertion", ("the seat was sold once",), "the seat was sold once", at(24), ("have: 2", "want: 1"))
    ],
)


def report_of(result: RunResult, *, everything: bool = False, token: str = "") -> str:
    again = f"pytest {FILE}::ticket --chaos-seed=1234"
    run = ReportedRun(SCENARIO, {}, result, everything=everything)
    return failure_text(run, judge(SCENARIO, {}, result), again=again, token=token)


def test_the_report_of_a_failure() -> None:
    assert (
        report_of(SOLD_TWICE)
        == """\
sql/concurrency/ticket.sql:24: the seat was sold once
    have: 2
    want: 1

Scenario: Two cashiers sell the last ticket once
Server: PostgreSQL 18.6, private server (ours)

Timeline of sql/concurrency/ticket.sql, time in ms downward (line: statement as sent):
    ms  cashier[1]                           cashier[2]
        -----------------------------------  --------------------------------
  10.0  14: BEGIN
  11.0                                       14: BEGIN
  12.0  15: SELECT buyer IS NULL AS free
            FROM seat WHERE id = 1 -> 1 row
  13.0                                       15: UPDATE seat SET buyer = 2
                                             | waits for cashier[1]
 240.0  18: COMMIT                           |
 250.0                                       +- waited 237 ms, 1 row
 260.0                                       18: COMMIT
                                                 ERROR 40001
                                                 serialization_failure: could
                                                 not serialize access
(| waits for a lock)
FAILED sql/concurrency/ticket.sql:24: the seat was sold once (have: 2, want: 1)

Seed 1234. To run it again:
    pytest sql/concurrency/ticket.sql::ticket --chaos-seed=1234
This replays delays, jitter and values, but not the interleaving: in a free run
the server chooses it."""
    )


def test_a_single_connection_has_no_interleaving_to_replay() -> None:
    def ends_with(session: Session) -> str:
        alone = replace(SCENARIO, sessions=(session,))
        verdict = judge(alone, {}, SOLD_TWICE)
        return failure_text(ReportedRun(alone, {}, SOLD_TWICE), verdict, again="pytest x").splitlines()[-1]

    one = replace(CASHIERS, count=1)
    assert ends_with(one) == "    pytest x"
    # a program may have many
    assert ends_with(replace(one, program=Program(at(12), "checkout", ()))) == "the server chooses it."


def test_no_line_of_the_table_is_wider_than_the_terminal() -> None:
    result = replace(SOLD_TWICE, records=[record(1, 14, "SELECT " + "x, " * 200, 0.01, rows=3)])
    for width in (80, 100, 160):
        table = statement_list(result.records, START, width=width)
        assert max(map(len, table)) == width


def test_verbose_shows_statements_whole() -> None:
    long = "SELECT " + "x, " * 100 + "y"
    result = replace(SOLD_TWICE, records=[record(1, 14, long, 0.01)])
    assert long not in report_of(result)
    assert long in report_of(result, everything=True)


def test_only_the_last_statements_of_each_session_are_shown() -> None:
    many = [record(1, line, f"SELECT {line}", line / 1000) for line in range(1, 41)]
    few = [record(2, 1, "BEGIN", 0.0)]
    table = statement_list(many + few, START, width=100)
    assert [line.split()[-1] for line in table[1:] if "cashier[" in line] == ["BEGIN", *map(str, range(26, 41))]
    assert table[2].strip() == "... 25 statements not shown ..."
    assert len(statement_list(many + few, START, width=100, everything=True)) == 1 + 41 + 1


def test_many_sessions_do_not_flood_the_terminal() -> None:
    records = [record(worker, line, "SELECT 1", line / 1000) for worker in range(1, 41) for line in range(1, 11)]
    table = statement_list(records, START, width=100)
    assert len([line for line in table if "cashier[" in line]) == 40 * 3


def test_a_statement_that_was_never_sent_follows_the_one_before_it() -> None:
    records = [
        record(1, 1, "INSERT 1", 0.01, sqlstate="23505", message="duplicate key"),
        record(1, 2, "INSERT 2", None, sqlstate=None, skipped=True),
        record(2, 1, "INSERT 3", 0.02),
    ]
    table = "\n".join(statement_list(records, START, width=100))
    assert (
        table.index("INSERT 1") < table.index("ERROR 23505 (unique_violation): duplicate key") < table.index("INSERT 2")
    )
    assert table.index("INSERT 2") < table.index("-> not sent") < table.index("INSERT 3")


def test_a_statement_that_got_no_answer_says_so() -> None:
    running = record(1, 1, "UPDATE t", 0.01, ended_at=None, sqlstate=None)
    assert "-> no answer: it was still running" in "\n".join(statement_list([running], START, width=100))


def test_a_commit_that_rolled_back_says_so() -> None:
    lost = record(1, 1, "COMMIT", 0.01, tag="ROLLBACK")
    assert "-> rolled back" in "\n".join(statement_list([lost], START, width=100))
    assert "->" not in "\n".join(statement_list([replace(lost, tag="COMMIT")], START, width=100))


def test_attempts_iterations_and_faults_are_shown() -> None:
    retried = record(2, 5, "UPDATE t", 0.01, attempt=2, iteration=3, fault="terminate", step="looks")
    table = "\n".join(statement_list([retried], START, width=100))
    assert "cashier[2].looks#3" in table
    assert "UPDATE t  (attempt 2)\n" in table
    assert "-> fault: terminate" in table


def test_files_are_named_where_there_are_several() -> None:
    other = replace(record(1, 3, "SELECT 1", 0.01), place=Place("sql/lib/common.sql", 3))
    table = "\n".join(statement_list([record(1, 4, "BEGIN", 0.0), other], START, width=100))
    assert "ticket.sql:4" in table
    assert "common.sql:3" in table


def test_the_states_of_the_sessions_are_shown() -> None:
    result = replace(
        SOLD_TWICE,
        failures=[Failure("timeout", (), "the sessions took longer than 2 s")],
        stopped_sessions=[
            StoppedSession("cashier[1]", at(16), "waits at barrier looked", START + 0.020, ("cashier[2]",)),
            StoppedSession("cashier[10]", at(15), "is blocked", START + 0.030, ("pid 4711 (autovacuum worker)",)),
            StoppedSession("reader[1]", None, "ended"),
        ],
    )
    text = report_of(result)
    assert text.startswith("the sessions took longer than 2 s\n")
    for line in (
        f"    cashier[1]   waits at barrier looked, waits for cashier[2], from 20.0 ms on, {FILE}:16\n",
        f"    cashier[10]  is blocked, waits for pid 4711 (autovacuum worker), from 30.0 ms on, {FILE}:15\n",
        "    reader[1]    ended\n",
    ):
        assert line in text


def test_many_connections_of_a_program_in_one_state_are_counted() -> None:
    stopped = [StoppedSession("shop[1]", at(16), "is connected", START + 0.001 * number) for number in range(100)]
    text = report_of(replace(SOLD_TWICE, failures=[Failure("timeout", (), "too long")], stopped_sessions=stopped))
    assert text.count("    shop[1]  is connected, from ") == 3
    assert "    shop[1]  is connected: 97 more connections\n" in text


def test_connections_that_are_listed_with_their_blockers_are_not_counted_again() -> None:
    waits = [StoppedSession("shop[1]", at(16), "is blocked", START, ("pid 4711",)) for _ in range(5)]
    text = report_of(replace(SOLD_TWICE, failures=[Failure("timeout", (), "too long")], stopped_sessions=waits))
    assert text.count("    shop[1]  is blocked, waits for pid 4711") == 5
    assert "more connections" not in text


def test_the_session_of_a_failure_is_named_once() -> None:
    broken = Failure("error", ("23505",), "ERROR 23505: duplicate key", at(5), session="cashier[2]")
    assert report_of(replace(SOLD_TWICE, failures=[broken])).startswith(
        f"{FILE}:5: cashier[2]: ERROR 23505: duplicate key\n"
    )
    named = replace(broken, text="cashier[2] got 23505")
    assert report_of(replace(SOLD_TWICE, failures=[named])).startswith(f"{FILE}:5: cashier[2] got 23505\n")


def test_the_name_of_an_item_and_its_replay() -> None:
    values = {"level": "read committed", "rows": "2"}
    assert item_name("ticket", {}) == "ticket"
    assert item_name("ticket", values) == "ticket[level=read committed,rows=2]"
    assert item_name("ticket", values, "mutant-no-lock") == "ticket[level=read committed,rows=2,mutant-no-lock]"
    target = f"{FILE}::ticket[level=read committed]"
    assert replay_line(target, 7, ["--chaos-pg-bindir=/usr/lib/pg 15/bin"]) == (
        f"pytest '{target}' --chaos-seed=7 '--chaos-pg-bindir=/usr/lib/pg 15/bin'"
    )


@pytest.mark.parametrize("name", ["-x.sql::-x", "@x.sql::@x"])
def test_a_replay_line_has_a_path_that_pytest_does_not_take_for_an_option(name: str) -> None:
    assert replay_line(name, 7) == f"pytest ./{name} --chaos-seed=7"


def test_a_replay_by_make_survives_both_shells() -> None:
    line = replay_line("sql/a b.sql::x[l=it's $1]", 7, ["--chaos-dsn=host=/tmp dbname=x"], MAKE)
    words = dict(word.split("=", 1) for word in shlex.split(line.replace("$$", "$"))[2:])
    assert shlex.split(words["CHAOS_TESTS"]) == ["sql/a b.sql::x[l=it's $1]"]
    assert shlex.split(words["CHAOS_OPTS"]) == ["--chaos-seed=7", "--chaos-dsn=host=/tmp dbname=x"]


def test_a_name_holds_no_control_character() -> None:
    assert item_name("ticket", {"x": "a\nb\x1b[0mé"}) == "ticket[x=a\\nb\\x1b[0mé]"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("free", "the server chooses it"),
        ("exact", "same order"),
        ("all", "all interleavings"),
        ("explore", "searches again"),
    ],
)
def test_what_is_replayed_depends_on_the_schedule(kind: str, expected: str) -> None:
    scheduled = replace(SCENARIO, schedule=Schedule(kind))  # type: ignore[arg-type]  # one of its words
    text = failure_text(ReportedRun(scheduled, {}, SOLD_TWICE, 200), judge(scheduled, {}, SOLD_TWICE), again="pytest x")
    assert expected in text


def test_shorten() -> None:
    assert shorten("SELECT\n   1", 80) == "SELECT 1"
    assert shorten("SELECT 1", 8) == "SELECT 1"
    assert shorten("SELECT 12", 8) == "SELEC..."
    assert shorten("SELECT 12", 8, BOXES) == "SELECT …"


def test_a_fault_is_listed_before_the_statement_at_which_it_was_delivered() -> None:
    began = record(1, 14, "BEGIN", 0.01)
    cut = record(1, 15, "INSERT", 0.02, sqlstate="08006", message="lost", fault="cut", ended_at=START + 0.03)
    fault = record(1, 16, "-- fault: cut, during line 15", 0.021, step="", sqlstate=None)
    later = replace(fault, statement="-- fault: cut, after line 15", started_at=START + 0.04)
    rows = [row.split("  ")[-1].strip() for row in statement_list([began, cut, fault, later], START, width=100)]
    assert [row for row in rows if not row.startswith("->")] == [
        "statement",
        "BEGIN",
        "! fault: cut, during line 15",
        "INSERT",
        "! fault: cut, after line 15",
    ]


def test_what_the_engine_did_between_statements_is_in_the_timeline() -> None:
    act = record(1, 16, "-- barrier looked", 0.0125)
    act.step, act.sqlstate = "", None
    text = report_of(replace(SOLD_TWICE, acts=[act]))
    assert text.index("15: SELECT buyer") < text.index("16: -- barrier looked") < text.index("15: UPDATE")


def test_the_variables_that_a_statement_set_are_shown() -> None:
    looked = replace(record(1, 15, "SELECT true AS free", 0.01), notes=("free = t",))
    assert "-> free = t" in "\n".join(statement_list([looked], START, width=100))


def test_an_error_that_ended_the_check_is_shown_with_the_count() -> None:
    failure = Failure("error", ("42601",), "check: ERROR 42601: syntax error", Place(FILE, 25), session="check")
    text = report_of(replace(SOLD_TWICE, failures=[failure], assertions=[Assertion("held", True, None)]))
    assert "Assertions: 1 held, then an error ended the check" in text


def test_a_check_that_was_not_run_says_why() -> None:
    failure = Failure("error", ("23505",), "a[1]: ERROR 23505: duplicate", at(15), session="a[1]")
    result = replace(SOLD_TWICE, failures=[failure], check="skipped")
    why = "check was not run, because a[1] failed"
    assert f"Assertions: {why}" in report_of(result).splitlines()
    held = replace(result, assertions=[Assertion("never negative", True, at(3), count="2 of 2")])
    assert f"Assertions: 1 held, {why}" in report_of(held).splitlines()
    over = replace(result, failures=[Failure("timeout", (), "the sessions took longer than 10 s")])
    assert "Assertions: check was not run, because of the failure above" in report_of(over).splitlines()


def test_a_hint_is_folded_and_what_the_server_says_is_not() -> None:
    hint = "HINT: an application sends the transaction again: `retry deadlock_detected` there, or"
    hint += " `-- chaos:allow a_condition_name`"
    details = ("DETAIL: " + "a long detail " * 8, hint)
    lines = report_of(replace(SOLD_TWICE, failures=[Failure("error", ("40P01",), "deadlock", at(15), details)]))
    assert lines.splitlines()[1:4] == [
        f"    {details[0].strip()}",
        "    HINT: an application sends the transaction again: `retry deadlock_detected`",
        "          there, or `-- chaos:allow a_condition_name`",
    ]


def test_assertions_that_were_not_run_are_counted() -> None:
    failure = Failure("not run", (), "assertion was not run: its query returned no row", at(19))
    result = replace(SOLD_TWICE, failures=[failure], assertions=[Assertion("a", True, at(20))], check="run")
    lines = report_of(result).splitlines()
    assert lines[0] == f"{FILE}:19: assertion was not run: its query returned no row"
    assert "Assertions: 1 held, 1 not run" in lines


MUTANT = Mutant(at(30), "nobody locks", (), (), (), ("the seat was sold once",))
STEPS = [Launch("cashier", 1, "14", 1), Launch("cashier", 2, "14", 1)]


def not_caught(result: RunResult) -> str:
    return failure_text(ReportedRun(SCENARIO, {}, result), judge_mutant(MUTANT, result))


def test_a_search_in_which_nothing_failed_shows_no_steps() -> None:
    explored = Explored(13, 13, exhausted=True, preemptions=3)
    searched = replace(
        SOLD_TWICE, failures=[], order=STEPS, permutations=Permutations(13, 0, True), explored=explored, check="run"
    )
    text = not_caught(searched)
    assert "all 13 interleavings were run, none failed" in text.splitlines()
    assert "cashier.14" not in text
    assert "Timeline of" not in text
    assert "Assertions" not in text
    every = not_caught(replace(searched, explored=None))
    assert "all 13 interleavings were run, none failed (there are no others)" in every.splitlines()


def test_a_search_that_failed_otherwise_has_found_nothing() -> None:
    explored = Explored(13, 13, exhausted=True, preemptions=3)
    other = Failure("assertion", ("other",), "other", at(25))
    counts = Permutations(13, 2, True)
    result = replace(SOLD_TWICE, failures=[other], order=STEPS, permutations=counts, explored=explored)
    text = failure_text(ReportedRun(SCENARIO, {}, result), judge_mutant(MUTANT, result))
    assert (
        "13 interleavings were run without the expected failure; the steps of one that failed in another way:" in text
    )
    assert "Found" not in text


def test_a_failure_without_the_fault_is_reported() -> None:
    result = replace(SOLD_TWICE, without_fault="fails without the fault too")
    assert "\nIt fails without the fault too\n" in report_of(result)
    assert "without the fault" not in report_of(SOLD_TWICE)


@pytest.mark.parametrize(
    ("failure", "replayed"),
    [
        (Failure("error", ("42P07",), "setup: ERROR 42P07: exists", at(3), session="setup"), False),
        (Failure("error", ("42601",), "a[1]: ERROR 42601: syntax error", at(15), session="a[1]"), False),
        (Failure("leak", ("role",), "left behind: role: clerk"), False),
        (Failure("leak", ("open transaction",), "left behind: open transaction: a[1]"), True),
        (Failure("error", ("40001",), "a[1]: ERROR 40001: could not serialize", at(15), session="a[1]"), True),
        (Failure("assertion", (), "sold once", at(24)), True),
    ],
)
def test_a_replay_is_offered_only_where_a_run_could_end_in_another_way(failure: Failure, replayed: bool) -> None:
    text = report_of(replace(SOLD_TWICE, failures=[failure]), token="pytest x --chaos-replay=t")
    lines = ["Same order, one step at a time; fails again:", "    pytest x --chaos-replay=t"]
    lines += ["Same seed; the order may differ:", f"    pytest {FILE}::ticket --chaos-seed=1234"]
    assert (text.splitlines()[-4:] == lines) == replayed
    assert ("--chaos-replay=" in text) == replayed
    assert ("=1234" in text) == replayed


def test_statements_cancelled_by_the_stop_show_no_error() -> None:
    running = record(1, 15, "SELECT pg_sleep(9)", 0.01, sqlstate="57014", message=STOPPED)
    by = record(2, 15, "SELECT pg_sleep(9)", 0.01, sqlstate="57014", message="x", ended_by="cancelled by admin[1]")
    text = report_of(replace(SOLD_TWICE, records=[running, by]))
    for what in (STOPPED, "cancelled by admin[1]"):
        assert f"-> {what}\n" in report_of(replace(SOLD_TWICE, records=[running, by]), everything=True)
        assert what.split()[-1] in text
    assert "57014" not in text


def test_the_output_of_diag_is_in_both_reports() -> None:
    result = replace(SOLD_TWICE, diagnostics=["there are 2"], failures=[], output=["a[1]: NOTICE: x"])
    assert "Output of diag():\n    there are 2\n" in report_of(result)
    text = run_text(ReportedRun(SCENARIO, {}, result))
    assert "Output of diag():\n    there are 2\n" in text
    assert "Output:\n    a[1]: NOTICE: x\n" in text
    assert "\ncashier: 6 statements, longest 237 ms (waited for cashier[1]), 1 waited, 1\n" in text
    assert "Seed" not in text
    assert "NOTICE" not in run_text(ReportedRun(SCENARIO, {}, result), output=False)
