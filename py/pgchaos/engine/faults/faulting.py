"""When a fault strikes, and whom: around the statement that it stands above. What it does is in pgchaos.faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from pgchaos.engine.door import Door
from pgchaos.engine.faults.commits import CommitHold, let_go
from pgchaos.engine.faults.hand import Hand
from pgchaos.engine.stage import Halted, Stage
from pgchaos.engine.stop import Stop
from pgchaos.faults import carrying
from pgchaos.faults.carrying import Missed, Undelivered, carry_out
from pgchaos.faults.kinds import PROCESSES, of_server, told
from pgchaos.history import Failure
from pgchaos.scenario.model import Fault, Scenario
from pgchaos.schedule.board import Actor, in_force
from pgchaos.server import ServerError

_LOOK = 0.001
"""Seconds between two looks at who shall be struck."""
_RECOVERED_WITHIN = 60.0
"""Seconds in which a server comes up that has room again."""


class Target(Protocol):
    """A connection of a session."""

    @property
    def pid(self) -> int | None:
        """Its backend, or None where there is no connection."""

    def disturb(self) -> None:
        """Note that it is cancelled from outside: no other scenario shall have it."""


class Faulting:
    """The faults of one run.

    Args:
        scenario: whose faults.
        variables: of the matrix, and where faults strike that a search has chosen for.
        door: to its database.
        stage: of the run.
        stop: of the sessions.
        calm: a stop for what goes on when they are stopped.
        pids: every backend that is opened here is put in.
    """

    def __init__(
        self,
        scenario: Scenario,
        variables: Mapping[str, str],
        door: Door,
        stage: Stage,
        stop: Stop,
        calm: Stop,
        pids: set[int],
    ) -> None:
        self.hand = Hand(door, calm, pids)
        self._stage, self.stop, self._calm = stage, stop, calm
        self._variables = variables
        self._faults = [
            item
            for session in scenario.sessions
            for item in session.items
            if isinstance(item, Fault) and in_force(item, variables)
        ]
        self._targets: dict[Actor, Target] = {}
        self._lock = threading.Lock()
        self._one = threading.RLock()
        self._reached: dict[tuple[object, ...], int] = {}
        self._struck: set[Fault] = set()
        self._down = 0
        self._up = threading.Condition()
        self._touched = self._stopped = self._filled_disk = self._held_down = False
        self._left: set[Actor] = set()
        self._born = ""
        stop.call(self._notify)

    def enter(self, actor: Actor, target: Target) -> None:
        """Make a connection known, so that it can be struck."""
        self._targets[actor] = target

    def leave(self, actor: Actor) -> None:
        """Note that a session has come to its end."""
        self._left.add(actor)

    def _notify(self) -> None:
        with self._up:
            self._up.notify_all()

    # for those who are struck

    def await_server(self) -> bool:
        """Wait until no fault is being carried out that the server must recover from.

        Returns:
            False where the server was stopped, and nobody starts it: there is nothing to be patient for.
        """
        with self._up:
            self._up.wait_for(lambda: not self._down or self.stop.is_set())
            return not self._stopped

    @property
    def full(self) -> bool:
        """Whether a fault has taken all connections: there is no use in trying for one."""
        return self.hand.full

    # for those who strike

    def is_due(self, fault: Fault, actor: Actor) -> bool:
        """Count an execution of a fault's line, and say whether it is the one.

        Args:
            fault: of the line.
            actor: who has come to it.

        Returns:
            True at the nth, where it is not written at the first; of any step, at the one that a search has chosen. A
            connection counts for itself where it cancels or terminates itself, else all of the run count together.
        """
        key = self._key(fault, actor)
        with self._lock:
            count = self._reached[key] = self._reached.get(key, 0) + 1
        if fault.anywhere:
            return str(count) == self._variables.get(fault.choice)
        return fault.nth == 0 or count == (fault.nth or 1)

    def not_reached(self, fault: Fault, actor: Actor) -> None:
        """Take the last count back: the connection was lost before the statement could be sent."""
        with self._lock:
            self._reached[self._key(fault, actor)] -= 1

    def missed(self, fault: Fault) -> None:
        """Take a strike back: it came when the statement was over, and nobody felt it."""
        self._struck.discard(fault)

    def _key(self, fault: Fault, actor: Actor) -> tuple[object, ...]:
        own = fault.target is None and fault.kind in ("cancel", "terminate") and not fault.anywhere
        return (fault, actor) if own else (fault,)

    def strike(
        self, fault: Fault, actor: Actor, over: Callable[[], bool] | None = None, hold: CommitHold | None = None
    ) -> float:
        """Wait until it is time for a fault, carry it out, and wait until it has had its effect.

        Args:
            fault: that is due.
            actor: the connection in which it stands.
            over: says whether the statement is over during which it strikes; None before and after a statement.
            hold: holds the statement's commit, in which it shall strike; or None.

        Returns:
            When it struck, in seconds since the epoch.

        Raises:
            Undelivered: it could not be delivered.
            Halted: the run was stopped meanwhile.
        """
        with self._stage.striking():
            if hold is not None and over is not None:
                self._await_commit(hold, self._pid(actor), over)
            self._await_time(fault, actor, over if hold is None else None)
            with self._one:
                pids, now = self._pids(fault, actor), time.time()
                self.carry_out(fault, pids)
        return now

    def _await_commit(self, hold: CommitHold, pid: int, over: Callable[[], bool]) -> None:
        looks = 0
        while not hold.holds(pid, looks):
            self._go_on_waiting(over)
            self.stop.wait(_LOOK)
            looks += 1

    def carry_out(self, fault: Fault, pids: Collection[int]) -> None:
        """Carry out a fault here and now.

        Args:
            fault: of any session.
            pids: of those whom it strikes, see `carrying.carry_out`.

        Raises:
            Undelivered: it could not be delivered.
        """
        try:
            with self._one, self._outage(fault):
                carry_out(self.hand, fault.kind, fault.argument, pids)
        except ServerError as error:
            raise Undelivered(str(error)) from None
        self._struck.add(fault)

    @contextmanager
    def _outage(self, fault: Fault) -> Iterator[None]:
        """Have those who lost their connection wait until the server has recovered, instead of finding out when."""
        self._touched = self._touched or of_server(fault)
        if fault.kind == "fill" and fault.argument != "connections":
            self._filled_disk, self._born = True, carrying.born(self.hand)
            if fault.moment == "during" and fault.argument == "wal" and not self._held_down:
                # until there is room again it may go down and not come up
                self._held_down = True
                self._go_down()
        if fault.kind not in ("kill", "crash", "stop", "restart"):
            yield
            return
        self._go_down()
        try:
            yield
            self._stopped = fault.kind == "stop"
        finally:
            self._come_up()

    def _go_down(self) -> None:
        with self._up:
            self._down += 1

    def _come_up(self) -> None:
        with self._up:
            self._down -= 1
            self._up.notify_all()

    def _pids(self, fault: Fault, actor: Actor) -> tuple[int, ...]:
        if fault.kind not in ("cancel", "terminate", "kill"):
            return ()
        if fault.target in PROCESSES:
            return (carrying.process(self.hand, fault.target or ""),)
        return tuple(self._pid(one) for one in self._actors(fault, actor))

    def _actors(self, fault: Fault, actor: Actor) -> list[Actor]:
        if fault.target is None or fault.target == "server" or fault.target in PROCESSES:
            return [actor]
        return [one for one in self._targets if one.session == fault.target and fault.worker in (None, one.worker)]

    def _pid(self, actor: Actor) -> int:
        self._targets[actor].disturb()
        pid = self._targets[actor].pid
        if pid is None:
            raise Undelivered(f"{actor} has no connection")
        return pid

    def _await_time(self, fault: Fault, actor: Actor, over: Callable[[], bool] | None) -> None:
        if fault.when_blocked or fault.kind == "cancel":
            self._await_state(self._actors(fault, actor), "blocked" if fault.when_blocked else "in a statement", over)
        elif over is not None:
            self._await_state([actor], "in a statement", over)
        if fault.after is not None:
            until = time.monotonic() + fault.after
            while time.monotonic() < until:
                self._go_on_waiting(over)
                self.stop.wait(min(_LOOK, fault.after))

    def _await_state(self, who: list[Actor], state: str, over: Callable[[], bool] | None) -> None:
        while True:
            pids = ",".join(str(self._pid(one)) for one in who)
            rows = self.hand.ask(
                "SELECT pid, pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(pid), ',')"
                f" FROM pg_catalog.pg_stat_activity WHERE pid = ANY ('{{{pids}}}') AND state = 'active'"
            )
            blockers = {int(str(pid)): by for pid, by in rows or ()}
            if state == "blocked":
                blockers = {pid: by for pid, by in blockers.items() if by}
                for pid, by in blockers.items():
                    self._stage.note_blockers(pid, tuple(map(int, str(by).split(","))))
            if len(blockers) == len(who):
                return
            self._go_on_waiting(over)
            if over is None and self._left.issuperset(who):
                names = " and ".join(map(str, who))
                raise Undelivered(f"{names} came to the end without being {state}")
            self.stop.wait(_LOOK)

    def _go_on_waiting(self, over: Callable[[], bool] | None) -> None:
        if self.stop.is_set():
            raise Halted
        if over is not None and over():
            raise Missed

    # at the end

    def restore(self) -> None:
        """Undo what faults did to the server that lasts: it runs, and has room on its disks and for connections.

        Raises:
            ServerError: it does not start again.
            Undelivered: it says that something is wrong with it.
        """
        if self._touched:
            self._bring_back()
        until = time.monotonic() + _RECOVERED_WITHIN
        while not let_go(self.hand) and time.monotonic() < until and not self._calm.wait(_LOOK):
            pass

    def _bring_back(self) -> None:
        self.release()
        power = self.hand.power
        if power is not None:
            if self._stopped and power.running:
                # of those who still are connected a smart shutdown would wait for ever
                power.stop("fast")
            if not power.running:
                carrying.start(self.hand, power)
        self._stopped = self._touched = False

    def release(self, *, crashed: bool = False) -> None:
        """Give back the room that faults took, on disks and for connections, and see that the server runs.

        Args:
            crashed: it went down for want of room, or is about to: wait until it has recovered.

        Raises:
            ServerError: it does not start again.
            Undelivered: it says that something is wrong with it.
        """
        self.hand.give_connections()
        power = self.hand.power
        if power is None or not self._filled_disk:
            return
        carrying.empty(power)
        self._filled_disk = False
        try:
            # without room for its WAL it may have gone down, and not have come up again
            until = time.monotonic() + _RECOVERED_WITHIN
            before = ("", self._born) if crashed else ("",)
            while carrying.born(self.hand) in before and time.monotonic() < until:
                if not power.running:
                    power.start()
                self._calm.wait(_LOOK)
        finally:
            if self._held_down:
                self._held_down = False
                self._come_up()

    def undelivered(self) -> list[Failure]:
        """Tell of the faults that never struck."""
        # where a session sends fewer statements than it has, a search may choose one that it does not come to
        missing = [fault for fault in self._faults if fault not in self._struck and not fault.anywhere]
        return [failure(fault, self._why_not(fault)) for fault in missing]

    def roamed(self) -> set[str]:
        """Name the choices of those faults `at any step` that struck."""
        return {fault.choice for fault in self._struck if fault.anywhere}

    def _why_not(self, fault: Fault) -> str:
        counts = [count for key, count in self._reached.items() if key[0] == fault and count]
        if not counts:
            return "no session came to its line"
        return f"its line was come to {max(counts)} time{'s' if max(counts) > 1 else ''} only"

    def close(self) -> None:
        """End the connections."""
        with suppress(Undelivered):  # the run is over, and the server may be too
            self.hand.close()


def never_struck(scenario: Scenario, variables: Mapping[str, str], struck: Collection[str]) -> list[Failure]:
    """Tell of the faults `at any step` that no run of a search delivered.

    Args:
        scenario: whose faults.
        variables: of its matrix.
        struck: those that were delivered, see `Faulting.roamed`.

    Returns:
        A failure for each.
    """
    why = "no step that the search chose was come to, or each was over before it could strike"
    return [
        failure(item, why)
        for session in scenario.sessions
        for item in session.items
        if isinstance(item, Fault) and item.anywhere and in_force(item, variables) and item.choice not in struck
    ]


def failure(fault: Fault, why: str, who: str | None = None) -> Failure:
    """Say that a fault could not be delivered.

    Args:
        fault: which.
        why: not.
        who: the connection in which it stands.

    Returns:
        The failure, named `fault`.
    """
    return Failure("fault", (), f"`fault {told(fault)}` could not be delivered: {why}", fault.place, session=who)
