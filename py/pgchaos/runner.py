"""Runs scenarios on the one server of a pytest run. Knows no pytest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgchaos.history import RunResult
from pgchaos.scenario.model import Place, Requirement, Scenario
from pgchaos.server.settings import ServerError, ServerSettings

if TYPE_CHECKING:
    from pgchaos.server import Server


@dataclass(frozen=True, slots=True)
class Job:
    """What one item runs.

    Args:
        scenario: the file.
        variables: the values of its matrix.
        limit: the most that its sessions may take in seconds, whatever the scenario says; None for no such limit.
    """

    scenario: Scenario
    variables: Mapping[str, str] = field(default_factory=dict)
    limit: float | None = None


class Runner:
    """Opens the server when it is first needed, and runs one job at a time on it.

    Args:
        settings: which server.
        seed: of everything random.
        timeout: of the sessions of a scenario that says none, in seconds.
    """

    def __init__(self, settings: ServerSettings, seed: int, timeout: float) -> None:
        self._settings = settings
        self._seed = seed
        self._timeout = timeout
        self._server: Server | None = None
        self._broken: ServerError | None = None
        self._ran = False
        self._refused = 0

    @property
    def server(self) -> Server:
        """The server, opened at the first use.

        Raises:
            ServerError: there is none that can be used; the same again at each further use.
        """
        # psycopg and the engine are not loaded by projects that collect no scenario
        from pgchaos.server import open_server

        if self._broken is not None:
            raise self._broken
        if self._server is None:
            try:
                self._server = open_server(self._settings)
            except ServerError as error:
                self._broken = error
                raise
        return self._server

    @property
    def banner(self) -> str:
        """The server in one line, once it is open; else ''."""
        return "" if self._server is None else self._server.banner

    def result_of(self, job: Job) -> RunResult:
        """Run a job, or bring what it came to.

        Args:
            job: of an item.

        Returns:
            What the run left behind; one that was not run says why in `skipped`.

        Raises:
            ServerError: the server cannot be used, or is gone.
        """
        from pgchaos.engine import Settings, run

        server = self.server
        # more requirements than the file writes are the plugin's affair; those that it does are the engine's
        if "destructive" in job.scenario.tags:
            refused = server.missing(Requirement(Place(job.scenario.shown, 1), "own server"))
            if refused:
                return RunResult(seed=self._seed, skipped=refused, server=server.banner)
        settings = Settings(seed=self._seed, timeout=self._timeout, limit=job.limit)
        try:
            result = run(job.scenario, job.variables, server, settings)
        except ServerError:
            self._refused += 1
            raise
        self._ran = self._ran or not result.skipped
        return result

    @property
    def usable(self) -> bool:
        """Whether the server can be used: what one scenario asked for in vain, another may not need."""
        import psycopg

        if self._broken is not None or self._server is None or (self._refused > 1 and not self._ran):
            return False
        try:
            self._server.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def close(self) -> None:
        """Give the server back. Further calls do nothing."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
