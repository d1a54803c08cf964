"""The sessions of one run: connected, started together, watched, and brought to an end whatever they do."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.coordinator import Coordinator
from pgchaos.engine.error_messages import error_failure
from pgchaos.engine.faults.actions import NotDelivered
from pgchaos.engine.faults.fault_injector import FaultInjector
from pgchaos.engine.invariant_monitor import SETTINGS, InvariantMonitor
from pgchaos.engine.leaks import Leak
from pgchaos.engine.lock_monitor import LockMonitor
from pgchaos.engine.loop import Loop, Task, alone, begin
from pgchaos.engine.notices import NoticeCollector
from pgchaos.engine.other_backends import pid_text
from pgchaos.engine.run_context import RunContext
from pgchaos.engine.session_runner import SessionRunner
from pgchaos.engine.step_scheduler import StepScheduler
from pgchaos.engine.stepped_coordinator import SteppedCoordinator
from pgchaos.engine.text_search import mentions
from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Fault
from pgchaos.results import Failure, RunResult
from pgchaos.schedule.permutations import actors
from pgchaos.schedule.scheduler import Scheduler
from pgchaos.schedule.wait_rules import WaitRules
from pgchaos.server import ServerError
from pgchaos.stop import Stop

if TYPE_CHECKING:
    from pgchaos.engine.transaction_log import TransactionLog

_TO_END = 15.0
"""Seconds that stopped sessions have to end; a cancel has 5 of them."""
_TELLS = re.compile(r"\b(?:var|iteration|barrier|random|seed|jitter|maybe_fail|inject_error)\b", re.IGNORECASE)
_KEEPS = re.compile(r"\backnowledged\b", re.IGNORECASE)
_LISTENS = re.compile(r"\blisten\b", re.IGNORECASE)
_TIMEOUTS = re.compile(r"(?<!deadlock_)timeout", re.IGNORECASE)
_DEADLOCK_TIMEOUT = re.compile("deadlock_timeout", re.IGNORECASE)


async def _nothing() -> None:
    pass


class ConcurrentRun:
    """Plays the sessions of a scenario: freely, or step by step.

    Args:
        scenario: whose sessions.
        variables: of the matrix and of `given`.
        values: these, and where faults strike that a search has chosen for.
        door: to the scenario's database.
        seed: of everything random.
        voices: takes notices and output.
        pids: every backend that this opens is put in.
        result: takes everything else.
        calm: a stop for what goes on when the sessions are stopped.
        link: gives a connection of the run's own to watch by; a new one where the last is lost.
        order: of the steps; None where the sessions are free.
        ledger: takes what each transaction was told, where an oracle asks for it.
    """

    def __init__(
        self,
        scenario: Scenario,
        variables: Mapping[str, str],
        values: Mapping[str, str],
        door: ConnectionFactory,
        seed: int,
        voices: NoticeCollector,
        pids: set[int],
        result: RunResult,
        calm: Stop,
        link: Callable[[], Awaitable[Connection]],
        order: Scheduler | None = None,
        ledger: TransactionLog | None = None,
    ) -> None:
        self._scenario, self._variables, self._door, self._result = scenario, variables, door, result
        self._watch_by = link
        self._stop = Stop()
        calm.call(self._stop.set)
        self._order = order
        rules = WaitRules(scenario.sessions, variables)
        self._steps = (
            SteppedCoordinator(rules, self._stop, result, actors(scenario.sessions)) if order is not None else None
        )
        self._stage = self._steps or Coordinator(rules, self._stop, result)
        tells, listens = mentions(scenario, _TELLS), mentions(scenario, _LISTENS)
        hurries = order is not None and not mentions(scenario, _DEADLOCK_TIMEOUT)
        self._faulting = FaultInjector(scenario, values, door, self._stage, self._stop, calm, pids)
        self._cast = RunContext(
            door=door,
            variables=variables,
            seed=seed,
            tells=tells,
            keeps=mentions(scenario, _KEEPS),
            listens=listens,
            loses=any(isinstance(item, Fault) for session in scenario.sessions for item in session.items),
            pids=pids,
            stage=self._stage,
            stop=self._stop,
            voices=voices,
            result=result,
            faulting=self._faulting,
            steps=self._steps,
            hurries=hurries,
            ledger=ledger,
        )
        self._players = [
            SessionRunner(self._cast, session, worker)
            for session in scenario.sessions
            for worker in range(1, session.count + 1)
        ]
        self._tasks: list[Task[None]] = []

    @property
    def stopped(self) -> bool:
        """Say whether the run was stopped: by an unexpected error, a time-out, or a wait that cannot open."""
        return self._stop.is_set()

    def play(self, seconds: float) -> None:
        """Play all sessions to their end."""
        # Ctrl-C: nobody is waited for who is not told to stop
        Loop(self._stop.set).run(self._play(seconds))

    async def _play(self, seconds: float) -> None:
        observer = None
        watcher = LockMonitor(self._watch_by, self._stage)
        try:
            await watcher.begin()
        except ConnectionLost as refused:
            self._give_up(error_failure(refused.error, None, "watcher"))
            return
        try:
            observer = await self._observe()
            if not self.stopped:
                await self._run(watcher, observer, seconds)
            if observer is not None and not self.stopped:
                await observer.finish()
        except ConnectionLost as refused:
            self._give_up(error_failure(refused.error, None, "invariant"))
        finally:
            await self._bring_to_end(observer)

    def _give_up(self, failure: Failure) -> None:
        self._cast.fail(failure)
        self._stop.set()

    async def _observe(self) -> InvariantMonitor | None:
        invariants = self._scenario.invariants
        if not invariants:
            return None
        observer = InvariantMonitor(
            self._link,
            invariants,
            self._variables,
            self._result,
            self._cast.fail,
            self._stop.set,
        )
        try:
            await observer.start(at_intervals=self._steps is None)
        except BaseException:  # Ctrl-C too: its connection is not left open
            await observer.close()
            raise
        return observer

    async def _link(self) -> Connection:
        link = await self._door.open("invariant", self._stop, SETTINGS)
        self._cast.pids.add(link.pid)
        return link

    async def _run(self, watcher: LockMonitor, observer: InvariantMonitor | None, seconds: float) -> None:
        self._stage.expect(len(self._players))
        watcher.until = self._faulting.hand.until = time.monotonic() + seconds
        if observer is not None:
            observer.until = watcher.until
        quiet = not mentions(self._scenario, _TIMEOUTS)
        if quiet or self._cast.hurries:
            patient, may_hurry = await watcher.settings()
            self._stage.patient = quiet and patient
            self._cast.hurries = self._cast.hurries and may_hurry
        self._tasks += [begin(player.play()) for player in self._players]
        ended = await (watcher.watch(seconds) if self._steps is None else self._conduct(watcher, observer, seconds))
        if not ended:
            await self._time_out(watcher, seconds)
        await self._join()
        self._result.struck |= self._faulting.tally.roamed()
        self._result.passed_by |= self._faulting.tally.roamed_in_vain()
        if not self.stopped:
            self._result.failures += self._faulting.tally.undelivered()
        await self._restore()

    async def _restore(self) -> None:
        try:
            await self._faulting.outage.restore()
        except ServerError as error:
            self._tell_once(Failure("error", (), str(error)))
        except NotDelivered as error:
            self._tell_once(Failure("error", (), f"the server could not be brought back after the faults: {error}"))

    def _tell_once(self, failure: Failure) -> None:
        # it is tried after the sessions, and once more at the very end
        if failure not in self._result.failures:
            self._give_up(failure)

    async def _conduct(self, watcher: LockMonitor, observer: InvariantMonitor | None, seconds: float) -> bool:
        assert self._steps is not None, "of a run with an order"
        assert self._order is not None, "as above"
        after_step = observer.look if observer is not None else _nothing
        place = self._scenario.schedule.place
        return await StepScheduler(self._steps, self._order, watcher.look, after_step, self._result, place).conduct(
            seconds
        )

    async def _time_out(self, watcher: LockMonitor, seconds: float) -> None:
        # where the server cannot be asked any more the sessions are stopped first of all
        if watcher.stands:
            await watcher.look()
        strange: dict[str, int] = {}

        def noted(pid: int) -> str:
            strange[text := pid_text(pid)] = pid
            return text

        standings = self._stage.standings(noted)
        if watcher.stands:
            # what they wait for is asked only now: meanwhile they may stand otherwise
            names = {text: await watcher.describe(pid) for text, pid in strange.items()}
            standings = [replace(s, waits_for=tuple(names.get(text, text) for text in s.waits_for)) for s in standings]
            standings += await watcher.waiting_strangers()
        self._result.standings = standings
        text = f"the sessions did not end within {seconds:g}s"
        self._give_up(Failure("timeout", (), text, self._scenario.sessions[0].place))

    async def _join(self) -> None:
        """Wait until all players have ended; break the connections of those who do not."""
        if not await self._ended(_TO_END):
            for player in self._players:
                player.speaker.abort()
            await self._ended(_TO_END)

    async def _ended(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        return all([await task.ends(max(0.0, end - time.monotonic())) for task in self._tasks])

    async def _bring_to_end(self, observer: InvariantMonitor | None) -> None:
        if any(not task.done for task in self._tasks):
            # an exception came between, Ctrl-C say
            self._stop.set()
            await self._join()
        await self._restore()
        if observer is not None:
            await observer.close()

    # after the sessions

    def take_notifications(self) -> None:
        """Take the notifications that the sessions have not seen yet."""
        for player in self._players:
            alone(player.speaker.take_last_notifications())

    def pids(self) -> dict[int, str]:
        """Tell the connections that still stand, by their backends."""
        return {pid: str(p.actor) for p in self._players if (pid := p.speaker.pid) is not None}

    def open_transactions(self) -> list[Leak]:
        """Find the transactions that sessions left open, and end them."""
        found = []
        for player in self._players:
            if player.speaker.in_block:
                place = player.speaker.place()
                found.append(Leak("open transaction", f"{player.actor}, its last statement at {place}"))
                alone(player.speaker.end_block())
        return found

    def close(self) -> None:
        """End the connections."""
        self._stop.set()
        for player in self._players:
            alone(player.speaker.close())
        alone(self._faulting.close())
        self._stop.close()
