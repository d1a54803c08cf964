"""Data directories that are made once for each process of tests: most of what a server takes to start is initdb's."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pgchaos.server import PrivateServer, binaries, private, start_private

INITDB = private.initdb_command
"""Gives the command that makes a data directory."""


class Prepared:
    """The servers, shut down, whose data directories are copied."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._made: dict[object, PrivateServer | None] = {}
        self._lock = threading.RLock()

    def command(self, programs: Path, data: str) -> list[str]:
        """Give the command that makes a data directory, as `INITDB` does."""
        if programs.is_relative_to(Path(data).parent):
            # a copy of the programs, which goes with the server
            return INITDB(programs, data)
        # initdb writes the time zone into the settings
        key = programs, binaries.server_account().uid, os.environ.get("TZ")
        with self._lock:
            if key not in self._made:
                self._made[key] = None
                server = self._stack.enter_context(start_private(programs))
                assert server.stop("fast")
                self._made[key] = server
            made = self._made[key]
        return INITDB(programs, data) if made is None else ["cp", "-a", f"{made.folder}/data/.", data]


@contextmanager
def prepared_data() -> Iterator[None]:
    """Have private servers begin with a copy of a data directory, as those of a scenario's own do."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(private, "initdb_command", Prepared(stack).command)
        yield
