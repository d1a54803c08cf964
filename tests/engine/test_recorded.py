"""What a check finds in chaos.history, chaos.transactions and chaos.notifications."""

from __future__ import annotations

import pytest

from tests.engine.playing import Play, held, outcomes

TABLES = {
    "history": "session worker iteration attempt step line statement tag rows sqlstate message started_at ended_at"
    " waited_on fault",
    "transactions": "session worker iteration attempt block outcome sqlstate",
    "notifications": "session worker channel payload received_at",
}


@pytest.mark.parametrize(("table", "columns"), TABLES.items())
def test_the_columns_are_those_of_the_language(play: Play, table: str, columns: str) -> None:
    result = play(
        f"""
        -- chaos:session s
        SELECT 1;
        -- chaos:check
        SELECT columns_are('chaos', '{table}', string_to_array('{columns}', ' '), 'the columns');
        """
    )
    assert held(result) == ["the columns"]


def test_history_tells_every_statement(play: Play) -> None:
    result = play(
        r"""
        -- chaos:setup
        CREATE TABLE t (a int, b text);
        -- chaos:session s
        -- chaos:step begins
        BEGIN;
        -- chaos:step writes
        INSERT INTO t VALUES (1,
            'a	b\c');
        -- chaos:expect 22012
        SELECT 1/0 WHERE :worker = 1;
        COMMIT;
        SELECT 1\; SELECT 2 UNION ALL SELECT 3;
        -- chaos:check
        SELECT results_eq(
            $$SELECT step, line, statement, tag, rows, sqlstate, message FROM chaos.history ORDER BY started_at$$,
            $$VALUES ('begins', 6, 'BEGIN', 'BEGIN', NULL::bigint, '00000', NULL),
                ('writes', 8, $s$INSERT INTO t VALUES (1,
            'a	b\c')$s$, 'INSERT 0 1', 1, '00000', NULL),
                ('writes', 11, 'SELECT 1/0 WHERE ' || ':' || 'worker = 1', NULL, NULL, '22012', 'division by zero'),
                ('writes', 12, 'COMMIT', 'ROLLBACK', NULL, '00000', NULL),
                ('writes', 13, 'SELECT 1; SELECT 2 UNION ALL SELECT 3', 'SELECT 2', 2, '00000', NULL)$$,
            'as written, with what came back');
        SELECT ok(bool_and(session = 's' AND worker = 1 AND iteration = 1 AND attempt = 1 AND fault IS NULL
                           AND waited_on = '' AND started_at <= ended_at), 'who and when') FROM chaos.history;
        """
    )
    assert held(result) == ["as written, with what came back", "who and when"]
    assert outcomes(result, "s") == [(1, 1, True, "rolled back", "22012"), (1, 1, False, "committed", "00000")]


TRANSACTIONS = {
    "block": ("BEGIN; SELECT 1; COMMIT;", [(True, "committed", "00000")]),
    "start and end": ("START TRANSACTION; END;", [(True, "committed", "00000")]),
    "statement": ("SELECT 1;", [(False, "committed", "00000")]),
    "rolled back by the author": ("BEGIN; ROLLBACK;", [(True, "rolled back", "00000")]),
    "abort": ("BEGIN; ABORT;", [(True, "rolled back", "00000")]),
    "group": ("SELECT 1\\; SELECT 2;", [(False, "committed", "00000")]),
    "a block in a group": ("BEGIN\\; SELECT 1\\; COMMIT;", [(True, "committed", "00000")]),
    "and chain": (
        "BEGIN; COMMIT AND CHAIN; SELECT 1; ROLLBACK;",
        [(True, "committed", "00000"), (True, "rolled back", "00000")],
    ),
    "commit and begin in a group": (
        "BEGIN; COMMIT\\; BEGIN; SELECT 1; COMMIT;",
        [(True, "committed", "00000"), (True, "committed", "00000")],
    ),
    "error undone by a savepoint": (
        "BEGIN; SAVEPOINT a;\n-- chaos:expect 22012\nSELECT 1/0;\nROLLBACK TO a; COMMIT;",
        [(True, "committed", "00000")],
    ),
    "error, savepoint, rollback": (
        "BEGIN; SAVEPOINT a;\n-- chaos:expect 22012\nSELECT 1/0;\nROLLBACK TO SAVEPOINT a; ROLLBACK;",
        [(True, "rolled back", "00000")],
    ),
    "first of two errors": (
        "BEGIN;\n-- chaos:expect 22012\nSELECT 1/0;\n-- chaos:expect 25P02\nSELECT 1;\nEND;",
        [(True, "rolled back", "22012")],
    ),
    "prepared": (
        "BEGIN; SELECT 1; PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p';",
        [(True, "unknown", "00000"), (False, "committed", "00000")],
    ),
    "error outside": ("-- chaos:expect 22012\nSELECT 1/0;", [(False, "rolled back", "22012")]),
    "procedure that commits": ("CALL commits();", [(False, "committed", "00000")]),
}


@pytest.mark.parametrize(("statements", "rows"), TRANSACTIONS.values(), ids=TRANSACTIONS.keys())
def test_transactions_are_blocks_and_statements_outside_them(
    play: Play, statements: str, rows: list[tuple[bool, str, str]]
) -> None:
    result = play(
        f"""
-- chaos:setup
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
-- chaos:session s
{statements}
-- chaos:check
SELECT is(count(*), {len(rows)}::bigint, 'all of them are there') FROM chaos.transactions;
"""
    )
    assert held(result) == ["all of them are there"]
    assert [row[2:] for row in outcomes(result, "s")] == rows


def test_waited_on_always_has_its_worker(play: Play) -> None:
    result = play(
        """
        -- chaos:session holder
        BEGIN;
        SELECT pg_advisory_xact_lock(1);
        -- chaos:signal held
        -- chaos:wait blocked waiter
        COMMIT;
        -- chaos:session waiter x 2
        -- chaos:wait for held
        BEGIN;
        SELECT pg_advisory_xact_lock(1);
        COMMIT;
        -- chaos:check
        SELECT ok(bool_and(waited_on ~ '^(holder|waiter)\\[\\d\\](, (holder|waiter)\\[\\d\\])*$'), 'with worker')
          FROM chaos.history WHERE session = 'waiter' AND step = '2';
        SELECT is(count(*), 2::bigint, 'both waited') FROM chaos.history WHERE waited_on LIKE '%holder[1]%';
        """
    )
    assert held(result) == ["with worker", "both waited"]
    # when the waits were seen lies within their statements
    waited = [record for record in result.records if record.waited_on]
    seen = [(one.started_at or 0, one.waited_from or 0, one.waited_until or 0, one.ended_at or 0) for one in waited]
    assert seen == [tuple(sorted(times)) for times in seen]
    assert all(all(times) for times in seen)
    assert all(record.waited_from is None for record in result.records if not record.waited_on)


LISTENS = ["LISTEN news;", "DO $$ BEGIN EXECUTE 'listen news'; END $$;", "SELECT listens();"]


@pytest.mark.parametrize("listens", LISTENS)
def test_notifications_reach_a_session_that_is_idle_at_its_end(play: Play, listens: str) -> None:
    result = play(
        f"""
-- chaos:setup
CREATE FUNCTION listens() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'LISTEN news'; END $$;
-- chaos:session hears x 2
{listens}
-- chaos:barrier listening
-- chaos:session speaks
-- chaos:barrier listening
-- so they have come to their end, and hear it there
-- chaos:delay 20ms
BEGIN;
NOTIFY news, 'first';
NOTIFY news;
COMMIT;
-- chaos:check
SELECT results_eq(
    'SELECT session, worker, channel, payload FROM chaos.notifications ORDER BY worker, payload DESC',
    $$VALUES ('hears', 1, 'news', 'first'), ('hears', 1, 'news', ''),
             ('hears', 2, 'news', 'first'), ('hears', 2, 'news', '')$$,
    'each heard both');
SELECT ok(bool_and(received_at <= now()), 'before the check') FROM chaos.notifications;
"""
    )
    assert held(result) == ["each heard both", "before the check"]


def test_a_table_is_filled_however_it_is_named(play: Play) -> None:
    result = play(
        """
        -- chaos:session s
        SELECT 1;
        -- chaos:check
        SET search_path = Chaos, public;
        SELECT is(count(*), 1::bigint, 'history') FROM History;
        SELECT is(count(*), 1::bigint, 'transactions') FROM "transactions";
        """
    )
    assert held(result) == ["history", "transactions"]


def test_an_included_check_finds_them_too(play: Play) -> None:
    (play.folder / "part.sql").write_text("SELECT is(count(*), 1::bigint, 'included') FROM chaos.history;\n")
    assert held(play("-- chaos:session s\nSELECT 1;\n-- chaos:check\n\\ir part.sql\n")) == ["included"]
