"""The coordinators of runs with programs: their requests stand before each step, as statements of sessions do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from pgchaos.engine.coordinator import Coordinator, Halted
from pgchaos.engine.session_log import SessionLog
from pgchaos.engine.stepped_coordinator import SteppedCoordinator
from pgchaos.engine.waits import News
from pgchaos.language.problems import Place
from pgchaos.results import Failure
from pgchaos.schedule.programs import Lane, ProgramState, owner_of, sort_key
from pgchaos.schedule.step_points import StepPoint, reached
from pgchaos.schedule.wait_rules import Actor, WaitRules
from pgchaos.stop import Stop


class ProgramWaitRules(WaitRules):
    """The rules of waits, to which a program is blocked when one of its connections is."""

    def update_blocked(self, blocked: frozenset[Actor], here: frozenset[Actor]) -> bool:
        """See WaitRules."""
        return super().update_blocked(frozenset(map(owner_of, blocked)), frozenset(map(owner_of, here)))


class ProgramCoordinator(Protocol):
    """What a program tells about its process and its requests."""

    def program_ended(self, actor: Actor) -> None:
        """Note that it has ended, and its connections with it."""

    def connected(self, lane: Lane) -> None:
        """Note a new connection of a program."""

    def closing(self, lane: Lane) -> None:
        """Note that a connection was closed; its backend may still hold locks."""

    def disconnected(self, lane: Lane) -> None:
        """Note that the backend of a connection has ended."""

    async def await_request(self, lane: Lane, point: StepPoint, place: Place, what: object) -> bool:
        """Wait until a request may be sent; say whether it may close a circle of waits. Raises Halted.

        Args:
            lane: its connection.
            point: the step that it is.
            place: its line.
            what: it asks: equal to that of the same request.
        """
        ...

    def answered(self, lane: Lane) -> None:
        """Note that a request has its answer."""

    def is_computing(self, actor: Actor) -> bool:
        """Whether everything waits for what a program does by itself."""
        ...

    def set_away(self, actor: Actor) -> None:
        """Go on without a program, which has done nothing for too long."""

    def look_early(self) -> None:
        """Note that backends of programs look for a deadlock soon after they have begun to wait."""


class FreePrograms(Coordinator):
    """Programs that nobody holds up."""

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
        lane: Lane,  # noqa: ARG002  # as in the other
        point: StepPoint,  # noqa: ARG002  # as in the other
        place: Place,  # noqa: ARG002  # as in the other
        what: object,  # noqa: ARG002  # as in the other
    ) -> bool:
        """See ProgramCoordinator."""
        if self.stop.is_set():
            raise Halted
        return False

    def answered(self, lane: Lane) -> None:
        """See ProgramCoordinator."""

    def is_computing(self, actor: Actor) -> bool:  # noqa: ARG002  # as in the other
        """See ProgramCoordinator."""
        return False

    def set_away(self, actor: Actor) -> None:
        """See ProgramCoordinator."""

    def look_early(self) -> None:
        """See ProgramCoordinator."""


class SteppedPrograms(SteppedCoordinator):
    """Programs beside sessions that go step by step: each of their connections is one more that may be blocked.

    Args:
        rules: the decisions on waits.
        stop: of the run.
        log: takes failures.
        actors: all workers and connections of the run, in file order.
        programs: those of them that are programs.
    """

    def __init__(
        self, rules: WaitRules, stop: Stop, log: SessionLog, actors: tuple[Actor, ...], programs: Iterable[Actor]
    ) -> None:
        self._programs = {actor: ProgramState() for actor in programs}
        self.looks_early = False
        """The backends of programs look for a deadlock soon after they have begun to wait."""
        super().__init__(rules, stop, log, actors)

    # what programs tell

    def program_ended(self, actor: Actor) -> None:
        """See ProgramCoordinator."""
        self._programs[actor] = ProgramState()
        self._gates.pop(actor, None)
        self._note_change()

    def connected(self, lane: Lane) -> None:
        """See ProgramCoordinator."""
        self._opened[lane] = News()
        self._programs[lane.owner].away = False
        self._note_change()

    def closing(self, lane: Lane) -> None:
        """See ProgramCoordinator."""
        state = self._programs[lane.owner]
        state.held.pop(lane, None)
        state.running.add(lane)
        self._show_gate(lane.owner)
        self._note_change()
        self._opened[lane].notify()

    def disconnected(self, lane: Lane) -> None:
        """See ProgramCoordinator."""
        self.answered(lane)
        self._opened.pop(lane, None)

    async def await_request(self, lane: Lane, point: StepPoint, place: Place, what: object) -> bool:
        """See ProgramCoordinator."""
        if self.stop.is_set():
            raise Halted
        self._programs[lane.owner].hold(lane, point, what)
        self._show_gate(lane.owner)
        self.states.idle(lane, place, f"stands before step {point.step}")
        self._note_change()
        await self._opened[lane].wait(stop=self.stop)
        if self.stop.is_set():
            raise Halted
        return self._victims.get(lane.owner, False)

    def answered(self, lane: Lane) -> None:
        """See ProgramCoordinator."""
        self._programs[lane.owner].answered(lane)
        self._show_gate(lane.owner)
        self._note_change()

    def is_computing(self, actor: Actor) -> bool:
        """See ProgramCoordinator."""
        return self._programs[actor].computing

    def set_away(self, actor: Actor) -> None:
        """See ProgramCoordinator."""
        self._programs[actor].away = True
        self._note_change()

    def look_early(self) -> None:
        """See ProgramCoordinator."""
        self.looks_early = True

    def _show_gate(self, actor: Actor) -> None:
        """Have a worker stand before the request that goes on next."""
        following = self._programs[actor].next
        if following is None:
            self._gates.pop(actor, None)
        else:
            self._gates[actor] = following[1]

    def _note_change(self) -> None:
        self._change = next(self._changes)
        self._news.notify()

    # what the scheduler asks and tells

    @property
    def gates(self) -> Mapping[Actor, StepPoint]:
        """See SteppedCoordinator; who asks the same again and again, perhaps for what another does, lets it go on."""
        gates = super().gates
        polling = {actor for actor, state in self._programs.items() if state.polls}
        return {actor: gate for actor, gate in gates.items() if actor not in polling} or gates

    def open(self, gate: StepPoint, *, be_deadlock_victim: bool = False) -> None:
        """See SteppedCoordinator."""
        for other in (one for actor, one in self._programs.items() if actor != gate.actor):
            other.look_again()
        state = self._programs.get(gate.actor)
        if state is None:
            super().open(gate, be_deadlock_victim=be_deadlock_victim)
            return
        lane = state.release()
        if lane is None:
            return
        self._victims[gate.actor] = be_deadlock_victim
        self._show_gate(gate.actor)
        self._let_go(lane)

    @property
    def blocked(self) -> frozenset[Actor]:
        """See SteppedCoordinator; a program is blocked where one of its connections is."""
        return self._firm | frozenset(map(owner_of, self._firm))

    def is_waited_for(self, actor: Actor) -> bool:
        """See SteppedCoordinator.

        A backend looks for a deadlock once: that of a program that waits has done so, in vain, before anything else is
        sent. So the one that closes a circle is the victim.
        """
        if self.looks_early and actor in self._programs:
            return True
        return any(owner_of(one) == actor for blocked in self._firm for one in reached(blocked, self._waits))

    def whom(self, actor: Actor) -> str:
        """See SteppedCoordinator."""
        lanes = sorted((one for one in self._firm if owner_of(one) == actor), key=sort_key)
        return ", ".join(dict.fromkeys(super(SteppedPrograms, self).whom(one) for one in lanes or [actor]))

    def find_end(self) -> Failure | None:
        """See SteppedCoordinator; a program that does nothing for long may still do something."""
        return None if any(state.away for state in self._programs.values()) else super().find_end()

    def _is_idle(self, actor: Actor) -> bool:
        if isinstance(actor, Lane):
            state = self._programs[actor.owner]
            return actor not in state.running and (actor.owner in self._over or not state.computing)
        known = self._programs.get(actor)
        return super()._is_idle(actor) if known is None else actor in self._over or not known.computing

    def _waiting(self) -> set[Actor]:
        return super()._waiting() | {actor for actor, state in self._programs.items() if state.away}
