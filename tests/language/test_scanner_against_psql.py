"""The scan against psql itself: both must send the same statements."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgchaos.language.lexemes import Sql
from pgchaos.language.substitution import render
from tests.language.psql_log import Psql, bare, start
from tests.language.scanning import found, mistakes

VARIABLES = {"v": "1", "worker": "2", "name": "it's", "back": "a\\b", "b": "9", "nested": ":v, ':v'"}

TRAPS = r"""
CREATE TABLE t (a int, b text);
-- a comment ; before
SELECT 'it''s; fine', E'a\';b', U&'d\0061;', B'1', X'1F', N'a;b';
SELECT 'over
lines; -- not a comment

' AS x;
SELECT 'a\'; SELECT E'\\'; SELECT some_e'a\'; SELECT U&'\'; SELECT '' ''; SELECT ''''; SELECT e'''';
SELECT $$ ; $$, $a$ $b$ ; $b$ $a$, $1a; SELECT $a$ $junk$a$; SELECT 1$a$ ; $a$; SELECT $1$a$ ; $a$;
SELECT a$b$ FROM t; SELECT $b$ ; $b$; SELECT é$é$ FROM t; SELECT $é$ ; $é$;
SELECT 1 /* ; /* nested ; */ ; */ + 2; -- the end; of it
SELECT 1 -- comment ; here
  , 2; SELECT 10 --';
';';
SELECT 1+/* c */2, 4- -2, 4--2 ;
; SELECT 4*/* ; **/ 2; /*/ ; /**/ ; */ */ SELECT 5;
SELECT (1; 2); SELECT 3); SELECT "weird;""name" FROM t;
COPY t (a, b) FROM STDIN; SELECT 'after copy
1	x;'y
2	\N
\.
';
copy t FROM stdin WITH (FORMAT csv);
1,"a;b"

-- no comment
\.
COPY t FROM STDIN; COPY t FROM STDIN;
1	a
\.
2	b
\.
COPY (SELECT a FROM t) TO STDOUT; COPY t FROM STDOUT;
3	c
\.
CREATE OR REPLACE FUNCTION f(x int DEFAULT (1)) RETURNS int LANGUAGE sql
BEGIN ATOMIC SELECT CASE WHEN x > 1 THEN 1 ELSE 2 END; SELECT 2; END;
CREATE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (1); END; SELECT 'after';
BEGIN; SELECT 1 AS begin; END;
SELECT 1 \; SELECT 2; SELECT 3 \; SELECT 4 \g
SELECT :v, :'name', :"name", :'back', :{?v}, :{?w}, :w, 1::int, a[1:b], a[:b], :nested FROM t;
SELECT ':v', "x:v", $$ :v $$, :::v, :=v, \:v, /* :v */ -- :v
 E':v';
SELECT 1 AS one \gset
SELECT 1 AS one \gset p_ \\ SELECT :p_one;
\set joined 'it''s' :v x
SELECT :'joined';
\if :v \echo a \else \echo b\endif \\ SELECT 7;
SELECT 8 \g \\ SELECT 9;
\if false
\else
SELECT 10;
\endif
SELECT E'abc'
 'd\'; SELECT 11;
/* lead ; */ SELECT 12;
SELECT 13
"""


def _bindirs() -> list[Path | None]:
    """List the embedded programs (None), and those of PG_BINDIR or the newest that Debian's packages brought."""
    named = os.environ.get("PG_BINDIR")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name.zfill(8))
    installed = [Path(named)] if named else versions[-1:]
    return [None, *installed]


@pytest.fixture(scope="session", params=_bindirs(), ids=lambda path: "embedded" if path is None else str(path))
def psql(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Psql]:
    bindir: Path | None = request.param
    if bindir is not None and not (bindir / "psql").exists():
        pytest.skip(f"there is no psql in {bindir}")
    running = start(bindir, tmp_path_factory.mktemp("psql"))
    with running.server:
        yield running


def ours(text: str, variables: dict[str, str]) -> list[str]:
    return [bare(render(sql.parts, variables)) for sql in found(Sql, text)]


def test_every_trap_is_cut_as_psql_cuts_it(psql: Psql) -> None:
    assert mistakes(TRAPS) == []
    # \gset and \set are carried out by psql only
    known = {**VARIABLES, "p_one": "1", "joined": "it's1x"}
    sent = [bare(text) for text in psql.sent(TRAPS, VARIABLES)]
    expected = ours(TRAPS, known)
    assert [text for text in sent if text] == expected


def test_a_file_of_windows_is_cut_at_the_same_places(psql: Psql) -> None:
    text = "\ufeffSELECT 1;\r\nSELECT 2 -- ;\r\n, 3;\r\n\\echo x\r\nSELECT 4\r\n;\r\n"
    sent = [bare(statement.replace("\r\n", "\n")) for statement in psql.sent(text, {})]
    assert sent == ours(text, {}) == ["SELECT 1", "SELECT 2 -- ;\n, 3", "SELECT 4"]


FRAGMENTS = [
    *("SELECT", "1", ";", ";\n", "\n;\n", " ", "\n", "''", "'", "'", '"', '""', "$$", "$$", "$a$", "$a$", "$", "$1"),
    *("a$b", "E'", "e'", "U&'", 'U&"', "B'", "x'", "\\'", "--", " -- c\n", "/*", "*/", "(", ")", "[", "]", ":", "::"),
    *(":=", ":v", ":'v'", ':"v"', ":{?v}", ":{?", "é", "$é$", "1.5e-3", "-", "/", "*", "+", "@", "BEGIN", "CASE"),
    *("END", "END;", "begin", "ATOMIC", "x", "_e", "\t", "\f", "\r", ".", "&", "u&", "FROM", "\\;", "\\:", "\\g\n"),
    *("\\echo a\n", "\\echo 'x' y \\\\", "\\set z 1\n", ";\nCREATE FUNCTION f() BEGIN ATOMIC SELECT 1;"),
    ";\nCREATE or replace procedure",
]


@pytest.mark.parametrize("seed", range(6))
def test_random_files_are_cut_as_psql_cuts_them(psql: Psql, seed: int) -> None:
    chance = random.Random(f"lexer {seed}")
    compared = 0
    while compared < 8:
        text = "".join(chance.choice(FRAGMENTS) + chance.choice(("", " ")) for _ in range(chance.randint(3, 40)))
        if mistakes(text):
            continue
        compared += 1
        sent = (bare(statement) for statement in psql.sent(text, VARIABLES))
        expected = [statement for statement in ours(text, VARIABLES) if statement]
        assert [statement for statement in sent if statement] == expected, f"seed {seed}: {text!r}"
