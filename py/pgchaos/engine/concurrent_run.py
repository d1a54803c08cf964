"""The sessions of one run: connects them, starts them together, monitors them, and ends them in any case."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psycopg import pq

from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.error_messages import error_failure
from pgchaos.engine.faults.actions import NotDelivered
from pgchaos.engine.faults.fault_injector import FaultInjector
from pgchaos.engine.invariant_monitor import SETTINGS, InvariantMonitor
from pgchaos.engine.leaks import Leak
from pgchaos.engine.lock_monitor import LockMonitor
from pgchaos.engine.loop import Loop, Task, begin, run_sync
from pgchaos.engine.notices import NoticeCollector, vars_literal
from pgchaos.engine.other_backends import pid_text
from pgchaos.engine.run_context import RunContext
from pgchaos.engine.session_log import SessionLog, SessionsResult
from pgchaos.engine.session_makers import coordinator_of, programs_of, runners_of, session_network, session_pool
from pgchaos.engine.step_scheduler import StepScheduler
from pgchaos.engine.stepped_coordinator import SteppedCoordinator
from pgchaos.engine.text_search import mentions, values_mention
from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Fault
from pgchaos.results import Failure, Launch
from pgchaos.schedule.scheduler import Scheduler
from pgchaos.server import ServerError
from pgchaos.stop import Stop

if TYPE_CHECKING:
    from pgchaos.engine.transaction_log import TransactionLog

_TO_END = 15.0
"""Seconds for stopped sessions to end, with up to 5 for a cancel."""
_NEED_VARS = re.compile(r"\b(?:var|iteration|barrier|random|seed|jitter|maybe_fail|inject_error)\b", re.IGNORECASE)
_NEED_ACKNOWLEDGED = re.compile(r"\backnowledged\b", re.IGNORECASE)
_USE_LISTEN = re.compile(r"\blisten\b", re.IGNORECASE)
# what ends a lock wait besides the lock: a cancelled backend may still be seen waiting
_TIMEOUTS = re.compile(
    r"(?<!deadlock_)timeout|\bpg_(?:cancel|terminate)_backend\b|\bchaos\s*\.\s*(?:cancel|terminate)\b", re.IGNORECASE
)
_DEADLOCK_TIMEOUT = re.compile("deadlock_timeout", re.IGNORECASE)


class ConcurrentRun:
    """Runs the sessions of a scenario: freely, or step by step.

    Args:
        scenario: of the sessions.
        variables: of the matrix and of `given`.
        values: these, and the places that a search has chosen for faults.
        factory: to the scenario's database.
        seed: of everything random.
        notices: receives notices and output.
        pids: the backend of each connection is added.
        log: records what the sessions do.
        started_at: when the run began, by `clock.now()`.
        cleanup_stop: the stop for work that continues after the sessions are stopped.
        connect: returns the run's own connection; a new one if the last is lost.
        order: of the steps; None where the sessions are free.
        transaction_log: records what each transaction read and wrote; None without an oracle.
    """

    def __init__(
        self,
        scenario: Scenario,
        variables: Mapping[str, str],
        values: Mapping[str, str],
        factory: ConnectionFactory,
        seed: int,
        notices: NoticeCollector,
        pids: set[int],
        log: SessionLog,
        started_at: float,
        cleanup_stop: Stop,
        connect: Callable[[], Awaitable[Connection]],
        order: Scheduler | None = None,
        transaction_log: TransactionLog | None = None,
    ) -> None:
        self._scenario, self._variables, self._factory = scenario, variables, factory
        self._log, self._stop, self._order = log, Stop(), order
        cleanup_stop.add_callback(self._stop.set)
        self._pool = pool = session_pool(factory, cleanup_stop)
        self._programs = programs_of(scenario, variables)
        self._coordinator = coordinator_of(
            scenario, variables, self._stop, log, stepped=order is not None, pool=pool, programs=self._programs
        )
        self._steps = self._coordinator if isinstance(self._coordinator, SteppedCoordinator) else None
        sets_deadlock_timeout = order is not None and not mentions(scenario, _DEADLOCK_TIMEOUT)
        stops = self._stop, cleanup_stop
        self._network = network = session_network(scenario, variables, factory, *stops, seed)
        self._injector = FaultInjector(scenario, values, factory, self._coordinator, *stops, pids, network)
        self._context = RunContext(
            factory=factory,
            variables=variables,
            seed=seed,
            # behind a pooler a setting would stay on a connection that other sessions use
            needs_vars=pool is None and (mentions(scenario, _NEED_VARS) or values_mention(scenario, _NEED_VARS)),
            needs_ack=mentions(scenario, _NEED_ACKNOWLEDGED),
            uses_listen=mentions(scenario, _USE_LISTEN),
            may_lose_connection=any(isinstance(item, Fault) for session in scenario.sessions for item in session.items),
            pids=pids,
            coordinator=self._coordinator,
            stop=self._stop,
            notices=notices,
            log=log,
            injector=self._injector,
            steps=self._steps,
            sets_deadlock_timeout=sets_deadlock_timeout and pool is None,
            transaction_log=transaction_log,
            pool=pool,
            network=network,
        )
        self._runners = runners_of(scenario, self._context, self._programs)
        self._lock_monitor = LockMonitor(connect, self._coordinator, pool, only_ours=factory.sandbox.only_ours)
        self._invariant_monitor: InvariantMonitor | None = None
        if scenario.invariants:
            self._invariant_monitor = InvariantMonitor(self._connection, scenario.invariants, started_at, self._context)
        self._tasks: list[Task[None]] = []
        self._launched: list[Launch] = []

    @property
    def stopped(self) -> bool:
        """Whether the run was stopped: by an unexpected error, a timeout, or a wait that cannot open."""
        return self._stop.is_set()

    def run(self, seconds: float) -> None:
        """Run all sessions to their end."""
        # on Ctrl-C the sessions are stopped
        Loop(self._stop.set).run(self._monitored(seconds) if self._network is None else self._proxied(seconds))

    async def _proxied(self, seconds: float) -> None:
        """Run them through a proxy that carries out network faults."""
        assert self._network is not None, "as its caller has seen"
        self._network.start()
        try:
            await self._monitored(seconds)
        finally:
            await self._network.end()
            self._log.failures += [Failure("error", (), text) for text in self._network.broken]

    def _after(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on connections of sessions that have ended."""
        if self._network is None:
            run_sync(work)
        else:
            self._network.run(work)

    async def _monitored(self, seconds: float) -> None:
        invariant_monitor = self._invariant_monitor
        try:
            await self._lock_monitor.begin()
        except ConnectionLost as refused:
            self._give_up(error_failure(refused.error, None, "lock monitor"))
            return
        try:
            if invariant_monitor is not None:
                await invariant_monitor.start(at_intervals=self._steps is None)
            if not self.stopped:
                await self._run(seconds)
            if invariant_monitor is not None and not self.stopped:
                await invariant_monitor.finish()
        except ConnectionLost as refused:
            self._give_up(error_failure(refused.error, None, "invariant" if self._pool is None else "pooler"))
        finally:
            await self._bring_to_end()

    def _give_up(self, failure: Failure) -> None:
        self._context.fail(failure)
        self._stop.set()

    async def _connection(self) -> Connection:
        connection = await self._factory.open("invariant", self._stop, SETTINGS, self._on_notice_of_invariant)
        self._context.pids.add(connection.pid)
        if self._context.needs_vars and self._variables:
            literal = vars_literal(self._variables, any_bytes=connection.any_bytes)
            await connection.execute(f"SET chaos.vars = {literal}")
        return connection

    def _on_notice_of_invariant(self, raw: pq.abc.PGresult) -> None:
        if self._invariant_monitor is not None:
            self._context.notices.receive_assert("invariant", self._invariant_monitor.place, raw)

    async def _run(self, seconds: float) -> None:
        self._coordinator.expect(len(self._runners))
        self._lock_monitor.until = self._injector.fault_connection.until = time.monotonic() + seconds
        if self._invariant_monitor is not None:
            self._invariant_monitor.until = self._lock_monitor.until
        # what programs send is not known
        quiet = self._programs is None and not mentions(self._scenario, _TIMEOUTS)
        if quiet or self._context.sets_deadlock_timeout:
            no_lock_timeouts, may_set = await self._lock_monitor.settings()
            self._coordinator.no_lock_timeouts = quiet and no_lock_timeouts
            self._context.sets_deadlock_timeout = self._context.sets_deadlock_timeout and may_set
        self._tasks += [begin(runner.run()) for runner in self._runners]
        if not await (self._lock_monitor.watch(seconds) if self._steps is None else self._run_steps(seconds)):
            await self._time_out(seconds)
        await self._join()
        if self._network is not None and not self.stopped:
            for fault, why in self._network.without_effect():
                self._injector.counter.note_missed(fault, why)
        if not self.stopped:
            self._log.failures += self._injector.counter.undelivered()
        if self._scenario.schedule.kind in ("free", "exact"):
            # in a search a session has ended before in some orders, and works in others
            self._log.remarks += self._injector.remarks
        await self._restore()

    async def _restore(self) -> None:
        try:
            await self._injector.outage.restore()
        except ServerError as error:
            self._report_once(Failure("error", (), str(error)))
        except NotDelivered as error:
            self._report_once(Failure("error", (), f"the server could not be brought back after the faults: {error}"))

    def _report_once(self, failure: Failure) -> None:
        # restoring is tried after the sessions, and once more at the very end
        if failure not in self._log.failures:
            self._give_up(failure)

    async def _run_steps(self, seconds: float) -> bool:
        assert self._steps is not None, "of a run with an order"
        assert self._order is not None, "as above"
        after_step = self._invariant_monitor.poll if self._invariant_monitor is not None else None
        place = self._scenario.schedule.place
        scheduler = StepScheduler(self._steps, self._order, self._lock_monitor.poll, after_step, place)
        self._launched = scheduler.launched
        return await scheduler.run(seconds)

    async def _time_out(self, seconds: float) -> None:
        lock_monitor = self._lock_monitor
        # if the server cannot be queried any more, stop the sessions at once
        if lock_monitor.is_usable:
            await lock_monitor.poll()
        stalled = self._network.stalled() if self._network is not None else ""
        foreign: dict[str, int] = {}

        def noted(pid: int) -> str:
            foreign[text := pid_text(pid)] = pid
            return text

        stopped = self._coordinator.stopped_sessions(noted)
        if lock_monitor.is_usable:
            # query foreign backends only after the snapshot of the sessions, which may move on meanwhile
            names = {text: await lock_monitor.describe(pid) for text, pid in foreign.items()}
            stopped = [replace(s, waits_for=tuple(names.get(text, text) for text in s.waits_for)) for s in stopped]
            stopped += await lock_monitor.waiting_backends()
        self._log.stopped_sessions = stopped
        text = f"the sessions did not end within {seconds:g}s" + (f": {stalled}" if stalled else "")
        self._give_up(Failure("timeout", (), text, self._scenario.sessions[0].place))

    async def _join(self) -> None:
        """Wait until all sessions have ended; break the connections of those that do not."""
        if not await self._ended(_TO_END):
            for runner in self._runners:
                runner.connection.abort()
            await self._ended(_TO_END)

    async def _ended(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        return all([await task.ends(max(0.0, end - time.monotonic())) for task in self._tasks])

    async def _bring_to_end(self) -> None:
        if any(not task.done for task in self._tasks):
            # after an exception, such as Ctrl-C
            self._stop.set()
            await self._join()
        await self._restore()
        if self._invariant_monitor is not None:
            await self._invariant_monitor.close()

    # after the sessions

    def take_notifications(self) -> None:
        """Record the notifications that the sessions have not read yet."""
        for runner in self._runners:
            self._after(runner.connection.take_last_notifications())

    def pids(self) -> dict[int, str]:
        """Name the open connections, by the pids of their backends."""
        if self._pool is not None:
            servers = run_sync(self._pool.query_links()).servers
            self._context.pids.update(self._pool.servers)
            return {pid: f"connection {number} of the pool" for number, pid in enumerate(servers, 1)}
        return {pid: str(p.actor) for p in self._runners if (pid := p.connection.pid) is not None}

    def open_transactions(self) -> list[Leak]:
        """Find the transactions that sessions left open, and roll them back."""
        found = []
        for runner in self._runners:
            if runner.connection.in_block:
                place = runner.connection.place()
                text = f"{runner.actor}, its last statement at {place}"
                found.append(Leak("open transaction", text, place=place))
                self._after(runner.connection.end_block())
        return found

    def result(self) -> SessionsResult:
        """Return what the sessions did, after `close`."""
        monitor = self._invariant_monitor
        evaluations, missed = (monitor.evaluations, monitor.missed) if monitor is not None else (0, 0)
        counter = self._injector.counter
        return SessionsResult(self._log, self._launched, evaluations, missed, counter.delivered, counter.without_effect)

    def close(self) -> None:
        """End the connections."""
        self._stop.set()
        for runner in self._runners:
            self._after(runner.connection.close())
        run_sync(self._injector.close())
        if self._programs is not None:
            self._programs.close()
        if self._pool is not None:
            run_sync(self._pool.close())
        if self._network is not None:
            self._network.close()
        self._stop.close()
