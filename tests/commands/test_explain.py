"""`pgchaos explain`: its description of a scenario, from the text and from a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import Call
from tests.conftest import ForeignServer

TRANSFER = """\
-- A transfer
-- chaos:schedule explore 100
-- chaos:requires server >= 14, extension plpgsql
-- chaos:matrix size in 1, 2
-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
CREATE TABLE entry (account_id int REFERENCES account, amount int, at timestamptz);
CREATE TABLE note (text text);
INSERT INTO account VALUES (1, 10);
-- chaos:session one retry 40001
BEGIN;
UPDATE account SET balance = balance - :size WHERE id = 1;
COMMIT;
-- chaos:session two
INSERT INTO note VALUES ('x');
SELECT sum(balance) FROM account;
-- chaos:check
SELECT is((SELECT count(*) FROM entry), 0::bigint, 'none');
"""


def explained(call: Call, text: str, *options: str) -> str:
    Path("sql/t.sql").write_text(text, encoding="utf-8")
    ended = call("explain", "sql/t.sql", *options)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


def part(text: str, heading: str) -> list[str]:
    """The lines below a heading that begins so."""
    (found,) = (block for block in text.split("\n\n") if block.startswith(heading))
    return [line.strip() for line in found.splitlines()[1:]]


def test_it_says_what_there_is_and_what_it_needs(call: Call) -> None:
    text = explained(call, TRANSFER)
    assert text.startswith("sql/t.sql: A transfer\n")
    needs = part(text, "Needs")
    assert needs[0] == "a database of its own"
    assert "extension plpgsql, else it is skipped" in needs
    assert "server >= 14, else it is skipped" in needs
    assert "one run for each size: 1, 2 (below: 1)" in needs
    assert part(text, "Session one: 1 connection; retries after 40001, 10 times") == [
        "11  1        BEGIN",
        "12  2        UPDATE account SET balance = balance - :size WHERE id = 1   -> writes or locks account, entry",
        "13  3        COMMIT   -> ends the transaction: its changes become visible, its locks are released",
    ]
    assert part(text, "What is asserted")[-1] == "no mutant shows that it can fail"


def test_it_says_which_steps_depend_on_which_and_how_many_orders_differ(call: Call) -> None:
    text = explained(call, TRANSFER)
    dependences = part(text, "What depends on what (by the text of setup; --server asks a server)")
    assert dependences == [
        "account: written or locked by one.2; read by two.2",
        "touch nothing that another connection changes: one.1, two.1",
    ]
    assert part(text, "Interleavings") == [
        "10 interleavings of the steps, if none ever waits for another",
        "a search runs 100 at most, those with the fewest interruptions first",
        # the query is before the UPDATE, between it and COMMIT, or behind that
        "3 of them differ: `explore` runs one of those that differ only in neighbours that commute",
    ]


ALL = "so each step of the others depends on these"
FREE = "touch nothing that another connection changes"
ROW, QUERY = "INSERT INTO account VALUES", "SELECT sum(balance) FROM account"
TRIGGER = f"CREATE TRIGGER x AFTER UPDATE ON account EXECUTE FUNCTION f();\n{ROW}"


@pytest.mark.parametrize(
    ("before", "instead", "line"),
    [
        (ROW, TRIGGER, f"anything: one.2, {ALL}"),
        (QUERY, "SELECT f()", f"anything: two.2, {ALL}"),
        ("INSERT INTO note", "INSERT INTO other", f"anything: two.1, {ALL}"),
        ("INSERT INTO note VALUES ('x')", "INSERT INTO entry VALUES (1)", "entry: written or locked by one.2, two.1"),
        (QUERY, "SELECT now()", f"{FREE}: one.1, one.2, two.1, two.2"),
    ],
)
def test_it_says_why(call: Call, before: str, instead: str, line: str) -> None:
    assert TRANSFER.count(before) == 1
    text = explained(call, TRANSFER.replace(before, instead))
    assert line in part(text, "What depends on what")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (TRANSFER.replace("-- chaos:schedule explore 100\n", ""), ["no schedule: the server decides"]),
        (TRANSFER.replace("explore 100", "all up to 7"), ["each is run, 7 at most"]),
        (
            TRANSFER.replace("explore 100", "one.1 one.2 one.3 two.1 two.2"),
            ["the schedule is one of them: one[1].1 one[1].2 one[1].3 two[1].1 two[1].2"],
        ),
        (
            TRANSFER.replace("COMMIT;", "-- chaos:fault cancel\nCOMMIT;"),
            ["a search takes all for different: a fault, an invariant or the history may show"],
        ),
        (
            TRANSFER.replace(
                "-- chaos:session two\n", "-- chaos:signal s\n-- chaos:session two\n-- chaos:wait for s\n"
            ),
            ["a search takes all for different: a barrier, a signal or a wait"],
        ),
        (TRANSFER.replace("INSERT INTO note VALUES ('x')", "CREATE TABLE n ()"), ["a search takes all for different:"]),
    ],
)
def test_it_says_what_the_schedule_runs(call: Call, text: str, lines: list[str]) -> None:
    found = part(explained(call, text), "Interleavings")
    for line in lines:
        assert any(one.startswith(line) for one in found), found


def test_a_server_knows_more(call: Call, foreign_server: ForeignServer) -> None:
    with foreign_server.connect() as conn:
        # other tests leave roles with settings there, and then everything may depend on these
        for (role,) in conn.execute("SELECT setrole::regrole::text FROM pg_db_role_setting WHERE setrole <> 0"):
            conn.execute(f"ALTER ROLE {role} RESET ALL".encode())
    trigger = (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM note; RETURN NULL; END';\n"
        "DO $$ BEGIN EXECUTE 'CREATE TRIGGER x AFTER UPDATE ON account EXECUTE FUNCTION f()'; END $$;\n"
    )
    text = TRANSFER.replace("INSERT INTO account VALUES", f"{trigger}INSERT INTO account VALUES")
    by_text = part(explained(call, text), "What depends on what")
    assert not any(line.startswith("anything: ") for line in by_text)
    by_server = explained(call, text, "--server", foreign_server.dsn)
    assert "anything: one.2, so each step of the others depends on these" in part(
        by_server, "What depends on what (by PostgreSQL "
    )


def test_setup_that_fails_is_reported(call: Call, foreign_server: ForeignServer) -> None:
    Path("sql/t.sql").write_text(TRANSFER.replace("VALUES (1, 10)", "VALUES (1)"), encoding="utf-8")
    ended = call("explain", "sql/t.sql", "--server", foreign_server.dsn)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("pgchaos explain: setup fails: sql/t.sql:9 ")


def test_faults_and_mutants_are_listed(call: Call) -> None:
    text = explained(
        call,
        "-- chaos:sandbox server\n-- chaos:matrix size in 1, 2, 3\n"
        "-- chaos:session a\n-- chaos:fault kill during when size = 1 or 2\nSELECT 1;\n"
        "-- chaos:invariant at end\nSELECT true AS x;\n-- chaos:check\nSELECT pass('p');\n"
        "-- chaos:mutant m\nSELECT 1;\n-- chaos:caught by 'p'\n",
    )
    assert part(text, "Needs")[0] == "a private server of its own, which pgchaos starts"
    assert part(text, "Faults") == ["sql/t.sql:4: kill in a, during the next statement, when size is 1 or 2"]
    assert part(text, "What is asserted")[1:] == [
        "sql/t.sql:6: an invariant, at the end",
        "sql/t.sql:10: with the bug `m` planted (--chaos-mutants), 'p' must fail",
    ]
    assert "-- kill during the next statement, when size is 1 or 2" in text
    assert "Interleavings" not in text  # there is one connection


def test_what_is_no_scenario_is_named(call: Call, folder: Path) -> None:
    assert call("explain", "sql/t.sql").err == (
        "pgchaos explain: the file sql/t.sql cannot be read: there is no such file\n"
    )
    (folder / "sql" / "t.sql").write_text("SELECT 1;\n", encoding="utf-8")
    ended = call("explain", "sql/t.sql")
    assert (ended.code, ended.out) == (2, "")
    assert "sql/t.sql is no scenario: it has no `-- chaos:` directive" in ended.err
    (folder / "sql" / "t.sql").write_text("-- chaos:chek\n", encoding="utf-8")
    ended = call("explain", "sql/t.sql")
    assert (ended.code, ended.err) == (1, "")
    assert ended.out.startswith("sql/t.sql:1: [language] unknown directive `chek`")


def test_programs_are_reported_with_their_faults_and_statuses(call: Call) -> None:
    text = explained(
        call,
        """\
-- Two shops
-- chaos:requires program python with psycopg, program node
-- chaos:session shop x 2 run 'python sell.py' allow exit 3
-- chaos:fault latency 5ms on every execution of 'UPDATE%'
-- chaos:allow exit 1, 2
-- chaos:session one connect 'tcp_user_timeout=200'
SELECT 1;
-- chaos:check
SELECT is((SELECT 1), 1);
""",
    )
    needs = part(text, "Needs")
    assert "program python with psycopg, else it is skipped" in needs
    assert "program node, else it is skipped" in needs
    assert "3 connections for the sessions, and some for pgchaos itself; a program may open several" in needs
    assert "Session shop: 2 processes; may end with status 3\n" in text
    assert "Session one: 1 connection; connects with tcp_user_timeout=200\n" in text
    steps = part(text, "Session shop")
    assert steps[1:] == [
        "4           -- latency 5ms before a request like 'UPDATE%'",
        "5           -- may end with status 1 or 2",
    ]
    fault = "sql/t.sql:4: latency 5ms in shop, before a request like 'UPDATE%', at every execution"
    assert part(text, "Faults") == [fault]


def test_a_pooler_is_reported_and_ties_all_steps(call: Call) -> None:
    text = explained(
        call,
        """\
-- Two clients of a pool
-- chaos:pooler transaction size 1
-- chaos:pooler query_wait_timeout = 5
-- chaos:session a x 2
SELECT 1;
-- chaos:check
SELECT is((SELECT 1), 1);
""",
    )
    needs = part(text, "Needs")
    mode = "PgBouncer between the sessions and the server, in mode transaction, 1 connection at most"
    assert f"{mode}, else it is skipped" in needs
    assert "PgBouncer's query_wait_timeout = 5" in needs
    line = "a search takes all for different: sessions share the connections of the pooler"
    assert part(text, "Interleavings")[-1] == line
