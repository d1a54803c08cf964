"""A server that stops answering during a search: the search ends soon, and reports what it found."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pgchaos.server import Server
from tests.engine.playing import Play
from tests.freezing import freezing

pytestmark = pytest.mark.slow  # each waits for the limit of its scenario

_SOON = 25.0
"""Seconds: 6 on a machine that has nothing else to do, of them 1 the limit of the scenario; it was 50."""


def _text(schedule: str, given: str) -> str:
    """Write a scenario of which some run, but not the first, sleeps."""
    where = "WHERE :amount > 0" if given else ""
    return f"""
        -- chaos:timeout 1s
        {schedule}
        {given}
        -- chaos:setup
        CREATE TABLE t (n int);
        INSERT INTO t VALUES (0);
        -- chaos:session a
        UPDATE t SET n = n + 1;
        SELECT pg_sleep(CASE WHEN n = 2 THEN 600 ELSE 0 END) FROM t;
        -- chaos:session b
        UPDATE t SET n = n + 1;
        SELECT n FROM t {where};
        -- chaos:check
        SELECT is((SELECT n FROM t), 2);
    """


@pytest.mark.parametrize(
    ("schedule", "given"),
    [
        ("-- chaos:schedule explore 20", ""),
        ("-- chaos:schedule all", ""),
        ("-- chaos:schedule explore 20", "-- chaos:given amount in 1..9"),
        ("-- chaos:schedule explore 20\n        -- chaos:oracle serializable", ""),
    ],
    ids=["explore", "all", "given", "oracle"],
)
def test_a_search_on_a_frozen_server_ends_soon(own_server: Server, tmp_path: Path, schedule: str, given: str) -> None:
    with freezing(own_server, whole=True) as when:
        result = Play(own_server, tmp_path)(_text(schedule, given))
        ended = time.monotonic()
    assert result.failures[0].kind == "timeout", result.failures
    assert ended - when[0] < _SOON
    assert any("the server does not answer" in failure.text for failure in result.failures)
