"""The error of a cancelled statement names the session or the fault that cancelled it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgchaos.engine.cancelled_by import cancelled_by
from pgchaos.results import STOPPED
from tests.engine.playing import Play, only, said

VICTIM = """
-- chaos:session victim
-- chaos:signal there
SELECT pg_sleep(600);
-- chaos:session other
-- chaos:signal too
SELECT pg_sleep(601);
-- chaos:session admin
-- chaos:wait for there
-- chaos:wait for too
DO $$ BEGIN
    WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%(600%' AND wait_event = 'PgSleep') LOOP
        PERFORM pg_stat_clear_snapshot();
    END LOOP;
END $$;
{how};
-- chaos:check
SELECT pass('done');
"""


@pytest.mark.parametrize(
    ("how", "did", "code"),
    [
        ("SELECT chaos.cancel('victim')", "cancelled", "57014"),
        ("SELECT chaos.terminate('victim')", "terminated", "57P01"),
        (
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%(600)' AND state = 'active'",
            "cancelled",
            "57014",
        ),
    ],
)
def test_the_session_is_named_that_did_it(play: Play, how: str, did: str, code: str) -> None:
    result = play(VICTIM.format(how=how))
    failure = only(result)
    assert failure.text == f"victim[1]: {did} by admin[1] (scenario.sql:16)"
    assert failure.names[0] == code
    assert failure.details[0].startswith("the server said: ")
    (victim,) = said(result, "victim")
    assert victim.ended_by == f"{did} by admin[1] (scenario.sql:16)"
    (other,) = said(result, "other")
    assert (other.message, other.ended_by) == (STOPPED, "")


@pytest.mark.parametrize(("fault", "did"), [("cancel during", "cancelled"), ("terminate during", "terminated")])
def test_a_fault_is_named_by_its_line(play: Play, fault: str, did: str) -> None:
    result = play(
        f"""
        -- chaos:session s
        -- chaos:fault {fault}
        SELECT pg_sleep(600);
        -- chaos:check
        SELECT pass('done');
        """
    )
    assert only(result).text == f"s[1]: {did} by the fault of line 3"


CUT = """
-- chaos:session s{words}
BEGIN;
-- chaos:fault {fault}
{statement};
COMMIT;
-- chaos:check
SELECT pass('done');
"""


@pytest.mark.parametrize(
    ("fault", "statement", "line", "again"),
    [
        ("cut during", "SELECT 1", 4, "retry connection_failure"),
        ("reset", "SELECT 1", 4, "retry connection_failure"),
        ("reset during", "COMMIT", 4, "retry unknown"),
    ],
)
def test_a_lost_connection_names_the_fault_that_took_it(
    play: Play, fault: str, statement: str, line: int, again: str
) -> None:
    failure = only(play(CUT.format(words="", fault=fault, statement=statement)))
    caused = f"caused by the scenario's own fault: `{fault}` at scenario.sql:{line}"
    assert failure.text == f"s[1]: ERROR 08006 (connection_failure): {caused}"
    assert failure.details[0].startswith("libpq said: ")
    assert "terminated abnormally" not in failure.details[0]
    assert f"`{again}` in the `session` line" in failure.details[-1]
    assert failure.details[-1].startswith("HINT: ")


def test_a_connection_that_is_lost_again_is_not_of_an_earlier_fault(play: Play) -> None:
    result = play(
        """
        -- chaos:session s
        -- chaos:fault cut during
        -- chaos:allow connection_failure
        SELECT 1;
        SELECT 2;
        -- chaos:check
        SELECT pass('done');
        """
    )
    first, second = said(result, "s")
    assert first.ended_by.endswith("`cut during` at scenario.sql:3")
    lost = replace(second, sqlstate="08006")
    assert cancelled_by(lost, "lost", [first, lost], result.acts) == ""
    # but of one that was delivered while it did nothing
    cut = replace(result.acts[0], statement="-- fault: cut of s, after line 7", ended_at=lost.started_at)
    assert cancelled_by(lost, "lost", [first, lost], [cut]).endswith("`cut of s after` at scenario.sql:3")
    elsewhere = replace(cut, statement="-- fault: cut of other, after line 7")
    assert cancelled_by(lost, "lost", [first, lost], [elsewhere]) == ""
    whole = replace(cut, session="other", statement="-- fault: crash, before line 7")
    assert cancelled_by(lost, "lost", [first, lost], [whole]).endswith("`crash` at scenario.sql:3")


def test_a_limit_of_time_is_reported_in_the_words_of_the_server(play: Play) -> None:
    result = play(
        """
        -- chaos:session s
        SET statement_timeout = '10ms';
        SELECT pg_sleep(600), 'chaos.cancel(x)';
        -- chaos:check
        SELECT pass('done');
        """
    )
    assert "ERROR 57014 (query_canceled): canceling statement due to statement timeout" in only(result).text
    # nor by a fault that came too late, as the statement ended
    *_, victim = said(result, "s")
    late = replace(victim, statement="-- fault: cancel, during line 4")
    assert cancelled_by(victim, victim.message or "", [victim], [late]) == ""
    requested = "canceling statement due to user request"
    assert cancelled_by(victim, requested, [victim], [late]) == f"cancelled by the fault of line {late.place.line}"
