"""A failed free run is repeated one step at a time, unless that takes too long."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import pgchaos.search.reproduce as module
from pgchaos.engine.run_settings import Replay, RunSettings
from pgchaos.language.header_model import Schedule
from pgchaos.language.reader import read
from pgchaos.search.reproduce import reproduce
from pgchaos.search.strategy import run
from pgchaos.stop import Stop
from tests.engine.playing import Play, only

FREE = """
-- chaos:setup
CREATE TABLE seat (id int PRIMARY KEY, buyer int);
CREATE TABLE receipt (buyer int);
INSERT INTO seat VALUES (1, NULL);
-- chaos:session s x 2
BEGIN;
SELECT buyer IS NULL AS free FROM seat WHERE id = 1 \\gset
-- chaos:barrier looked unless blocked
\\if :free
UPDATE seat SET buyer = :worker WHERE id = 1;
INSERT INTO receipt VALUES (:worker);
\\endif
COMMIT;
-- chaos:check
SELECT is(count(*), 1::bigint, 'sold once') FROM receipt;
"""


def test_a_free_run_that_failed_is_pinned_to_an_order_of_steps(play: Play) -> None:
    failed = play(FREE)
    assert only(failed).names == ("sold once",)
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    decisions = reproduce(scenario, {}, play.server, RunSettings(1), failed).decisions
    assert decisions is not None
    for _ in range(3):
        again = run(scenario, {}, play.server, RunSettings(1, replay=Replay(decisions)))
        assert only(again).names == ("sold once",)
        assert again.decisions == decisions


def test_a_failure_that_no_order_of_steps_brings_again_is_not(play: Play) -> None:
    failed = play(
        """
        -- chaos:schedule b.1 a.1 b.2
        -- chaos:setup
        CREATE TABLE t (id int);
        -- chaos:session a
        INSERT INTO t VALUES (1);
        -- chaos:session b
        SELECT count(*) AS before FROM t \\gset
        SELECT chaos.assert(:before = 1, 'it is there');
        """
    )
    assert only(failed).names == ("it is there",)
    # as if it had run freely, and its clock had told them in another order
    scenario = replace(read(play.folder / "scenario.sql", "scenario.sql"), schedule=Schedule())
    failed.records.sort(key=lambda record: (record.session != "a", record.step))
    for number, record in enumerate(failed.records):
        record.started_at = float(number)
    announced: list[str] = []
    again = reproduce(scenario, {}, play.server, RunSettings(1), failed, lambda: announced.append("now"))
    assert again.decisions is None
    assert announced == ["now"]
    assert again.notes == ("no token replays it: the same order, one step at a time, passes",)
    # the order of the steps makes another one of two sessions the one that fails
    failed.failures[0] = replace(failed.failures[0], names=("it was there",))
    failed.records.sort(key=lambda record: record.started_at or 0.0, reverse=True)
    for number, record in enumerate(failed.records):
        record.started_at = float(number)
    again = reproduce(scenario, {}, play.server, RunSettings(1), failed)
    assert again.notes == (
        "no token replays it: the same order, one step at a time, fails in another way: it is there (0 of 1)",
    )


ALONE = "-- chaos:session other\nSELECT 1;\n-- chaos:check\nSELECT fail('never');\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "-- chaos:session s\nSELECT chaos.wait_for('go', '60s');\n"
            "-- chaos:session t\nSELECT chaos.signal('go');\n-- chaos:check\nSELECT fail('never');\n",
            "chaos.wait_for in line 2 would wait for a session that does nothing meanwhile",
        ),
        (
            "-- chaos:session s x 2\nSELECT chaos . barrier ('both', 2);\n-- chaos:check\nSELECT fail('never');\n",
            "chaos.barrier in line 2 would wait for a session that does nothing meanwhile",
        ),
        (
            f"-- chaos:session s\nSELECT pg_sleep(0.6);\n{ALONE}",
            r"it would wait again, \d+\.\d s for pg_sleep in line 2 alone",
        ),
        (
            f"-- chaos:session s\n-- chaos:delay 300ms\nSELECT 1;\nSELECT chaos.delay('300ms');\n{ALONE}",
            r"it would wait again, \d+\.\d s for (delay in line 2|chaos.delay in line 4) alone",
        ),
        (f"-- chaos:session s repeat 1000\nSELECT 1;\n{ALONE}", "it has 1,001 steps, and at most 1,000 are run .*"),
        (
            "-- chaos:session s repeat while t\nSELECT 1;\n"
            "-- chaos:session t\nSELECT 1;\n-- chaos:check\nSELECT fail('never');\n",
            "session `s` repeats for as long as another one lasts",
        ),
    ],
)
def test_an_order_is_not_looked_for_where_that_takes_long_and_this_is_said(play: Play, text: str, reason: str) -> None:
    failed = play(text)
    assert only(failed).names == ("never",)
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    again = reproduce(scenario, {}, play.server, RunSettings(1), failed, lambda: pytest.fail("it was run again"))
    assert again.decisions is None
    assert re.fullmatch(f"no token replays it: {reason}", again.notes[-1])


def test_short_waits_are_waited_for_again(play: Play) -> None:
    failed = play(f"-- chaos:session s\n-- chaos:delay 2ms\nSELECT pg_sleep(0.001);\n{ALONE}")
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    again = reproduce(scenario, {}, play.server, RunSettings(1), failed)
    assert again.decisions is not None
    assert again.notes == ()


def test_the_second_run_takes_no_longer_than_the_first(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "-- chaos:setup\nCREATE FUNCTION waits() RETURNS void LANGUAGE sql AS $$ SELECT pg_sleep({}) $$;\n"
    body = "-- chaos:session s\nSELECT waits();\n" + ALONE
    failed = play(text.format(0) + body)
    (play.folder / "scenario.sql").write_text(text.format(600) + body)
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    monkeypatch.setattr(module, "_LEAST_LIMIT", 0.01)
    stop = Stop()
    try:
        again = reproduce(scenario, {}, play.server, RunSettings(1, stop=stop), failed)
        assert again.decisions is None
        assert not stop.is_set()
    finally:
        stop.close()
    assert re.fullmatch(r".*, does not end within the time of the run, \d+\.\d s", again.notes[-1])


def test_a_stop_ends_the_second_run_too(play: Play) -> None:
    text = "-- chaos:setup\nCREATE FUNCTION waits() RETURNS void LANGUAGE sql AS $$ SELECT pg_sleep({}) $$;\n"
    body = "-- chaos:session s\nSELECT waits();\n" + ALONE
    failed = play(text.format(0) + body)
    failed.duration = 3600.0
    (play.folder / "scenario.sql").write_text(text.format(600) + body)
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    stop = Stop()
    try:
        # it is run again, and then the user has had enough
        assert reproduce(scenario, {}, play.server, RunSettings(1, stop=stop), failed, stop.set).decisions is None
    finally:
        stop.close()


@pytest.mark.parametrize("head", ["", "-- chaos:oracle serializable\n"])
def test_a_lost_interrupt_is_noticed_before_each_further_run(play: Play, head: str) -> None:
    failed = play(head + FREE)
    scenario = read(play.folder / "scenario.sql", "scenario.sql")
    runs: list[int] = []

    def lost_in_a_run() -> None:
        runs.append(len(runs))
        if len(runs) > 1:
            raise KeyboardInterrupt

    settings = RunSettings(1, check_interrupt=lost_in_a_run)
    if head:
        # the second is the first of the oracle's serial runs
        with pytest.raises(KeyboardInterrupt):
            run(scenario, {}, play.server, settings)
    else:
        run(scenario, {}, play.server, settings)
        with pytest.raises(KeyboardInterrupt):
            reproduce(scenario, {}, play.server, settings, failed)
    assert runs == [0, 1]
