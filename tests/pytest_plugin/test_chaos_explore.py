"""`chaos_explore`: functions of a test as sessions, searched, shrunk, replayed; and what becomes of those that hang."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from pgchaos.language.problems import Place
from pgchaos.pytest_plugin.fixtures.exploring import Caller
from tests.engine.playing import over_once
from tests.often import often
from tests.pytest_plugin.conftest import Project

HEAD = """
import asyncio
import threading
import time

import psycopg

HANGS = threading.Event()
SETUP = "CREATE TABLE stock (id int PRIMARY KEY, pieces int); INSERT INTO stock VALUES (1, 10) -- FOLDER"
CHECK = "SELECT is(pieces, 8, 'both sold') FROM stock"


def buy(dsn, lock=""):
    with psycopg.connect(**dsn.parameters) as conn:
        (pieces,) = conn.execute("SELECT pieces FROM stock WHERE id = 1" + lock).fetchone()
        conn.execute("UPDATE stock SET pieces = %s WHERE id = 1", [pieces - 1])


def buy_locked(dsn):
    buy(dsn, " FOR UPDATE")


async def buy_later(dsn):
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        (pieces,) = await (await conn.execute("SELECT pieces FROM stock WHERE id = 1")).fetchone()
        await asyncio.sleep(0)
        await conn.execute("UPDATE stock SET pieces = %s WHERE id = 1", [pieces - 1])


def create(dsn):
    assert dsn.startswith("postgresql://")
    with psycopg.connect(**dsn.parameters) as conn:
        conn.execute(SETUP)


def both_sold(conn):
    assert conn.execute("SELECT pieces FROM stock").fetchone() == (8,), "both sold"


async def both_sold_later(conn):
    assert conn.execute("SELECT pieces FROM stock").fetchone() == (8,), "both sold"


def are_both_sold(conn):
    return both_sold(conn) or conn.execute("SELECT pieces FROM stock").fetchone() == (8,)


def is_limited(conn):
    assert conn.execute("SHOW statement_timeout").fetchone() == ("2min",)
    conn.execute("SET statement_timeout = 1")
    assert conn.execute("SELECT pg_sleep(600)").fetchone()


def sees_the_history(conn):
    statements = "SELECT statement FROM chaos.history WHERE session = 'buy_locked' AND statement LIKE 'UPDATE%'"
    assert conn.execute(statements).fetchall() == 3


def hangs(dsn):
    conn = psycopg.connect(dsn)
    conn.execute("UPDATE stock SET pieces = 9")
    HANGS.set()
    while True:
        time.sleep(0.1)


def buy_meanwhile(dsn):
    HANGS.wait()
    buy(dsn)


def breaks(dsn):
    buy(dsn)
    raise LookupError("no such stock")


def test_it(chaos_explore):
    found = chaos_explore({arguments})
    print(f"covered: {{found.runs}} {{found.exhausted}}")
"""


def line(text: str, after: str = "") -> str:
    """Give the place of a line of the test, the first one below another."""
    lines = HEAD.splitlines()
    begin = next(number for number, one in enumerate(lines) if after in one)
    return f"test_it.py:{next(number for number, one in enumerate(lines[begin:], begin + 1) if text in one)}"


AT = line("found = chaos_explore(")
FOUND = re.compile(r"Found after (?P<runs>\d+) interleaving")
TOKEN = re.compile(r"--chaos-replay=(?P<token>\S+)")


def explored(project: Project, arguments: str, *args: str, number: int = 0) -> str:
    """Call it in a test; what was found by a test with another number is not known."""
    text = HEAD.replace("FOLDER", f"{project.pytester.path} {number}")
    project.file("test_it.py", text.replace("{arguments}", arguments).replace("{{", "{").replace("}}", "}"))
    result = project.run("test_it.py", "-p", "no:cacheprovider", "-rA", *args)
    return str(result.stdout)


def test_a_lost_update_is_found_shrunk_and_replayed_whatever_the_seed(project: Project) -> None:
    arguments = "setup=SETUP, sessions=[buy, buy], check=CHECK"
    for seed in range(often(1, 20)):
        text = explored(project, arguments, f"--chaos-seed={seed}", number=seed)
        assert f"{AT}: both sold\n    have: 9\n    want: 8\n" in text
        assert "buy[1].1 buy[1].2 buy[2].1 buy[2].2 buy[2].3 buy[2].4 buy[1].3 buy[1].4" in text
        assert "[$1 = '9']" in text
        found = FOUND.search(text)
        assert found is not None
        assert int(found["runs"]) < 20
        (token,) = set(TOKEN.findall(text))
        assert f"or in the test: chaos_explore(…, replay='{token}')" in text
        for _ in range(often(1, 20)):
            again = explored(project, arguments, f"--chaos-replay={token}", number=seed)
            assert f"{AT}: both sold\n    have: 9\n    want: 8\n" in again
            assert "The steps, in the order in which they began:\n    buy[1].1 buy[1].2 buy[2].1" in again
    asked = f"{arguments}, replay='{token}'"
    # the fingerprint is that of the test, without the arguments that do not matter
    assert f"{AT}: both sold\n    have: 9\n    want: 8\n" in explored(project, asked, number=seed)


def test_functions_may_set_up_and_check_and_be_coroutines(project: Project) -> None:
    text = explored(project, "setup=create, sessions=[buy, buy_later], check=both_sold")
    # the line that failed, and then that of the call
    why = "check: AssertionError: both sold"
    assert f"{line('assert conn.execute(')}: {why}\n    assert (9,) == (8,)\n" in text
    assert f"\n    chaos_explore was called in {AT}\n" in text
    assert f"FAILED test_it.py::test_it - {why}\n" in text
    assert "buy.1 buy.2 buy_later.1 buy_later.2 buy_later.3 buy_later.4 buy.3 buy.4" in text


def test_sessions_connect_to_the_proxy_without_tls_whatever_the_environment_demands_of_the_server(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the private server is reached by a Unix socket, where libpq ignores it
    monkeypatch.setenv("PGSSLMODE", "require")
    text = explored(project, "setup=create, sessions=[buy, buy_later], check='SELECT pass()', runs=2")
    assert "1 passed" in text
    assert "covered: 2" in text


def test_what_locks_its_row_passes_and_says_what_was_covered(project: Project) -> None:
    text = explored(project, f"setup=SETUP, sessions=[buy_locked] * 2, check=CHECK, runs={often(4, 100)}")
    assert f"covered: {often(4, 100)} False" in text


def test_an_exception_is_a_failure_with_its_line(project: Project) -> None:
    text = explored(project, "setup=SETUP, sessions=[breaks], check=CHECK, runs=1")
    assert f"{AT}: breaks[1]: LookupError: no such stock\n" in text
    assert f"{line('raise LookupError')} in breaks: raise LookupError" in text


def test_a_function_that_never_ends_is_reported_with_what_it_does(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleeps(doing: dict[str, str]) -> bool:
        tops = [(frame.f_code.co_name, f"test_it.py:{frame.f_lineno}") for frame in sys._current_frames().values()]
        return doing["buy_meanwhile[1]"] == "is blocked" and ("hangs", line("time.sleep")) in tops

    over_once(monkeypatch, sleeps)
    sessions = "sessions=[hangs, buy_meanwhile]"
    text = explored(project, f"setup=SETUP, {sessions}, check=CHECK, runs=1, timeout=600, grace=0.05")
    assert f"{AT}: the sessions did not end within 600s" in text
    assert f"hangs[1] was in {line('time.sleep')} in hangs: time.sleep(0.1)" in text
    assert re.search(r"buy_meanwhile\[1\] +is blocked, waits for hangs\[1\]", text)


def test_wrong_arguments_are_reported(project: Project) -> None:
    assert "nothing is asserted: give it a check or an oracle" in explored(project, "sessions=[buy]")
    text = explored(project, "setup='CREATE TABL (', sessions=[buy], check='SELECT pass('")
    assert re.search(r"^chaos_explore: test_it\.py:\d+: ", text, re.MULTILINE), "the first line says what is wrong"
    text = explored(project, "setup='CREATE TABL x', sessions=[buy], check=CHECK")
    assert f"{AT}: setup: ERROR 42601 (syntax_error)" in text


def test_a_check_in_python_is_awaited_and_ends_and_what_it_returns_is_no_assertion(project: Project) -> None:
    later = line("assert conn.execute(", after="async def both_sold_later")
    text = explored(project, "setup=SETUP, sessions=[buy], check=both_sold_later, runs=1")
    assert f"{later}: check: AssertionError: both sold" in text
    text = explored(project, "setup=SETUP, sessions=[buy, buy_locked], check=are_both_sold, runs=1")
    assert f"{AT}: check: it returned True, which is not checked: write `assert …` in it" in text
    text = explored(project, "setup=SETUP, sessions=[buy], check=is_limited, runs=1, timeout=120")
    assert f"{line('pg_sleep(600)')}: check: QueryCanceled: canceling statement due to statement timeout" in text


def test_a_check_in_python_sees_what_the_sessions_did(project: Project) -> None:
    text = explored(project, "setup=SETUP, sessions=[buy_locked], check=sees_the_history, runs=1")
    assert "assert [('UPDATE stock SET pieces = $1 WHERE id = 1',)] == 3" in text


@pytest.mark.parametrize(
    ("file", "shown"),
    [("tests/test_it.py", "tests/test_it.py"), ("helpers/stock.py", "helpers/stock.py"), ("../other.py", "other.py")],
)
def test_a_check_that_fails_in_another_file_is_reported_with_that(tmp_path: Path, file: str, shown: str) -> None:
    root = tmp_path / "shop"
    failing = compile("\n\nassert False", os.path.normpath(root / file), "exec")
    caller = Caller(Place("tests/test_it.py", 7), root, lambda path: str(path).removeprefix(f"{root}/"))
    with pytest.raises(AssertionError) as raised:
        exec(failing)
    place, called = caller.failed_at(raised.value)
    assert str(place) == f"{tmp_path / shown if '..' in file else shown}:3"
    assert called == ("chaos_explore was called in tests/test_it.py:7",)


def test_a_check_that_fails_points_to_its_file_from_a_subfolder_too(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := project.pytester.path / "shop").mkdir()
    arguments = "setup=SETUP, sessions=[buy], check=both_sold, runs=1"
    text = HEAD.replace("{arguments}", arguments).replace("{{", "{").replace("}}", "}")
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    result = project.run("test_it.py", "--tb=line")
    place = line('== (8,), "both sold"').replace("test_it.py", str(folder / "test_it.py"))
    assert f"{place}: check: AssertionError: both sold" in str(result.stdout)


def test_a_token_of_another_test_is_reported(project: Project) -> None:
    text = explored(project, "sessions=[buy], check=CHECK", "--chaos-replay=005235ca61b3-zh3tsy-00111100")
    assert "the token is of another call of chaos_explore, or the test has changed since" in text
    text = explored(project, "sessions=[buy], check=CHECK, replay='005235ca61b3-zh3tsy-00111100'")
    assert "the token of `replay` is of another call, or the test has changed" in text
