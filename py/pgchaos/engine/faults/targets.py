"""The targets of faults: backends of sessions, or a process of the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pgchaos.engine.faults import actions
from pgchaos.engine.faults.actions import TargetGone
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.language.fault_kinds import PROCESSES, targets_backends, targets_connections, targets_own_session
from pgchaos.language.section_items import Fault
from pgchaos.schedule.wait_rules import Actor


class Target(Protocol):
    """A connection of a session."""

    @property
    def pid(self) -> int | None:
        """The pid of its backend; None if there is no connection."""

    @property
    def in_block(self) -> bool:
        """Whether a transaction is open."""

    def loss(self) -> Callable[[], bool]:
        """Return a function that tells whether the peer has closed the current connection, as the kernel reports."""

    def disturb(self) -> None:
        """Record that it is cancelled from outside: no other scenario may get it."""


class Targets:
    """The connections of a run."""

    def __init__(self, fault_connection: FaultConnection) -> None:
        self._fault_connection = fault_connection
        self._targets: dict[Actor, Target] = {}
        self._ended: set[Actor] = set()

    def add(self, actor: Actor, target: Target) -> None:
        """Add a connection as a target."""
        self._targets[actor] = target

    def set_ended(self, actor: Actor) -> None:
        """Record that a session has ended."""
        self._ended.add(actor)

    def has_ended(self, actor: Actor) -> bool:
        """Whether a session has ended."""
        return actor in self._ended

    def watched(self, fault: Fault, actor: Actor) -> list[Actor]:
        """List the connections whose state a fault waits for."""
        return [actor] if targets_own_session(fault) else self.of(fault, actor)

    def of(self, fault: Fault, actor: Actor) -> list[Actor]:
        """List the connections that a fault names."""
        if targets_connections(fault) and fault.target == "server":
            return list(self._targets)
        if targets_own_session(fault):
            return [actor]
        return [one for one in self._targets if one.session == fault.target and fault.worker in (None, one.worker)]

    def connections(self, fault: Fault, actor: Actor) -> dict[Actor, Target]:
        """Return the connections that a network fault affects; see `of`.

        Raises:
            TargetGone: see `_check_any_works`.
        """
        targets = self.of(fault, actor)
        self._check_any_works(fault, targets)
        return {one: self._targets[one] for one in targets}

    def pid(self, actor: Actor) -> int:
        """Return the backend of a connection that a fault is about to affect.

        Raises:
            TargetGone: there is none.
        """
        self._targets[actor].disturb()
        pid = self._targets[actor].pid
        if pid is None:
            raise TargetGone(f"{actor} has no connection")
        return pid

    def connected(self) -> list[int]:
        """List the backends of all sessions."""
        return [pid for one in self._targets.values() if (pid := one.pid) is not None]

    async def pids(self, fault: Fault, actor: Actor) -> tuple[int, ...]:
        """Return the processes that a fault affects; none if it affects the server.

        Raises:
            TargetGone: one of them does not exist; and see `_check_any_works`.
        """
        if not targets_backends(fault):
            return ()
        if fault.target in PROCESSES:
            return (await actions.process(self._fault_connection, fault.target or ""),)
        targets = self.of(fault, actor)
        pids = tuple(map(self.pid, targets))
        self._check_any_works(fault, targets)
        return pids

    def _check_any_works(self, fault: Fault, targets: list[Actor]) -> None:
        """Check that the sessions of a fault `at any step` have not all ended: their open connections do nothing.

        Raises:
            TargetGone: they have.
        """
        if fault.anywhere and self._ended.issuperset(targets):
            raise TargetGone(_ended(targets))

    def idle(self, fault: Fault, actor: Actor) -> str:
        """Say that all sessions that a fault ends had ended without an open transaction; '' if not."""
        if fault.kind not in ("terminate", "cut", "reset"):
            return ""
        targets = self.of(fault, actor)
        if not self._ended.issuperset(targets) or any(self._targets[one].in_block for one in targets):
            return ""
        return _ended(targets)


def _ended(targets: list[Actor]) -> str:
    return f"{' and '.join(map(str, targets))} {'have' if len(targets) > 1 else 'has'} ended"
