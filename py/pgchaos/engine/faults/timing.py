"""When a fault strikes: waits until whoever is struck is where it is time."""

from __future__ import annotations

import time
from collections.abc import Callable

from pgchaos.engine.faults.commits import CommitHold
from pgchaos.engine.faults.hand import Hand
from pgchaos.engine.faults.targets import Targets
from pgchaos.engine.stage import Halted, Stage
from pgchaos.engine.stop import Stop
from pgchaos.faults.carrying import Missed, Undelivered
from pgchaos.scenario.model import Fault
from pgchaos.schedule.board import Actor

_LOOK = 0.001
"""Seconds between two looks at who shall be struck."""

Over = Callable[[], bool]
"""Says whether the statement is over during which a fault strikes."""


class Timing:
    """Waits for the time of faults.

    Args:
        hand: to the server.
        targets: whom they strike.
        stage: of the run.
        stop: of the sessions.
    """

    def __init__(self, hand: Hand, targets: Targets, stage: Stage, stop: Stop) -> None:
        self._hand, self._targets, self._stage, self._stop = hand, targets, stage, stop

    def await_commit(self, hold: CommitHold, actor: Actor, over: Over) -> None:
        """Wait until a statement stands in the end of its commit.

        Args:
            hold: holds it there.
            actor: whose statement it is.
            over: says whether it is over.

        Raises:
            Missed: it is over.
            Undelivered: its connection is gone.
            Halted: the run was stopped.
        """
        pid, looks = self._targets.pid(actor), 0
        while not hold.holds(pid, looks):
            self._go_on_waiting(over)
            self._stop.wait(_LOOK)
            looks += 1

    def await_time(self, fault: Fault, actor: Actor, over: Over | None) -> None:
        """Wait until it is time for a fault.

        Args:
            fault: that is due.
            actor: the connection in which it stands.
            over: says whether the statement is over during which it strikes; None before and after a statement, and
                where the statement is held.

        Raises:
            Missed: it is over.
            Undelivered: that time does not come.
            Halted: the run was stopped.
        """
        if fault.when_blocked or fault.kind == "cancel":
            state = "blocked" if fault.when_blocked else "in a statement"
            self._await_state(self._targets.of(fault, actor), state, over)
        elif over is not None:
            self._await_state([actor], "in a statement", over)
        if fault.after is not None:
            self._let_pass(fault.after, over)

    def _let_pass(self, seconds: float, over: Over | None) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._go_on_waiting(over)
            self._stop.wait(min(_LOOK, seconds))

    def _await_state(self, who: list[Actor], state: str, over: Over | None) -> None:
        while not self._are(who, state):
            self._go_on_waiting(over)
            if over is None and self._targets.have_left(who):
                names = " and ".join(map(str, who))
                raise Undelivered(f"{names} came to the end without being {state}")
            self._stop.wait(_LOOK)

    def _are(self, who: list[Actor], state: str) -> bool:
        pids = ",".join(str(self._targets.pid(one)) for one in who)
        rows = self._hand.ask(
            "SELECT pid, pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(pid), ',')"
            f" FROM pg_catalog.pg_stat_activity WHERE pid = ANY ('{{{pids}}}') AND state = 'active'"
        )
        blockers = {int(str(pid)): by for pid, by in rows or ()}
        if state == "blocked":
            blockers = {pid: by for pid, by in blockers.items() if by}
            for pid, by in blockers.items():
                self._stage.note_blockers(pid, tuple(map(int, str(by).split(","))))
        return len(blockers) == len(who)

    def _go_on_waiting(self, over: Over | None) -> None:
        if self._stop.is_set():
            raise Halted
        if over is not None and over():
            raise Missed
