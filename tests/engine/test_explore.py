"""`schedule explore` and `given`: searched for real, shrunk, replayed, and kept for the next run."""

from __future__ import annotations

import textwrap

import hypothesis
import pytest

from pgchaos.engine.run_settings import Replay, RunSettings
from pgchaos.language.model import Scenario
from pgchaos.language.reader import read
from pgchaos.results import RunResult
from pgchaos.search import strategy
from pgchaos.search.optional_hypothesis import NOT_INSTALLED
from pgchaos.search.strategy import run
from pgchaos.stop import Stop
from pgchaos.verdict import is_found
from tests.engine.playing import Play, held, only

COUNTER = """
-- chaos:schedule {schedule}
{head}
-- chaos:setup
CREATE TABLE counter (value int NOT NULL);
INSERT INTO counter VALUES (0);
-- chaos:session a
SELECT value FROM counter \\gset
UPDATE counter SET value = :value + {step};
-- chaos:session b
SELECT value FROM counter \\gset
UPDATE counter SET value = :value + 1;
-- chaos:check
SELECT {check};
"""
BOTH = "is(value, 2, 'both count') FROM counter"

pytestmark = pytest.mark.usefixtures("database")


def counter(schedule: str, check: str = BOTH, head: str = "", step: str = "1") -> str:
    return COUNTER.format(schedule=schedule, check=check, head=head, step=step)


def scenario(play: Play, text: str) -> Scenario:
    path = play.folder / "scenario.sql"
    path.write_text(text, encoding="utf-8")
    return read(path, "scenario.sql")


def order(result: RunResult) -> str:
    return " ".join(f"{step.session}.{step.step}" for step in result.order)


def test_a_failure_is_shown_in_its_easiest_form_whatever_the_seed(play: Play) -> None:
    for seed in range(5):
        result = play(counter("explore 50"), seed=seed)
        assert only(result).names == ("both count",)
        assert order(result) == "a.1 b.1 b.2 a.2"
        assert result.decisions == (0, 1, 1, 0)
        assert result.explored is not None
        assert 2 <= result.explored.runs <= 4


def test_where_nothing_fails_all_are_run_and_it_says_so(play: Play) -> None:
    result = play(counter("explore 50", "cmp_ok(value, '>', 0, 'some count') FROM counter"))
    assert held(result) == ["some count"]
    said = result.explored
    assert said is not None
    # one after the other, and both read first, in one order of these two, then they write in both
    assert (said.runs, said.different, said.exhausted, said.miss_probability, said.of) == (4, 4, True, None, 6)
    assert [a.count for a in result.assertions] == ["in 4 of 4 interleavings"]


@pytest.mark.parametrize(
    "looks",
    [
        "-- chaos:invariant\nSELECT true AS ok;",
        "-- chaos:check\nSELECT cmp_ok(count(*), '=', 4::bigint, 'all') FROM chaos.history;",
    ],
)
def test_where_somebody_looks_at_the_order_itself_none_is_left_out(play: Play, looks: str) -> None:
    result = play(counter("explore 50", "cmp_ok(value, '>', 0, 'some count') FROM counter") + looks)
    said = result.explored
    assert said is not None
    assert (said.runs, said.exhausted, said.of) == (6, True, 0)


def test_an_invariant_at_the_end_looks_at_no_order(play: Play) -> None:
    looks = "-- chaos:invariant at end\nSELECT true AS ok;"
    said = play(counter("explore 50", "cmp_ok(value, '>', 0, 'some count') FROM counter") + looks).explored
    assert said is not None
    assert (said.runs, said.of) == (4, 6)


def test_all_leaves_none_out(play: Play) -> None:
    counts = play(counter("all", "cmp_ok(value, '>', 0, 'some count') FROM counter")).permutations
    assert counts is not None
    assert (counts.run, counts.exhausted) == (6, True)


def test_where_there_are_more_half_are_by_chance(play: Play) -> None:
    result = play(counter("explore 5", "cmp_ok(value, '>', 0, 'some count') FROM counter"))
    said = result.explored
    assert said is not None
    assert (said.runs, said.by_chance, said.exhausted) == (5, 2, False)
    assert said.miss_probability == pytest.approx((1 - 1 / (2 * 4)) ** 2)


def test_what_is_known_to_fail_does_not_end_a_search(play: Play) -> None:
    known = scenario(play, counter("explore 50", head="-- chaos:xfail 'both count' it is known"))
    found = RunSettings(1, found=lambda result: is_found(known, None, {}, result))
    result = run(known, {}, play.server, found)
    assert only(result).names == ("both count",)
    assert result.explored is not None
    assert result.explored.exhausted


def test_what_was_found_is_tried_first_the_next_time_and_forgotten_when_it_is_mended(play: Play) -> None:
    bad = scenario(play, counter("explore 50"))
    settings = RunSettings(1, key="0badc0de")
    first = run(bad, {}, play.server, settings)
    again = run(bad, {}, play.server, settings)
    assert again.notes == ["this failed before: its stored interleaving was run, without a new search"]
    assert again.decisions == first.decisions
    assert again.explored is None
    mended = scenario(play, counter("explore 50", "cmp_ok(value, '>', 0, 'both count') FROM counter"))
    assert run(mended, {}, play.server, settings).explored is not None
    assert run(bad, {}, play.server, settings).explored is not None


def test_nothing_is_kept_of_one_scenario_for_another(play: Play) -> None:
    bad = scenario(play, counter("explore 50"))
    run(bad, {}, play.server, RunSettings(1, key="00000001"))
    assert run(bad, {}, play.server, RunSettings(1, key="00000002")).explored is not None


@pytest.mark.parametrize("schedule", ["free", "a.1 a.2 b.1 b.2"])
def test_values_are_drawn_and_the_smallest_that_fail_are_shown(play: Play, schedule: str) -> None:
    head = "-- chaos:given amount in 1..1000"
    result = play(
        counter(schedule, "cmp_ok(value, '<', 500, 'small') FROM counter", head, ":amount").replace(
            "SELECT value FROM counter \\gset\nUPDATE counter SET value = :value + 1;", "SELECT 1;\nSELECT 2;"
        )
    )
    assert only(result).names == ("small",)
    assert result.values == {"amount": "500"}
    assert result.drawn > 1
    assert bool(result.decisions) == (schedule != "free")


@pytest.mark.parametrize(
    ("written", "given", "values", "runs"),
    [
        ("explore 12 with 6 values", "1..1000", 6, 12),
        # there are but two, so that each has its half
        ("explore 12 with 6 values", "boolean", 2, 12),
        # more than hypothesis draws by itself
        ("explore 60 with 60 values", "1..1000", 60, 60),
    ],
)
def test_the_file_says_among_how_many_values_interleavings_are_shared_out(
    written: str, given: str, values: int, runs: int, play: Play
) -> None:
    made: list[int] = []
    text = f"""
        -- chaos:schedule {written}
        -- chaos:given amount in {given}
        -- chaos:setup
        CREATE TABLE t (a int);
        INSERT INTO t VALUES (1);
        -- chaos:session one
        UPDATE t SET a = a + 1;
        UPDATE t SET a = a + 2;
        -- chaos:session two
        UPDATE t SET a = a + 3;
        UPDATE t SET a = a + 4;
        -- chaos:check
        SELECT ok(:'amount' <> '', 'something is drawn');
    """
    known = scenario(play, textwrap.dedent(text))
    result = run(known, {}, play.server, RunSettings(1, progress=lambda number, _: made.append(number)))
    assert result.failures == []
    assert (result.drawn, len(made)) == (values, runs)


def test_values_alone_replay_a_run_by_the_files_schedule(play: Play) -> None:
    text = counter("free", "is(:amount < 500, true, 'small')", "-- chaos:given amount in 1..1000")
    known = scenario(play, text)
    result = run(known, {}, play.server, RunSettings(1, replay=Replay(values={"amount": "999"})))
    assert only(result).names == ("small",)
    assert (result.values, result.drawn, result.decisions) == ({"amount": "999"}, 0, ())
    assert held(run(known, {}, play.server, RunSettings(1, replay=Replay(values={"amount": "1"})))) == ["small"]


def test_values_and_interleaving_are_searched_together(play: Play) -> None:
    head = "-- chaos:given amount in 1..100"
    check = "is(value, CASE WHEN :amount < 7 THEN value ELSE :amount + 1 END, 'both count') FROM counter"
    result = play(counter("explore 200", check, head, ":amount"), seed=3)
    assert only(result).names == ("both count",)
    assert result.values == {"amount": "7"}
    assert order(result) == "a.1 b.1 b.2 a.2"
    replayed = run(
        read(play.folder / "scenario.sql", "scenario.sql"),
        {},
        play.server,
        RunSettings(1, replay=Replay(result.decisions or (), result.values)),
    )
    assert only(replayed).names == ("both count",)


def test_values_that_failed_are_drawn_first_the_next_time(play: Play) -> None:
    text = counter("free", "is(:amount <> 777, true, 'not that one')", "-- chaos:given amount in 777..777")
    known = scenario(play, text)
    first = run(known, {}, play.server, RunSettings(1, key="0badc0de"))
    assert first.values == {"amount": "777"}
    again = run(known, {}, play.server, RunSettings(1, key="0badc0de"))
    assert (again.values, again.drawn) == ({"amount": "777"}, 1)


def test_the_seed_decides_what_is_drawn(play: Play) -> None:
    text = counter("free", "is(:amount, -1, 'never')", "-- chaos:given amount in 1..1000000")
    known = scenario(play, text.replace("'never'", ":'amount'"))

    hypothesis.settings.register_profile("few", max_examples=8)
    hypothesis.settings.load_profile("few")

    def drawn(settings: RunSettings) -> list[str]:
        seen: list[str] = []

        def found(result: RunResult) -> bool:
            seen.append(result.values["amount"])
            return False

        run(known, {}, play.server, RunSettings(settings.seed, found=found, draw_seed=settings.draw_seed))
        return seen

    assert drawn(RunSettings(5)) == drawn(RunSettings(5)) == drawn(RunSettings(6, draw_seed=5))
    assert drawn(RunSettings(5)) != drawn(RunSettings(6))


KINDS = """
-- chaos:given whole in -5..5
-- chaos:given part in -0.5..0.5
-- chaos:given flag in boolean
-- chaos:given word in text 0..20
-- chaos:given colour in red, 'dark blue'
-- chaos:given moment in timestamp '2024-01-01'..'2024-12-31 12:00'
-- chaos:given numbers in list 0..5 of 1..9
-- chaos:given words in list of text
-- chaos:session one
SELECT chaos.assert(:'whole'::int BETWEEN -5 AND 5, 'whole');
SELECT chaos.assert(:'part'::float8 BETWEEN -0.5 AND 0.5, 'part');
SELECT chaos.assert(:'flag'::boolean IN (true, false), 'flag');
SELECT chaos.assert(length(:'word') <= 20, 'word');
SELECT chaos.assert(chaos.var('word') = :'word', 'word in functions');
SELECT chaos.assert(:'colour' IN ('red', 'dark blue'), 'colour');
SELECT chaos.assert(:'moment'::timestamp BETWEEN '2024-01-01' AND '2024-12-31 12:00', 'moment');
SELECT chaos.assert(coalesce(array_length(:'numbers'::int[], 1), 0) <= 5, 'numbers');
SELECT chaos.assert(:'words'::text[] IS NOT NULL, 'words');
"""


def test_every_kind_of_value_arrives_as_it_was_drawn(play: Play) -> None:
    result = play(KINDS)
    assert not result.failures, (result.failures, result.values)
    assert result.drawn == 40
    assert len(result.assertions) == 9


def test_a_list_of_text_is_one_array_whatever_is_in_it(play: Play) -> None:
    result = play(
        """
        -- chaos:given words in list 1..3 of text 1..5
        -- chaos:session one
        SELECT chaos.assert(array_length(:'words'::text[], 1) BETWEEN 1 AND 3, 'its length');
        SELECT chaos.assert(bool_and(length(word) BETWEEN 1 AND 5), 'theirs') FROM unnest(:'words'::text[]) word;
        """
    )
    assert not result.failures, (result.failures, result.values)


def test_what_is_kept_is_run_again_by_the_seed_that_it_failed_with(play: Play) -> None:
    # fails by chance of the seed alone, whatever the order
    drawn = "cmp_ok(chaos.random(), '<', 0.8::float8, 'lucky')"
    unlucky = scenario(play, counter("explore 3", drawn))
    seeds = [seed for seed in range(4) if run(unlucky, {}, play.server, RunSettings(seed)).failures]
    lucky = next(seed for seed in range(4) if seed not in seeds)
    run(unlucky, {}, play.server, RunSettings(seeds[0], key="0badc0de"))
    again = run(unlucky, {}, play.server, RunSettings(lucky, key="0badc0de"))
    assert again.failures
    assert again.notes == ["this failed before: its stored interleaving was run, without a new search"]


def test_a_stop_forgets_nothing_that_was_kept(play: Play) -> None:
    bad = scenario(play, counter("explore 50"))
    run(bad, {}, play.server, RunSettings(1, key="0badc0de"))
    stop = Stop()
    stop.set()
    run(bad, {}, play.server, RunSettings(1, key="0badc0de", stop=stop))
    stop.close()
    again = run(bad, {}, play.server, RunSettings(1, key="0badc0de"))
    assert again.notes == ["this failed before: its stored interleaving was run, without a new search"]


def test_without_hypothesis_what_needs_it_is_skipped_and_says_so(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategy, "no_hypothesis", lambda: NOT_INSTALLED)
    drawn = play(counter("free", "pass(:'amount')", "-- chaos:given amount in 1..9"))
    assert drawn.skipped.endswith("which is not installed: pip install hypothesis")
    assert not play(counter("free", "pass()")).skipped


def test_with_a_broken_hypothesis_what_needs_it_fails(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategy, "no_hypothesis", lambda: "hypothesis, which cannot be imported: SyntaxError: no")
    drawn = play(counter("free", "pass(:'amount')", "-- chaos:given amount in 1..9"))
    assert [failure.text for failure in drawn.failures] == [
        "`given` draws values by hypothesis, which cannot be imported: SyntaxError: no"
    ]
    assert not play(counter("free", "pass()")).failures


def test_progress_is_reported_with_the_most_that_may_come(play: Play) -> None:
    reported: list[tuple[int, int]] = []
    known = scenario(play, counter("free", "pass(:'amount')", "-- chaos:given amount in 1..9"))
    run(known, {}, play.server, RunSettings(1, progress=lambda made, most: reported.append((made, most))))
    assert reported[-1] == (9, 40)
    reported.clear()
    known = scenario(play, counter("explore 4", "pass()"))
    run(known, {}, play.server, RunSettings(1, progress=lambda made, most: reported.append((made, most))))
    assert [most for _, most in reported] == [4] * len(reported)


INSIDE = """
    -- chaos:schedule {schedule}
    -- chaos:setup
    CREATE TABLE t (a int);
    CREATE TABLE log (a int);
    CREATE FUNCTION twice() RETURNS void LANGUAGE plpgsql AS 'BEGIN UPDATE t SET a = 1; UPDATE t SET a = 2; END';
    CREATE FUNCTION double(a int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2 * a';
    CREATE FUNCTION notes() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (1); RETURN new; END';
    CREATE FUNCTION raises() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.a := 3; RETURN new; END';
    {more}
    -- chaos:session one
    {sql}
    -- chaos:session two
    SELECT count(*) FROM t;
    -- chaos:check
    SELECT pass('checked');
"""


@pytest.mark.parametrize("schedule", ["all", "explore 10"])
@pytest.mark.parametrize(
    ("more", "sql", "reported"),
    [
        ("", "SELECT twice();", "line 12 calls twice(), a volatile function"),
        (
            "CREATE TRIGGER audit AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION notes();",
            "INSERT INTO t VALUES (1);",
            "line 12 fires trigger audit of t, which may write",
        ),
        ("", "SELECT 1 FROM log WHERE pg_try_advisory_lock(a);", "line 12 takes an advisory lock in WHERE"),
    ],
)
def test_what_happens_inside_a_statement_is_said_not_to_be_interleaved(
    schedule: str, more: str, sql: str, reported: str, play: Play
) -> None:
    result = play(INSIDE.format(schedule=schedule, more=more, sql=sql))
    assert result.failures == []
    (remark,) = result.remarks
    assert f"what happens inside one was not interleaved ({reported})" in remark
    assert "chaos.jitter()" in remark
    assert "chaos.inject_delay()" in remark


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t SELECT 1 WHERE NOT EXISTS (SELECT FROM t WHERE a = 1);",
        "UPDATE t SET a = (SELECT max(a) + 1 FROM t);",
        "BEGIN;\nCOMMIT;\nDELETE FROM public.t WHERE a = (SELECT min(a) FROM t);",
    ],
)
def test_what_reads_and_changes_a_table_outside_a_block_is_said_not_to_be_interleaved(sql: str, play: Play) -> None:
    result = play(INSIDE.format(schedule="all", more="", sql=sql))
    assert result.failures == []
    (remark,) = result.remarks
    line = 11 + len(sql.splitlines())
    assert f": line {line} reads and changes t in a transaction of its own, so no other session came" in remark
    assert remark.endswith("Write BEGIN before the statement and COMMIT after it: then one can")


COUNTS = """
    CREATE FUNCTION counts() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
    IF (SELECT count(*) FROM t) > 1 THEN RAISE EXCEPTION ''full''; END IF; RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER most AFTER INSERT ON t DEFERRABLE INITIALLY {mode}
    FOR EACH ROW EXECUTE FUNCTION counts();
"""
INSERT = "INSERT INTO t VALUES (1);"


@pytest.mark.parametrize(
    ("mode", "before"), [("DEFERRED", ""), ("IMMEDIATE", "SET CONSTRAINTS most DEFERRED;")], ids=["deferred", "set"]
)
def test_a_check_at_commit_is_said_not_to_be_interleaved(mode: str, before: str, play: Play) -> None:
    sql = f"BEGIN; {before}\n{INSERT}\nCOMMIT;"
    result = play(INSIDE.format(schedule="all", more=COUNTS.format(mode=mode), sql=sql))
    assert result.failures == []
    (remark,) = result.remarks
    assert ": line 18 fires trigger most of t at COMMIT, so no other session came in between its check" in remark
    assert remark.endswith("Write SET CONSTRAINTS ALL IMMEDIATE before COMMIT: then one can")


@pytest.mark.parametrize("sql", ["SET lock_timeout = '1h';", "BEGIN; SET LOCAL statement_timeout TO 60000; COMMIT;"])
def test_a_search_says_that_it_does_not_wait_for_time_outs(sql: str, play: Play) -> None:
    result = play(INSIDE.format(schedule="all", more="", sql=sql))
    assert result.failures == []
    (remark,) = result.remarks
    name = "lock_timeout" if "lock" in sql else "statement_timeout"
    assert f"`schedule all` does not wait for time-outs (line 12 sets {name}): where a statement waits" in remark


def test_a_trigger_that_reads_is_said_not_to_be_interleaved_outside_a_block(play: Play) -> None:
    result = play(INSIDE.format(schedule="all", more=COUNTS.format(mode="IMMEDIATE"), sql=INSERT))
    assert result.failures == []
    (remark,) = result.remarks
    assert ": line 17 fires trigger most of t, which reads, in a transaction of its own, so no other" in remark


@pytest.mark.parametrize(
    ("more", "sql"),
    [
        (COUNTS.format(mode="IMMEDIATE"), f"BEGIN; {INSERT} COMMIT;"),
        (COUNTS.format(mode="DEFERRED"), f"BEGIN; {INSERT} SET CONSTRAINTS ALL IMMEDIATE; COMMIT;"),
        ("", "SET lock_timeout = 0; RESET statement_timeout; SET lock_timeout TO DEFAULT;"),
        ("", "SELECT double(a), random(), now() FROM t;"),
        ("", "BEGIN;\n    UPDATE t SET a = (SELECT max(a) + 1 FROM t);\n    COMMIT;"),
        ("", "UPDATE t SET a = 2 WHERE a = (SELECT a FROM t LIMIT 1 FOR UPDATE SKIP LOCKED);"),
        ("", "INSERT INTO log SELECT a FROM t;"),
        ("", "UPDATE t SET a = a + 1;"),
        ("", "SELECT pg_advisory_xact_lock(1);"),
        (
            "CREATE TRIGGER sets BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION raises();",
            "INSERT INTO t VALUES (1);",
        ),
        (
            "CREATE TRIGGER audit AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION notes();",
            "SELECT a FROM t WHERE a > 0;",
        ),
    ],
)
def test_a_statement_that_is_one_thing_needs_no_remark(more: str, sql: str, play: Play) -> None:
    result = play(INSIDE.format(schedule="all", more=more, sql=sql))
    assert (result.failures, result.remarks) == ([], [])
