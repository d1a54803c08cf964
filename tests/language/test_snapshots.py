from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.language.reader import read

REPEATABLE = "BEGIN ISOLATION LEVEL REPEATABLE READ"
WAIT = "SELECT chaos.wait_for('go')"


def noted(tmp_path: Path, *statements: str, head: str = "", section: str = "session a") -> list[str]:
    path = tmp_path / "t.sql"
    body = "".join(f"{statement};\n" for statement in statements)
    path.write_text(f"{head}-- chaos:{section}\n{body}-- chaos:check\nSELECT pass();\n", encoding="utf-8")
    return [f"{note.place.line}: {note.text.split()[0]}" for note in read(path, "t.sql").notes]


@pytest.mark.parametrize(
    "before",
    [
        [REPEATABLE],
        ["begin transaction isolation level serializable, read only"],
        ["START TRANSACTION READ ONLY, ISOLATION LEVEL REPEATABLE READ"],
        ["BEGIN", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
        ["BEGIN", "SET LOCAL transaction_isolation = 'repeatable read'"],
        ["SET default_transaction_isolation = 'repeatable read'", "SET lock_timeout = '1s'", "BEGIN"],
        ["SET SESSION default_transaction_isolation TO serializable", "BEGIN"],
        ["SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ", "BEGIN"],
        [REPEATABLE, "SET LOCAL lock_timeout = '1s'", "LOCK TABLE t", "SAVEPOINT a", "ROLLBACK TO SAVEPOINT a"],
        [REPEATABLE, "SELECT 1", "COMMIT AND CHAIN"],
        ["BEGIN", "SELECT 1", "COMMIT", REPEATABLE],
        [f"{REPEATABLE} \\; SELECT 1 \\; COMMIT", REPEATABLE],
    ],
    ids="; ".join,
)
def test_a_wait_that_is_the_first_query_of_a_block_with_one_snapshot_is_noted(
    tmp_path: Path, before: list[str]
) -> None:
    assert noted(tmp_path, *before, WAIT, WAIT, "COMMIT") == [f"{len(before) + 2}: chaos.wait_for()"]


@pytest.mark.parametrize(
    "before",
    [
        [],
        ["BEGIN"],
        ["BEGIN ISOLATION LEVEL READ COMMITTED"],
        [REPEATABLE, "SELECT 1"],
        [REPEATABLE, "UPDATE t SET a = 1"],
        [REPEATABLE, "COMMIT"],
        [REPEATABLE, "SELECT 1", "ROLLBACK", "BEGIN"],
        [REPEATABLE, "PREPARE TRANSACTION 'x'"],
        ["SET default_transaction_isolation = 'repeatable read'"],
        ["SET default_transaction_isolation = 'repeatable read'", "BEGIN ISOLATION LEVEL READ COMMITTED"],
        ["SET default_transaction_isolation = serializable", "RESET default_transaction_isolation", "BEGIN"],
        ["SET default_transaction_isolation = serializable", "SET default_transaction_isolation TO DEFAULT", "BEGIN"],
        ["BEGIN", "SELECT 1", "COMMIT AND CHAIN"],
        ["SELECT 'BEGIN ISOLATION LEVEL REPEATABLE READ'"],
    ],
    ids="; ".join,
)
def test_any_other_wait_is_not(tmp_path: Path, before: list[str]) -> None:
    assert noted(tmp_path, *before, WAIT) == []


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("chaos.barrier('b', 2)", "barrier"),
        ("1, CHAOS . Wait_For('x')", "wait_for"),
        ("chaos.wait_blocked('b')", "wait_blocked"),
        ("chaos.delay('5ms')", "delay"),
        ("chaos.jitter('5ms')", "jitter"),
        ("chaos.eventually('SELECT true')", "eventually"),
        ("chaos.terminate('b')", "terminate"),
        ("chaos.worker()", ""),
        ("chaos.signal('x')", ""),
        ("delay('5ms')", ""),
        ("'chaos.delay(''5ms'')'", ""),
    ],
)
def test_which_functions_wait(tmp_path: Path, call: str, name: str) -> None:
    assert noted(tmp_path, REPEATABLE, f"SELECT {call}") == ([f"3: chaos.{name}()"] if name else [])


@pytest.mark.parametrize(("level", "count"), [("'read committed', 'repeatable read'", 1), ("'read committed'", 0)])
def test_the_values_of_a_matrix_are_checked(tmp_path: Path, level: str, count: int) -> None:
    head = f"-- chaos:matrix level in {level}\n"
    for begin in ("BEGIN ISOLATION LEVEL :level", "SET default_transaction_isolation = :'level'; BEGIN"):
        assert len(noted(tmp_path, begin, WAIT, head=head)) == count


def test_each_section_has_a_connection_of_its_own(tmp_path: Path) -> None:
    assert noted(tmp_path, REPEATABLE, WAIT, section="setup") == ["3: chaos.wait_for()"]
    assert noted(tmp_path, REPEATABLE, "COMMIT;\n-- chaos:session b\nBEGIN", WAIT) == []
    assert noted(tmp_path, f"{REPEATABLE};\n-- chaos:session b\n{WAIT}") == []


def test_a_note_says_what_happens_and_what_to_write(tmp_path: Path) -> None:
    path = tmp_path / "t.sql"
    path.write_text(
        f"-- chaos:session a\n{REPEATABLE};\nSELECT\n chaos.barrier('b', 2);\n-- chaos:check\nSELECT pass();\n"
    )
    assert list(map(str, read(path, "t.sql").notes)) == [
        "t.sql:4: chaos.barrier() is the first query of a block at repeatable read, so the block sees the rows as they"
        " were before the wait: it takes the snapshot; the directive `-- chaos:barrier NAME` takes none"
    ]
