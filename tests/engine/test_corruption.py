"""amcheck after a run: it reports what is corrupt and nothing else, and leaves nothing behind."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from pgchaos.engine.amcheck import corruptions
from pgchaos.engine.connection import Connection
from pgchaos.engine.loop import run_sync
from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.reader import read
from pgchaos.search.strategy import run
from pgchaos.server import Server
from pgchaos.stop import Stop
from tests.engine.playing import CHECKED, Play, held, only

LYING = """
-- chaos:tags {tags}
-- chaos:setup
CREATE FUNCTION folded(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)';
CREATE TABLE person (id int PRIMARY KEY, mail text);
CREATE INDEX person_mail ON person (folded(mail));
INSERT INTO person VALUES (1, 'ANN@example.org');
-- chaos:session dba
CREATE OR REPLACE FUNCTION folded(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT upper($1)';
"""
WHOLE = """
-- chaos:tags {tags}
-- chaos:setup
CREATE TABLE "Odd "" name" (id int PRIMARY KEY, body text UNIQUE);
CREATE MATERIALIZED VIEW seen AS SELECT * FROM "Odd "" name";
CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (9);
CREATE UNLOGGED TABLE fast (id int PRIMARY KEY);
-- chaos:session app x 2
INSERT INTO "Odd "" name" SELECT :worker, repeat(md5(:worker::text), 200);
CREATE TEMP TABLE mine (id int PRIMARY KEY);
"""


@pytest.mark.parametrize("tags", ["recovery", "corruption smoke"])
def test_an_index_that_does_not_hold_what_its_table_holds_is_a_failure(play: Play, tags: str) -> None:
    failure = only(play(LYING.format(tags=tags) + CHECKED))
    assert (failure.kind, failure.text) == ("amcheck", "amcheck: index person_mail is corrupt")
    assert "lacks matching index tuple" in failure.details[0]
    assert "(XX001)" in failure.details[0]


def test_without_the_tag_nobody_looks(play: Play) -> None:
    assert held(play(LYING.format(tags="smoke") + CHECKED)) == ["checked"]


def test_asked_for_it_looks_at_every_scenario(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "scenario.sql"
    path.write_text(LYING.format(tags="smoke") + CHECKED, encoding="utf-8")
    result = run(read(path, "scenario.sql"), {}, server, RunSettings(1, amcheck=True))
    assert only(result).kind == "amcheck"


def test_a_table_whose_rows_are_older_than_it_says_is_a_failure(play: Play) -> None:
    failure = only(
        play(
            """
            -- chaos:tags corruption
            -- chaos:setup
            CREATE TABLE t (n int);
            INSERT INTO t SELECT generate_series(1, 7);
            -- chaos:session s
            UPDATE pg_class SET relfrozenxid = (pg_current_xact_id()::text::bigint % 4294967296)::text::xid
             WHERE oid = 't'::regclass;
            """
            + CHECKED
        )
    )
    assert (failure.kind, failure.text) == ("amcheck", "amcheck: table t is corrupt")
    assert failure.details[0].startswith("block 0, line pointer 1: xmin ")
    assert failure.details[-1] == "… and 2 more"


@pytest.mark.parametrize("sandbox", ["database", "schema", "server"])
def test_what_is_whole_is_said_nothing_of(play: Play, sandbox: str) -> None:
    result = play(f"-- chaos:sandbox {sandbox}\n" + WHOLE.format(tags="recovery") + CHECKED)
    assert held(result) == ["checked"]
    assert result.notes == []


def test_in_a_schema_only_that_schema_is_checked(play: Play) -> None:
    lying = "-- chaos:sandbox schema\n" + LYING.format(tags="recovery") + CHECKED
    assert only(play(lying)).kind == "amcheck"


def test_it_leaves_no_extension_behind(play: Play) -> None:
    text = """
        -- chaos:tags recovery
        -- chaos:setup
        CREATE TABLE t (n int PRIMARY KEY);
        -- chaos:session s
        INSERT INTO t VALUES (1);
        -- chaos:check
        SELECT pass('checked');
        -- chaos:teardown
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck') THEN RAISE 'it is here'; END IF;
        END $$;
        """
    assert held(play(text)) == ["checked"]


def test_the_scenarios_own_amcheck_is_used(play: Play) -> None:
    text = LYING.format(tags="recovery").replace(
        "-- chaos:setup\n", '-- chaos:setup\nCREATE SCHEMA "My tools"; CREATE EXTENSION amcheck SCHEMA "My tools";\n'
    )
    assert only(play(text + CHECKED)).kind == "amcheck"


def test_what_is_locked_is_reported_and_no_failure(play: Play) -> None:
    result = play(
        """
        -- chaos:tags recovery
        -- chaos:leaves prepared transaction it holds the table
        -- chaos:setup
        CREATE TABLE held (n int);
        -- chaos:session s
        BEGIN;
        LOCK TABLE held;
        PREPARE TRANSACTION 'holds';
        """
        + CHECKED
    )
    assert held(result) == ["checked"]
    (remark,) = result.remarks
    assert remark.endswith(":1: amcheck could not check table held: canceling statement due to lock timeout (55P03)")


def test_relations_that_cannot_be_listed_are_reported(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "scenario.sql"
    path.write_text(LYING.format(tags="recovery") + CHECKED, encoding="utf-8")
    scenario = read(path, "scenario.sql")
    with (
        server.sandbox() as sandbox,
        closing(Stop()) as stop,
        closing(run_sync(Connection.open(sandbox.conninfo, stop))) as connection,
    ):
        with psycopg.connect(sandbox.conninfo) as other:
            other.execute("LOCK TABLE pg_catalog.pg_am")
            failures, notes = corruptions(connection, scenario, sandbox, asked=False)
            assert failures == []
            assert notes == [
                "scenario.sql:1: amcheck could not be used: canceling statement due to lock timeout (55P03)"
            ]
            (failure,), _ = corruptions(connection, scenario, sandbox, asked=True)
            assert failure.kind == "error"
        assert corruptions(connection, scenario, sandbox, asked=True) == ([], [])
