"""What a search leaves out equals something that it runs: held against all interleavings, on a real server."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.model import Scenario
from pgchaos.language.mutation import mutated
from pgchaos.language.reader import read
from pgchaos.results import Explored, RunResult
from pgchaos.schedule.footprint import NOTHING
from pgchaos.search.strategy import run
from pgchaos.search.touched_relations import DependenceFinder
from pgchaos.server import Server
from tests.often import often

RACES = Path(__file__).parent / "races"
MANY = {"cycle_of_three", "outbox", "queue_skips"}
"""Races with too many interleavings to run them all here."""
Came: TypeAlias = tuple[object, ...]


def came_of(result: RunResult) -> Came:
    """Tell all that there is to see of a run but its order and its waits; of one that an error stopped, only that."""
    failed = frozenset((f.kind, f.names, f.text) for f in result.failures)
    if any(failure.kind == "error" for failure in result.failures):
        return (failed,)
    ended = Counter((t.session, t.worker, t.iteration, t.attempt, t.outcome, t.sqlstate) for t in result.transactions)
    said = Counter((r.session, r.worker, r.step, r.attempt, r.sqlstate, r.rows, r.notes) for r in result.records)
    asserted = Counter((a.name, a.ok) for a in result.assertions)
    return frozenset(ended.items()), frozenset(said.items()), frozenset(asserted.items()), failed


def explored(scenario: Scenario, server: Server) -> tuple[set[Came], Explored]:
    """Run what a search runs that finds nothing."""
    came: set[Came] = set()

    def found(result: RunResult) -> bool:
        came.add(came_of(result))
        return False

    long = replace(scenario, schedule=replace(scenario.schedule, kind="explore", limit=2000))
    result = run(long, {}, server, RunSettings(1, found=found))
    assert result.explored is not None
    assert result.explored.exhausted
    return came, result.explored


def compared(scenario: Scenario, server: Server, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Run what has to be run, and all; tell how many that were."""
    some, less = explored(scenario, server)
    with monkeypatch.context() as patch:
        patch.setattr(DependenceFinder, "after", lambda *_: None)
        every, more = explored(scenario, server)
    assert some == every
    return less.runs, more.runs


NAMES = sorted(path.stem for path in RACES.glob("*.sql") if path.stem not in MANY)
REPAIRS = often(["lost_update", "upsert", "write_skew"], NAMES)


@pytest.mark.parametrize(
    ("name", "variant"), [*((name, "race") for name in NAMES), *((name, "repair") for name in REPAIRS)]
)
def test_of_a_race(name: str, variant: str, private_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = read(RACES / f"{name}.sql", f"{name}.sql")
    (mutant,) = scenario.mutants
    if variant == "race":
        scenario = mutated(scenario, mutant)
    some, every = compared(scenario, private_server, monkeypatch)
    assert some <= every


STATE = """
-- chaos:check
SELECT pass(coalesce(string_agg(t::text, ' ' ORDER BY t::text), 'nothing')) FROM {} t;
"""
ONE = """
-- chaos:setup
CREATE TABLE a (id int PRIMARY KEY, v int NOT NULL DEFAULT 0);
CREATE TABLE b (id int PRIMARY KEY, v int NOT NULL DEFAULT 0);
INSERT INTO a VALUES (1, 1), (2, 2);
INSERT INTO b VALUES (1, 1), (2, 2);
"""
MADE = {
    # fewer than all, and how many fewer is known
    "tables_apart": (
        ONE
        + """
        -- chaos:session x
        BEGIN;
        UPDATE a SET v = v + 1;
        COMMIT;
        -- chaos:session y
        BEGIN;
        UPDATE b SET v = v + 1;
        COMMIT;
        """
        + STATE.format("a"),
        1,
    ),
    "reads_and_a_write": (
        ONE
        + """
        -- chaos:session x
        SELECT sum(v) AS sum FROM a \\gset
        SELECT sum(v) AS sum FROM b \\gset
        -- chaos:session y
        SELECT sum(v) AS sum FROM a \\gset
        UPDATE a SET v = v * 2;
        """
        + STATE.format("a"),
        2,
    ),
    # a circle of waits over statements that touch no common table
    "deadlock": (
        ONE
        + """
        -- chaos:session x allow deadlock_detected
        BEGIN;
        UPDATE a SET v = v + 1 WHERE id = 1;
        UPDATE b SET v = v + 1 WHERE id = 1;
        COMMIT;
        -- chaos:session y allow deadlock_detected
        BEGIN;
        UPDATE b SET v = v * 2 WHERE id = 1;
        UPDATE a SET v = v * 2 WHERE id = 1;
        COMMIT;
        """
        + STATE.format("a"),
        None,
    ),
    # an error lets go of what was locked before in another table
    "error_lets_go": (
        ONE
        + """
        -- chaos:session x allow unique_violation
        BEGIN;
        UPDATE a SET v = 10 WHERE id = 1;
        INSERT INTO b VALUES (1);
        COMMIT;
        -- chaos:session y allow lock_not_available
        BEGIN;
        SELECT v FROM a WHERE id = 1 FOR UPDATE NOWAIT \\gset
        COMMIT;
        """
        + STATE.format("a"),
        None,
    ),
    "snapshot_at_the_first_query": (
        ONE
        + """
        -- chaos:session x
        BEGIN ISOLATION LEVEL REPEATABLE READ;
        SELECT sum(v) AS sum FROM a \\gset
        SELECT sum(v) AS sum FROM b \\gset
        COMMIT;
        -- chaos:session y
        UPDATE b SET v = v * 2;
        UPDATE a SET v = v * 2;
        """
        + STATE.format("a"),
        None,
    ),
    "foreign_key": (
        """
        -- chaos:setup
        CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE child (id int PRIMARY KEY, parent_id int REFERENCES parent ON DELETE CASCADE);
        INSERT INTO parent VALUES (1);
        -- chaos:session x allow foreign_key_violation
        BEGIN;
        INSERT INTO child VALUES (1, 1);
        COMMIT;
        -- chaos:session y
        BEGIN;
        DELETE FROM parent;
        COMMIT;
        """
        + STATE.format("child"),
        None,
    ),
    "trigger": (
        ONE
        + """
        CREATE FUNCTION copies() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE b SET v = new.v WHERE id = new.id;
            RETURN NULL;
        END $$;
        CREATE TRIGGER copies AFTER UPDATE ON a FOR EACH ROW EXECUTE FUNCTION copies();
        -- chaos:session x
        BEGIN;
        UPDATE a SET v = 7;
        COMMIT;
        -- chaos:session y
        SELECT sum(v) AS sum FROM b \\gset
        UPDATE b SET v = v + 1;
        """
        + STATE.format("b"),
        None,
    ),
    "view": (
        ONE
        + """
        CREATE VIEW both_of_them AS SELECT a.v + b.v AS v FROM a JOIN b USING (id);
        -- chaos:session x
        SELECT sum(v) AS sum FROM both_of_them \\gset
        SELECT sum(v) AS sum FROM a \\gset
        -- chaos:session y
        UPDATE b SET v = 7;
        UPDATE a SET v = 7;
        """
        + STATE.format("b"),
        None,
    ),
    "partition": (
        """
        -- chaos:setup
        CREATE TABLE whole (id int, v int) PARTITION BY LIST (id);
        CREATE TABLE part_one PARTITION OF whole FOR VALUES IN (1);
        CREATE TABLE part_two PARTITION OF whole FOR VALUES IN (2);
        INSERT INTO whole VALUES (1, 1), (2, 2);
        -- chaos:session x
        UPDATE part_one SET v = v + 1;
        UPDATE part_two SET v = v + 1;
        -- chaos:session y
        SELECT sum(v) AS sum FROM whole \\gset
        UPDATE whole SET v = v * 2;
        """
        + STATE.format("whole"),
        None,
    ),
    "a_function": (
        ONE
        + """
        CREATE FUNCTION of_b() RETURNS bigint LANGUAGE sql AS 'SELECT sum(v) FROM b';
        -- chaos:session x
        SELECT of_b() AS sum \\gset
        UPDATE a SET v = 7;
        -- chaos:session y
        UPDATE b SET v = 7;
        SELECT sum(v) AS sum FROM a \\gset
        """
        + STATE.format("b"),
        None,
    ),
    "one_sequence": (
        """
        -- chaos:setup
        CREATE SEQUENCE numbers;
        CREATE TABLE a (id int DEFAULT nextval('numbers'), v text);
        CREATE TABLE b (id int DEFAULT nextval('numbers'), v text);
        -- chaos:session x
        INSERT INTO a (v) VALUES ('x');
        INSERT INTO b (v) VALUES ('x');
        -- chaos:session y
        INSERT INTO b (v) VALUES ('y');
        """
        + STATE.format("b"),
        None,
    ),
    "identity": (
        """
        -- chaos:setup
        CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY, v text);
        -- chaos:session x
        INSERT INTO a (v) VALUES ('x');
        -- chaos:session y
        SELECT last_value AS last, is_called AS called FROM a_id_seq \\gset
        """
        + STATE.format("a"),
        None,
    ),
    "view_that_locks": (
        ONE
        + """
        CREATE VIEW locked AS SELECT id, v FROM a FOR UPDATE;
        -- chaos:session x
        BEGIN;
        SELECT sum(v) AS sum FROM locked \\gset
        COMMIT;
        -- chaos:session y allow lock_not_available
        BEGIN;
        SELECT sum(v) AS sum FROM (SELECT v FROM a FOR SHARE NOWAIT) a \\gset
        COMMIT;
        """
        + STATE.format("a"),
        None,
    ),
    # which of two transactions began first may be seen in what they wrote
    "now": (
        """
        -- chaos:setup
        CREATE TABLE a (who text, at timestamptz DEFAULT now());
        -- chaos:session x
        BEGIN;
        INSERT INTO a VALUES ('x');
        COMMIT;
        -- chaos:session y
        BEGIN;
        INSERT INTO a VALUES ('y');
        COMMIT;
        -- chaos:check
        SELECT pass(string_agg(who, ' ' ORDER BY at)) FROM a;
        """,
        None,
    ),
    # who fails is decided by all three, and two of them have no table in common
    "serializable": (
        """
        -- chaos:setup
        CREATE TABLE a (v int);
        CREATE TABLE b (v int);
        CREATE TABLE c (v int);
        -- chaos:session x allow serialization_failure
        -- chaos:step reads
        BEGIN ISOLATION LEVEL SERIALIZABLE;
        SELECT count(*) AS n FROM a \\gset
        -- chaos:step writes
        INSERT INTO c VALUES (1);
        COMMIT;
        -- chaos:session y allow serialization_failure
        -- chaos:step reads
        BEGIN ISOLATION LEVEL SERIALIZABLE;
        SELECT count(*) AS n FROM b \\gset
        -- chaos:step writes
        INSERT INTO a VALUES (1);
        COMMIT;
        -- chaos:session z allow serialization_failure
        -- chaos:step writes
        BEGIN ISOLATION LEVEL SERIALIZABLE;
        INSERT INTO b VALUES (1);
        -- chaos:step ends
        COMMIT;
        """
        + STATE.format("a"),
        None,
    ),
    "retry": (
        ONE
        + """
        -- chaos:session x retry serialization_failure
        BEGIN ISOLATION LEVEL REPEATABLE READ;
        SELECT sum(v) AS sum FROM b \\gset
        UPDATE a SET v = :sum WHERE id = 1;
        COMMIT;
        -- chaos:session y
        UPDATE a SET v = v + 1 WHERE id = 1;
        UPDATE b SET v = v * 2;
        """
        + STATE.format("a"),
        None,
    ),
    "savepoint": (
        ONE
        + """
        -- chaos:session x
        BEGIN;
        SAVEPOINT one;
        UPDATE a SET v = 7 WHERE id = 1;
        ROLLBACK TO one;
        COMMIT;
        -- chaos:session y
        UPDATE b SET v = 8;
        UPDATE a SET v = v + 1 WHERE id = 1;
        """
        + STATE.format("a"),
        None,
    ),
    "barrier": (
        ONE
        + """
        -- chaos:session x
        UPDATE a SET v = 7;
        -- chaos:barrier here
        UPDATE b SET v = v + 1;
        -- chaos:session y
        UPDATE b SET v = v * 2;
        -- chaos:barrier here
        UPDATE a SET v = v * 2;
        """
        + STATE.format("a"),
        None,
    ),
    # what a step touches in one interleaving is not what it touches in another, and no lock tells of all of it
    "trigger_fires_later": (
        ONE
        + """
        UPDATE a SET v = 1;
        CREATE FUNCTION adds() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE b SET v = v + 10;
            RETURN NULL;
        END $$;
        CREATE TRIGGER adds AFTER UPDATE ON a FOR EACH ROW EXECUTE FUNCTION adds();
        -- chaos:session x
        UPDATE a SET v = 3 WHERE v = 2;
        -- chaos:session y
        UPDATE b SET v = v * 2;
        -- chaos:session z
        UPDATE a SET v = 2 WHERE id = 1;
        """
        + STATE.format("b"),
        None,
    ),
    "function_branches": (
        ONE
        + """
        CREATE FUNCTION empties() RETURNS void LANGUAGE plpgsql AS $$
        BEGIN
            IF (SELECT v FROM a WHERE id = 1) = 7 THEN
                UPDATE b SET v = 0;
            END IF;
        END $$;
        -- chaos:session x
        SELECT empties();
        -- chaos:session y
        UPDATE b SET v = v + 5;
        -- chaos:session z
        UPDATE a SET v = 7 WHERE id = 1;
        """
        + STATE.format("b"),
        None,
    ),
    "cascades_later": (
        """
        -- chaos:setup
        CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE child (id int PRIMARY KEY, parent_id int REFERENCES parent ON DELETE CASCADE);
        -- chaos:session x
        DELETE FROM parent;
        -- chaos:session y
        INSERT INTO parent VALUES (1);
        INSERT INTO child VALUES (1, 1);
        -- chaos:session z
        SELECT count(*) AS n FROM child \\gset
        """
        + STATE.format("child"),
        None,
    ),
    "lock_not_taken": (
        ONE
        + """
        CREATE FUNCTION takes() RETURNS boolean LANGUAGE sql AS 'SELECT pg_try_advisory_xact_lock(1)';
        -- chaos:session x
        BEGIN;
        SELECT takes() AS got \\gset
        COMMIT;
        -- chaos:session y
        SELECT takes() AS got \\gset
        """
        + STATE.format("a"),
        None,
    ),
    "clock_in_a_default": (
        """
        -- chaos:setup
        CREATE FUNCTION stamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT clock_timestamp()';
        CREATE TABLE a (who text, at timestamptz DEFAULT stamp());
        CREATE TABLE b (who text, at timestamptz DEFAULT stamp());
        -- chaos:session x
        INSERT INTO a VALUES ('x');
        -- chaos:session y
        INSERT INTO b VALUES ('y');
        -- chaos:check
        SELECT pass(string_agg(who, ' ' ORDER BY at)) FROM (SELECT * FROM a UNION ALL SELECT * FROM b) q;
        """,
        None,
    ),
}


@pytest.mark.parametrize("name", sorted(MADE))
def test_of_what_makes_steps_depend(
    name: str, private_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, runs = MADE[name]
    path = tmp_path / f"{name}.sql"
    head = "-- chaos:schedule explore 2000\n"
    path.write_text(head + "\n".join(line.strip() for line in textwrap.dedent(text).splitlines()), encoding="utf-8")
    some, every = compared(read(path, path.name), private_server, monkeypatch)
    if runs is None:
        assert some <= every
    else:
        assert some == runs < every


SWAPPED = """
-- chaos:schedule explore 20
-- chaos:setup
CREATE TABLE one (n int);
CREATE TABLE other (n int);
-- chaos:session a
INSERT INTO one VALUES (1);
-- chaos:session b
SELECT count(*) AS n FROM {table} \\gset
-- chaos:check
SELECT pass('checked');
"""


def test_selfcheck_swaps_steps_that_are_taken_for_independent(private_server: Server, tmp_path: Path) -> None:
    scenario = _written(SWAPPED.format(table="other"), tmp_path)
    result = run(scenario, {}, private_server, RunSettings(1, selfcheck=True))
    assert result.explored is not None
    assert (result.explored.runs, result.explored.of) == (1, 2)
    assert result.failures == []


def test_selfcheck_finds_that_two_steps_were_taken_for_independent_and_are_not(
    private_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def know_nothing(touching: DependenceFinder, _: object) -> None:
        nothing = {"a": [NOTHING], "b": [NOTHING]}
        touching.dependence.know(nothing, dict.fromkeys(nothing, 1))

    monkeypatch.setattr(DependenceFinder, "after", know_nothing)
    scenario = _written(SWAPPED.format(table="one"), tmp_path)
    assert not run(scenario, {}, private_server, RunSettings(1)).failures
    failure = run(scenario, {}, private_server, RunSettings(1, selfcheck=True)).failures[0]
    assert failure.text == (
        "not deterministic: b[1].1 gave SELECT 1, n = 1; "
        "then, with a[1].1 and b[1].1 swapped, which touch no common table, b[1].1 gave SELECT 1, n = 0"
    )
    assert str(failure.place) == "scenario.sql:9"


def _written(text: str, folder: Path) -> Scenario:
    path = folder / "scenario.sql"
    path.write_text(text, encoding="utf-8")
    return read(path, "scenario.sql")
