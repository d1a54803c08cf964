"""A server that has stopped answering, cancels too: the run ends soon after its time is over."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pgchaos.server import Server
from tests.engine.playing import Play
from tests.freezing import SLEEP, freezing

pytestmark = pytest.mark.slow  # each waits for the limit of its scenario, and for what is cancelled in vain

PHASES = ("setup", "session", "check", "teardown")
_SOON = 20.0
"""Seconds: 5 on a machine that has nothing else to do, of them 1 the limit of the scenario."""


@pytest.mark.parametrize("whole", [True, False], ids=["server", "backend"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_on_a_frozen_server_ends_soon(own_server: Server, tmp_path: Path, phase: str, whole: bool) -> None:
    says = {name: SLEEP if name == phase else "SELECT 1;" for name in PHASES}
    if phase != "check":
        says["check"] = "SELECT pass('checked');"
    text = "-- chaos:timeout 1s\n-- chaos:invariant\nSELECT true AS it_is;\n"
    names = {name: f"{name} one" if name == "session" else name for name in PHASES}
    text += "".join(f"-- chaos:{names[name]}\n{said}\n" for name, said in says.items())
    with freezing(own_server, whole=whole) as when:
        result = Play(own_server, tmp_path)(text)
        ended = time.monotonic()
    assert result.failures[0].kind == "timeout"
    assert ended - when[0] < _SOON
    unanswered = [failure for failure in result.failures if "the server does not answer" in failure.text]
    assert bool(unanswered) is whole
