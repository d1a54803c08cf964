"""What a program is to the run that plays it: something that starts, ends, and can be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pgchaos.posix.activity import ActivityProbe
from pgchaos.results import Failure
from pgchaos.stop import Stop


@dataclass(frozen=True, slots=True)
class Address:
    """How a program connects.

    Args:
        url: a connection URI.
        variables: of libpq, by name; DATABASE_URL among them.
    """

    url: str
    variables: Mapping[str, str]


class RunningProgram(Protocol):
    """A program that was started."""

    probe: ActivityProbe

    async def ends(self, stop: Stop) -> bool:
        """Wait for its end; False where the stop was set first."""
        ...

    async def finish(self) -> Failure | None:
        """End it, where it still runs, and say what is wrong with how it ended by itself."""
        ...


class Launcher(Protocol):
    """Starts a program for one worker."""

    command: str

    async def start(self, address: Address, iteration: int) -> RunningProgram:
        """Start it.

        Args:
            address: at which it finds the server.
            iteration: from 1.

        Raises:
            pgchaos.engine.coordinator.SessionFailed: it cannot be started.
        """
        ...
