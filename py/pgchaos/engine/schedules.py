"""Runs a scenario by its schedule: freely, in one order of steps, or in all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from pgchaos.engine.gathering import Gathering
from pgchaos.engine.run import run_once
from pgchaos.engine.settings import Settings
from pgchaos.history import Failure, Record, RunResult
from pgchaos.scenario.model import Scenario
from pgchaos.scenario.schedules import MOST
from pgchaos.schedule.board import Actor
from pgchaos.schedule.orders import Exact, Follow, Order
from pgchaos.schedule.permutations import Frontier, actors
from pgchaos.schedule.same import difference
from pgchaos.server import Server


def run(scenario: Scenario, variables: Mapping[str, str], server: Server, settings: Settings) -> RunResult:
    """Run a scenario by its schedule.

    Args:
        scenario: what to run.
        variables: the values of its matrix for this item.
        server: where.
        settings: how.

    Returns:
        All that it brought; of several permutations what `Gathering` makes of them. Failures of the scenario are in
        it, never raised.

    Raises:
        pgchaos.server.ServerError: there is no server, or no database to work in.
    """
    result = RunResult(settings.seed, started_at=time.time(), server=server.banner)
    if scenario.unsupported:
        result.failures += [Failure("error", (), problem.text, problem.place) for problem in scenario.unsupported]
        return result
    result.skipped = "; ".join(filter(None, map(server.missing, scenario.requires)))
    if result.skipped:
        return result
    return _Runs(scenario, variables, server, settings).go()


def pinned(
    scenario: Scenario, variables: Mapping[str, str], server: Server, settings: Settings, failed: RunResult
) -> tuple[int, ...] | None:
    """Try whether the order in which a free run's steps began makes it fail again, one step at a time.

    Args:
        scenario: that was run.
        variables: of its matrix.
        server: that it ran on.
        settings: how it was run.
        failed: what it left behind.

    Returns:
        The decisions that do, by the numbers of the connections; None where it does not fail so again.
    """
    everybody = actors(scenario.sessions)
    begun = _begun(failed.records)
    if len(set(begun)) < 2:
        return None
    again = run_once(scenario, variables, server, settings, Follow(begun, everybody, lenient=True))
    before = {(failure.kind, failure.names or failure.text) for failure in failed.failures}
    same = any((failure.kind, failure.names or failure.text) in before for failure in again.failures)
    return _decisions(again, everybody) if same else None


def _begun(records: list[Record]) -> list[Actor]:
    """List the connections in the order in which their steps began; a retry belongs to the step that failed."""
    seen = set()
    begun = []
    sent = [record for record in records if record.started_at is not None]
    for record in sorted(sent, key=lambda one: one.started_at or 0.0):
        step = (record.session, record.worker, record.iteration, record.step)
        if step not in seen:
            seen.add(step)
            begun.append(Actor(record.session, record.worker))
    return begun


def _decisions(result: RunResult, everybody: tuple[Actor, ...]) -> tuple[int, ...]:
    return tuple(everybody.index(Actor(step.session, step.worker)) for step in result.order)


class _Runs:
    def __init__(self, scenario: Scenario, variables: Mapping[str, str], server: Server, settings: Settings) -> None:
        self._scenario, self._variables, self._server, self._settings = scenario, variables, server, settings
        self._actors = actors(scenario.sessions)

    def go(self) -> RunResult:
        kind = self._scenario.schedule.kind
        if self._settings.replay is not None:
            return self._replay(self._settings.replay)
        if kind == "exact":
            return self._exact()
        return self._all() if kind == "all" else self._once(None)

    def _once(self, order: Order | None) -> RunResult:
        result = run_once(self._scenario, self._variables, self._server, self._settings, order)
        if order is not None:
            result.decisions = _decisions(result, self._actors)
        return result

    def _replay(self, numbers: tuple[int, ...]) -> RunResult:
        if any(number >= len(self._actors) for number in numbers):
            result = RunResult(self._settings.seed, server=self._server.banner)
            text = f"the token names connection {max(numbers)}, and the scenario has {len(self._actors)}, from 0"
            result.failures.append(Failure("error", (), text))
            return result
        order = Follow([self._actors[number] for number in numbers], self._actors)
        result = self._once(order)
        if order.strayed is not None:
            who = self._actors[numbers[order.strayed]]
            result.notes.append(
                f"the token could not be followed: at its step {order.strayed + 1} {who} had no step to do"
            )
        return result

    def _exact(self) -> RunResult:
        steps, sessions = self._scenario.schedule.steps, self._scenario.sessions
        result = self._once(Exact(steps, sessions))
        if self._settings.selfcheck:
            self._compare(result, Exact(steps, sessions))
        return result

    def _all(self) -> RunResult:
        limit = self._scenario.schedule.limit or MOST
        frontier, gathering = Frontier(), Gathering()
        while gathering.count < limit and not self._stopped() and (prefix := frontier.take()) is not None:
            order = Follow(prefix, self._actors)
            result = self._once(order)
            if self._settings.selfcheck:
                self._compare(result, Follow([choice.taken for choice in order.trace], self._actors))
            gathering.add(result)
            if any(failure.kind in ("timeout", "wait") for failure in result.failures):
                # each further one could take as long
                break
            frontier.learn(order.trace)
        return gathering.result(exhausted=not frontier.more)

    def _stopped(self) -> bool:
        return self._settings.stop is not None and self._settings.stop.is_set()

    def _compare(self, first: RunResult, order: Order) -> None:
        """Run the same order again, and say where it went another way."""
        second = run_once(self._scenario, self._variables, self._server, self._settings, order)
        found = difference(first.records, second.records)
        if found is not None:
            first.failures.append(Failure("error", (), *found))
