"""Scenarios are played from their text, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis.database import DirectoryBasedExampleDatabase

from pgchaos.server import Server
from tests.engine.playing import Play


@pytest.fixture(scope="session")
def server(private_server: Server) -> Server:
    """The server that the tests of the engine share; none of them harms it."""
    return private_server


@pytest.fixture
def play(server: Server, tmp_path: Path) -> Play:
    """Play a scenario's text on the shared server."""
    return Play(server, tmp_path)


@pytest.fixture
def play_own(own_server: Server, tmp_path: Path) -> Play:
    """Play a scenario's text on a server that may be harmed."""
    return Play(own_server, tmp_path)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    """Keep what is found in a folder of the test's own."""
    before = hypothesis.settings.default
    kept = DirectoryBasedExampleDatabase(tmp_path / "kept")
    hypothesis.settings.register_profile("kept", database=kept, max_examples=40)
    hypothesis.settings.load_profile("kept")
    yield tmp_path / "kept"
    hypothesis.settings.register_profile("before", parent=before)
    hypothesis.settings.load_profile("before")
