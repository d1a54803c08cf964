"""Where sqlparse's split agrees with psql's rules, and where it does not.

A release of sqlparse that comes to agree fails the second table: then less has to be corrected around it.
"""

from __future__ import annotations

import pytest
import sqlparse

from tests.language.scanning import statements

AGREED = [
    "SELECT 1; SELECT 2;",
    "SELECT ';', \"a;b\"; SELECT 2;",
    "SELECT 'it''s;'; SELECT 2;",
    "SELECT $$ ; $$; SELECT 2;",
    "SELECT $a$ ; $a$; SELECT 2;",
    "SELECT 1 /* ; */; SELECT 2;",
    "SELECT 1 -- ;\n; SELECT 2;",
    r"SELECT 'a\'; SELECT 2;",
    "SELECT 1;; SELECT 2;",
    "SELECT a[1:2]; SELECT 2;",
    "SELECT a$b FROM t; SELECT $1; SELECT 2;",
    "BEGIN; UPDATE t SET a = CASE WHEN b THEN 1 END; END;",
    "START TRANSACTION; SELECT 1; COMMIT;",
    "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3;",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$; SELECT 3;",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1; SELECT 2'; SELECT 3;",
    'CREATE TABLE t (begin_at int, "end" int); SELECT 1;',
    "DO $$ BEGIN IF true THEN NULL; END IF; END $$; SELECT 1;",
    "DECLARE c CURSOR FOR SELECT 1; FETCH c; SELECT 2;",
]

DISAGREED = [
    ("SELECT 1 /* ; /* ; */ ; */; SELECT 2;", ["SELECT 1 /* ; /* ; */ ; */", "SELECT 2"]),
    ("SELECT 1 \\gset\nSELECT 2;", ["SELECT 1", "SELECT 2"]),
    ("\\set x 1\nSELECT 2;", ["SELECT 2"]),
    ("SELECT 1 \\; SELECT 2;", ["SELECT 1 ; SELECT 2"]),
    ("COPY t FROM STDIN;\na;b\n\\.\nSELECT 2;", ["COPY t FROM STDIN", "SELECT 2"]),
    ("-- only\n", []),
]


def by_sqlparse(text: str) -> list[str]:
    """Split by sqlparse, terminators and empty statements left out as in a scan."""
    stripped = (statement.strip().rstrip(";").strip() for statement in sqlparse.split(text))
    return [statement for statement in stripped if statement]


@pytest.mark.parametrize("text", AGREED)
def test_sqlparse_agrees(text: str) -> None:
    assert by_sqlparse(text) == statements(text)


@pytest.mark.parametrize(("text", "expected"), DISAGREED)
def test_sqlparse_does_not_agree(text: str, expected: list[str]) -> None:
    assert statements(text) == expected
    assert by_sqlparse(text) != expected
