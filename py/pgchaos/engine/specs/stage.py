"""Plays one permutation after the other: sends steps, waits for them, prints what they bring."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from psycopg import pq
from psycopg.errors import OperationalError

from pgchaos.engine.connecting import LinkError
from pgchaos.engine.specs.connection import Connection, Interrupted, Waiting
from pgchaos.engine.specs.settings import SpecSettings
from pgchaos.engine.specs.watch import Watch
from pgchaos.isolation import printer
from pgchaos.isolation.blocked import settled
from pgchaos.isolation.lasting import lasts
from pgchaos.isolation.model import Permutation, Spec, Step, decoded
from pgchaos.isolation.order import Act, Launch, Look, Play, Report, Rest, Stalled

_SOON, _LATE = 0.0005, 0.005
"""Seconds to the first look at a step that runs, and at most between later ones."""
_TRANSIENT = 0.1
"""Seconds after which a wait for a session that runs itself is taken for lasting; isolationtester takes 10 ms."""
_PREPARED = 1.0
"""Seconds after which somebody is asked whether it is a prepared transaction that a step waits for: isolationtester
does not see that, so nothing shorter than a lock_timeout may change its output."""
_AGAIN = 0.002
"""Seconds to wait where the reports of steps hold up each other."""
_END = 5.0
"""Seconds in which a session obeys a cancel, or goes back to what it began with."""
_DONE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY)


class Ended(Exception):
    """A permutation cannot go on: the message is isolationtester's, which ends there altogether."""


class Stage:
    """The connections of a spec and its output.

    Args:
        spec: what is played.
        connect: opens the connection of a session, by its name.
        watch: looks who is blocked.
        waiting: of the run.
        settings: how it is to be run.
        renamed: texts to put in the place of others in what is sent, and back in what is printed.
    """

    def __init__(
        self,
        spec: Spec,
        connect: Callable[[str], Connection],
        watch: Watch,
        waiting: Waiting,
        settings: SpecSettings,
        renamed: tuple[str, str] = ("", ""),
    ) -> None:
        self._spec, self._connect, self._watch, self._waiting = spec, connect, watch, waiting
        self._limit, self._leaks, self._renamed = settings.step_timeout, settings.leaks, renamed
        self._names = ("control connection", *(session.name for session in spec.sessions))
        self._connections: list[Connection | None] = [None] * len(self._names)
        self._lasting = (
            any(lasts(sql, spec.source) for sql in (*spec.setups, spec.teardown)),
            *(
                any(lasts(sql, spec.source) for sql in (s.setup, s.teardown, *(step.sql for step in s.steps)))
                for s in spec.sessions
            ),
        )
        self._used = False
        self._play = Play(())
        self._lines: list[str] = []
        self.reset = False
        """Something was taken back that a permutation had left in a session."""
        self.problems: list[str] = []
        """Why the output cannot be what it should, whatever it is; a line each."""
        self.notes: list[str] = []
        """What the output does not tell; a line each."""

    @property
    def output(self) -> str:
        """What isolationtester would have printed so far."""
        text = "".join(f"{line}\n" for line in self._lines)
        return text.replace(self._renamed[1], self._renamed[0]) if self._renamed[0] else text

    def play_all(self) -> None:
        """Play all permutations.

        Raises:
            Interrupted: the run is stopped, or its time is over.
            LinkError: the server refuses a connection.
        """
        self._lines += printer.head(self._spec)
        for permutation in self._spec.permutations():
            self._open()
            self._lines.append(printer.starting(permutation))
            try:
                self._set_up()
                self._steps(permutation)
            except Ended as ended:
                self._print(str(ended))
                steps = " ".join(turn.step.name for turn in permutation)
                self.problems.append(f"permutation {steps}: {ended}")
                self._calm()
            self._tear_down()

    # connections

    def _open(self) -> None:
        """Open what is not open, and bring back what permutations before have changed."""
        new = False
        for number, name in enumerate(self._names):
            connection = self._connections[number]
            if connection is not None and not connection.alive:
                connection.close()
                connection = None
            if connection is None:
                self._connections[number] = self._connect(name)
                new = new or number > 0
        if new:
            self._watch.attend([self._at(number).pid for number in range(1, len(self._names))])
        changed = [self._at(number) for number, lasting in enumerate(self._lasting) if lasting]
        if changed and self._used and not self._leaks:
            self._ask_all(changed, "DISCARD ALL")
            self.reset = True
        self._used = True

    def _at(self, number: int) -> Connection:
        connection = self._connections[number]
        assert connection is not None, "_open has made it"
        return connection

    def _ask_all(self, connections: Sequence[Connection], query: str) -> None:
        """Have something done that is not of the spec; who does not obey is closed, and opened anew when needed."""
        asked = []
        for connection in connections:
            try:
                connection.send(query)
            except OperationalError:
                connection.close()
                continue
            self._waiting.add(connection)
            asked.append(connection)
        if not self._waiting.until_over(asked, _END):
            for connection in asked:
                if connection.busy:
                    self._waiting.drop(connection)
                    connection.close()
        for connection in asked:
            connection.events.clear()

    def close(self) -> None:
        """End all connections, and what runs on them."""
        for connection in self._connections:
            if connection is not None:
                self._waiting.drop(connection)
                connection.close()

    # blocks outside the steps

    def _set_up(self) -> None:
        for sql in self._spec.setups:
            self._block(0, sql, "setup failed: ")
        for number, session in enumerate(self._spec.sessions, 1):
            if session.setup is not None:
                self._block(number, session.setup, f"setup of session {session.name} failed: ")

    def _tear_down(self) -> None:
        for number, session in enumerate(self._spec.sessions, 1):
            if session.teardown is not None:
                self._tear_down_one(number, session.teardown, f"teardown of session {session.name} failed: ")
        if not self._leaks:
            # a transaction that is still open would hold up the teardown for ever
            open_ = [c for c in self._connections[1:] if c is not None and c.alive and c.in_transaction]
            self._ask_all(open_, "ROLLBACK")
            self.reset = self.reset or bool(open_)
        if self._spec.teardown is not None:
            self._tear_down_one(0, self._spec.teardown, "teardown failed: ")

    def _tear_down_one(self, number: int, sql: str, failed: str) -> None:
        connection = self._at(number)
        if not connection.alive or connection.busy:
            return
        try:
            self._block(number, sql, failed)
        except Ended as ended:
            self._print(str(ended))

    def _block(self, number: int, sql: str, failed: str) -> None:
        """Have a block done; as with PQexec, only its last result counts."""
        connection = self._at(number)
        try:
            connection.send(self._sent(sql))
        except OperationalError as error:
            raise Ended(failed + str(error)) from error
        self._waiting.add(connection)
        while not self._waiting.until_over([connection], self._limit):
            self._waiting.drop(connection)
            connection.close()
            raise Ended(f"{failed}it did not end within {self._limit:g} s")
        last = None
        while connection.events:
            event = connection.events.popleft()
            if not isinstance(event, str):
                last = event
            elif number:
                self._hear(number - 1, event)
        if last is not None and last.status == pq.ExecStatus.TUPLES_OK:
            self._table(last)
        elif last is None or last.status != pq.ExecStatus.COMMAND_OK:
            raise Ended(failed + ("" if last is None else decoded(last.error_message).rstrip("\n")))

    # steps

    def _steps(self, permutation: Permutation) -> None:
        self._play = Play(permutation)
        acts = self._play.acts()
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
        elif isinstance(act, Look):
            return self._look(act)
        elif isinstance(act, Report):
            self._report(act)
        elif isinstance(act, Rest):
            self._rest(act.step, began)
        elif isinstance(act, Stalled):
            raise Ended("failed to complete permutation due to mutually-blocking steps")
        return None

    def _launch(self, step: Step) -> None:
        connection = self._at(step.session + 1)
        try:
            connection.send(self._sent(step.sql))
        except OperationalError as error:
            raise Ended(f"failed to send query for step {step.name}: {error}") from error
        self._waiting.add(connection)

    def _look(self, act: Look) -> bool:
        """Wait until a step is over or, where that is enough, blocked; say whether it is over."""
        connection, session = self._at(act.step.session + 1), act.step.session
        began = time.monotonic()
        pause, canceled, look = _SOON, False, False
        due = began + pause
        if not act.first:
            # others have gone on meanwhile: what they let go, the server knows at once
            self._waiting.news(0.0)
            due = began
        while connection.busy:
            now = time.monotonic()
            if look and not self._watch.connection.busy:
                if self._blocked(connection, now - began):
                    break
                look, due, pause = False, now + pause, min(_LATE, 2 * pause)
            elif act.locks and not look and now >= due and not self._watch.connection.busy:
                # not waited for alone: the step may be over before
                self._waiting.add(self._watch.begin(other.pid for other in self._busy()))
                look = True
            elif now - began > self._limit:
                canceled = self._too_long(act.step, connection, now - began, canceled)
            else:
                end = began + (2 if canceled else 1) * self._limit + 0.001
                waits = act.locks and not look and not self._watch.connection.busy
                self._waiting.news((min(due, end) if waits else end) - now)
            self._heard(session, connection)
        return self._heard(session, connection)

    def _busy(self) -> list[Connection]:
        return [connection for connection in self._waiting.busy() if connection is not self._watch.connection]

    def _blocked(self, connection: Connection, since: float) -> bool:
        seen = self._watch.seen()
        # what came in since the look was sent: results of those who are not blocked any more, notices of the others
        self._waiting.news(0.0)
        if not connection.busy:
            return False
        if not seen[connection.pid].blocked:
            return since > _PREPARED and self._watch.waits_for_prepared(connection.pid)
        return settled(connection.pid, seen, [other.pid for other in self._busy()]) or since > _TRANSIENT

    def _too_long(self, step: Step, connection: Connection, seconds: float, canceled: bool) -> bool:
        if seconds > 2 * self._limit:
            raise Ended(f"step {step.name} timed out after {seconds:.0f} seconds")
        if canceled:
            self._waiting.news(2 * self._limit + 0.001 - seconds)
        else:
            self.notes.append(self._why(step, connection, seconds))
            connection.cancel()
            self._print(f"isolationtester: canceling step {step.name} after {seconds:.0f} seconds")
        return True

    def _why(self, step: Step, connection: Connection, seconds: float) -> str:
        """Say whom a step waits for that takes too long."""
        self._waiting.until_over([self._watch.connection], _END)
        self._watch.begin([connection.pid])
        self._waiting.add(self._watch.connection)
        self._waiting.until_over([self._watch.connection], _END)
        by = self._watch.seen()[connection.pid].by
        names = [name for c, name in zip(self._connections, self._names, strict=True) if c is not None and c.pid in by]
        whom = f": it waited for {' and '.join(names)}" if names else ""
        return f"step {step.name} was cancelled after {seconds:.0f} s{whom}"

    def _rest(self, step: Step, began: dict[str, float]) -> None:
        since = began.setdefault(step.name, time.monotonic())
        seconds = time.monotonic() - since
        if seconds > 2 * self._limit:
            active = " ".join(active.name for active in self._play.running())
            raise Ended(f"step {step.name} timed out after {seconds:.0f} seconds\nactive steps are: {active}")
        self._waiting.news(_AGAIN)

    def _heard(self, session: int, connection: Connection) -> bool:
        """Print the notices that came before the first result: isolationtester prints them as they arrive."""
        while connection.events and isinstance(connection.events[0], str):
            self._hear(session, str(connection.events.popleft()))
        return not connection.busy

    def _hear(self, session: int, notice: str) -> None:
        self._print(f"{self._spec.sessions[session].name}: {notice}".removesuffix("\n"))
        self._play.heard(session)

    def _report(self, report: Report) -> None:
        step = report.step
        self._print(printer.launched(step, report.waiting) if report.first else printer.completed(step))
        if report.waiting:
            return
        connection = self._at(step.session + 1)
        while connection.events:
            event = connection.events.popleft()
            if isinstance(event, str):
                self._hear(step.session, event)
            else:
                self._result(event)
        if connection.copied:
            self._print("".join(connection.copied).removesuffix("\n"))
        pids = {c.pid: name for c, name in zip(self._connections, self._names, strict=True) if c is not None}
        del pids[self._at(0).pid]
        for channel, payload, pid in connection.notifications():
            name = self._spec.sessions[step.session].name
            self._print(printer.notification(name, channel, payload, pids.get(pid, f"PID {pid}")))

    def _result(self, raw: pq.abc.PGresult) -> None:
        if raw.status == pq.ExecStatus.TUPLES_OK:
            self._table(raw)
        elif raw.status == pq.ExecStatus.FATAL_ERROR:
            severity = raw.error_field(pq.DiagnosticField.SEVERITY)
            message = raw.error_field(pq.DiagnosticField.MESSAGE_PRIMARY)
            if severity is not None and message is not None:
                self._print(f"{decoded(severity)}:  {decoded(message)}")
            else:
                self._print(decoded(raw.error_message))
        elif raw.status not in _DONE:
            self._print(f"unexpected result status: PGRES_{pq.ExecStatus(raw.status).name}")

    def _table(self, raw: pq.abc.PGresult) -> None:
        columns = [decoded(raw.fname(i) or b"") for i in range(raw.nfields)]
        rows = [[self._cell(raw.get_value(i, j)) for j in range(raw.nfields)] for i in range(raw.ntuples)]
        if columns:
            self._lines.append(printer.table(columns, rows))

    def _cell(self, value: bytes | None) -> str | None:
        if value is None:
            return None
        text = decoded(value)
        return text.replace(self._renamed[1], self._renamed[0]) if self._renamed[0] else text

    def _calm(self) -> None:
        """After a permutation was given up: end what still runs, so that its teardowns can run."""
        busy = [connection for connection in self._connections if connection is not None and connection.busy]
        for connection in busy:
            connection.cancel()
        if not self._waiting.until_over(busy, _END):
            for connection in busy:
                if connection.busy:
                    self._waiting.drop(connection)
                    connection.close()
        for one in self._connections:
            if one is not None:
                # also of steps that are over, and were not reported
                one.events.clear()

    def _print(self, text: str) -> None:
        self._lines.append(text)

    def _sent(self, sql: str) -> str:
        return sql.replace(*self._renamed) if self._renamed[0] else sql


__all__ = ["Ended", "Interrupted", "LinkError", "Stage"]
