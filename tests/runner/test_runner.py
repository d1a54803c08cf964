from __future__ import annotations

import os
import warnings

import pytest

from pgchaos.runner.options import Options
from pgchaos.runner.runner import Runner
from pgchaos.server import ServerError, ServerSettings
from tests.conftest import ForeignServer


def test_the_server_is_opened_once_and_when_it_is_needed(foreign_server: ForeignServer) -> None:
    runner = Runner(Options(ServerSettings(dsn=foreign_server.dsn), seed=1, timeout=1.0))
    try:
        assert (runner.banner, runner.usable) == ("", False)
        assert runner.server is runner.server
        assert runner.usable
        assert runner.banner.startswith("PostgreSQL ")
    finally:
        runner.close()
    runner.close()
    assert not runner.usable


def test_a_fork_neither_uses_nor_closes_the_server(foreign_server: ForeignServer) -> None:
    runner = Runner(Options(ServerSettings(dsn=foreign_server.dsn), seed=1, timeout=1.0))
    try:
        with runner.server.sandbox() as sandbox:
            receive, send = os.pipe()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork beside threads
                child = os.fork()
            if not child:
                try:
                    runner.end()
                    assert runner.close() == []
                    assert runner.server
                except ServerError as error:
                    os.write(send, str(error).encode())
                finally:
                    os._exit(0)
            os.close(send)
            with os.fdopen(receive, "rb") as answer:
                assert answer.read().startswith(b"this process is a fork of the one that opened the server")
            os.waitpid(child, 0)
            assert sandbox.database in foreign_server.databases()
    finally:
        runner.close()


def test_a_server_that_cannot_be_opened_is_not_tried_again() -> None:
    runner = Runner(Options(ServerSettings(dsn="host=/nowhere"), seed=1, timeout=1.0))
    with pytest.raises(ServerError) as first:
        assert runner.server
    with pytest.raises(ServerError) as second:
        assert runner.server
    assert second.value is first.value
    assert not runner.usable
