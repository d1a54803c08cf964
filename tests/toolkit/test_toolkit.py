from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.search.strategy import run
from pgchaos.server import Server
from pgchaos.server.sandbox import read_toolkit
from tests.toolkit.conftest import Connect, Play, one, reported
from tests.toolkit.reference import functions, reference

PGTAP = Path(__file__).parents[2] / "pgtap"
FILES = sorted((PGTAP / "test" / "sql").glob("*.sql"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pgtap_file_of_the_extension_holds(path: Path, private_server: Server) -> None:
    result = run(read(path), {}, private_server, RunSettings(seed=1, timeout=30.0))
    assert reported(result) == []
    assert result.assertions


def test_there_are_pgtap_files() -> None:
    assert len(FILES) > 10


def test_every_public_function_is_called_in_a_pgtap_file(connect: Connect) -> None:
    names = connect("look").execute(
        "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'chaos'::regnamespace AND proname !~ '^_'"
    )
    source = "".join(path.read_text(encoding="utf-8") for path in FILES)
    assert [name for (name,) in names if f"chaos.{name}(" not in source] == []


def test_every_public_function_is_in_the_readme(connect: Connect) -> None:
    names = connect("look").execute(
        "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'chaos'::regnamespace AND proname !~ '^_'"
    )
    readme = (PGTAP / "README.md").read_text(encoding="utf-8")
    assert [name for (name,) in names if f"`chaos.{name}(" not in readme] == []


def test_the_package_carries_the_script_of_the_extension() -> None:
    assert read_toolkit() == (PGTAP / "pgchaos--0.1.0.sql").read_text(encoding="utf-8")


def test_the_script_holds_no_command_of_psql() -> None:
    assert [line for line in read_toolkit().splitlines() if line.startswith("\\")] == []


def test_drawn_numbers_are_those_of_seed_worker_and_iteration(play: Play) -> None:
    text = """
-- chaos:setup
CREATE TABLE drawn (worker int, iteration int, n int, value float);
-- chaos:session roller x 2 repeat 2
INSERT INTO drawn SELECT chaos.worker(), chaos.iteration(), n, chaos.random() FROM generate_series(1, 2) AS n;
-- chaos:check
SELECT is(count(DISTINCT value), 8::bigint, 'each has its own') FROM drawn;
SELECT md5(string_agg(value::text, ' ' ORDER BY worker, iteration, n)) AS values FROM drawn \\gset
\\echo :values
"""
    first, same, other = play(text), play(text), play(text, seed=2)
    assert reported(first) == reported(same) == reported(other) == []
    assert first.output == same.output != other.output


def test_a_snapshot_of_setup_is_compared_in_check(play: Play) -> None:
    text = """
-- chaos:setup
CREATE TABLE account (id int, balance int);
INSERT INTO account VALUES (1, 100), (2, 100);
SELECT chaos.snapshot('accounts', 'SELECT * FROM account');
-- chaos:session clerk
BEGIN;
UPDATE account SET balance = balance - 10 WHERE id = 1;
{end};
-- chaos:check
SELECT chaos.unchanged('accounts', 'no transfer happened');
"""
    assert reported(play(text.format(end="ROLLBACK"))) == []
    failures = play(text.format(end="COMMIT")).failures
    assert [failure.names for failure in failures] == [("no transfer happened",)]
    assert "missing: (1,100)" in "\n".join(failures[0].details)


def test_an_injected_fault_reaches_every_session_until_it_is_cleared(play: Play) -> None:
    text = """
-- chaos:setup
CREATE TABLE job (id int);
SELECT chaos.inject_error('job', 'INSERT', 'disk_full');
-- chaos:session worker x 2
-- chaos:expect disk_full
INSERT INTO job VALUES (:worker);
-- chaos:check
SELECT is(chaos.clear_faults(), 1, 'there was one');
INSERT INTO job VALUES (3);
SELECT results_eq('SELECT id FROM job', ARRAY[3], 'only what came after');
"""
    assert reported(play(text)) == []


def test_fail_nth_lets_a_transaction_be_tried_again(play: Play) -> None:
    text = """
-- chaos:session worker x 2 retry serialization_failure up to 5 backoff 1ms
BEGIN;
SELECT chaos.fail_nth(1, '40001');
SELECT chaos.fail_nth(1, '40001', 'later');
COMMIT;
-- chaos:check
SELECT is(max(attempt), 3, 'two attempts fail, the third does not') FROM chaos.transactions WHERE outcome = 'committed';
"""
    assert reported(play(text)) == []


def test_an_ordinary_role_may_use_it(connect: Connect) -> None:
    conn = connect("check")
    conn.execute("CREATE ROLE toolkit_guest")
    try:
        conn.execute("SET ROLE toolkit_guest")
        conn.execute("SELECT chaos.snapshot('one', 'SELECT 1'), chaos.signal('x'), chaos.random()")
        assert one(conn, "SELECT chaos.fail_nth(2, '40001')") == 1
        assert one(conn, "SELECT count(*) FROM chaos.history") == 0
    finally:
        conn.execute("RESET ROLE")
        conn.execute("DROP ROLE toolkit_guest")


def test_assert_tells_the_run_what_held_and_what_did_not(play: Play) -> None:
    text = """
-- chaos:session clerk
BEGIN;
SELECT chaos.assert(true, 'holds'), chaos.assert(false, 'is false'), chaos.assert(NULL, 'is null');
ROLLBACK;
"""
    result = play(text)
    assert [(a.name, a.ok) for a in result.assertions] == [("holds", True), ("is false", False), ("is null", False)]
    assert [failure.names for failure in result.failures] == [("is false",), ("is null",)]


def test_the_reference_in_the_readme_is_what_the_comments_say(connect: Connect) -> None:
    rows = connect("look").execute(
        "SELECT proname, obj_description(oid) FROM pg_proc"
        " WHERE pronamespace = 'chaos'::regnamespace AND proname !~ '^_'"
    )
    comments = {str(name): " ".join(str(comment).partition("Example:")[0].split()) for name, comment in rows}
    entries = functions()
    assert comments.keys() == entries.keys()
    assert [name for name in entries if comments[name].replace("<", "&lt;") not in entries[name]] == []
    readme = (PGTAP / "README.md").read_text(encoding="utf-8")
    assert readme.endswith(reference()), "run `make toolkit-reference` and commit pgtap/README.md"
