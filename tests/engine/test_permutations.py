"""`schedule all`: every interleaving of real sessions, and one merged result."""

from __future__ import annotations

import pytest

from pgchaos.engine.run_settings import Replay, RunSettings
from pgchaos.language.mutation import mutated
from pgchaos.language.reader import read
from pgchaos.search.strategy import run
from pgchaos.verdict import judge, judge_mutant
from tests.engine.playing import Play, held, interleavings, only

LOST_UPDATE = """
-- chaos:schedule {schedule}
-- chaos:setup
CREATE TABLE account (id int PRIMARY KEY, balance int);
INSERT INTO account VALUES (1, 100);
-- chaos:session a
-- chaos:step look
BEGIN;
SELECT balance AS had FROM account WHERE id = 1 {lock} \\gset
-- chaos:step write
UPDATE account SET balance = :had + 10 WHERE id = 1;
-- chaos:step end
COMMIT;
-- chaos:session b
-- chaos:step look
BEGIN;
SELECT balance AS had FROM account WHERE id = 1 {lock} \\gset
-- chaos:step write
UPDATE account SET balance = :had + 10 WHERE id = 1;
-- chaos:step end
COMMIT;
-- chaos:check
SELECT is(balance, 120, 'both additions count') FROM account;
SELECT pass('checked');
"""


def lost(schedule: str = "all", lock: str = "") -> str:
    return LOST_UPDATE.format(schedule=schedule, lock=lock)


def test_each_permutation_that_can_run_is_run_once(play: Play) -> None:
    result = play(lost(lock="FOR UPDATE"))
    assert not result.failures
    counts = interleavings(result)
    # who looks second waits at once: only where within the other's steps it does is left to choose
    assert (counts.run, counts.failed, counts.exhausted) == (6, 0, True)
    assert [(a.name, a.count) for a in result.assertions] == [
        ("both additions count", "in 6 of 6 interleavings"),
        ("checked", "in 6 of 6 interleavings"),
    ]


def test_the_clearest_failure_is_shown_and_all_are_counted(play: Play) -> None:
    result = play(lost())
    assert only(result).names == ("both additions count",)
    counts = interleavings(result)
    # of the 20 without waits, those in which the second writes before the first ends have the second waiting: two of
    # them then differ only in where its end is listed
    assert counts.exhausted
    assert counts.run - counts.failed == 2
    taken = [(step.session, step.step) for step in result.order]
    assert taken == [("a", "look"), ("b", "look"), ("b", "write"), ("b", "end"), ("a", "write"), ("a", "end")]
    assert result.decisions == (0, 1, 1, 1, 0, 0)
    # these are of the one that is shown
    assert [(a.name, a.ok, a.count) for a in result.assertions] == [
        ("both additions count", False, ""),
        ("checked", True, ""),
    ]


def test_where_none_failed_the_assertions_of_all_are_counted(play: Play) -> None:
    result = play(lost(lock="FOR UPDATE"))
    run = interleavings(result).run
    assert [a.count for a in result.assertions] == [f"in {run} of {run} interleavings"] * 2
    assert result.decisions is None


def test_notices_are_those_of_the_permutation_that_is_shown(play: Play) -> None:
    text = lost().replace(
        "-- chaos:check\n", "-- chaos:check\nDO $$ BEGIN RAISE NOTICE '%', (SELECT balance FROM account); END $$;\n"
    )
    result = play(text)
    assert interleavings(result).failed
    assert len(result.output) == 1


def test_up_to_stops_there_and_says_that_there_are_more(play: Play) -> None:
    result = play(lost("all up to 3", lock="FOR UPDATE"))
    counts = interleavings(result)
    assert (counts.run, counts.exhausted) == (3, False)


def test_decisions_replay_the_one_permutation(play: Play) -> None:
    path = play.folder / "scenario.sql"
    decisions = play(lost()).decisions or ()
    again = run(read(path, "scenario.sql"), {}, play.server, RunSettings(1, replay=Replay(decisions)))
    assert only(again).names == ("both additions count",)
    assert (again.decisions, again.permutations) == (decisions, None)
    fine = run(read(path, "scenario.sql"), {}, play.server, RunSettings(1, replay=Replay((0, 0, 0, 1, 1, 1))))
    assert held(fine) == ["both additions count", "checked"]


def test_decisions_that_do_not_fit_are_reported(play: Play) -> None:
    play(lost(lock="FOR UPDATE"))
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    # b looks while a holds the row: it cannot write then
    strayed = run(scenario, {}, play.server, RunSettings(1, replay=Replay((0, 1, 1, 0, 0, 1))))
    assert strayed.notes == ["the token could not be followed: at its step 3 b[1] had no step to do"]


@pytest.mark.parametrize("cut", [(0,), (0, 0), (0, 0, 1, 1, 0)])
def test_a_token_that_was_not_copied_whole_is_reported(play: Play, cut: tuple[int, ...]) -> None:
    text = "-- chaos:schedule all\n-- chaos:session a\nSELECT 1;\nSELECT 2;\n-- chaos:session b\nSELECT 3;\nSELECT 4;\n"
    play(text + "-- chaos:check\nSELECT pass('all');")
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    result = run(scenario, {}, play.server, RunSettings(1, replay=Replay(cut)))
    note = f"the token decides {len(cut)} steps, and this run had 4: if the token was not copied whole"
    assert result.failures == []
    assert [one[: len(note)] for one in result.notes] == [note]
    whole = run(scenario, {}, play.server, RunSettings(1, replay=Replay((0, 0, 1, 1))))
    assert whole.notes == []
    other = run(scenario, {}, play.server, RunSettings(1, replay=Replay((0, 2))))
    assert "names connection 2, and the scenario has 2, which count from 0" in only(other).text


def test_what_fails_in_other_permutations_only_is_reported_too(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule all
        -- chaos:setup
        CREATE TABLE went (id serial, session text);
        -- chaos:session a
        INSERT INTO went (session) VALUES ('a');
        -- chaos:session b
        INSERT INTO went (session) VALUES ('b');
        -- chaos:check
        SELECT isnt((SELECT session FROM went ORDER BY id LIMIT 1), 'a', 'a is not first');
        SELECT isnt((SELECT session FROM went ORDER BY id LIMIT 1), 'b', 'b is not first');
        """
    )
    assert [failure.names for failure in result.failures] == [("a is not first",), ("b is not first",)]
    assert "(in another interleaving than the one below)" in result.failures[1].details
    assert [(s.session) for s in result.order] == ["a", "b"]


def test_a_session_at_a_barrier_counts_as_blocked_until_it_opens(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule all
        -- chaos:setup
        CREATE TABLE went (id serial, what text);
        -- chaos:session a
        INSERT INTO went (what) VALUES ('before');
        -- chaos:barrier met
        INSERT INTO went (what) VALUES ('after');
        -- chaos:session b
        INSERT INTO went (what) VALUES ('before');
        -- chaos:barrier met
        INSERT INTO went (what) VALUES ('after');
        -- chaos:check
        SELECT is(string_agg(what, ' ' ORDER BY id), 'before before after after', 'in phases') FROM went;
        """
    )
    assert not result.failures
    counts = interleavings(result)
    assert (counts.run, counts.exhausted) == (4, True)


def test_signals_and_waits_for_locks_leave_nothing_that_cannot_run(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule all
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:session holder
        BEGIN;
        LOCK t;
        -- chaos:signal locked
        -- chaos:wait blocked waiter
        COMMIT;
        -- chaos:session waiter
        -- chaos:wait for locked
        TABLE t;
        -- chaos:check
        SELECT is(waited_on, 'holder[1]', 'it waited') FROM chaos.history WHERE session = 'waiter';
        """
    )
    assert not result.failures
    counts = interleavings(result)
    assert (counts.run, counts.exhausted) == (1, True)


def test_an_xfail_is_known_to_fail_in_some_permutation(play: Play) -> None:
    text = "-- chaos:xfail 'both additions count' read committed loses updates\n" + lost().lstrip()
    result = play(text)
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    assert judge(scenario, {}, result).outcome == "xfailed"


def test_a_mutant_is_caught_in_some_permutation(play: Play) -> None:
    text = lost(lock="FOR UPDATE") + (
        "-- chaos:mutant nobody locks\n-- chaos:replace 'FOR UPDATE' with '' in a\n"
        "-- chaos:replace 'FOR UPDATE' with '' in b\n-- chaos:caught by 'both additions count'\n"
    )
    assert not play(text).failures
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    (mutant,) = scenario.mutants
    result = run(mutated(scenario, mutant), {}, play.server, RunSettings(1))
    assert judge_mutant(mutant, result).outcome == "passed"


def test_a_permutation_in_which_sessions_are_stuck_ends_the_search(play: Play) -> None:
    result = play(
        """
        -- chaos:schedule all
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:session a
        BEGIN;
        LOCK t;
        -- chaos:session b
        TABLE t;
        """
        + "-- chaos:check\nSELECT pass('checked');\n",
        timeout=60,
    )
    assert only(result).kind == "timeout"
    assert interleavings(result).run == 1


SELFCHECK = """
-- chaos:schedule {schedule}
-- chaos:setup
CREATE SEQUENCE counted;
{more}
-- chaos:session a
SELECT {value} AS value \\gset
SELECT :value;
-- chaos:session b
SELECT 1;
-- chaos:check
SELECT pass('checked');
"""


@pytest.mark.parametrize("schedule", ["all", "a.1 b.1 a.2"])
def test_selfcheck_names_the_statement_that_is_not_deterministic(play: Play, schedule: str) -> None:
    play(SELFCHECK.format(schedule=schedule, more="", value="pg_backend_pid()"))
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    result = run(scenario, {}, play.server, RunSettings(1, selfcheck=True))
    failure = result.failures[0]
    assert failure.text.startswith("not deterministic: a[1].1 gave SELECT 1, value = ")
    assert str(failure.place) == "scenario.sql:7"


@pytest.mark.parametrize("schedule", ["all", "a.1 b.1 a.2"])
def test_selfcheck_finds_nothing_where_there_is_nothing(play: Play, schedule: str) -> None:
    play(SELFCHECK.format(schedule=schedule, more="", value="nextval('counted')"))
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    assert not run(scenario, {}, play.server, RunSettings(1, selfcheck=True)).failures
