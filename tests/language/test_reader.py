from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pgchaos.language.header_model import (
    Given,
    Leave,
    Matrix,
    Requirement,
    Schedule,
    ServerSetting,
    StepName,
    When,
    Xfail,
)
from pgchaos.language.model import Invariant, Mutant, Replace, Retry, Scenario, Section, Session
from pgchaos.language.problems import Place, ScenarioError
from pgchaos.language.reader import read, variants
from pgchaos.language.section_items import (
    Allow,
    Barrier,
    Code,
    Delay,
    Expect,
    Fault,
    Form,
    Meta,
    Send,
    Signal,
    Statement,
    Variable,
    WaitBlocked,
    WaitFor,
)

TICKET = r"""-- Two cashiers sell the last ticket once
-- Reference: "Feral Concurrency Control", SIGMOD 2015

-- chaos:tags concurrent smoke
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE seat (id int PRIMARY KEY, buyer int);

-- chaos:session cashier x 2
BEGIN;
SELECT buyer IS NULL AS free FROM seat WHERE id = 1 FOR UPDATE \gset
-- chaos:barrier looked unless blocked
\if :free
UPDATE seat SET buyer = :worker WHERE id = 1;
\endif
COMMIT;

-- chaos:check
SELECT is(count(*), 1::bigint, 'the seat was sold once') FROM seat;

-- chaos:mutant nobody locks the seat
-- chaos:replace 'FOR UPDATE' with '' in cashier
-- chaos:caught by 'the seat was sold once'
"""
CHECK = "-- chaos:check\nSELECT pass();\n"


@pytest.fixture
def scenario(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


class Reader:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, text: str, name: str = "t.sql") -> Scenario:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return read(path, f"sql/{name}")


def at(line: int) -> Place:
    return Place("sql/t.sql", line)


def said(line: int, text: str, step: str) -> Statement:
    return Statement(at(line), text, (text,), text.split()[0], step)


def codes(*names: str) -> tuple[Code, ...]:
    return tuple(Code(name, (name,)) for name in names)


def session(scenario: Reader, body: str, head: str = "", rest: str = CHECK) -> Session:
    return scenario(f"{head}-- chaos:session a\n{body}{rest}").sessions[0]


def test_the_example_of_the_language_is_read_as_it_is_meant(scenario: Reader) -> None:
    look = "SELECT buyer IS NULL AS free FROM seat WHERE id = 1 FOR UPDATE"
    worker = Variable("worker", Form.PLAIN, ":worker")
    sold = "SELECT is(count(*), 1::bigint, 'the seat was sold once') FROM seat"
    assert scenario(TICKET) == Scenario(
        path=scenario.folder / "t.sql",
        shown="sql/t.sql",
        name="t",
        title="Two cashiers sell the last ticket once",
        source=TICKET,
        tags=frozenset({"concurrent", "smoke"}),
        timeout=20.0,
        setup=(Section(at(7), (said(8, "CREATE TABLE seat (id int PRIMARY KEY, buyer int)", "1"),)),),
        sessions=(
            Session(
                place=at(10),
                name="cashier",
                count=2,
                steps=("1", "2", "3", "4"),
                items=(
                    said(11, "BEGIN", "1"),
                    Statement(at(12), look, (look,), "SELECT", "2", Send.GSET),
                    Barrier(at(13), "looked", unless_blocked=True),
                    Meta(at(14), "if", ((Variable("free", Form.PLAIN, ":free"),),)),
                    Statement(
                        at(15),
                        "UPDATE seat SET buyer = :worker WHERE id = 1",
                        ("UPDATE seat SET buyer = ", worker, " WHERE id = 1"),
                        "UPDATE",
                        "3",
                    ),
                    Meta(at(16), "endif", ()),
                    said(17, "COMMIT", "4"),
                ),
            ),
        ),
        checks=(Section(at(19), (said(20, sold, "1"),)),),
        mutants=(
            Mutant(
                at(22),
                "nobody locks the seat",
                items=(),
                replaces=(Replace(at(23), "FOR UPDATE", "", "cashier"),),
                sessions=(),
                caught_by=("the seat was sold once",),
            ),
        ),
    )


def test_the_header_says_what_is_needed_and_expected(scenario: Reader) -> None:
    found = scenario(
        "-- chaos:title The last ticket\n"
        "-- chaos:requires extension pggit >= 0.1 with begin, extension amcheck\n"
        "-- chaos:requires server >= 17, superuser, own server, capability injection_points\n"
        "-- chaos:alone\n"
        "-- chaos:sandbox database\n"
        "-- chaos:xfail 'it''s sold once' known since when the level = low when level = 'read committed' or high\n"
        "-- chaos:xfail nobody knows when this ends\n"
        "-- chaos:matrix level in 'read committed', high\n"
        "-- chaos:leaves prepared transaction it is the subject when level = high\n" + CHECK
    )
    assert found.title == "The last ticket"
    assert found.alone
    assert found.requires == (
        Requirement(at(2), "extension", "pggit", ">=", "0.1", "begin"),
        Requirement(at(2), "extension", "amcheck"),
        Requirement(at(3), "server", "", ">=", "17"),
        Requirement(at(3), "superuser"),
        Requirement(at(3), "own server"),
        Requirement(at(3), "capability", "injection_points"),
    )
    both = When("level", ("read committed", "high"))
    assert found.xfails == (
        Xfail(at(6), "it's sold once", "known since when the level = low", both),
        Xfail(at(7), None, "nobody knows when this ends"),
    )
    assert found.leaves == (Leave(at(9), "prepared transaction", "it is the subject", When("level", ("high",))),)


def test_a_condition_in_quotes_or_of_no_matrix_is_text(scenario: Reader) -> None:
    found = scenario(
        "-- chaos:matrix level in low, high\n-- chaos:xfail 'sold when level = low' known when it = rains\n"
        "-- chaos:leaves role it goes when the level is low\n" + CHECK + "\\set used :level\n"
    )
    assert found.xfails == (Xfail(at(2), "sold when level = low", "known when it = rains"),)
    assert found.leaves == (Leave(at(3), "role", "it goes when the level is low"),)


def test_a_matrix_makes_an_item_of_every_combination(scenario: Reader) -> None:
    found = scenario(
        "-- chaos:matrix level in low, 'very, ''high'''\n-- chaos:matrix size in 1, 2\n"
        + CHECK
        + "SELECT chaos.var('size'), :'level';\n"
    )
    assert found.matrix == (Matrix(at(1), "level", ("low", "very, 'high'")), Matrix(at(2), "size", ("1", "2")))
    assert variants(found) == (
        {"level": "low", "size": "1"},
        {"level": "low", "size": "2"},
        {"level": "very, 'high'", "size": "1"},
        {"level": "very, 'high'", "size": "2"},
    )
    assert variants(scenario(CHECK)) == ({},)


USES = (
    "SELECT :level;",
    "SELECT :'level';",
    'SELECT :"level";',
    "\\if :{?level}\n\\endif",
    "SELECT 1 AS a \\gset :level",
    "\\echo :level",
    "\\set statement 'SELECT :level'",
    "SELECT chaos.var('level');",
    "DO $$ BEGIN PERFORM chaos . var ( 'level' ); END $$;",
    "SELECT chaos.var(name) FROM (VALUES ('level')) v(name);",
    "SELECT current_setting('chaos.vars');",
)


@pytest.mark.parametrize("use", USES)
def test_whatever_asks_for_the_value_uses_a_matrix(scenario: Reader, use: str) -> None:
    matrix = "-- chaos:matrix level in low, high\n"
    mutant = "-- chaos:mutant m\n{}\n-- chaos:replace '1' with '2' in one\n-- chaos:caught by 'x'\n"
    body = "-- chaos:session one\nSELECT 1;\n"
    assert scenario(f"{matrix}-- chaos:setup\n{use}\n{CHECK}").matrix
    assert scenario(matrix + body + CHECK + mutant.format(use)).matrix


def test_a_condition_and_what_a_mutant_puts_in_use_a_matrix_too(scenario: Reader) -> None:
    matrix, body = "-- chaos:matrix level in low, high\n", "-- chaos:session one\n{}SELECT 1;\n" + CHECK
    for before in ("-- chaos:leaves role so it is when level = low\n", "-- chaos:xfail known when level = low\n"):
        assert scenario(before + matrix + body.format("")).matrix
    assert scenario(matrix + body.format("-- chaos:delay 1ms when level = low\n")).notes == ()
    for mutant in (
        "-- chaos:mutant m\n-- chaos:replace '1' with ':level' in one\n",
        "-- chaos:mutant m\n-- chaos:session one\n-- chaos:delay 1ms when level = low\nSELECT 2;\n",
    ):
        read_one = scenario(matrix + body.format("") + mutant + "-- chaos:caught by 'x'\n")
        assert [(note.place.line, note.text) for note in read_one.notes] == [
            (1, "`matrix`: only mutants use `level`: without them all its items run the same")
        ]


def test_a_file_that_is_included_uses_a_matrix_too(tmp_path: Path) -> None:
    (tmp_path / "more.sql").write_text("BEGIN ISOLATION LEVEL :level;\nCOMMIT;\n")
    path = tmp_path / "x.sql"
    path.write_text("-- chaos:matrix level in low, high\n-- chaos:session one\n\\ir more.sql\n" + CHECK)
    assert read(path, "x.sql").matrix


@pytest.mark.parametrize(
    ("written", "seconds"), [("5ms", 0.005), ("0.5s", 0.5), ("30s", 30.0), ("2min", 120.0), ("1h", 3600.0)]
)
def test_a_time_carries_its_unit(scenario: Reader, written: str, seconds: float) -> None:
    assert scenario(f"-- chaos:timeout {written}\n{CHECK}").timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ("2..20", Given(at(1), "amount", "integer", "2", "20")),
        ("-2..+20", Given(at(1), "amount", "integer", "-2", "+20")),
        ("0.5..2.5", Given(at(1), "amount", "float", "0.5", "2.5")),
        ("1..1e3", Given(at(1), "amount", "float", "1", "1e3")),
        ("boolean", Given(at(1), "amount", "boolean")),
        ("text", Given(at(1), "amount", "text")),
        ("text 0..20", Given(at(1), "amount", "text", "0", "20")),
        ("one, 'two, three', 4", Given(at(1), "amount", "choice", choices=("one", "two, three", "4"))),
        ("timestamp", Given(at(1), "amount", "timestamp")),
        ("timestamp '2024-01-01'..'2024-12-31'", Given(at(1), "amount", "timestamp", "2024-01-01", "2024-12-31")),
        ("list of boolean", Given(at(1), "amount", "list", element=Given(at(1), "amount", "boolean"))),
        (
            "list 1..5 of 2..3",
            Given(at(1), "amount", "list", "1", "5", (), Given(at(1), "amount", "integer", "2", "3")),
        ),
    ],
)
def test_given_says_what_is_drawn(scenario: Reader, written: str, made: Given) -> None:
    check = "-- chaos:check\nSELECT pass(:'amount');\n"
    assert scenario(f"-- chaos:given amount in {written}\n{check}").given == (made,)


def test_a_session_says_how_many_it_is_and_which_errors_it_takes(scenario: Reader) -> None:
    found = scenario(
        "-- chaos:session a x 3 repeat 5 retry 40001 deadlock_detected unknown up to 4 backoff 1s allow 23505\n"
        "SELECT 1;\n"
        "-- chaos:session b allow unique_violation, P0001 retry 08006 x 2\n"
        "SELECT 1;\n" + CHECK
    )
    a, b = found.sessions
    assert (a.count, a.repeat, a.allow) == (3, 5, codes("23505"))
    unknown = Code("unknown", ("unknown",))
    assert a.retry == Retry((*codes("40001"), Code("deadlock_detected", ("40P01",)), unknown), 4, 1.0)
    assert (b.count, b.repeat) == (2, 1)
    assert b.allow == (Code("unique_violation", ("23505",)), *codes("P0001"))
    assert b.retry == Retry(codes("08006"))


def test_a_condition_name_with_two_sqlstates_means_both(scenario: Reader) -> None:
    found = session(scenario, "-- chaos:allow null_value_not_allowed\nSELECT 1;\n")
    assert found.items[0] == Allow(at(2), (Code("null_value_not_allowed", ("22004", "39004")),))


def test_statements_are_steps_and_named_steps_gather_what_follows(scenario: Reader) -> None:
    found = session(
        scenario,
        "BEGIN;\nSELECT 1 AS abc \\gset\n-- chaos:step looks\nSELECT 2 \\; SELECT 3;\nSELECT 4;\n"
        "-- chaos:step buys-it\nCOMMIT;\n",
    )
    steps = [item.step for item in found.items if isinstance(item, Statement)]
    assert steps == ["1", "2", "looks", "looks", "buys-it"]
    assert found.steps == ("1", "2", "looks", "buys-it")


def test_directives_between_the_statements_of_a_session(scenario: Reader) -> None:
    found = session(
        scenario,
        "-- chaos:expect 23505 deadlock_detected\nSELECT 1;\n"
        "-- chaos:allow 40001 when level = low\nSELECT 1;\n"
        "-- chaos:delay 5ms\n-- chaos:jitter 0.5s when level = low or high\n"
        "-- chaos:barrier met\n-- chaos:wait blocked b\n-- chaos:wait blocked b[2]\n"
        "-- chaos:signal go\n-- chaos:wait for done\n",
        head="-- chaos:matrix level in low, high\n",
        rest="-- chaos:session b x 2\n-- chaos:barrier met\n-- chaos:signal done\nSELECT 1;\n",
    )
    low = When("level", ("low",))
    assert [item for item in found.items if not isinstance(item, Statement)] == [
        Expect(at(3), (*codes("23505"), Code("deadlock_detected", ("40P01",)))),
        Allow(at(5), codes("40001"), low),
        Delay(at(7), 0.005),
        Delay(at(8), 0.5, jitter=True, when=When("level", ("low", "high"))),
        Barrier(at(9), "met"),
        WaitBlocked(at(10), "b"),
        WaitBlocked(at(11), "b", 2),
        Signal(at(12), "go"),
        WaitFor(at(13), "done"),
    ]


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ("kill", Fault(at(2), "kill")),
        ("terminate of a during when blocked",
         Fault(at(2), "terminate", target="a", moment="during", when_blocked=True)),
        ("cancel", Fault(at(2), "cancel", moment="during")),
        ("kill of walwriter", Fault(at(2), "kill", target="walwriter")),
        ("terminate when blocked", Fault(at(2), "terminate", moment="during", when_blocked=True)),
        ("restart on every execution", Fault(at(2), "restart", nth=0)),
        ("cancel of a[2] after 20ms", Fault(at(2), "cancel", target="a", worker=2, after=0.02)),
        ("crash after", Fault(at(2), "crash", moment="after")),
        ("crash of server after after 1s on 3rd execution",
         Fault(at(2), "crash", target="server", moment="after", after=1.0, nth=3)),
        ("stop immediate", Fault(at(2), "stop", "immediate")),
        ("stall 200ms before", Fault(at(2), "stall", "200ms")),
        ("stall", Fault(at(2), "stall")),
        ("stall during after 20ms", Fault(at(2), "stall", moment="during", after=0.02)),
        ("latency 20ms jitter 5ms of a[2]", Fault(at(2), "latency", "20ms jitter 5ms", target="a", worker=2)),
        ("rate 64kB of server after", Fault(at(2), "rate", "64kB", target="server", moment="after")),
        ("cut when blocked", Fault(at(2), "cut", moment="during", when_blocked=True)),
        ("heal of a", Fault(at(2), "heal", target="a")),
        ("fill connections", Fault(at(2), "fill", "connections")),
    ],
)  # fmt: skip
def test_a_fault_says_what_breaks_whose_and_when(scenario: Reader, written: str, made: Fault) -> None:
    found = scenario(f"-- chaos:sandbox server\n-- chaos:session a x 2\n-- chaos:fault {written}\nSELECT 1;\n{CHECK}")
    made = replace(made, place=at(3))
    assert found.sessions[0].items[0] == made


def test_a_server_of_its_own_has_parameters(scenario: Reader) -> None:
    found = scenario(
        "-- chaos:sandbox server\n-- chaos:server synchronous_commit = off when level = low\n"
        "-- chaos:server shared_preload_libraries = pg_stat_statements, auto_explain\n-- chaos:server a.b='x y'\n"
        f"-- chaos:matrix level in low, high\n{CHECK}"
    )
    assert found.server == (
        ServerSetting(at(2), "synchronous_commit", "off", When("level", ("low",))),
        ServerSetting(at(3), "shared_preload_libraries", "pg_stat_statements, auto_explain"),
        ServerSetting(at(4), "a.b", "x y"),
    )


def test_a_fault_counts_for_values_of_a_matrix_too(scenario: Reader) -> None:
    body = "-- chaos:fault kill when blocked when level = low\nSELECT 1;\n"
    found = session(scenario, body, head="-- chaos:matrix level in low, high\n-- chaos:alone\n")
    assert found.items[0] == Fault(at(4), "kill", moment="during", when_blocked=True, when=When("level", ("low",)))


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ("free", Schedule("free", place=at(1))),
        ("all", Schedule("all", place=at(1))),
        ("all up to 100", Schedule("all", limit=100, place=at(1))),
        ("explore 500", Schedule("explore", limit=500, place=at(1))),
        (
            "b.1 a[2].1 a[1].1 b.looks",
            Schedule("exact", (StepName("b", 1, "1"), StepName("a", 2, "1"), StepName("a", 1, "1"),
                               StepName("b", 1, "looks")), place=at(1)),
        ),
    ],
)  # fmt: skip
def test_a_schedule_says_how_steps_interleave(scenario: Reader, written: str, made: Schedule) -> None:
    found = scenario(
        f"-- chaos:schedule {written}\n-- chaos:session a x 2\nSELECT 1;\n"
        f"-- chaos:session b\nSELECT 1;\n-- chaos:step looks\nSELECT 1;\n{CHECK}"
    )
    assert found.schedule == made


def test_a_search_says_among_how_many_values_it_is_shared_out(scenario: Reader) -> None:
    head = "-- chaos:schedule explore 500 with 20 values\n-- chaos:given amount in 1..9\n"
    found = scenario(f"{head}-- chaos:session a\nSELECT :amount;\n{CHECK}")
    assert found.schedule == Schedule("explore", limit=500, place=at(1), values=20)


def test_a_schedule_names_iterations(scenario: Reader) -> None:
    found = scenario(f"-- chaos:schedule a.1#1 a.1#2\n-- chaos:session a repeat 2\nSELECT 1;\n{CHECK}")
    assert found.schedule.steps == (StepName("a", 1, "1", 1), StepName("a", 1, "1", 2))


def test_sections_keep_their_order_and_their_options(scenario: Reader) -> None:
    found = scenario(
        "-- chaos:teardown\nSELECT 1;\n-- chaos:invariant every 20ms may be empty\nSELECT true;\n"
        "-- chaos:setup\nSELECT 2;\n"
        "-- chaos:invariant at end\nTABLE t;\n-- chaos:setup\nSELECT 3;\n"
    )
    assert found.setup == (Section(at(5), (said(6, "SELECT 2", "1"),)), Section(at(9), (said(10, "SELECT 3", "1"),)))
    assert found.teardown == (Section(at(1), (said(2, "SELECT 1", "1"),)),)
    assert found.invariants == (
        Invariant(at(3), (said(4, "SELECT true", "1"),), 0.02, may_be_empty=True),
        Invariant(at(7), (said(8, "TABLE t", "1"),), at_end=True),
    )


@pytest.mark.parametrize(
    "text",
    [
        "-- chaos:session a\n-- chaos:expect 23505\nSELECT 1;\n",
        "-- chaos:session a\nSELECT chaos.assert(true, 'it holds');\n",
        "-- chaos:setup\nCREATE FUNCTION f() RETURNS void AS $$SELECT chaos . assert (true, 'x')$$ LANGUAGE sql;\n",
        "-- chaos:session a\nSELECT 1;\n-- chaos:invariant\nSELECT true;\n",
        "-- chaos:oracle serializable\n-- chaos:session a\nSELECT 1;\n",
    ],
)
def test_each_kind_of_assertion_is_enough(scenario: Reader, text: str) -> None:
    assert not scenario(text).plain


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO plan (id) VALUES (1);",
        "CREATE TABLE ok (id int);",
        "SELECT app.ok(1);",
        "SELECT 'ok(1)';",
        "WITH plan (id) AS (SELECT 1) SELECT id FROM plan;",
        "SELECT own_ok(1), 1 IS NOT NULL;",
    ],
)
def test_a_pgtap_name_that_is_no_call_is_allowed_in_a_session(scenario: Reader, sql: str) -> None:
    assert session(scenario, f"{sql}\n").items


def test_a_function_of_the_same_name_made_in_setup_is_no_pgtap_call(scenario: Reader) -> None:
    setup = "-- chaos:setup\nCREATE FUNCTION app.pass() RETURNS int LANGUAGE sql AS 'SELECT 1';\n"
    assert session(scenario, "SELECT pass();\n", head=setup).items


def test_names_of_others_in_dollar_quotes_and_slices_are_allowed(scenario: Reader) -> None:
    found = session(scenario, "DO $$ BEGIN PERFORM x[1:n], y := 2; END $$;\nSELECT x[1:upper] FROM t;\n")
    assert found.steps == ("1", "2")


def test_a_mutant_inherits_what_it_does_not_say(scenario: Reader) -> None:
    found = scenario(
        "-- chaos:matrix level in low, high\n-- chaos:setup\nCREATE TABLE t ();\n"
        "-- chaos:session a x 2 repeat 3 retry 40001 allow 23505\nSELECT :level;\n"
        + CHECK
        + "-- chaos:mutant it breaks when level = low\nDROP TABLE t;\n"
        "-- chaos:session a x 4 retry none\n-- chaos:step one\nSELECT 2;\n"
        "-- chaos:caught by 'x'\n-- chaos:caught by '23505'\n"
        "-- chaos:mutant another\n-- chaos:session a allow none\nSELECT 3;\n"
        "-- chaos:replace 'TABLE' with 'VIEW' in setup\n"
        "-- chaos:caught by 'wait'\n"
    )
    one, two = found.mutants
    assert (one.name, one.when, one.caught_by) == ("it breaks", When("level", ("low",)), ("x", "23505"))
    assert [item.text for item in one.items if isinstance(item, Statement)] == ["DROP TABLE t"]
    assert one.sessions == (
        Session(at(10), "a", (said(12, "SELECT 2", "one"),), ("one",), 4, 3, Retry(), codes("23505")),
    )
    assert two.sessions == (
        Session(at(16), "a", (said(17, "SELECT 3", "1"),), ("1",), 2, 3, Retry(codes("40001")), ()),
    )
    assert two.replaces == (Replace(at(18), "TABLE", "VIEW", None),)


@pytest.mark.parametrize(
    ("head", "title"),
    [
        ("-- Two cashiers\n-- sell\n", "Two cashiers"),
        ("-- vim: set ft=sql:\n-- -*- sql -*-\n-----------\n--\n-- Two cashiers\n", "Two cashiers"),
        ("-- Copyright (c) 2025 Somebody\n-- SPDX-License-Identifier: PostgreSQL\n\n-- Two cashiers\n", "Two cashiers"),
        ("-- Permission is granted to everybody\n-- to do what they want\n\n-- Two cashiers\n", "Two cashiers"),
        ("-- chaos:tags smoke\n-- Two cashiers\n", "Two cashiers"),
        ("-- Two cashiers\n-- chaos:title The last ticket\n", "The last ticket"),
        ("/* chaos: the suite of a shop\n   with cashiers */\n-- Two cashiers\n", "Two cashiers"),
        ("", ""),
    ],
)
def test_the_title_is_the_first_comment_with_content(scenario: Reader, head: str, title: str) -> None:
    assert scenario(head + CHECK).title == title


def test_settings_of_psql_may_be_above_the_first_section(scenario: Reader) -> None:
    found = scenario("\\unset ECHO\n\\set QUIET 1\n\\pset format unaligned\n" + CHECK)
    assert len(found.checks[0].items) == 1


def test_a_file_without_directives_is_one_check(scenario: Reader) -> None:
    text = (
        "-- pgTAP as ever\n\\set ECHO none\nBEGIN;\nSELECT plan(1);\nSELECT pass();\nSELECT * FROM finish();\nROLLBACK"
    )
    found = scenario(text, "plain.sql")
    assert found.plain
    assert (found.name, found.title) == ("plain", "pgTAP as ever")
    (check,) = found.checks
    assert [item.text for item in check.items if isinstance(item, Statement)][-1] == "ROLLBACK"
    assert isinstance(check.items[0], Meta)


def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing(scenario: Reader) -> None:
    path = scenario.folder / "t.sql"
    path.write_bytes(("\ufeff" + TICKET.replace("\n", "\r\n")).encode())
    found, same = read(path, "sql/t.sql"), scenario(TICKET)
    assert (found.sessions, found.checks, found.setup) == (same.sessions, same.checks, same.setup)
    assert (found.mutants, found.title, found.tags) == (same.mutants, same.title, same.tags)


def test_included_files_are_read_where_they_are_named(scenario: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = scenario.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "here.sql").write_text("SELECT 'from the current directory';\n")
    (scenario.folder / "lib").mkdir()
    (scenario.folder / "lib/schema.sql").write_text("CREATE TABLE t ();\n\\ir more.sql\n")
    (scenario.folder / "lib/more.sql").write_text("-- chaos:session a\nSELECT 1;\n\\quit\nSELECT 2;\n")
    monkeypatch.chdir(elsewhere)
    found = scenario("-- chaos:setup\n\\i lib/schema.sql\nSELECT 3;\n\\i here.sql\n" + CHECK)
    items = [item for section in found.setup for item in section.items] + list(found.sessions[0].items)
    places = {item.text: str(item.place) for item in items if isinstance(item, Statement)}
    assert places == {
        "CREATE TABLE t ()": "sql/lib/schema.sql:1",
        "SELECT 1": "sql/lib/more.sql:2",
        "SELECT 3": "sql/t.sql:3",
        "SELECT 'from the current directory'": "here.sql:1",
    }
    assert found.sessions[0].place == Place("sql/lib/more.sql", 1)
    assert [path.name for path in found.includes] == ["schema.sql", "more.sql", "here.sql"]


def test_an_included_file_is_looked_for_beside_the_file_first(
    scenario: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = scenario.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "both.sql").write_text("SELECT 'there';\n")
    (scenario.folder / "both.sql").write_text("SELECT 'here';\n")
    monkeypatch.chdir(elsewhere)
    (section,) = scenario("-- chaos:setup\n\\i both.sql\n" + CHECK).setup
    assert section.items == (Statement(Place("sql/both.sql", 1), "SELECT 'here'", ("SELECT 'here'",), "SELECT", "1"),)


def test_files_that_include_each_other_are_an_error(scenario: Reader) -> None:
    (scenario.folder / "other.sql").write_text("SELECT 1;\n\\ir t.sql\n")
    with pytest.raises(ScenarioError) as caught:
        scenario("-- chaos:setup\n\\i other.sql\n" + CHECK)
    assert str(caught.value) == "sql/other.sql:2: \\ir t.sql: this file includes itself"


def test_files_that_double_each_other_are_an_error_soon(scenario: Reader) -> None:
    for number in range(20):
        (scenario.folder / f"{number}.sql").write_text(f"\\ir {number + 1}.sql\n\\ir {number + 1}.sql\n")
    (scenario.folder / "20.sql").write_text("SELECT 1;\n")
    with pytest.raises(ScenarioError, match="too many files are included"):
        scenario("-- chaos:setup\n\\i 0.sql\n" + CHECK)


def test_an_included_file_that_is_not_text_is_reported_where_it_is_named(scenario: Reader) -> None:
    (scenario.folder / "raw.sql").write_bytes(b"SELECT 1;\nSELECT '\xff';\n")
    with pytest.raises(ScenarioError) as caught:
        scenario("-- chaos:setup\n\\i raw.sql\n" + CHECK)
    assert str(caught.value) == (
        "sql/t.sql:2: \\i raw.sql: is not UTF-8 (byte 0xff in this line; \\encoding says what it is in) (line 2)"
    )
