"""How long a spec waits for news of its connections."""

from __future__ import annotations

import time

import pytest

from pgchaos.engine.specs.poller import Poller
from pgchaos.engine.specs.spec_connection import Interrupted
from pgchaos.stop import Stop


def test_less_than_a_millisecond_is_waited_for_as_long_as_asked(stop: Stop) -> None:
    def waited() -> float:
        begun = time.monotonic()
        assert not Poller(stop, None).poll(0.0004)
        return time.monotonic() - begun

    # poll would take a whole one each time; on a busy machine, some take longer
    shortest = min(waited() for _ in range(100))
    assert 0.0003 < shortest < 0.001


@pytest.mark.parametrize("seconds", [0.0, 0.0004, 60.0])
def test_a_stop_ends_a_wait_of_any_length(stop: Stop, seconds: float) -> None:
    stop.set()
    with pytest.raises(Interrupted, match="the run was stopped"):
        Poller(stop, None).poll(seconds)
