"""What statements and steps touch, by their text."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.language.reader import read
from pgchaos.language.sql_tokens import top_statements
from pgchaos.schedule.footprint import ANYTHING, NOTHING, Footprint
from pgchaos.search.footprints import SERIALIZABLE, Unknowable, footprints
from pgchaos.search.touched_tables import TIME, KnownDatabase, Relation, touched


def reads(*names: str) -> Footprint:
    return Footprint(frozenset(names))


def writes(*names: str) -> Footprint:
    return Footprint(frozenset(), frozenset(names))


KNOWN = KnownDatabase(
    {
        **{name: Relation(reads(name), writes(name)) for name in ("a", "b", "A b")},
        "risky": Relation(reads("risky"), ANYTHING),
    },
    frozenset({"mine"}),
)


def of(text: str) -> Footprint:
    (parsed,) = top_statements(text)
    return touched(parsed, KNOWN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1", NOTHING),
        ("SELECT count(*), coalesce(max(v), 0) FROM a WHERE v IN (1, 2)", reads("a")),
        ("SELECT FROM a x, b y WHERE x.v = y.v", reads("a", "b")),
        ("SELECT FROM public.a JOIN b USING (id)", reads("a", "b")),
        ('SELECT FROM "A b"', reads("A b")),
        ("SELECT (SELECT max(v) FROM b) FROM generate_series(1, 3) g", reads("b")),
        ("TABLE a", reads("a")),
        ("SELECT FROM a FOR UPDATE", writes("a")),
        ("SELECT FROM a FOR NO KEY UPDATE OF a SKIP LOCKED", writes("a")),
        ("SELECT FROM a FOR KEY SHARE NOWAIT", writes("a")),
        ("INSERT INTO a (id, v) VALUES (1, 2)", writes("a")),
        ("INSERT INTO a SELECT id, v FROM b", writes("a") | reads("b")),
        ("INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET v = a.v + excluded.v RETURNING v", writes("a")),
        ("UPDATE ONLY a SET v = b.v FROM b WHERE a.id = b.id", writes("a") | reads("b")),
        ("DELETE FROM a USING b WHERE a.id = b.id", writes("a") | reads("b")),
        ("MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN UPDATE SET v = 1", writes("a") | reads("b")),
        ("WITH gone AS (DELETE FROM a RETURNING id) SELECT count(*) FROM gone, b", writes("a") | reads("b")),
        ("WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT FROM r", NOTHING),
        ("LOCK TABLE a, b IN SHARE MODE", writes("a", "b")),
        ("TRUNCATE a", writes("a")),
        ("SELECT extract(epoch FROM v), trim(both ' ' FROM v) FROM a", reads("a")),
        ("SELECT v IS DISTINCT FROM w FROM a", reads("a")),
        ("SELECT v::numeric(10, 2) FROM a WHERE id = :id", reads("a")),
        ("SELECT now() FROM a", reads("a") | writes(TIME)),
        ("SELECT current_date", writes(TIME)),
        ("SELECT 'now'::timestamptz", writes(TIME)),
        ("SELECT chaos.assert(count(*) = 1, 'one') FROM a", reads("a")),
        ("SELECT pg_catalog.count(*) FROM a", reads("a")),
        ("SELECT FROM risky", reads("risky")),
    ],
)
def test_tables_are_found(text: str, expected: Footprint) -> None:
    assert of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "SELECT mine(1)",
        "SELECT mine FROM a",
        "SELECT nextval('s')",
        "SELECT public.count(1)",
        "SELECT chaos.wait_for('x')",
        "SELECT FROM chaos.history",
        "SELECT pg_sleep(1)",
        "SELECT pg_advisory_lock(1)",
        "SELECT FROM pg_class",
        "SELECT FROM pg_catalog.pg_class",
        "SELECT FROM information_schema.tables",
        "SELECT xmin FROM a",
        "SELECT FROM unknown",
        "SELECT FROM a, unknown",
        "SELECT FROM a JOIN unknown USING (id)",
        "SELECT FROM :table",
        "SELECT FROM a, :table",
        "SELECT :f(1)",
        ":statement",
        "INSERT INTO unknown (id) VALUES (1)",
        "UPDATE risky SET v = 1",
        "SET lock_timeout = '1s'",
        "NOTIFY x",
        "EXPLAIN SELECT FROM a",
        "COPY a TO STDOUT",
    ],
)
def test_what_is_not_known_may_do_anything(text: str) -> None:
    assert of(text).anything


HEAD = "-- chaos:schedule explore 9\n-- chaos:session s{options}\n{body}\n-- chaos:session t\nSELECT 1;\n"


def steps(folder: Path, body: str, options: str = "", level: str = "read committed") -> tuple[Footprint, ...]:
    path = folder / "x.sql"
    text = HEAD.format(options=options, body=body) + "-- chaos:check\nSELECT pass('');\n"
    path.write_text(text, encoding="utf-8")
    session, *_ = read(path, "x.sql").sessions
    return footprints(session, {}, KNOWN, level)


def test_a_step_touches_what_its_transaction_touched_so_far(tmp_path: Path) -> None:
    body = "BEGIN; SELECT FROM a; SAVEPOINT x; UPDATE b SET v = 1; COMMIT; SELECT FROM a;"
    both = reads("a") | writes("b")
    assert steps(tmp_path, body) == (NOTHING, reads("a"), NOTHING, both, both, reads("a"))


def test_a_snapshot_reads_all_that_its_transaction_touches(tmp_path: Path) -> None:
    body = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM a; UPDATE b SET v = 1; ROLLBACK;"
    later = reads("a", "b") | writes("b")
    assert steps(tmp_path, body) == (NOTHING, reads("a", "b"), later, later)


def test_serializable_transactions_depend_on_one_another(tmp_path: Path) -> None:
    for body, level in (
        ("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT FROM a; COMMIT;", "read committed"),
        ("BEGIN; SELECT FROM a; COMMIT;", "serializable"),
    ):
        reading = reads("a", SERIALIZABLE) | writes(SERIALIZABLE)
        assert steps(tmp_path, body, level=level) == (NOTHING, reading, reading)


def test_time_is_taken_when_a_transaction_begins(tmp_path: Path) -> None:
    assert steps(tmp_path, "BEGIN; SELECT now(); COMMIT;") == (writes(TIME),) * 3


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN; SELECT FROM a;",
        "BEGIN; BEGIN; COMMIT;",
        "SELECT 1 AS x \\gset\n\\if :x\nBEGIN;\n\\endif\nSELECT FROM a; COMMIT;",
        "\\set x now()\nSELECT :x;",
        "SELECT 1;\n-- chaos:signal x\nSELECT 2;",
        "SELECT 1 AS x \\gset\n\\if :x\n\\quit\n\\endif\nSELECT 2;",
    ],
)
def test_of_a_session_that_is_not_seen_through_nothing_is_known(tmp_path: Path, body: str) -> None:
    assert set(steps(tmp_path, body)) == {ANYTHING}


def test_after_a_step_that_may_do_anything_all_may(tmp_path: Path) -> None:
    body = "SELECT FROM a; SET lock_timeout = 1; SELECT FROM a;"
    assert steps(tmp_path, body) == (reads("a"), ANYTHING, ANYTHING)
    assert steps(tmp_path, body, " repeat 2") == (ANYTHING, ANYTHING, ANYTHING)


def test_both_branches_count(tmp_path: Path) -> None:
    body = "SELECT 1 AS x \\gset\n\\if :x\nUPDATE a SET v = 1;\n\\else\nUPDATE b SET v = 1;\n\\endif\n"
    assert steps(tmp_path, body) == (NOTHING, writes("a"), writes("b"))


@pytest.mark.parametrize("body", ["CREATE TABLE x ();", "DO 'BEGIN END';", "SELECT 1 INTO x;", "SELECT 'x' \\gexec"])
def test_what_changes_the_database_itself_is_unknowable(tmp_path: Path, body: str) -> None:
    with pytest.raises(Unknowable):
        steps(tmp_path, body)
