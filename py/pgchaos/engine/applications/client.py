"""The interface between a run and a program: a process or a function of a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pgchaos.posix.activity import ActivityProbe
from pgchaos.results import Failure
from pgchaos.stop import Stop


@dataclass(frozen=True, slots=True)
class Address:
    """How a program connects."""

    url: str  # a connection URI
    variables: Mapping[str, str]  # libpq's environment variables, and DATABASE_URL


class RunningProgram(Protocol):
    """A running program."""

    probe: ActivityProbe

    async def ends(self, stop: Stop) -> bool:
        """Wait until it has ended; False if the stop was set first."""
        ...

    async def finish(self) -> Failure | None:
        """End it if it still runs; return a failure if it ended by itself with an error."""
        ...


class Launcher(Protocol):
    """Starts a program for one worker."""

    command: str

    async def start(self, address: Address, iteration: int) -> RunningProgram:
        """Start it.

        Args:
            address: of the server.
            iteration: from 1.

        Raises:
            pgchaos.engine.coordinator.SessionFailed: it cannot be started.
        """
        ...
