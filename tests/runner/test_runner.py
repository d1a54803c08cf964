from __future__ import annotations

import pytest

from pgchaos.runner.runner import Runner
from pgchaos.server import ServerError, ServerSettings
from tests.conftest import ForeignServer


def test_the_server_is_opened_once_and_when_it_is_needed(foreign_server: ForeignServer) -> None:
    runner = Runner(ServerSettings(dsn=foreign_server.dsn), seed=1, timeout=1.0)
    try:
        assert (runner.banner, runner.usable) == ("", False)
        assert runner.server is runner.server
        assert runner.usable
        assert runner.banner.startswith("PostgreSQL ")
    finally:
        runner.close()
    runner.close()
    assert not runner.usable


def test_a_server_that_cannot_be_opened_is_not_tried_again() -> None:
    runner = Runner(ServerSettings(dsn="host=/nowhere"), seed=1, timeout=1.0)
    with pytest.raises(ServerError) as first:
        assert runner.server
    with pytest.raises(ServerError) as second:
        assert runner.server
    assert second.value is first.value
    assert not runner.usable
