"""Whom a fault strikes: connections of sessions, by their backends, or a process of the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pgchaos.engine.faults import actions
from pgchaos.engine.faults.actions import TargetGone
from pgchaos.engine.faults.fault_connection import FaultConnection
from pgchaos.language.fault_kinds import PROCESSES, strikes_backends, strikes_connections, strikes_own_session
from pgchaos.language.section_items import Fault
from pgchaos.schedule.wait_rules import Actor


class Target(Protocol):
    """A connection of a session."""

    @property
    def pid(self) -> int | None:
        """Its backend, or None where there is no connection."""

    def loss(self) -> Callable[[], bool]:
        """Give what says from now on whether the other end has closed the present connection, as the kernel knows."""

    def disturb(self) -> None:
        """Note that it is cancelled from outside: no other scenario shall have it."""


class Targets:
    """The connections of a run."""

    def __init__(self, fault_connection: FaultConnection) -> None:
        self._fault_connection = fault_connection
        self._targets: dict[Actor, Target] = {}
        self._left: set[Actor] = set()

    def enter(self, actor: Actor, target: Target) -> None:
        """Make a connection known, so that it can be struck."""
        self._targets[actor] = target

    def leave(self, actor: Actor) -> None:
        """Note that a session has come to its end."""
        self._left.add(actor)

    def has_left(self, actor: Actor) -> bool:
        """Say whether a session has come to its end."""
        return actor in self._left

    def watched(self, fault: Fault, actor: Actor) -> list[Actor]:
        """List the connections whose state a fault waits for."""
        return [actor] if strikes_own_session(fault) else self.of(fault, actor)

    def of(self, fault: Fault, actor: Actor) -> list[Actor]:
        """List the connections that a fault is for."""
        if strikes_connections(fault) and fault.target == "server":
            return list(self._targets)
        if strikes_own_session(fault):
            return [actor]
        return [one for one in self._targets if one.session == fault.target and fault.worker in (None, one.worker)]

    def struck(self, fault: Fault, actor: Actor) -> dict[Actor, Target]:
        """Give the connections that a fault of the network strikes; see `of`."""
        return {one: self._targets[one] for one in self.of(fault, actor)}

    def pid(self, actor: Actor) -> int:
        """Give the backend of a connection that is about to be struck.

        Raises:
            TargetGone: there is none.
        """
        self._targets[actor].disturb()
        pid = self._targets[actor].pid
        if pid is None:
            raise TargetGone(f"{actor} has no connection")
        return pid

    def connected(self) -> list[int]:
        """List the backends of all sessions, whoever is struck."""
        return [pid for one in self._targets.values() if (pid := one.pid) is not None]

    async def pids(self, fault: Fault, actor: Actor) -> tuple[int, ...]:
        """Give the processes that a fault strikes; none for what strikes the server.

        Raises:
            TargetGone: one of them is not there.
        """
        if not strikes_backends(fault):
            return ()
        if fault.target in PROCESSES:
            return (await actions.process(self._fault_connection, fault.target or ""),)
        return tuple(self.pid(one) for one in self.of(fault, actor))
