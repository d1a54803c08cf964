"""Runs one worker of a session with a program: starts it for each iteration, and waits for its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote

from pgchaos import clock
from pgchaos.engine.applications.client import Address, Launcher, RunningProgram
from pgchaos.engine.applications.observer import ProgramObserver
from pgchaos.engine.applications.worker import Worker
from pgchaos.engine.connection import ConnectionLost
from pgchaos.engine.coordinator import Halted, SessionFailed
from pgchaos.engine.error_messages import internal_failure
from pgchaos.engine.loop import begin
from pgchaos.engine.notices import session_settings
from pgchaos.engine.proxy.handshake import Gone
from pgchaos.engine.proxy.proxy import Proxy, Upstream
from pgchaos.engine.proxy.startup import Startup
from pgchaos.engine.proxy.upstream import ServerConnection, ServerOpener
from pgchaos.engine.waits import LATE, Wait
from pgchaos.language.problems import Place
from pgchaos.results import Failure
from pgchaos.schedule.programs import Grace
from pgchaos.server.conninfo import role_of

_SHORT_DEADLOCK_TIMEOUT = "10ms"
"""deadlock_timeout of programs in a stepped run; step_scheduler.py waits three times as long."""
_HOW_TO_CONNECT = "a program must connect by DATABASE_URL, or by PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD"
_HOW_TO_CONNECT_IN_PYTHON = "a function must connect by the connection string that it is called with"
_MISTAKES = frozenset({"42601", "42P01", "42703", "42883"})
"""A syntax error, and a missing table, column or function."""
_CHECK_INTERVAL = 0.02
"""Seconds between checks of a program that computes."""


class ProgramRunner:
    """Runs one worker.

    Args:
        worker: to run.
        launcher: starts the program.
    """

    def __init__(self, worker: Worker, launcher: Launcher) -> None:
        self._worker, self._launcher, self._context = worker, launcher, worker.context
        self.actor, self._who = worker.actor, str(worker.actor)
        self.connection = ProgramClient(worker)
        self._context.injector.targets.add(self.actor, self.connection)
        self._observer = ProgramObserver(worker)
        self._proxy: Proxy | None = None
        self._tick = Wait()
        self._over = self._was_refused = False

    async def run(self) -> None:
        """Run all iterations, and report the end to the coordinator. Failures of the scenario are not raised."""
        context, session = self._context, self._worker.session
        try:
            await context.coordinator.await_all_connected()
            for iteration in range(1, session.repeat + 1):
                await self._iterate(iteration)
                if session.repeat_while and context.coordinator.has_ended(session.repeat_while):
                    break
            self._check_connected()
        except Halted:
            pass  # the run reports why
        except SessionFailed as stopped:
            context.coordinator.fail(stopped.failure)
        except Exception as error:
            # an internal error stops the run and is reported
            context.coordinator.fail_internal(internal_failure(error, self._worker.place, self._who))
        finally:
            await self._shut()
            context.injector.targets.set_ended(self.actor)
            context.coordinator.end(self.actor)

    def _check_connected(self) -> None:
        if not self._observer.opened_in_all and not self._was_refused:
            text = f"{self._who} never connected to the database: `{self._launcher.command}` ended without it"
            details = (_HOW_TO_CONNECT if self._worker.program.function is None else _HOW_TO_CONNECT_IN_PYTHON,)
            why = dict.fromkeys((*self._proxy.broken, *self._proxy.denied)) if self._proxy is not None else ()
            raise SessionFailed(self._failure(text, (*why, *details, *self._worker.errors)))
        if self._observer.opened_in_all and not self._observer.has_sent:
            self._remark(f"connected and sent no statement, so that it tests nothing: `{self._launcher.command}`")
        own = (one for one in self._context.log.records if (one.session, one.worker) == self.actor)
        if (wrong := next((one for one in own if one.sqlstate in _MISTAKES), None)) is not None:
            # for example psql without ON_ERROR_STOP: what follows tests something else
            error = f"{wrong.sqlstate} in step {wrong.step}: {wrong.message}"
            self._remark(f"had an error that mostly is a mistake, which failed nothing: {error}")
        if self._worker.overlaps and self._context.steps is not None:
            self._remark("sent on several connections at once: only their order of arrival was run")

    def _remark(self, what: str) -> None:
        self._context.log.remarks.append(f"{self._who} {what} ({self._worker.program.place})")

    def _failure(self, text: str, details: tuple[str, ...] = ()) -> Failure:
        return Failure("error", (), text, self._worker.program.place, details, session=self._who)

    async def _iterate(self, iteration: int) -> None:
        worker = self._worker
        worker.begin_iteration(iteration)
        self._observer.forget()
        address = self._address(await self._start_proxy(iteration))
        self._context.coordinator.states.idle(self.actor, worker.program.place, f"runs {self._launcher.command}")
        act = worker.act(f"starts {self._launcher.command}", worker.program.place)
        program = await self._launcher.start(address, iteration)
        act.ended_at, self._over = clock.now(), False
        watch = begin(self._watch(program))
        failure = None
        try:
            ended = await program.ends(self._context.stop)
        finally:
            self._over = True
            self._tick.wake()
            await watch.ends()
            if self._context.stop.is_set():
                # a function ends only after its connections have ended
                await self._disconnect()
            failure = await program.finish()
            await self._disconnect()
            worker.coordinator.program_ended(self.actor)
        if not ended:
            raise Halted
        if failure is not None:
            raise SessionFailed(failure)

    async def _watch(self, program: RunningProgram) -> None:
        """Let the others continue if the program is idle for too long."""
        seconds, actor = self._worker.program.grace, self.actor
        grace, requests = Grace(seconds), 0
        while not self._over:
            self._tick.until = time.monotonic() + _CHECK_INTERVAL
            if await self._tick is not LATE:
                continue
            if requests != self._worker.requests or not self._worker.coordinator.is_computing(actor):
                # it may have sent a request, and received its answer, since the last check
                grace, requests = Grace(seconds), self._worker.requests
            elif grace.is_over(time.monotonic(), active=self._is_active(program)):
                self._worker.coordinator.stop_waiting_for(actor)
                what = f"has done nothing for {seconds * 1000:g} ms: the others go on without it"
                self._worker.act(what, self._worker.place)
                self._context.log.remarks.append(f"{self._who} {what} ({self._worker.place})")

    def _is_active(self, program: RunningProgram) -> bool:
        """Whether a program is busy, or waits for the proxy or the server."""
        waits = self._proxy is not None and self._proxy.is_waited_for
        return program.probe.is_active() or waits

    # connections

    async def _start_proxy(self, iteration: int) -> Proxy:
        """Start a proxy for an iteration."""
        await self._close_proxy()
        settings = {
            **session_settings(self.actor.session, self.actor.worker, self._context.seed),
            "chaos.iteration": str(iteration),
        }
        if self._context.sets_deadlock_timeout:
            self._worker.coordinator.check_deadlocks_early()
            settings["deadlock_timeout"] = _SHORT_DEADLOCK_TIMEOUT
        sandbox = self._context.factory.sandbox
        opener = ServerOpener(self._context.factory, self._who, self._context.stop, settings)
        seed = f"{self._context.seed}/{self._who}/{iteration}"
        self._proxy = Proxy(self._refusable(opener), role_of(sandbox.conninfo), sandbox.database, self._observer, seed)
        self._proxy.start()
        return self._proxy

    def _refusable(self, opener: ServerOpener) -> Upstream:
        """Wrap an opener, so that a network fault can refuse connections."""
        network = self._context.network
        if network is None:
            return opener

        async def opened(startup: Startup) -> ServerConnection:
            try:
                network.check_refused(self._who)
            except ConnectionLost:
                self._was_refused = True
                self._worker.act("a fault of the network refuses its connection", self._worker.program.place)
                raise Gone from None  # a network gives no reason
            return await opener(startup)

        return opened

    def _address(self, proxy: Proxy) -> Address:
        sandbox = self._context.factory.sandbox
        user, database = role_of(sandbox.conninfo), sandbox.database
        where = f"{proxy.host}:{proxy.port}/{quote(database, safe='')}"
        url = f"postgresql://{quote(user, safe='')}:{proxy.password}@{where}"
        return Address(
            url,
            {
                "PGHOST": proxy.host,
                "PGPORT": str(proxy.port),
                "PGDATABASE": database,
                "PGUSER": user,
                "PGPASSWORD": proxy.password,
                "PGSSLMODE": "disable",
                "PGGSSENCMODE": "disable",
                "DATABASE_URL": url,
            },
        )

    async def _disconnect(self) -> None:
        """Close the connections that the program left open, and wait until all of its backends have ended."""
        if self._proxy is not None:
            for open_connection in tuple(self._proxy.connections):
                open_connection.end("the program has ended")
        for connection in self._observer.connections:
            if connection.ending is not None:
                await connection.ending.ends()

    async def _shut(self) -> None:
        await self._disconnect()
        await self._close_proxy()

    async def _close_proxy(self) -> None:
        if self._proxy is not None:
            proxy, self._proxy = self._proxy, None
            self._context.log.remarks += [f"{self._who}: {text}" for text in proxy.broken]
            await proxy.pause()
            proxy.close()


class ProgramClient:
    """The interface of a session's connection, for a program, whose connections end with it.

    Args:
        worker: of the program.
    """

    in_block = False

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @property
    def pid(self) -> int | None:
        """The backend of the connection that has sent last, or None."""
        return self._worker.pid

    def loss(self) -> Callable[[], bool]:
        """Return True: another process has the connections, and notices a loss by itself."""
        return lambda: True

    def disturb(self) -> None:
        """Do nothing: no other scenario gets its connections."""

    def place(self) -> Place | None:
        """Return the place of the last statement."""
        return self._worker.place

    def abort(self) -> None:
        """Do nothing: it ends with the stop of the run."""

    async def take_last_notifications(self) -> None:
        """Do nothing: the program has read them."""

    async def end_block(self) -> None:
        """Do nothing: the end of its connection has ended it."""

    async def close(self) -> None:
        """Do nothing: all have ended."""
