"""A server, or a backend, that has stopped answering: faults and teardown wait for it only briefly."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pgchaos.server import Server
from tests.engine.playing import Play, only
from tests.freezing import SLEEP, freezing

pytestmark = pytest.mark.slow  # each waits for the limit of its scenario, and for what is cancelled in vain

_SOON = 25.0
"""Seconds: 7 on a machine that has nothing else to do, of them 3 the limit of the scenario; it was 33."""


def _text(head: str, fault: str) -> str:
    return f"""
        {head}
        -- chaos:timeout 3s
        -- chaos:session victim
        {SLEEP}
        -- chaos:session breaker
        SELECT 1;
        -- chaos:fault {fault}
        SELECT 2;
        -- chaos:check
        SELECT pass('checked');
    """


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        ("-- chaos:alone", "fill connections before after 1500ms"),
        ("", "terminate of victim before after 1500ms"),
    ],
    ids=["fill", "terminate"],
)
def test_a_fault_on_a_frozen_server_ends_soon(own_server: Server, tmp_path: Path, head: str, fault: str) -> None:
    with freezing(own_server, whole=True) as when:
        result = Play(own_server, tmp_path)(_text(head, fault))
        ended = time.monotonic()
    assert result.failures[0].kind == "timeout", result.failures
    assert ended - when[0] < _SOON


def test_a_backend_that_does_not_end_is_waited_for_as_long_as_the_sessions_have_time(
    own_server: Server, tmp_path: Path
) -> None:
    with freezing(own_server, whole=False) as when:
        result = Play(own_server, tmp_path)(_text("", "terminate of victim before after 1500ms"))
        ended = time.monotonic()
    assert result.failures[0].kind == "timeout", result.failures
    # 5; pg_terminate_backend by itself waits 10
    assert ended - when[0] < 10


def test_a_teardown_behind_a_frozen_backend_has_what_is_left_of_twice_the_time(
    own_server: Server, tmp_path: Path
) -> None:
    text = f"""
        -- chaos:timeout 2s
        -- chaos:setup
        CREATE TABLE t (n int);
        -- chaos:session holder
        BEGIN;
        LOCK TABLE t;
        {SLEEP}
        -- chaos:check
        SELECT pass('checked');
        -- chaos:teardown
        DROP TABLE t;
    """
    with freezing(own_server, whole=False):
        result = Play(own_server, tmp_path)(text)
    sessions, teardown = result.failures
    assert sessions.kind == teardown.kind == "timeout"
    assert "did not end within 2s" in sessions.text
    assert "did not end within 1s" in teardown.text


def test_a_teardown_that_nothing_holds_up_has_all_of_its_time(own_server: Server, tmp_path: Path) -> None:
    text = """
        -- chaos:timeout 2s
        -- chaos:session one
        SELECT 1;
        -- chaos:check
        SELECT pass('checked');
        -- chaos:teardown
        SELECT pg_sleep(600);
    """
    failure = only(Play(own_server, tmp_path)(text))
    assert "did not end within 2s" in failure.text
