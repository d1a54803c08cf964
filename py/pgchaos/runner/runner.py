"""Runs jobs on the one server of a run, in order or in parallel. Does not know pytest."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from pgchaos.report.replay import item_name
from pgchaos.runner.options import Options
from pgchaos.runner.progress import ProgressLine
from pgchaos.runner.suite_files import SuiteFiles
from pgchaos.server.settings import ServerError, nothing

if TYPE_CHECKING:
    from pgchaos.engine.run_settings import RunSettings
    from pgchaos.language.model import Mutant, Scenario
    from pgchaos.results import RunResult
    from pgchaos.runner.executor import ConnectionSemaphore, JobExecutor
    from pgchaos.runner.item_progress import ItemProgress
    from pgchaos.runner.jobs import FinishedScenario, Job
    from pgchaos.runner.server_lock import ServerLock
    from pgchaos.runner.specs import FinishedSpec
    from pgchaos.server import Server
    from pgchaos.server.database_queue import Expected
    from pgchaos.stop import Stop

# Connections of one scenario, estimated to choose the number of parallel jobs.
_CONNECTIONS_PER_JOB = 10
_XDIST_WORKER = "PYTEST_XDIST_WORKER"  # set by pytest-xdist, whose workers run in parallel
_FORKED = "this process is a fork of the one that opened the server (--forked, os.fork), and cannot use it: do without"


class _Parallel(NamedTuple):
    """What jobs that run in parallel share."""

    executor: JobExecutor[Job, FinishedScenario | FinishedSpec]
    connections: ConnectionSemaphore
    stop: Stop


class Runner:
    """Opens the server when it is first needed, and runs jobs on it."""

    def __init__(self, options: Options, progress_line: ProgressLine | None = None) -> None:
        self._process = os.getpid()
        self._options = options
        self._progress_line = progress_line or ProgressLine(None)  # of items that take long
        self._server: Server | None = None
        self._server_error: ServerError | None = None
        self._server_lock: ServerLock | None = None
        self._creating_lock = Lock()
        self._any_ran = False
        self.for_files = False  # as in RunSettings
        self._refused = 0  # scenarios for which the server provided no database
        self._parallel: _Parallel | None = None
        self._suite_files = SuiteFiles({})
        self._unfinished: dict[int, ItemProgress] = {}
        self.check_interrupt: Callable[[], None] = nothing
        """Called while waiting for a result, before and after each run; raises KeyboardInterrupt if one was lost."""

    @property
    def server(self) -> Server:
        """The server, opened at the first use; ServerError if none can be used."""
        return self.open_server()

    def open_server(self, meanwhile: Callable[[], None] = nothing, expected: Expected | None = None) -> Server:
        """Open the server at the first use, and return it.

        Args:
            meanwhile: called while a private server starts.
            expected: what will be needed; None if unknown.

        Raises:
            ServerError: no server can be used; the same error at each further use.
        """
        if self._is_fork:
            raise ServerError(_FORKED)
        if self._server_error is not None:
            raise self._server_error
        if self._server is not None:
            return self._server
        # projects that collect no scenario do not load psycopg and the engine
        from pgchaos.server import open_server

        try:
            self._server = open_server(self._options.server, meanwhile=meanwhile, expected=expected)
        except ServerError as error:
            self._server_error = error
            raise
        return self._server

    @property
    def _is_fork(self) -> bool:
        # a fork has no threads that create databases and run scenarios, and would wait for them forever
        return os.getpid() != self._process

    @property
    def banner(self) -> str:
        """The server in one line; '' before it is open."""
        return "" if self._server is None else self._server.banner

    def start(self, jobs: Mapping[str, Job], parallel: int | None) -> None:
        """Start to run jobs in threads, before their results are requested.

        Args:
            jobs: by key, in the order of the items. Jobs that must run alone are left out; among isolation specs, the
                longest begin first.
            parallel: jobs in parallel; None to choose by processors and free connections.

        Raises:
            ServerError: there is no server, or no thread can be started; the same error at each job.
        """
        from pgchaos.runner.executor import ConnectionSemaphore, JobExecutor
        from pgchaos.runner.specs import longest_specs_first
        from pgchaos.stop import Stop

        free = self.server.free_slots()
        parallel = parallel or min(2 * processors(), free // _CONNECTIONS_PER_JOB)
        sharing = {key: job for key, job in jobs.items() if not job.alone}
        if parallel < 2 or len(sharing) < 2 or self._options.server.in_place:
            return
        executor = JobExecutor(self._run_in_thread, parallel)
        self._parallel = _Parallel(executor, ConnectionSemaphore(free), Stop())
        try:
            executor.start(longest_specs_first(sharing))
        except ServerError as error:
            self._stop_jobs()
            self._server_error = error
            raise

    def set_suite(self, jobs: Mapping[str, Job]) -> None:
        """Set the plain pgTAP files that run in one database; in place, all files do."""
        self._suite_files = SuiteFiles(jobs)

    def result_of(self, key: str, job: Job) -> FinishedScenario | FinishedSpec:
        """Wait for the result of a job, or run it now; ServerError, or ScenarioError if its file has changed."""
        if self._parallel is None or self._is_fork:
            return self._run(job)
        if job.alone:
            with self.exclusive():
                return self._run(job)
        return self._parallel.executor.result_of(key, job, self.check_interrupt)

    def exclusive(self) -> AbstractContextManager[None]:
        """Wait until no job runs in a thread; none begins within the context."""
        return nullcontext() if self._parallel is None else self._parallel.connections.acquire_all()

    def _run_in_thread(self, job: Job) -> FinishedScenario | FinishedSpec:
        assert self._parallel is not None, "start() sets it"
        with self._parallel.connections.acquire(job.connections):
            return self._run(job)

    def _run(self, job: Job) -> FinishedScenario | FinishedSpec:
        from pgchaos.runner.specs import SpecJob, run_spec_job

        self.server.health.require_answer()
        with self.lock_server(alone=job.alone):
            if isinstance(job, SpecJob):
                self._progress_line.begin(job.shown)
                try:
                    done = run_spec_job(job, self.server, self._stop)
                finally:
                    self._progress_line.remove(job.shown)
                self._any_ran = True
                return done
            return self._run_scenario(job)

    @property
    def _stop(self) -> Stop | None:
        return None if self._parallel is None else self._parallel.stop

    def lock_server(self, *, alone: bool) -> AbstractContextManager[None]:
        """Lock the server for a job if other runs may use it: each worker of pytest-xdist has a runner."""
        from pgchaos.runner.server_lock import ServerLock

        server = self.server
        if server.ours:
            return nullcontext()
        with self._creating_lock:
            if self._server_lock is None:
                self._server_lock = ServerLock(server.conninfo(), server.version, server.health)
            lock = self._server_lock
        return lock.acquire(alone=alone)

    def _run_scenario(self, job: Job) -> FinishedScenario:
        from pgchaos.results import RunResult
        from pgchaos.runner.item_progress import ItemProgress
        from pgchaos.runner.jobs import FinishedScenario
        from pgchaos.runner.repeats import ItemRun, Repetition, run_item
        from pgchaos.verdict import is_found

        scenario, mutant = job.read()
        if refusal := self._destructive_refusal(scenario):
            result = RunResult(seed=self._options.seed, skipped=refusal, server=self.banner)
            return FinishedScenario(scenario, mutant, result)
        name = item_name(scenario.name, job.variables, job.mutant)
        progress = ItemProgress(
            f"{scenario.shown}::{name}",
            job.fingerprint,
            scenario.schedule.kind in ("all", "explore"),
            lambda result: is_found(scenario, mutant, job.variables, result),
            shrinks=scenario.schedule.kind == "explore" or bool(scenario.given),
        )
        settings = self._run_settings(job, scenario, mutant, progress, name)
        earlier = settings.suite.files if settings.suite is not None else 0
        self._unfinished[id(progress)] = progress
        self._progress_line.begin(name)
        try:
            show = partial(self._progress_line.show, name)
            item = ItemRun(scenario, mutant, job.variables, self.server, settings, show)
            result, repeats = run_item(item, Repetition(self._options.repeat, self._options.same_seed))
            # a stopped item stays unfinished, and is reported with the interrupt
            if settings.stop is None or not settings.stop.is_set():
                self._unfinished.pop(id(progress), None)
        except ServerError:
            if settings.stop is None or not settings.stop.is_set():
                self._unfinished.pop(id(progress), None)
            # a server that lacks an extension may still run other scenarios
            self._refused += not scenario.extensions and scenario.sandbox != "server"
            raise
        finally:
            self._progress_line.remove(name)
        if settings.suite is not None:
            result = result.joined(notes=self._suite_files.finished(result, earlier))
        self._any_ran = self._any_ran or not result.skipped
        return FinishedScenario(scenario, mutant, result, repeats)

    def _run_settings(
        self, job: Job, scenario: Scenario, mutant: Mutant | None, progress: ItemProgress, name: str
    ) -> RunSettings:
        from pgchaos.engine.run_settings import Replay, RunSettings

        options, token = self._options, self._options.token

        def ran(result: RunResult, limit: int) -> None:
            progress.add(result, limit * options.repeat)
            self.check_interrupt()

        # pg_prove has no limit
        plain_timeout = math.inf if options.spec_timeout is None else options.spec_timeout
        return RunSettings(
            seed=options.seed,
            timeout=plain_timeout if scenario.plain else options.timeout,
            limit=job.limit,
            stop=self._stop,
            replay=None if token is None else Replay(token.decisions, token.values),
            selfcheck=options.selfcheck and mutant is None,
            amcheck=options.amcheck,
            for_files=self.for_files,
            found=progress.has_failed,
            key=job.fingerprint,
            draw_seed=options.draw_seed,
            ran=ran,
            check_interrupt=self.check_interrupt,
            progress=lambda runs, limit: self._progress_line.show(name, progress.activity(runs, limit)),
            suite=self._suite_files.database(self.server) if job.in_suite and not options.server.in_place else None,
            at_once=runs_at_once(self.server, parallel=self._parallel is not None),
        )

    def _destructive_refusal(self, scenario: Scenario) -> str:
        """Explain why a destructive scenario may not run on this server, or return ''."""
        from pgchaos.language.header_model import Requirement
        from pgchaos.language.problems import Place

        if "destructive" not in scenario.tags or scenario.sandbox == "server":
            return ""
        return self.server.missing(Requirement(Place(scenario.shown, 1), "own server"))

    @property
    def unfinished(self) -> list[str]:
        """One line for each scenario that was stopped before its end, with its number of runs."""
        return [progress.summary(self._options.seed) for progress in self._unfinished.values()]

    @property
    def usable(self) -> bool:
        """Whether further items can use the server."""
        import psycopg

        if self._server_error is not None or self._server is None:
            return False
        # one refused scenario may be its own fault; two, and none that ran, are the server's
        if (self._refused > 1 and not self._any_ran) or self._server.health.silent:
            return False
        try:
            self._server.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _stop_jobs(self) -> None:
        """Stop the jobs that still run in threads: no item needs their results."""
        parallel, lock = self._parallel, self._server_lock
        if parallel is not None:
            parallel.stop.set()
            if self._server is not None:
                self._server.cancel_starts()
        if lock is not None:
            lock.stop()
        # close both after the jobs that use them have ended
        if parallel is not None:
            parallel.executor.close()
            parallel.stop.close()
        if lock is not None:
            lock.close()
        self._parallel = self._server_lock = None

    def end(self) -> None:
        """Run nothing more; start to drop what the runs created."""
        if self._is_fork:
            return
        self._stop_jobs()
        self._suite_files.close()
        if self._server is not None:
            self._server.end()

    def close(self) -> list[str]:
        """Close the server, and return what may be left on it, a line each; further calls do nothing."""
        if self._is_fork:
            return []
        self._stop_jobs()
        self._suite_files.close()
        self._progress_line.close()
        server, self._server = self._server, None
        return [] if server is None else server.close()


def processors() -> int:
    """Count the processors of this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def runs_at_once(server: Server, *, parallel: bool) -> int:
    """Return how many runs of one search may be made in parallel: two on a private server that nothing else uses."""
    idle = not parallel and _XDIST_WORKER not in os.environ and processors() > 1
    return 2 if idle and server.ours else 1
