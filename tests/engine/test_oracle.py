from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.problems import Place
from pgchaos.language.reader import read
from pgchaos.oracle.model import SerialRun
from pgchaos.oracle.serial_search import Wanted
from pgchaos.results import Failure, RunResult
from pgchaos.search.serial_oracle import Oracle
from pgchaos.search.strategy import run
from pgchaos.server import ServerSettings, open_server
from tests.conftest import ForeignServer
from tests.engine.playing import Play, interleavings, line, only, over_once

COUNTER = "CREATE TABLE counter (id int PRIMARY KEY, value int NOT NULL); INSERT INTO counter VALUES (1, 0), (2, 0);"


def scenario(*sessions: str, setup: str = COUNTER, head: str = "-- chaos:schedule all", rest: str = "") -> str:
    named = (f"-- chaos:session {text}" for text in sessions)
    return "\n".join([head, "-- chaos:oracle serializable", "-- chaos:setup", setup, *named, rest]) + "\n"


def adds(name: str, lock: str = "", options: str = "", begin: str = "BEGIN") -> str:
    return f"""{name} {options}
-- chaos:step looks
{begin};
SELECT value FROM counter WHERE id = 1 {lock} \\gset
-- chaos:step writes
UPDATE counter SET value = :value + 1 WHERE id = 1;
COMMIT;"""


def judged(result: RunResult) -> tuple[tuple[str, ...], bool]:
    assert result.judged is not None
    return result.judged.anomalies, result.judged.decided


def is_safe(result: RunResult) -> bool:
    assert not result.failures, result.failures
    assert result.permutations is None or result.permutations.exhausted
    return judged(result) == ((), True)


def oracle(result: RunResult) -> Failure:
    failure = only(result)
    assert failure.kind == "oracle", failure
    assert judged(result) == (failure.names, True)
    return failure


# what it finds


def test_a_lost_update_is_found_named_and_shown_beside_the_nearest_serial_order(play: Play) -> None:
    result = play(scenario(adds("one"), adds("two")))
    failure = oracle(result)
    assert failure.names == ("lost update",)
    assert failure.text.startswith("oracle: lost update: no serial order of the transactions has this outcome")
    why, nearest, *reported = failure.details
    # who wrote last is named first, and it is the line where that was
    assert why == (
        "one[1] and two[1] both wrote counter (1); what one[1] wrote was made of what it had read before two[1] wrote:"
        " line 8"
    )
    assert failure.place == Place("scenario.sql", 10)
    assert nearest.startswith("the nearest serial order is ")
    assert any(
        ": a serial order gives (value = 1), this run gave (value = 0)" in line and "SELECT value FROM counter" in line
        for line in reported
    )
    assert "  table counter: a serial order gives (id = 1, value = 2), this run gave (id = 1, value = 1)" in reported
    assert interleavings(result).failed == 4


def test_two_sessions_of_one_transaction_take_two_serial_runs_for_all_permutations(play: Play) -> None:
    result = play(scenario(adds("one", "FOR UPDATE"), adds("two", "FOR UPDATE")))
    assert is_safe(result)
    assert result.judged is not None
    assert result.judged.serial == 2


def test_one_order_of_steps_is_judged_too(play: Play) -> None:
    lost = play(scenario(adds("a"), adds("b"), head="-- chaos:schedule a.looks b.looks a.writes b.writes"))
    assert oracle(lost).names == ("lost update",)
    assert is_safe(play(scenario(adds("a"), adds("b"), head="-- chaos:schedule a.looks a.writes b.looks b.writes")))


def test_a_free_run_is_judged_and_its_barriers_are_none_in_a_serial_one(play: Play) -> None:
    meeting = (
        adds("teller x 2")
        .replace("-- chaos:step writes", "-- chaos:barrier looked")
        .replace("-- chaos:step looks\n", "")
    )
    assert oracle(play(scenario(meeting, head="-- chaos:schedule free"))).names == ("lost update",)


def test_a_statement_outside_a_block_is_a_transaction(play: Play) -> None:
    looks = "{}\nSELECT value FROM counter WHERE id = 1 \\gset\nUPDATE counter SET value = :value + 1 WHERE id = 1;"
    # each order of single statements is a serial one
    assert is_safe(play(scenario(looks.format("one"), looks.format("two"))))


def test_what_concerns_the_own_session_only_is_no_transaction(play: Play) -> None:
    settings = "{}\nSET lock_timeout = '1s';\nSHOW lock_timeout;\nSET work_mem = '1MB';\n"
    add = "UPDATE counter SET value = value + 1 WHERE id = 1;\nRESET work_mem;"
    result = play(
        scenario(settings.format("one") + add, settings.format("two") + add, head="-- chaos:schedule all up to 9")
    )
    assert not result.failures
    assert result.judged is not None
    assert result.judged.serial <= 2


@pytest.mark.parametrize(
    ("reader", "writer", "name"),
    [
        (
            ["SELECT sum(value) FROM counter", "SELECT sum(value) FROM counter"],
            ["UPDATE counter SET value = 5 WHERE id = 2"],
            "non-repeatable read",
        ),
        (
            ["SELECT count(*) FROM counter", "SELECT count(*) FROM counter"],
            ["INSERT INTO counter VALUES (3, 0)"],
            "phantom",
        ),
        (["SELECT * FROM counter"] * 2, ["DELETE FROM counter WHERE id = 2"], "phantom"),
        (
            ["SELECT value FROM counter WHERE id = 1", "SELECT value FROM counter WHERE id = 2"],
            ["UPDATE counter SET value = value + 1"],
            "read skew",
        ),
    ],
)
def test_who_sees_a_transaction_in_part_is_named_by_what_he_saw(
    play: Play, reader: list[str], writer: list[str], name: str
) -> None:
    reads = "reader\nBEGIN;\n" + ";\n".join([*reader, "COMMIT"]) + ";"
    writes = "writer\n" + ";\n".join(writer) + ";"
    failure = oracle(play(scenario(reads, writes)))
    assert failure.names == (name,)
    assert failure.details[0].startswith("reader[1] saw what writer[1] did: line ")
    level = "BEGIN ISOLATION LEVEL REPEATABLE READ"
    assert is_safe(play(scenario(reads.replace("BEGIN", level), writes)))


def test_a_circle_of_three_is_found_and_named(play: Play) -> None:
    level = "BEGIN ISOLATION LEVEL REPEATABLE READ"
    withdraws = f"""withdraws
-- chaos:step looks
{level};
SELECT sum(value) FROM counter;
-- chaos:step writes
UPDATE counter SET value = -11 WHERE id = 1;
COMMIT;"""
    deposits = f"deposits\n-- chaos:step all\n{level};\nUPDATE counter SET value = 20 WHERE id = 2;\nCOMMIT;"
    reports = f"reports\n-- chaos:step all\n{level};\nSELECT * FROM counter;\nCOMMIT;"
    order = "-- chaos:schedule withdraws.looks deposits.all reports.all withdraws.writes"
    failure = oracle(play(scenario(withdraws, deposits, reports, head=order)))
    assert failure.names == ("read-only transaction anomaly",)
    without = "-- chaos:schedule withdraws.looks deposits.all withdraws.writes"
    assert is_safe(play(scenario(withdraws, deposits, head=without)))


def test_what_cannot_be_named_is_not_serializable(play: Play) -> None:
    # PostgreSQL docs, "Read Committed Isolation Level": the DELETE finds neither of the rows
    moves = "moves\n-- chaos:step first\nBEGIN;\nUPDATE counter SET value = value + 1;\n-- chaos:step ends\nCOMMIT;"
    deletes = "deletes\nDELETE FROM counter WHERE value = 1;"
    setup = COUNTER + "UPDATE counter SET value = id - 1;"
    failure = oracle(play(scenario(moves, deletes, setup=setup)))
    assert failure.names == ("not serializable",)
    assert failure.details[0].startswith("the nearest serial order is ")
    # nothing is said of a statement: it is the line that asks for the oracle
    assert failure.place == Place("scenario.sql", 2)


def test_the_state_alone_can_tell(play: Play) -> None:
    # nobody returns a row: what they left is what tells
    copies = "{}\nBEGIN;\nDO $$ BEGIN PERFORM value FROM counter; END $$;\n{}\nCOMMIT;"
    one = copies.format("one", "INSERT INTO counter SELECT 3, count(*) FROM counter;")
    two = copies.format("two", "INSERT INTO counter SELECT 4, count(*) FROM counter;")
    failure = oracle(play(scenario(one, two)))
    assert failure.details[-1].strip().startswith("table counter: a serial order gives ")


# who is in the order


def test_who_failed_to_serialize_is_left_out_and_who_tried_again_counts_once(play: Play) -> None:
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ"
    for options in ("allow serialization_failure", "retry serialization_failure"):
        assert is_safe(play(scenario(adds("one", "", options, begin), adds("two", "", options, begin))))


def test_who_failed_to_serialize_is_not_tried_as_if_it_had_not(play: Play) -> None:
    fails = "three allow serialization_failure\n-- chaos:step fails\nDO $$ BEGIN RAISE serialization_failure; END $$;"
    head = "-- chaos:schedule one.looks two.looks three.fails one.writes two.writes"
    result = play(scenario(adds("one"), adds("two"), fails, head=head))
    oracle(result)
    assert result.judged is not None
    # two orders; then, for the name: nobody at all, and each alone
    assert result.judged.serial == 5


def test_who_was_the_victim_of_a_deadlock_is_left_out(play: Play) -> None:
    moves = "{} allow deadlock_detected\nBEGIN;\nUPDATE counter SET value = value + 1 WHERE id = {};\n"
    moves += "UPDATE counter SET value = value + 1 WHERE id = {};\nCOMMIT;"
    assert is_safe(play(scenario(moves.format("one", 1, 2), moves.format("two", 2, 1))))


def test_a_transaction_that_rolled_back_is_not_judged_by_its_results(play: Play) -> None:
    waits = "impatient allow lock_not_available\nBEGIN;\nSELECT * FROM counter WHERE id = 1 FOR UPDATE NOWAIT;\n"
    waits += "UPDATE counter SET value = value + 10 WHERE id = 1;\nCOMMIT;"
    assert is_safe(play(scenario(adds("patient", "FOR UPDATE"), waits)))
    leaves = "regrets\nBEGIN;\nSELECT value FROM counter WHERE id = 1;\nUPDATE counter SET value = 9;\n"
    leaves += "SELECT value FROM counter WHERE id = 1;\nROLLBACK;"
    assert is_safe(play(scenario(adds("other", "FOR UPDATE"), leaves)))


def test_a_unique_violation_that_its_author_allows_is_the_end_of_its_transaction(play: Play) -> None:
    inserts = "{} allow unique_violation\nBEGIN;\nSELECT count(*) = 0 AS free FROM counter WHERE id = 3 \\gset\n"
    inserts += "\\if :free\nINSERT INTO counter VALUES (3, 1);\n\\endif\nCOMMIT;"
    assert is_safe(play(scenario(inserts.format("one"), inserts.format("two"))))


def test_what_a_session_does_depends_on_what_it_reads_in_serial_runs_too(play: Play) -> None:
    sells = "{}\nBEGIN;\nSELECT value = 0 AS free FROM counter WHERE id = 1 {} \\gset\n\\if :free\n"
    sells += "UPDATE counter SET value = {} WHERE id = 1;\nINSERT INTO receipt VALUES ({});\n\\endif\nCOMMIT;"
    setup = COUNTER + "CREATE TABLE receipt (buyer int);"
    locked = [sells.format(name, "FOR UPDATE", n, n) for n, name in enumerate(("one", "two"), 1)]
    assert is_safe(play(scenario(*locked, setup=setup, head="-- chaos:schedule all")))
    careless = [sells.format(name, "", n, n) for n, name in enumerate(("one", "two"), 1)]
    assert "lost update" in oracle(play(scenario(*careless, setup=setup))).names


def test_an_unfinished_transaction_has_no_part_in_it(play: Play) -> None:
    opens = "opens\nBEGIN;\nUPDATE counter SET value = 7 WHERE id = 2;"
    result = play(
        scenario(
            opens, "looks\nSELECT * FROM counter;", head="-- chaos:schedule all\n-- chaos:leaves open transaction meant"
        )
    )
    assert is_safe(result)


def test_a_lock_of_the_session_makes_some_orders_impossible(play: Play) -> None:
    guarded = "{}\n-- chaos:step in\nSELECT pg_advisory_lock(7);\n" + adds("").partition("\n")[2]
    guarded += "\n-- chaos:step out\nSELECT pg_advisory_unlock(7);"
    guarded = guarded.replace("-- chaos:step looks\n", "-- chaos:step looks\n")
    assert is_safe(play(scenario(guarded.format("one"), guarded.format("two"))))


def test_one_connection_keeps_its_own_order_through_iterations(play: Play) -> None:
    assert is_safe(
        play(
            scenario("adder repeat 2\nUPDATE counter SET value = value * 2 + 1 WHERE id = 1;", "looks\nTABLE counter;")
        )
    )


# what is left out


def test_what_comes_from_a_sequence_or_the_clock_is_left_out(play: Play) -> None:
    setup = """CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, made timestamptz DEFAULT now(),
        seen timestamp, token uuid DEFAULT gen_random_uuid(), worker int DEFAULT pg_backend_pid(), amount int);
    CREATE TABLE line (number serial, order_id int REFERENCES orders, note text);"""
    orders = """{}
-- chaos:step first
BEGIN;
INSERT INTO orders (amount, seen) VALUES ({}, clock_timestamp()) RETURNING id, amount, made, seen, token \\gset
-- chaos:step second
INSERT INTO line (order_id, note) VALUES (:id, 'x') RETURNING *;
SELECT xmin, ctid, tableoid, pg_backend_pid(), now(), random(), max(id), lastval() AS last, amount FROM orders
 WHERE id = :id GROUP BY 1, 2, 3, amount;
COMMIT;"""
    assert is_safe(play(scenario(orders.format("one", 1), orders.format("two", 2), setup=setup)))


@pytest.mark.parametrize("style", ["ISO", "SQL, DMY", "SQL, MDY", "German", "Postgres, MDY", "Postgres, DMY"])
def test_a_time_of_the_run_is_known_in_every_date_style(play: Play, style: str) -> None:
    session = "{}\nSET DateStyle = '" + style + "';\nINSERT INTO event VALUES (now(), now()) RETURNING made, local;"
    setup = "CREATE TABLE event (made timestamptz, local timestamp);"
    assert is_safe(play(scenario(session.format("one"), session.format("two"), setup=setup)))


@pytest.mark.parametrize(
    "number", ["int GENERATED BY DEFAULT AS IDENTITY", "bigserial", "uuid DEFAULT gen_random_uuid()", "xid DEFAULT '7'"]
)
def test_a_drawn_number_is_another_in_the_serial_order_and_is_left_out(play: Play, number: str) -> None:
    # the first draws before the second and sees it: in the serial order it draws after it
    setup = f"CREATE TABLE drawn (id {number}, name text);"
    first = """first
-- chaos:step draws
BEGIN;
INSERT INTO drawn (name) VALUES ('one') RETURNING *;
-- chaos:step looks
SELECT * FROM drawn;
COMMIT;"""
    second = "second\n-- chaos:step draws\nINSERT INTO drawn (name) VALUES ('two');"
    head = "-- chaos:schedule first.draws second.draws first.looks"
    assert is_safe(play(scenario(first, second, setup=setup, head=head)))


@pytest.mark.parametrize(("order", "safe"), [("", True), ("ORDER BY ctid", False), ("ORDER BY id", True)])
def test_rows_are_compared_without_order_unless_the_statement_asks_for_one(play: Play, order: str, safe: bool) -> None:
    # the first inserts before the second and sees it: in the serial order the rows lie the other way round
    first = f"""first
-- chaos:step in
BEGIN;
INSERT INTO counter VALUES (4, 0);
-- chaos:step out
SELECT id FROM counter {order};
COMMIT;"""
    second = "second\n-- chaos:step in\nINSERT INTO counter VALUES (3, 0);"
    result = play(scenario(first, second, head="-- chaos:schedule first.in second.in first.out"))
    assert is_safe(result) if safe else oracle(result)


def test_a_state_section_replaces_the_tables(play: Play) -> None:
    writes = "{}\nBEGIN;\nDO $$ BEGIN PERFORM value FROM counter WHERE id = 1; END $$;\n"
    writes += "INSERT INTO counter SELECT {}, count(*) FROM counter;\nCOMMIT;"
    sessions = writes.format("one", 3), writes.format("two", 4)
    assert is_safe(play(scenario(*sessions, rest="-- chaos:state\nSELECT count(*) FROM counter;")))
    reported = oracle(play(scenario(*sessions, rest="-- chaos:state\nSELECT sum(value) FROM counter;"))).details[-1]
    assert "state query in line " in reported
    assert "a serial order gives (sum = 5), this run gave (sum = 4)" in reported


def test_variables_of_the_matrix_are_set_in_a_state_section(play: Play) -> None:
    head = "-- chaos:schedule all\n-- chaos:matrix which in 1, 2"
    state = "-- chaos:state\n\\if true\nSELECT value FROM counter WHERE id = :which;\n\\endif"
    assert oracle(play(scenario(adds("one"), adds("two"), head=head, rest=state), which="1")).names == ("lost update",)


def test_an_error_in_a_state_section_is_reported_with_its_line(play: Play) -> None:
    failure = only(play(scenario("a\nSELECT 1;", rest="-- chaos:state\nSELECT 1/0;", head="-- chaos:schedule free")))
    assert (failure.kind, failure.names[0], failure.place and failure.place.line) == ("error", "22012", 8)


# what it refuses


@pytest.mark.parametrize(
    ("statement", "reported"),
    [
        ("INSERT INTO drawn SELECT md5(clock_timestamp()::text)", "[drawn, column text]"),
        ("SELECT md5(t) FROM (SELECT clock_timestamp()::text AS t) s", "[column md5]"),
    ],
)
def test_a_file_whose_serial_run_differs_from_itself_is_refused(play: Play, statement: str, reported: str) -> None:
    result = play(
        scenario(f"one\n{statement};", setup="CREATE TABLE drawn (text text);", head="-- chaos:schedule free")
    )
    failure = only(result)
    assert failure.kind == "error"
    assert "has another outcome when it is run twice" in failure.text
    assert failure.text.endswith(reported)
    assert failure.place is not None
    assert judged(result) == ((), False)


def test_one_step_of_several_transactions_is_not_judged(play: Play) -> None:
    failure = only(
        play(scenario("one\nSELECT 'SELECT 1' FROM generate_series(1, 2) \\gexec", head="-- chaos:schedule free"))
    )
    assert (failure.kind, failure.place and failure.place.line) == ("error", 6)
    assert "one step made several transactions" in failure.text


def test_a_run_that_was_cut_short_is_not_judged(play: Play) -> None:
    result = play(scenario("one\nSELECT 1/0;", head="-- chaos:schedule free"))
    assert only(result).names[0] == "22012"
    assert judged(result) == ((), False)


def test_orders_beyond_the_limit_are_not_decided(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgchaos.search.serial_oracle.MOST_ORDERS", 1)
    result = play(scenario(adds("a"), adds("b"), head="-- chaos:schedule a.looks b.looks a.writes b.writes"))
    failure = only(result)
    assert (failure.kind, failure.names) == ("error", ("not decided",))
    assert failure.place is not None
    assert failure.details[0].startswith("let the sessions have fewer transactions")
    assert judged(result) == ((), False)


def test_in_a_schema_of_its_own_it_judges_as_well(play: Play) -> None:
    head = "-- chaos:schedule all\n-- chaos:sandbox schema"
    assert oracle(play(scenario(adds("one"), adds("two"), head=head))).names == ("lost update",)
    assert is_safe(play(scenario(adds("one", "FOR UPDATE"), adds("two", "FOR UPDATE"), head=head)))


def test_serial_orders_that_take_too_long_are_not_tried_one_after_the_other(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the time of the first run, in which both are there, is not over
    serial: list[bool] = []
    over_once(monkeypatch, lambda reported: bool(serial) and reported["waits[1]"] == "runs")
    serial_ = Oracle.serial

    def one_by_one(self: Oracle, variables: Mapping[str, str], wanted: Wanted) -> SerialRun:
        serial.append(True)
        return serial_(self, variables, wanted)

    monkeypatch.setattr(Oracle, "serial", one_by_one)
    # it looks before the row is there and waits for it: after the other it would have seen it, and before it waits on
    waits = """waits
BEGIN;
SELECT count(*) FROM counter WHERE id = 3;
-- chaos:signal looked
DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM counter WHERE id = 3) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$;
COMMIT;"""
    comes = "comes\n-- chaos:wait for looked\nINSERT INTO counter VALUES (3, 0);"
    failure = only(play(scenario(waits, comes, head="-- chaos:schedule free\n-- chaos:timeout 10min")))
    assert failure.kind == "error"
    assert "the transactions could not be run one after the other: the sessions did not end within 600s" in failure.text


READS_AND_WRITES = """
-- chaos:schedule a.1 a.2 b.1 a.3 a.4
-- chaos:oracle serializable
-- chaos:setup
CREATE TABLE t (v float8);
CREATE TABLE seen (v float8);
INSERT INTO t VALUES (1e10);
{more}
-- chaos:session a
BEGIN;
INSERT INTO seen SELECT v FROM t;
UPDATE t SET v = (SELECT v FROM seen) + 1;
COMMIT;
-- chaos:session b
UPDATE t SET v = v + 1;
"""
HIDES_ITS_ROWS = """
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
ALTER TABLE t FORCE ROW LEVEL SECURITY;
CREATE POLICY of_sessions ON t USING (current_setting('chaos.session', true) IN ('a', 'b'));
"""


@pytest.fixture
def rounding(foreign_server: ForeignServer, tmp_path: Path) -> Iterator[Play]:
    """Play as a role without superuser rights whose sessions show five digits of a number."""
    foreign_server.role("rounding", "LOGIN CREATEDB")
    with foreign_server.connect() as conn:
        conn.execute("ALTER ROLE rounding SET extra_float_digits = -10")
    with open_server(ServerSettings(dsn=make_conninfo(foreign_server.dsn, user="rounding"))) as server:
        yield Play(server, tmp_path)


def test_numbers_are_compared_with_all_digits(rounding: Play) -> None:
    failure = oracle(rounding(READS_AND_WRITES.format(more="")))
    assert any("10000000002" in line and "10000000001" in line for line in failure.details)


def test_a_table_whose_rows_a_policy_hides_is_an_error(rounding: Play) -> None:
    failure = only(rounding(READS_AND_WRITES.format(more=HIDES_ITS_ROWS)))
    assert failure.names[0] == "42501"
    assert 'row-level security policy for table "t"' in failure.text
    assert any("`state`" in line for line in failure.details)


def test_in_place_the_file_must_say_what_is_compared(foreign_server: ForeignServer, tmp_path: Path) -> None:
    rest = "-- chaos:teardown\nDROP TABLE counter;\n"
    path = tmp_path / "t.sql"
    with open_server(ServerSettings(dsn=foreign_server.dsn, in_place=True)) as server:
        for state, reported in (("", ["error"]), ("-- chaos:state\nTABLE counter;\n", [])):
            path.write_text(scenario(adds("one", "FOR UPDATE"), adds("two", "FOR UPDATE"), rest=state + rest), "utf-8")
            result = run(read(path, "t.sql"), {}, server, RunSettings(1))
            assert [failure.kind for failure in result.failures][:1] == reported
            assert all("a `state` section must say" in failure.text for failure in result.failures)


def test_a_run_that_an_undeliverable_fault_stops_is_not_judged(play: Play) -> None:
    # at its step `looks` the fault stops the run, after the other has committed on its own
    cancelled = adds("two").replace("SELECT value", "-- chaos:fault cancel when blocked\nSELECT value")
    result = play(scenario(adds("one"), cancelled, head="-- chaos:schedule one.looks one.writes two.looks two.writes"))
    failure = only(result)
    assert (failure.kind, judged(result)) == ("fault", ((), False)), failure


def test_a_run_is_judged_in_which_a_fault_was_never_delivered(play: Play) -> None:
    cancelled = adds("two").replace("SELECT value", "-- chaos:fault terminate on 2nd execution\nSELECT value")
    result = play(scenario(adds("one"), cancelled, head="-- chaos:schedule one.looks two.looks one.writes two.writes"))
    assert [failure.kind for failure in result.failures] == ["fault", "oracle"], result.failures


ALL_ROLL_BACK = """
-- chaos:schedule all
-- chaos:oracle serializable
-- chaos:setup
CREATE TABLE t (v int);
INSERT INTO t VALUES (1);
-- chaos:session a x 2 allow 42P01
BEGIN;
UPDATE t SET v = v + 1;
TABLE nosuch;
COMMIT;
"""


def test_an_oracle_for_which_nothing_commits_was_not_run(play: Play) -> None:
    failure = only(play(ALL_ROLL_BACK))
    assert (failure.kind, failure.names) == ("not run", ())
    assert failure.text.startswith("oracle was not run: no transaction committed")
    assert line(failure) == 3


def test_one_that_commits_in_one_permutation_is_enough(play: Play) -> None:
    text = ALL_ROLL_BACK + "-- chaos:session b\nUPDATE t SET v = v + 1;\n"
    assert play(text.replace("x 2", "")).failures == []


UNCHANGED = """
-- chaos:oracle serializable
-- chaos:setup
CREATE TABLE t (v int);
CREATE TABLE other (v int);
INSERT INTO t VALUES (1);
-- chaos:session a x 2
-- chaos:barrier both
{statement};
"""


@pytest.mark.parametrize("condition", ["v = chaos.var('level')", ":SERVER_VERSION_NUM > 0"])
def test_state_knows_the_variables_of_a_matrix_and_of_psql(play: Play, condition: str) -> None:
    text = f"""-- chaos:matrix level in low, high
-- chaos:oracle serializable
-- chaos:setup
CREATE TABLE t (v text);
-- chaos:session one x 2
INSERT INTO t VALUES (:'level');
-- chaos:state
SELECT count(*) FROM t WHERE {condition};
"""
    assert not play(text, level="low").failures


def test_quit_ends_a_state_section(play: Play) -> None:
    text = """-- chaos:oracle serializable
-- chaos:setup
CREATE TABLE t (v int);
-- chaos:session one x 2
INSERT INTO t VALUES (1);
-- chaos:state
TABLE t;
\\quit
SELECT 1 / 0;
"""
    assert not play(text).failures


@pytest.mark.parametrize("schedule", ["free", "all"])
def test_transactions_of_one_connection_are_serial_anyway_and_noted(play: Play, schedule: str) -> None:
    text = f"""-- chaos:schedule {schedule}
-- chaos:oracle serializable
-- chaos:setup
CREATE TABLE t (v int);
-- chaos:session one{{}}
BEGIN;
INSERT INTO t VALUES (1);
COMMIT;
UPDATE t SET v = v + 1;
"""
    expected = "scenario.sql:2: oracle: all transactions were of one[1], so their order was serial anyway"
    result = play(text.format(""))
    assert not result.failures
    assert expected in result.remarks
    assert not [note for note in play(text.format(" x 2")).remarks if "serial anyway" in note]


def test_a_state_that_leaves_out_what_is_written_was_not_run(play: Play) -> None:
    written = UNCHANGED.format(statement="UPDATE t SET v = v + 1")
    failure = only(play(written + "-- chaos:state\nTABLE other;\n"))
    assert failure.kind == "not run"
    assert "nothing that `state` compares" in failure.text
    fine = play(written + "-- chaos:state\nTABLE t;\n")
    assert (fine.failures, fine.remarks) == ([], [])


@pytest.mark.parametrize("state", ["", "-- chaos:state\nTABLE t;\n"])
def test_a_scenario_that_changes_nothing_compared_is_noted(play: Play, state: str) -> None:
    result = play(UNCHANGED.format(statement="TABLE t") + state)
    assert result.failures == []
    assert result.remarks == [
        "scenario.sql:2: oracle: nothing that it compares was changed, and every order had the same results"
    ]
