"""What a statement does to the transaction block."""

from __future__ import annotations

import pytest

from pgchaos.language.transaction_statements import begins_none, closes_block, opens_block
from tests.language.scanning import only

NOTHING, OPENS, CLOSES, BOTH = (False, False), (True, False), (False, True), (True, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BEGIN", OPENS),
        ("begin isolation level serializable", OPENS),
        ("BEGIN /* x */ WORK", OPENS),
        ("START TRANSACTION READ ONLY", OPENS),
        ("START -- x\n TRANSACTION", OPENS),
        ("COMMIT", CLOSES),
        ("COMMIT WORK", CLOSES),
        ("END", CLOSES),
        ("END TRANSACTION AND NO CHAIN", CLOSES),
        ("ROLLBACK", CLOSES),
        ("rollback -- to a savepoint?\n", CLOSES),
        ("ABORT", CLOSES),
        ("PREPARE TRANSACTION 'x'", CLOSES),
        ("COMMIT AND CHAIN", BOTH),
        ("ROLLBACK WORK AND CHAIN", BOTH),
        ("END AND /* no */ CHAIN", BOTH),
        ("ROLLBACK TO SAVEPOINT a", NOTHING),
        ("ROLLBACK TO a", NOTHING),
        ("ROLLBACK WORK TO a", NOTHING),
        ("ROLLBACK TRANSACTION TO SAVEPOINT a", NOTHING),
        ("COMMIT PREPARED 'x'", NOTHING),
        ("ROLLBACK PREPARED 'x'", NOTHING),
        ("PREPARE p AS SELECT 1", NOTHING),
        ("SAVEPOINT a", NOTHING),
        ("RELEASE a", NOTHING),
        ("SELECT 'BEGIN; COMMIT'", NOTHING),
        ("SELECT 1 AS begin", NOTHING),
        ("DO $$ BEGIN NULL; COMMIT; END $$", NOTHING),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END", NOTHING),
        ("SELECT 1 /* ; COMMIT */", NOTHING),
        ("BEGIN \\; SELECT 1", OPENS),
        ("SELECT 1 \\; COMMIT", CLOSES),
        ("BEGIN \\; SELECT 1 \\; COMMIT", BOTH),
        ("/* lead */ \\; COMMIT", CLOSES),
    ],
)
def test_what_a_statement_does_to_the_block(text: str, expected: tuple[bool, bool]) -> None:
    sql = only(f"{text}\n;")
    assert (opens_block(sql.verb, sql.text), closes_block(sql.verb, sql.text)) == expected


@pytest.mark.parametrize(
    ("text", "none"),
    [
        ("begin", True),
        ("START TRANSACTION", True),
        ("-- x\nROLLBACK TO a", True),
        ("COMMIT PREPARED 'x'", True),
        ("PREPARE TRANSACTION 'x'", True),
        ("PREPARE p AS SELECT 1", False),
        ("VACUUM t", True),
        ("CLUSTER", True),
        ("CLUSTER t", False),
        ("CREATE DATABASE d", True),
        ("CREATE UNIQUE INDEX CONCURRENTLY ON t (a)", True),
        ("CREATE INDEX i ON t (a)", False),
        ("CREATE TABLE database (a int)", False),
        ("DROP INDEX CONCURRENTLY i", True),
        ("DROP TABLE t", False),
        ("REINDEX SYSTEM d", True),
        ("REINDEX TABLE CONCURRENTLY t", True),
        ("REINDEX TABLE t", False),
        ("ALTER SYSTEM SET work_mem = 64", True),
        ("ALTER TABLE t ADD a int", False),
        ("DISCARD ALL", True),
        ("DISCARD PLANS", False),
        ("SELECT 'VACUUM'", False),
    ],
)
def test_what_psql_begins_no_transaction_for(text: str, none: bool) -> None:
    assert begins_none(text) is none
