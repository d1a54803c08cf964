"""The coordinators of runs with programs, whose requests are steps like the statements of sessions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from pgchaos.engine.coordinator import Coordinator, Halted
from pgchaos.engine.session_log import SessionLog
from pgchaos.engine.stepped_coordinator import SteppedCoordinator
from pgchaos.engine.waits import Condition
from pgchaos.language.problems import Place
from pgchaos.results import Failure
from pgchaos.schedule.programs import Lane, ProgramState, owner_of, sort_key
from pgchaos.schedule.step_points import StepPoint, reached
from pgchaos.schedule.wait_rules import Actor, WaitRules
from pgchaos.stop import Stop


class ProgramWaitRules(WaitRules):
    """The wait rules; a program is blocked when one of its connections is."""

    def update_blocked(self, blocked: frozenset[Actor], here: frozenset[Actor]) -> bool:
        """See WaitRules."""
        return super().update_blocked(frozenset(map(owner_of, blocked)), frozenset(map(owner_of, here)))


class ProgramCoordinator(Protocol):
    """What a program reports about its process and its requests."""

    def program_ended(self, actor: Actor) -> None:
        """Record that it has ended, with all its connections."""

    def connected(self, lane: Lane) -> None:
        """Record a new connection of a program."""

    def closing(self, lane: Lane) -> None:
        """Record that a connection was closed; its backend may still hold locks."""

    def disconnected(self, lane: Lane) -> None:
        """Record that the backend of a connection has ended."""

    async def await_request(self, lane: Lane, point: StepPoint, place: Place, what: object) -> bool:
        """Wait until a request may be sent; return whether it may cause a deadlock. Raises Halted.

        Args:
            lane: the connection.
            point: the step of the request.
            place: the line of the request.
            what: identifies equal requests.
        """
        ...

    def answered(self, lane: Lane) -> None:
        """Record that a request has its answer."""

    def is_computing(self, actor: Actor) -> bool:
        """Whether a program computes, so that the run waits for its next request."""
        ...

    def stop_waiting_for(self, actor: Actor) -> None:
        """Continue without a program that has been idle for too long."""

    def check_deadlocks_early(self) -> None:
        """Record that the backends of programs have a short deadlock_timeout."""


class FreePrograms(Coordinator):
    """Programs in a free run."""

    def program_ended(self, actor: Actor) -> None:
        """See ProgramCoordinator."""

    def connected(self, lane: Lane) -> None:
        """See ProgramCoordinator."""

    def closing(self, lane: Lane) -> None:
        """See ProgramCoordinator."""

    def disconnected(self, lane: Lane) -> None:
        """See ProgramCoordinator."""

    async def await_request(
        self,
        lane: Lane,  # noqa: ARG002  # as in SteppedPrograms
        point: StepPoint,  # noqa: ARG002  # as in SteppedPrograms
        place: Place,  # noqa: ARG002  # as in SteppedPrograms
        what: object,  # noqa: ARG002  # as in SteppedPrograms
    ) -> bool:
        """See ProgramCoordinator."""
        if self.stop.is_set():
            raise Halted
        return False

    def answered(self, lane: Lane) -> None:
        """See ProgramCoordinator."""

    def is_computing(self, actor: Actor) -> bool:  # noqa: ARG002  # as in SteppedPrograms
        """See ProgramCoordinator."""
        return False

    def stop_waiting_for(self, actor: Actor) -> None:
        """See ProgramCoordinator."""

    def check_deadlocks_early(self) -> None:
        """See ProgramCoordinator."""


class SteppedPrograms(SteppedCoordinator):
    """Programs in a stepped run: each of their connections may be blocked like a session.

    Args:
        rules: of waits.
        stop: of the run.
        log: records failures.
        actors: all connections and workers of the run, in file order.
        programs: those of them that are programs.
    """

    def __init__(
        self, rules: WaitRules, stop: Stop, log: SessionLog, actors: tuple[Actor, ...], programs: Iterable[Actor]
    ) -> None:
        self._programs = {actor: ProgramState() for actor in programs}
        self.early_deadlock_check = False
        """The backends of programs have a short deadlock_timeout."""
        super().__init__(rules, stop, log, actors)

    # called by programs

    def program_ended(self, actor: Actor) -> None:
        """See ProgramCoordinator."""
        self._programs[actor] = ProgramState()
        self._ready_steps.pop(actor, None)
        self._note_change()

    def connected(self, lane: Lane) -> None:
        """See ProgramCoordinator."""
        self._released[lane] = Condition()
        self._programs[lane.owner].idle_too_long = False
        self._note_change()

    def closing(self, lane: Lane) -> None:
        """See ProgramCoordinator."""
        state = self._programs[lane.owner]
        state.held.pop(lane, None)
        state.running.add(lane)
        self._show_step(lane.owner)
        self._note_change()
        self._released[lane].notify()

    def disconnected(self, lane: Lane) -> None:
        """See ProgramCoordinator."""
        self.answered(lane)
        self._released.pop(lane, None)

    async def await_request(self, lane: Lane, point: StepPoint, place: Place, what: object) -> bool:
        """See ProgramCoordinator."""
        if self.stop.is_set():
            raise Halted
        self._programs[lane.owner].hold(lane, point, what)
        self._show_step(lane.owner)
        self.states.idle(lane, place, f"is before step {point.step}")
        self._note_change()
        await self._released[lane].wait(stop=self.stop)
        if self.stop.is_set():
            raise Halted
        return self._victims.get(lane.owner, False)

    def answered(self, lane: Lane) -> None:
        """See ProgramCoordinator."""
        self._programs[lane.owner].answered(lane)
        self._show_step(lane.owner)
        self._note_change()

    def is_computing(self, actor: Actor) -> bool:
        """See ProgramCoordinator."""
        return self._programs[actor].computing

    def stop_waiting_for(self, actor: Actor) -> None:
        """See ProgramCoordinator."""
        self._programs[actor].idle_too_long = True
        self._note_change()

    def check_deadlocks_early(self) -> None:
        """See ProgramCoordinator."""
        self.early_deadlock_check = True

    def _show_step(self, actor: Actor) -> None:
        """Set the step of a worker to its request that is released next."""
        following = self._programs[actor].next
        if following is None:
            self._ready_steps.pop(actor, None)
        else:
            self._ready_steps[actor] = following[1]

    def _note_change(self) -> None:
        self._change = next(self._changes)
        self._changed.notify()

    # called by the scheduler

    @property
    def ready_steps(self) -> Mapping[Actor, StepPoint]:
        """See SteppedCoordinator; a program that repeats a request, perhaps polling for another, comes last."""
        ready_steps = super().ready_steps
        polling = {actor for actor, state in self._programs.items() if state.polls}
        return {actor: point for actor, point in ready_steps.items() if actor not in polling} or ready_steps

    def release(self, point: StepPoint, *, be_deadlock_victim: bool = False) -> None:
        """See SteppedCoordinator."""
        for other in (one for actor, one in self._programs.items() if actor != point.actor):
            other.look_again()
        state = self._programs.get(point.actor)
        if state is None:
            super().release(point, be_deadlock_victim=be_deadlock_victim)
            return
        lane = state.release()
        if lane is None:
            return
        self._victims[point.actor] = be_deadlock_victim
        self._show_step(point.actor)
        self._resume(lane)

    @property
    def blocked(self) -> frozenset[Actor]:
        """See SteppedCoordinator; a program is blocked if one of its connections is."""
        return self._firm | frozenset(map(owner_of, self._firm))

    def is_waited_for(self, actor: Actor) -> bool:
        """See SteppedCoordinator.

        A backend looks for a deadlock once. That of a waiting program has done so, without finding one, before anything
        else is sent. So the program that closes a cycle is the victim.
        """
        if self.early_deadlock_check and actor in self._programs:
            return True
        return any(owner_of(one) == actor for blocked in self._firm for one in reached(blocked, self._waits))

    def blockers_of(self, actor: Actor) -> str:
        """See SteppedCoordinator."""
        lanes = sorted((one for one in self._firm if owner_of(one) == actor), key=sort_key)
        return ", ".join(dict.fromkeys(super(SteppedPrograms, self).blockers_of(one) for one in lanes or [actor]))

    def find_standstill(self) -> Failure | None:
        """See SteppedCoordinator; a program that others no longer wait for may still send a request."""
        return None if any(state.idle_too_long for state in self._programs.values()) else super().find_standstill()

    def _is_idle(self, actor: Actor) -> bool:
        if isinstance(actor, Lane):
            state = self._programs[actor.owner]
            return actor not in state.running and (actor.owner in self._ended or not state.computing)
        known = self._programs.get(actor)
        return super()._is_idle(actor) if known is None else actor in self._ended or not known.computing

    def _waiting(self) -> set[Actor]:
        return super()._waiting() | {actor for actor, state in self._programs.items() if state.idle_too_long}
