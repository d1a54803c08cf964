"""What scenarios leave behind, with `leaves` and without."""

from __future__ import annotations

from contextlib import closing

import pytest

from pgchaos.engine.connection import Connection
from pgchaos.engine.leaked_settings import read_settings
from pgchaos.engine.leaks import SHARED
from pgchaos.engine.loop import run_sync
from pgchaos.stop import Stop
from tests.engine.playing import CHECKED, Play, held, only, stranger
from tests.waiting import until

LEAKS = {
    "open transaction": ("", "BEGIN;\nSELECT 1;"),
    "prepared transaction": ("", "BEGIN;\nCREATE TABLE p ();\nPREPARE TRANSACTION 'left';"),
    "advisory lock": ("", "SELECT pg_advisory_lock(7);"),
    "invalid index": (
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1);",
        "-- chaos:expect 23505\nCREATE UNIQUE INDEX CONCURRENTLY broken ON t (a);",
    ),
    "role": ("", "CREATE ROLE left_behind;"),
    "slot": ("", "SELECT pg_create_physical_replication_slot('left_behind');"),
    "object": ("", "CREATE DATABASE left_behind;"),
}


@pytest.mark.parametrize(("kind", "how"), LEAKS.items(), ids=LEAKS.keys())
def test_a_leak_is_found_unless_it_is_meant(play: Play, kind: str, how: tuple[str, str]) -> None:
    text = f"-- chaos:setup\nSELECT 1; {how[0]}\n-- chaos:session s\n{how[1]}\n{CHECKED}"
    failure = only(play(text))
    assert (failure.kind, failure.names) == ("leak", (kind,))
    assert failure.text.startswith(f"left behind: {kind}: ")
    last = text.splitlines().index(how[1].splitlines()[-1]) + 1
    assert failure.place is not None
    assert failure.place.line == last
    assert failure.details[0].endswith(f"where it is meant, write `-- chaos:leaves {kind} REASON` in the header")
    meant = play(f"-- chaos:leaves {kind} it is meant\n{text}")
    assert held(meant) == ["checked"]


def test_a_temporary_slot_is_no_leak_as_it_ends_with_its_session(play: Play) -> None:
    with play.server.connect() as session, play.server.connect() as other:
        session.execute("SELECT pg_create_physical_replication_slot('temporary', true, true)")
        assert ("slot", "temporary") not in other.execute(SHARED.encode()).fetchall()


def test_the_line_of_a_leak_is_the_one_that_made_it(play: Play) -> None:
    result = play(
        """
        -- chaos:session one
        SELECT pg_advisory_unlock(7);
        ALTER ROLE CURRENT_USER SET work_mem = '2MB';
        SET work_mem = '1MB';
        -- chaos:session two
        SELECT 'left_behind', 1;
        CREATE ROLE left_behind;
        -- chaos:session three
        SELECT pg_try_advisory_lock(7);
        """
        + CHECKED
    )
    lines = {failure.names: failure.place and failure.place.line for failure in result.failures}
    assert lines == {("object",): 4, ("role",): 8, ("advisory lock",): 10}


@pytest.mark.parametrize("kind", LEAKS)
def test_what_is_meant_and_not_left_is_a_failure(play: Play, kind: str) -> None:
    failure = only(play(f"-- chaos:leaves {kind} it is meant\n-- chaos:session s\nSELECT 1;\n{CHECKED}"))
    assert (failure.kind, failure.names) == ("leak", (kind,))
    assert "nothing of that kind was left behind" in failure.text
    assert failure.place is not None


@pytest.mark.parametrize("kind", ["role", "slot", "object"])
def test_what_is_left_on_the_server_is_removed(play: Play, kind: str) -> None:
    play(f"-- chaos:session s\n{LEAKS[kind][1]}\n{CHECKED}")
    with play.server.connect() as conn:
        row = conn.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = 'left_behind'"
            " UNION ALL SELECT slot_name FROM pg_replication_slots WHERE slot_name = 'left_behind'"
            " UNION ALL SELECT datname FROM pg_database WHERE datname = 'left_behind'"
        ).fetchone()
    assert row is None


@pytest.mark.parametrize("failing", [False, True], ids=["complete", "stopped"])
def test_a_prepared_transaction_is_rolled_back_and_the_database_dropped(play: Play, failing: bool) -> None:
    fails = "SELECT 1/0;" if failing else ""
    play(
        f"""
        -- chaos:setup
        DO $$ BEGIN RAISE NOTICE '%', current_database(); END $$;
        -- chaos:session s
        BEGIN;
        CREATE TABLE p ();
        PREPARE TRANSACTION 'left';
        {fails}
        """
        + CHECKED
    )

    def gone() -> bool:
        with play.server.connect() as conn:
            return conn.execute("SELECT FROM pg_prepared_xacts").fetchone() is None

    until(gone, "the prepared transaction is gone")


def test_a_session_that_is_not_the_engines_is_a_leak(play: Play) -> None:
    with stranger(play.server, 7):
        result = play(
            """
            -- chaos:session ready
            -- chaos:allow query_canceled
            SELECT pg_sleep(100);
            """
            + CHECKED
        )
    failure = only(result)
    assert failure.names == ("session",)
    assert "a stranger" in failure.text


def test_a_role_that_somebody_else_made_meanwhile_is_not_touched(play: Play) -> None:
    # made from within the run, but by a name that the file does not make: a session's name is no role of the file
    try:
        result = play(
            """
            -- chaos:session reader
            DO $$ BEGIN EXECUTE 'CREATE ROLE ' || 'rea' || 'der'; END $$;
            DO $$ BEGIN EXECUTE 'CREATE ROLE ' || 'some' || 'body'; END $$;
            """
            + CHECKED
        )
        assert held(result) == ["checked"]
        with play.server.connect() as conn:
            names = {row[0] for row in conn.execute("SELECT rolname FROM pg_roles")}
        assert {"reader", "somebody"} <= names
    finally:
        with play.server.connect() as conn:
            conn.execute("DROP ROLE IF EXISTS reader, somebody")


def test_a_role_that_was_there_before_is_not_touched(play: Play) -> None:
    with play.server.connect() as conn:
        conn.execute("CREATE ROLE old_hand")
    try:
        result = play("-- chaos:session s\n-- chaos:expect 42710\nCREATE ROLE old_hand;\n" + CHECKED)
        assert held(result) == ["checked"]
        with play.server.connect() as conn:
            assert conn.execute("SELECT FROM pg_roles WHERE rolname = 'old_hand'").fetchone() is not None
    finally:
        with play.server.connect() as conn:
            conn.execute("DROP ROLE IF EXISTS old_hand")


def test_the_connections_of_the_engine_are_no_leak(play: Play) -> None:
    for _ in range(5):
        result = play(
            """
            -- chaos:setup
            SELECT 1;
            -- chaos:invariant
            SELECT true;
            -- chaos:session s x 5
            SELECT 1;
            """
            + CHECKED
        )
        assert held(result) == ["checked"]


def test_leaks_are_not_judged_where_the_run_was_stopped(play: Play) -> None:
    failure = only(play(f"-- chaos:session s\nSELECT pg_advisory_lock(1);\nSELECT 1/0;\n{CHECKED}"))
    assert failure.kind == "error"


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (
            "ALTER ROLE CURRENT_USER SET default_transaction_isolation = 'serializable';",
            "setting default_transaction_isolation=serializable (ALTER ROLE ",
        ),
        ("ALTER ROLE ALL SET work_mem = '1MB';", "setting work_mem=1MB (ALTER ROLE ALL)"),
        (
            "ALTER SYSTEM SET default_transaction_isolation = 'serializable';\nSELECT pg_reload_conf();\n"
            "SELECT current_setting('default_transaction_isolation') = 'serializable' AS done \\gset\n",
            "setting default_transaction_isolation=serializable (ALTER SYSTEM)",
        ),
        ("ALTER SYSTEM SET work_mem = '1MB';", "setting work_mem=1MB (ALTER SYSTEM)"),
    ],
)
def test_a_setting_of_the_whole_server_is_a_leak_and_is_taken_back(play: Play, statement: str, what: str) -> None:
    check = "-- chaos:check\nSELECT pass('over');\n"
    wait = "-- chaos:session a repeat 1000 until done\n" if "done" in statement else "-- chaos:session a\n"
    (failure,) = play(f"{wait}{statement}\n{check}").failures
    assert failure.kind == "leak"
    assert f"left behind: object: {what}" in failure.text
    race = "-- chaos:session a\nSELECT 1;\n-- chaos:check\nSELECT is(current_setting('{}'), '{}', 'as before');\n"
    assert play(race.format("default_transaction_isolation", "read committed")).failures == []
    assert play(race.format("work_mem", "4MB")).failures == []


def test_a_setting_that_is_taken_back_only_in_the_file_is_seen(play: Play, stop: Stop) -> None:
    with play.server.connect() as conn, closing(run_sync(Connection.open(play.server.conninfo(), stop))) as admin:
        try:
            conn.execute("ALTER SYSTEM SET work_mem = '1MB'")
            conn.execute("SELECT pg_reload_conf()")
            until(lambda: admin.ask("SHOW work_mem").rows() == [("1MB",)], "the server has reloaded")
            conn.execute("ALTER SYSTEM RESET work_mem")
            assert ("ALTER SYSTEM", "work_mem=1024") in read_settings(admin)
        finally:
            conn.execute("ALTER SYSTEM RESET work_mem")
            conn.execute("SELECT pg_reload_conf()")


def test_a_setting_that_is_taken_back_or_of_a_role_that_goes_is_no_leak(play: Play) -> None:
    result = play(
        """
        -- chaos:setup
        CREATE ROLE setting_owner;
        ALTER ROLE setting_owner SET work_mem = '1MB';
        -- chaos:session a
        ALTER ROLE CURRENT_USER SET work_mem = '1MB';
        ALTER ROLE CURRENT_USER RESET work_mem;
        -- chaos:check
        SELECT pass('over');
        -- chaos:teardown
        DROP ROLE setting_owner;
        """
    )
    assert result.failures == []


def test_a_setting_of_a_role_that_another_scenario_has_is_left_to_that(play: Play) -> None:
    """Scenarios run side by side: that a setting is new does not make it this one's."""
    with play.server.connect() as conn:
        conn.execute("CREATE ROLE neighbour")
        try:
            set_it = "EXECUTE 'ALTER ROLE neigh' || 'bour SET work_mem = 1024'"
            result = play(f"-- chaos:session a\nDO $$ BEGIN {set_it}; END $$;\n-- chaos:check\nSELECT pass('over');\n")
            assert result.failures == []
            kept = conn.execute("SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'neighbour'::regrole")
            assert kept.fetchone() == (["work_mem=1024"],)
        finally:
            conn.execute("DROP ROLE neighbour")
