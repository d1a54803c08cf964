"""Runs jobs on the one server of a run, in order or side by side. Knows no pytest."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

from pgchaos.report.live_progress import PINNING, Live
from pgchaos.runner.connection_semaphore import ConnectionSemaphore
from pgchaos.runner.job_executor import JobExecutor
from pgchaos.runner.jobs import Done, Job
from pgchaos.runner.progress import Progress
from pgchaos.runner.spec_jobs import SpecDone, SpecJob, in_order, run_spec_job
from pgchaos.runner.suite_files import OneDatabase
from pgchaos.schedule.token import Token
from pgchaos.server.settings import ServerError, ServerSettings

if TYPE_CHECKING:
    from pgchaos.language.model import Scenario
    from pgchaos.results import RunResult
    from pgchaos.runner.server_lock import ServerLock
    from pgchaos.server import Server
    from pgchaos.stop import Stop

_OF_A_JOB = 10
"""Connection slots reckoned for one scenario where a number of jobs is chosen."""


class Runner:
    """Opens the server when it is first needed, and runs jobs on it.

    Args:
        settings: which server.
        seed: of everything random.
        timeout: of the sessions of a scenario that says none, in seconds.
        plain_timeout: of a plain pgTAP file, in seconds; None for no limit, as pg_prove has none.
        token: of the run that is to be made again; None to go by the file's schedule.
        selfcheck: run each schedule twice.
        amcheck: look for corruption after every scenario.
        draw_seed: of the values that are drawn, where it is not `seed`.
        live: is told how far searches have come.
    """

    def __init__(
        self,
        settings: ServerSettings,
        seed: int,
        timeout: float,
        *,
        plain_timeout: float | None = None,
        token: Token | None = None,
        selfcheck: bool = False,
        amcheck: bool = False,
        draw_seed: int | None = None,
        live: Live | None = None,
    ) -> None:
        self._live = live or Live(None)
        self._token, self._selfcheck, self._draw_seed = token, selfcheck, draw_seed
        self._amcheck = amcheck
        self._settings = settings
        self._seed = seed
        self._timeout = timeout
        self._plain_timeout = math.inf if plain_timeout is None else plain_timeout
        self._server: Server | None = None
        self._broken: ServerError | None = None
        self._ran = False
        self._refused = 0
        self._slots: ConnectionSemaphore | None = None
        self._ahead: JobExecutor[Job, Done | SpecDone] | None = None
        self._stop: Stop | None = None
        self._turns: ServerLock | None = None
        self._making = Lock()
        self._kept = OneDatabase({})
        self._progress: dict[int, Progress] = {}

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

    def prepare(self) -> None:
        """Have the server prepare for scenarios while other things are loaded.

        Raises:
            ServerError: there is no server.
        """
        self.server.prepare()

    def start(self, jobs: Mapping[str, Job], at_once: int | None) -> None:
        """Run jobs ahead, in threads, so that their results are there when they are asked for.

        Args:
            jobs: by their keys, in the order in which they will be asked for; those that must be alone are left out.
                Of isolation specs the longest begin first.
            at_once: how many run at once; None to choose by processors and free connection slots.

        Raises:
            ServerError: there is no server.
        """
        from pgchaos.stop import Stop

        free = self.server.free_slots()
        at_once = min(2 * _processors(), free // _OF_A_JOB) if at_once is None else at_once
        shared = {key: job for key, job in jobs.items() if not job.alone}
        if at_once < 2 or len(shared) < 2 or self._settings.in_place:
            return
        self._slots, self._stop = ConnectionSemaphore(free), Stop()
        self._ahead = JobExecutor(self._shared, at_once)
        self._ahead.start(in_order(shared))

    def keep(self, jobs: Mapping[str, Job]) -> None:
        """Have plain pgTAP files run in one database; in place all do.

        Args:
            jobs: of these files, by their keys.
        """
        self._kept = OneDatabase(jobs)

    def result_of(self, key: str, job: Job) -> Done | SpecDone:
        """Bring what a job came to, or run it now.

        Args:
            key: of the job.
            job: of an item.

        Returns:
            What was run, and what it left behind; a run that was not made says why in `skipped`.

        Raises:
            ServerError: the server cannot be used, or is gone.
            ScenarioError: the file is no scenario any more.
        """
        if self._ahead is None or self._slots is None:
            return self._run(job)
        if job.alone:
            with self._slots.all():
                return self._run(job)
        return self._ahead.result_of(key, job)

    def alone(self) -> AbstractContextManager[None]:
        """Wait until no job runs ahead, and let none begin for as long as the context lasts."""
        return nullcontext() if self._ahead is None or self._slots is None else self._slots.all()

    def _shared(self, job: Job) -> Done | SpecDone:
        assert self._slots is not None, "start() makes it"
        with self._slots.hold(job.connections):
            return self._run(job)

    def _run(self, job: Job) -> Done | SpecDone:
        self.server.answering.demand()
        with self._turn(alone=job.alone):
            return self._run_here(job)

    def _turn(self, *, alone: bool) -> AbstractContextManager[None]:
        """Wait for a turn where other runs may use the server: workers of pytest-xdist have each a runner."""
        from pgchaos.runner.server_lock import ServerLock

        server = self.server
        if server.ours:
            return nullcontext()
        with self._making:
            turns = self._turns = self._turns or ServerLock(server.conninfo(), server.answering)
        return turns.take(alone=alone)

    def _run_here(self, job: Job) -> Done | SpecDone:
        if isinstance(job, SpecJob):
            done = run_spec_job(job, self.server, self._stop)
            self._ran = True
            return done
        return self._run_scenario(job)

    def _run_scenario(self, job: Job) -> Done:
        # each of these is loaded by those who run scenarios
        from pgchaos.engine.run_settings import Replay, RunSettings
        from pgchaos.report import item_name
        from pgchaos.results import RunResult
        from pgchaos.search.reproduce import reproduce
        from pgchaos.search.strategy import run
        from pgchaos.verdict import is_found

        scenario, mutant = job.read()
        refused = self._harmless(scenario)
        if refused:
            return Done(scenario, mutant, RunResult(seed=self._seed, skipped=refused, server=self.banner))
        name = item_name(scenario.name, job.variables, job.mutant)
        found = lambda result: is_found(scenario, mutant, job.variables, result)  # noqa: E731  # given to two
        stop, item = self._stop, f"{scenario.shown}::{name}"
        searches = scenario.schedule.kind in ("all", "explore")
        progress = Progress(item, job.fingerprint, searches, found)
        self._progress[id(progress)] = progress
        settings = RunSettings(
            seed=self._seed,
            timeout=self._plain_timeout if scenario.plain else self._timeout,
            limit=job.limit,
            stop=self._stop,
            replay=None if self._token is None else Replay(self._token.decisions, self._token.values),
            selfcheck=self._selfcheck and mutant is None,
            amcheck=self._amcheck,
            found=found,
            key=job.fingerprint,
            draw_seed=self._draw_seed,
            ran=progress.add,
            progress=lambda runs, limit: self._live.tell(name, runs, limit),
            suite=self._kept.suite(self.server) if job.kept and not self._settings.in_place else None,
        )
        before = settings.suite.files if settings.suite is not None else 0
        try:
            result = run(scenario, job.variables, self.server, settings)
            if mutant is None and self._may_be_pinned(scenario, job, result):
                # the failure is reported, whatever becomes of the second run
                with suppress(ServerError):
                    variables = {**job.variables, **result.values}
                    again = reproduce(
                        scenario, variables, self.server, settings, result, lambda: self._live.say(name, PINNING)
                    )
                    result = replace(result.joined(notes=again.notes), decisions=again.decisions or result.decisions)
            if stop is None or not stop.is_set():
                # what the user stops stays, to be told of
                self._progress.pop(id(progress), None)
        except ServerError:
            self._progress.pop(id(progress), None)
            # what only some scenarios ask for says nothing of the others
            self._refused += not scenario.extensions and scenario.sandbox != "server"
            raise
        finally:
            self._live.end(name)
        if settings.suite is not None:
            result = result.joined(notes=self._kept.ran(result, before))
        self._ran = self._ran or not result.skipped
        return Done(scenario, mutant, result)

    @property
    def stopped(self) -> list[str]:
        """Say of each scenario that was stopped before its end how far it had come."""
        return [one.stopped(self._seed) for one in self._progress.values()]

    def _may_be_pinned(self, scenario: Scenario, job: Job, result: RunResult) -> bool:
        """Say whether a free run failed, so that it is worth looking for an order of steps that fails too."""
        from pgchaos.verdict import judge

        if scenario.schedule.kind != "free" or self._token is not None or not result.failures:
            return False
        return judge(scenario, job.variables, result).outcome == "failed"

    def _harmless(self, scenario: Scenario) -> str:
        """Say why a scenario may not be run on this server, or ''."""
        from pgchaos.language.header_model import Requirement
        from pgchaos.language.problems import Place

        if "destructive" not in scenario.tags or scenario.sandbox == "server":
            return ""
        return self.server.missing(Requirement(Place(scenario.shown, 1), "own server"))

    @property
    def usable(self) -> bool:
        """Whether the server can be used: what one scenario asked for in vain, another may not need."""
        import psycopg

        if self._broken is not None or self._server is None or (self._refused > 1 and not self._ran):
            return False
        if self._server.answering.silent:
            return False
        try:
            self._server.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop what still runs ahead: nobody will ask for it."""
        if self._stop is not None:
            self._stop.set()
        if self._turns is not None:
            self._turns.stop()
        if self._ahead is not None:
            self._ahead.close()
        if self._turns is not None:
            self._turns.close()
        if self._stop is not None:
            self._stop.close()
        self._ahead = self._stop = self._turns = None

    def end(self) -> None:
        """Run nothing more; what the runs made is dropped while other things go on."""
        self.stop()
        self._kept.close()
        if self._server is not None:
            self._server.end()

    def close(self) -> list[str]:
        """Give the server back. Further calls do nothing.

        Returns:
            What may be left on it, a line each.
        """
        self.stop()
        self._kept.close()
        self._live.close()
        server, self._server = self._server, None
        return [] if server is None else server.close()


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
