"""Files of pg_dump in setup: what they write for psql, the search_path that they empty, roles that are not there."""

from __future__ import annotations

from pathlib import Path

from pgchaos.results import RunResult
from tests.engine.playing import Play, line

DUMP = """--
-- PostgreSQL database dump
--

\\restrict mYrOzQ2KhkXk3b2wqkEgLkFfUuAUJZkQv5hX0YdH2a

SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;

CREATE TABLE public.orders (
    id integer NOT NULL
);

COPY public.orders (id) FROM stdin;
1
2
\\.

\\unrestrict mYrOzQ2KhkXk3b2wqkEgLkFfUuAUJZkQv5hX0YdH2a
"""
CHECK = """
-- chaos:check
SELECT is((SELECT count(*) FROM orders), 2::bigint, 'both are there');
"""


def run(play: Play, setup: str, dump: str = DUMP) -> RunResult:
    Path(play.folder, "dump.sql").write_text(dump, encoding="utf-8")
    return play(f"-- chaos:setup\n{setup}\n{CHECK}")


def test_a_dump_is_read_as_psql_reads_it(play: Play) -> None:
    assert run(play, "\\ir dump.sql").failures == []


def test_the_empty_search_path_is_reported_where_it_hurts(play: Play) -> None:
    for statement in ("INSERT INTO orders VALUES (3);", "CREATE TABLE other (n int);", "SELECT no_such();"):
        (failure,) = run(play, f"\\ir dump.sql\n{statement}").failures
        assert line(failure) == 3
        (hint,) = (line for line in failure.details if "search_path" in line)
        assert "dump.sql:10 (pg_dump writes it so): write `RESET search_path;` behind the file" in hint


def test_of_one_that_was_set_again_nothing_is_said(play: Play) -> None:
    (failure,) = run(play, "\\ir dump.sql\nRESET search_path;\nSELECT * FROM nowhere;").failures
    assert not any("search_path" in line for line in failure.details)
    assert run(play, "\\ir dump.sql\nRESET search_path;\nINSERT INTO orders SELECT 3 WHERE false;").failures == []


def test_a_role_that_is_not_there_is_reported_with_what_to_do(play: Play) -> None:
    for statement in (
        "ALTER TABLE public.orders OWNER TO shop_owner;",
        "GRANT SELECT ON public.orders TO shop_reader;",
    ):
        (failure,) = run(play, "\\ir dump.sql", DUMP + statement).failures
        assert failure.names[0] == "42704"
        assert failure.place is not None
        assert failure.place.path.endswith("dump.sql")
        (hint,) = failure.details
        assert "pg_dump --no-owner --no-privileges" in hint
