"""Runs one permutation after the other: setup, steps with their output, teardown."""

from __future__ import annotations

import time

from psycopg import pq
from psycopg.errors import OperationalError

from pgchaos.engine.specs.blocked_detector import BlockedDetector
from pgchaos.engine.specs.poller import Poller
from pgchaos.engine.specs.session_connections import CONTROL, SessionConnections
from pgchaos.engine.specs.settings import SpecSettings
from pgchaos.engine.specs.spec_connection import Interrupted, SpecConnection
from pgchaos.engine.specs.step_waiter import StepWaiter, TooLong
from pgchaos.engine.specs.transcript import Transcript
from pgchaos.isolation import transcript
from pgchaos.isolation.model import Permutation, Spec, Step
from pgchaos.isolation.permutation import Act, AwaitEvent, AwaitStep, Launch, PermutationOrder, Report, Stalled
from pgchaos.isolation.reuse import set_up_together
from pgchaos.server_text import decoded

_AGAIN = 0.002
"""Seconds between polls while reports of steps wait for each other."""
_SILENT = ", and did not when it was cancelled: its backend does not answer, and the spec ends here"


class Ended(Exception):
    """A permutation cannot continue; the message is isolationtester's, which ends with it."""


class PermutationRunner:
    """Runs the permutations of a spec."""

    def __init__(
        self,
        spec: Spec,
        connections: SessionConnections,
        watch: BlockedDetector,
        poller: Poller,
        settings: SpecSettings,
        output: Transcript,
    ) -> None:
        self._spec, self._connections, self._output = spec, connections, output
        self._watch, self._poller = watch, poller
        self._limit, self._leaks, self._useful = settings.step_timeout, settings.leaks, settings.useful
        self._step_waiter = StepWaiter(poller, watch, settings.step_timeout)
        self._order = PermutationOrder(())
        self._early = () if self._leaks else set_up_together(spec)
        self.reset = False
        """The state that a permutation left in a session was reset."""
        self.cut = False
        """It was ended early, because the output is useless."""
        self.problems: list[str] = []
        """Reasons why the spec fails whatever the output is, a line each."""
        self.notes: list[str] = []
        """What the output does not show, a line each."""

    def run_all(self) -> None:
        """Run all permutations."""
        for line in transcript.head(self._spec):
            self._output.print(line)
        for permutation in self._spec.permutations():
            back = self._connections.open(reset=not self._leaks)
            self.reset = self.reset or back
            self._watch.set_sessions(self._connections.pids)
            self._output.print(transcript.starting(permutation))
            try:
                self._set_up()
                self._steps(permutation)
            except Ended as ended:
                self._output.print(str(ended))
                steps = " ".join(entry.step.name for entry in permutation)
                self.problems.append(f"permutation {steps}: {ended}")
                self._connections.cancel_running()
            self._tear_down()
            if self._is_useless():
                self.cut = True
                return

    def _is_useless(self) -> bool:
        if not self.reset or self.problems or self._useful is None:
            return False
        return not self._useful(self._output.output)

    def _set_up(self) -> None:
        setups = [session.setup for session in self._spec.sessions]
        failed = [f"setup of session {session.name} failed: " for session in self._spec.sessions]
        try:
            for session in self._early:
                self._send(1 + session, setups[session] or "", failed[session])
            for sql in self._spec.setups:
                self._block(CONTROL, sql, "setup failed: ")
        finally:
            # none may still be busy afterwards
            self._poller.until_over([self._connections[1 + session] for session in self._early], self._limit)
        for session, setup in enumerate(setups):
            if session in self._early:
                self._finish(1 + session, failed[session])
            elif setup is not None:
                self._block(1 + session, setup, failed[session])

    def _tear_down(self) -> None:
        for number, session in enumerate(self._spec.sessions, 1):
            if session.teardown is not None:
                self._tear_down_one(number, session.teardown, f"teardown of session {session.name} failed: ")
        if not self._leaks:
            # an open transaction would block the teardown for ever
            back = self._connections.roll_back()
            self.reset = self.reset or back
        if self._spec.teardown is not None:
            self._tear_down_one(CONTROL, self._spec.teardown, "teardown failed: ")

    def _tear_down_one(self, number: int, sql: str, failed: str) -> None:
        connection = self._connections[number]
        if not connection.alive or connection.busy:
            return
        try:
            self._block(number, sql, failed)
        except Ended as ended:
            self._output.print(str(ended))

    def _block(self, number: int, sql: str, failed: str) -> None:
        """Run a block of SQL."""
        self._send(number, sql, failed)
        self._finish(number, failed)

    def _send(self, number: int, sql: str, failed: str) -> None:
        try:
            self._connections.send(number, self._output.sent(sql))
        except OperationalError as error:
            raise Ended(failed + str(error)) from error

    def _finish(self, number: int, failed: str) -> None:
        """Wait for the end of a block; as with PQexec, only its last result counts."""
        connection = self._connections[number]
        self._output.catch_up()
        if not self._poller.until_over([connection], self._limit):
            text = f"{failed}it did not end within {self._limit:g} s"
            if not self._connections.ends_when_cancelled(connection):
                raise Interrupted(f"{text}{_SILENT}")
            self._connections.drop(connection)
            raise Ended(text)
        last = None
        while connection.events:
            event = connection.events.popleft()
            if not isinstance(event, str):
                last = event
            elif number:
                self._add_notice(number - 1, event)
        if last is not None and last.status == pq.ExecStatus.TUPLES_OK:
            self._output.result(last)
        elif last is None or last.status != pq.ExecStatus.COMMAND_OK:
            raise Ended(failed + ("" if last is None else decoded(last.error_message).rstrip("\n")))

    def _steps(self, permutation: Permutation) -> None:
        self._order = PermutationOrder(permutation)
        acts = self._order.acts()
        answer: bool | None = None
        began: dict[str, float] = {}
        while True:
            try:
                act = acts.send(answer)  # type: ignore[arg-type]  # None begins a generator, and answers what asks nothing
            except StopIteration:
                return
            answer = self._do(act, began)

    def _do(self, act: Act, began: dict[str, float]) -> bool | None:
        if isinstance(act, Launch):
            self._launch(act.step)
        elif isinstance(act, AwaitStep):
            return self._await_step(act)
        elif isinstance(act, Report):
            self._report(act)
        elif isinstance(act, AwaitEvent):
            self._await_event(act.step, began)
        elif isinstance(act, Stalled):
            raise Ended("failed to complete permutation due to mutually-blocking steps")
        return None

    def _launch(self, step: Step) -> None:
        self._send(step.session + 1, step.sql, f"failed to send query for step {step.name}: ")
        self._output.catch_up()

    def _await_step(self, act: AwaitStep) -> bool:
        """Wait until a step has ended or, if that is enough, is blocked; return whether it has ended."""
        step, connection = act.step, self._connections[act.step.session + 1]
        try:
            self._step_waiter.wait(
                connection,
                step.name,
                locks=act.locks,
                first=act.first,
                on_input=lambda: self._on_input(step.session, connection),
                late=lambda seconds: self._cancel(step, connection, seconds),
            )
        except TooLong as error:
            # as isolationtester does: its locks are not released
            raise Interrupted(f"step {step.name} {error}{_SILENT}") from None
        return not connection.busy

    def _cancel(self, step: Step, connection: SpecConnection, seconds: float) -> None:
        """Cancel a step that takes too long, and note what blocked it."""
        names = self._connections.names()
        by = [names[pid] for pid in names if pid in self._step_waiter.blockers_of(connection)]
        blocker = f": it waited for {' and '.join(by)}" if by else ""
        self.notes.append(f"step {step.name} was cancelled after {seconds:.0f} s{blocker}")
        self._connections.cancel(connection)
        self._output.print(f"isolationtester: canceling step {step.name} after {seconds:.0f} seconds")

    def _await_event(self, step: Step, began: dict[str, float]) -> None:
        since = began.setdefault(step.name, time.monotonic())
        seconds = time.monotonic() - since
        if seconds > 2 * self._limit:
            active = " ".join(active.name for active in self._order.unfinished())
            raise Ended(f"step {step.name} timed out after {seconds:.0f} seconds\nactive steps are: {active}")
        self._poller.poll(_AGAIN)

    def _on_input(self, session: int, connection: SpecConnection) -> None:
        """Print notices before the first result as they arrive, as isolationtester does."""
        while connection.events and isinstance(connection.events[0], str):
            self._add_notice(session, str(connection.events.popleft()))

    def _add_notice(self, session: int, notice: str) -> None:
        self._output.print(self._output.message(f"{self._spec.sessions[session].name}: {notice}".removesuffix("\n")))
        self._order.add_notice(session)

    def _report(self, report: Report) -> None:
        step, output = report.step, self._output
        output.print(transcript.launched(step, report.waiting) if report.first else transcript.completed(step))
        if report.waiting:
            return
        connection = self._connections[step.session + 1]
        while connection.events:
            event = connection.events.popleft()
            if isinstance(event, str):
                self._add_notice(step.session, event)
            else:
                output.result(event)
        if connection.copied:
            output.print("".join(connection.copied).removesuffix("\n"))
        notes = connection.received()
        names = self._connections.names() if notes else {}
        for channel, payload, pid in notes:
            name = self._spec.sessions[step.session].name
            output.print(transcript.notification(name, channel, payload, names.get(pid, f"PID {pid}")))
