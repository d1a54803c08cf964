"""A statement that another session or a fault has cancelled says who did it."""

from __future__ import annotations

import pytest

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


def test_a_limit_of_time_is_told_in_the_words_of_the_server(play: Play) -> None:
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
