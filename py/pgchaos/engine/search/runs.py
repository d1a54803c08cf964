"""Runs a scenario by its schedule: freely, in one order of steps, or in many; with values that are drawn, or none."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pgchaos.engine.run import Lend, Look, run_once
from pgchaos.engine.search.gathering import key_of
from pgchaos.engine.search.kept import Kept
from pgchaos.engine.settings import Replay, Settings
from pgchaos.faults.kinds import of_server
from pgchaos.history import Failure, Record, RunResult
from pgchaos.scenario.choices import drawn
from pgchaos.scenario.items import Fault
from pgchaos.scenario.model import Scenario
from pgchaos.scenario.rehearsal import fits_schema
from pgchaos.scenario.schedules import MOST, interleavings
from pgchaos.scenario.terms import Requirement
from pgchaos.schedule.board import Actor
from pgchaos.schedule.orders import Exact, Follow, Order
from pgchaos.schedule.permutations import actors, taken
from pgchaos.schedule.same import difference
from pgchaos.schedule.swapped import commuting
from pgchaos.schedule.token import Token
from pgchaos.server import Server

if TYPE_CHECKING:
    from pgchaos.engine.judging.oracle import Oracle
    from pgchaos.engine.search.searching import Searching
    from pgchaos.schedule.explore import Explore
    from pgchaos.schedule.footprint import Dependence
    from pgchaos.schedule.pct import Pct


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
    missing = server.own_missing if scenario.sandbox == "server" else server.missing
    result.skipped = "; ".join(filter(None, map(missing, (*scenario.requires, *_harm(scenario)))))
    if drawn(scenario, variables) and find_spec("hypothesis") is None:
        result.skipped = "`given` draws values by hypothesis, which is not installed: pip install 'pgchaos[chaos]'"
    if result.skipped:
        return result
    runs = _Runs(scenario, variables, server, settings)
    result = runs.go()
    result.judged = runs.oracle.judged if runs.oracle is not None else None
    return result


def _harm(scenario: Scenario) -> Iterator[Requirement]:
    """Tell what it takes that a scenario harms the common server, where it does."""
    if scenario.sandbox == "server":
        return
    for session in scenario.sessions:
        for item in session.items:
            if isinstance(item, Fault) and of_server(item):
                yield Requirement(item.place, "own server")
                return


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
    again = _Runs(scenario, variables, server, settings).once(Follow(begun, everybody, lenient=True))
    same = not set(map(key_of, failed.failures)).isdisjoint(map(key_of, again.failures))
    return again.decisions if same else None


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
    """The runs of one item.

    Args:
        scenario: what to run.
        variables: the values of its matrix.
        server: where.
        settings: how.
    """

    def __init__(self, scenario: Scenario, variables: Mapping[str, str], server: Server, settings: Settings) -> None:
        self._scenario, self._matrix, self._server, self._settings = scenario, variables, server, settings
        self._drawn = drawn(scenario, variables)
        self._values: Mapping[str, str] = {}
        self._made = 0
        self._struck: set[str] = set()
        self._passed_by: dict[str, list[str]] = {}
        self._lend: Lend | None = None
        self._look: Look | None = None
        self._dependence: Dependence | None = None
        self._actors = actors(scenario.sessions)
        self.oracle: Oracle | None = None
        if scenario.oracle is not None:
            # what takes long to load is loaded by those who need it, here and below
            from pgchaos.engine.judging.oracle import Oracle

            self.oracle = Oracle(scenario, server, settings)

    def go(self) -> RunResult:
        replay = self._settings.replay
        if replay is not None:
            return self.replayed(replay)
        shelf = Kept(self._settings.key) if self._scenario.schedule.kind == "explore" else Kept("")
        with self._place() as self._lend:
            return self._from(shelf)

    @contextmanager
    def _place(self) -> Iterator[Lend | None]:
        """Lend many runs one database, where they leave nothing in it."""
        scenario = self._scenario
        many = scenario.schedule.kind in ("all", "explore") or bool(self._drawn)
        own = scenario.sandbox == "database" and not scenario.alone and not self._server.in_place
        if many and own and self._settings.replay is None and fits_schema(scenario, self._matrix):
            with self._server.rehearsals(scenario.extensions) as lend:
                yield lend
        else:
            yield None

    def _from(self, shelf: Kept) -> RunResult:
        for token in shelf.all():
            # by the seed that it failed with: delays and what is drawn by chance are part of it
            again = _Runs(self._scenario, self._matrix, self._server, replace(self._settings, seed=token.seed))
            result = again.replayed(Replay(token.decisions, token.values))
            if self._stopped():
                return result
            if self._settings.found(result):
                self.oracle = again.oracle
                result.notes.append("this failed before: the interleaving was kept, and not searched for again")
                return result
            shelf.forget(token)
        result = self._given() if self._drawn else self._by_schedule()
        if result.decisions and self._settings.found(result):
            shelf.keep(Token(self._settings.key, self._settings.seed, result.decisions, result.values))
        return result

    def _most(self) -> int:
        """Tell how many runs a search may make, without those that make a failure easier to read."""
        schedule = self._scenario.schedule
        limit = schedule.limit or MOST
        if schedule.kind == "all":
            limit = min(limit, interleavings(self._scenario.sessions))
        elif schedule.kind != "explore":
            limit = 1
        if self._drawn and schedule.kind != "explore":
            # as many values as hypothesis draws
            from pgchaos.engine.search.drawing import most

            limit *= most()
        return max(limit, self._made)

    # one run

    def once(self, order: Order | None) -> RunResult:
        """Make one run, judged by the oracle where there is one.

        Args:
            order: of its steps; None to let the sessions go freely.
        """
        variables = {**self._matrix, **self._values}
        if self.oracle is not None:
            result = self.oracle.run(variables, order, self._lend, self._look)
        else:
            result = run_once(
                self._scenario, variables, self._server, self._settings, order, self._lend, look=self._look
            )
        result.values = self._values
        self._struck |= result.struck
        for choice, why in result.passed_by.items():
            self._passed_by.setdefault(choice, []).extend(why)
        self._made += 1
        if self._lend is not None or self._made > 1:
            self._settings.progress(self._made, self._most())
        if order is not None:
            result.decisions = _decisions(result, self._actors)
        elif self._values:
            result.decisions = ()
        return result

    def _checked(self, order: Follow | Pct) -> RunResult:
        result = self.once(order)
        if self._settings.selfcheck:
            self._compare(result, Follow(taken(order.trace), self._actors))
            self._compare_swapped(result, order)
        return result

    def replayed(self, replay: Replay) -> RunResult:
        """Make one run again.

        Args:
            replay: which.
        """
        numbers = replay.decisions
        self._values = replay.values
        if not numbers:
            return self._by_schedule()
        if max(numbers) >= len(self._actors):
            result = RunResult(self._settings.seed, server=self._server.banner)
            text = f"the token names connection {max(numbers)}, and the scenario has {len(self._actors)}, from 0"
            result.failures.append(Failure("error", (), text))
            return result
        order = Follow([self._actors[number] for number in numbers], self._actors)
        result = self._checked(order)
        if order.strayed is not None:
            who, at = self._actors[numbers[order.strayed]], order.strayed + 1
            result.notes.append(f"the token could not be followed: at its step {at} {who} had no step to do")
        return result

    # by the file's schedule

    def _by_schedule(self) -> RunResult:
        schedule = self._scenario.schedule
        if schedule.kind == "exact":
            return self._exact()
        if schedule.kind == "all":
            return self._searching().all(schedule.limit or MOST)
        if schedule.kind == "explore":
            return self._searching().explore(self._explore(schedule.limit or MOST))
        return self.once(None)

    def _exact(self) -> RunResult:
        steps, sessions = self._scenario.schedule.steps, self._scenario.sessions
        result = self.once(Exact(steps, sessions))
        if self._settings.selfcheck:
            self._compare(result, Exact(steps, sessions))
        return result

    def _searching(self) -> Searching:
        from pgchaos.engine.search.searching import Searching

        return Searching(self._checked, self._actors, self._settings.found, self._stopped)

    def _explore(self, limit: int) -> Explore:
        from pgchaos.engine.search.touching import Touching
        from pgchaos.schedule.explore import Explore

        variables = {**self._matrix, **self._values}
        self._look = touching = Touching(self._scenario, variables, theirs=self._server.in_place)
        self._dependence = touching.dependence
        possible = interleavings(self._scenario.sessions)
        return Explore(self._actors, limit, possible, self._settings.seed, touching.dependence)

    def _stopped(self) -> bool:
        return self._settings.stop is not None and self._settings.stop.is_set()

    def _compare(self, first: RunResult, order: Order, how: str = "by the same schedule") -> None:
        """Make a run that shall go the same way, and say where it went another."""
        variables = {**self._matrix, **self._values}
        second = run_once(self._scenario, variables, self._server, self._settings, order, self._lend)
        found = difference(first.records, second.records, how)
        if found is None and {*map(key_of, first.failures)} != {*map(key_of, second.failures)}:
            failed = first.failures or second.failures
            found = f"not deterministic: {failed[0].text}; but not so, {how}", failed[0].place
        if found is not None:
            first.failures.append(Failure("error", (), *found))

    def _compare_swapped(self, first: RunResult, order: Follow | Pct) -> None:
        """Have two steps change places that are taken for independent, and say where that made a difference."""
        if self._dependence is None or first.failures:
            return
        at = commuting(order.trace, self._dependence, random.Random(f"swapped/{self._settings.seed}/{self._made}"))
        if at is None:
            return
        went = list(taken(order.trace))
        went[at], went[at + 1] = went[at + 1], went[at]
        one, other = (f"{step.session}[{step.worker}].{step.step}" for step in first.order[at : at + 2])
        self._compare(first, Follow(went, self._actors), f"with {one} and {other} swapped, which touch no common table")

    # with values that are drawn

    def _given(self) -> RunResult:
        """Draw values until some fail; then the smallest, and of these the easiest interleaving."""
        # only here: who draws nothing needs no hypothesis
        from pgchaos.engine.faults.telling import never_struck
        from pgchaos.engine.search.drawing import draw
        from pgchaos.engine.search.trials import Trials

        schedule, settings = self._scenario.schedule, self._settings
        examples = max(1, round(math.sqrt(schedule.limit or MOST) / 2)) if schedule.kind == "explore" else None
        share = (schedule.limit or MOST) // examples if examples else 0
        trials = Trials(
            lambda values, decisions: self._with(values, decisions, share),
            settings.found,
            self._stopped,
            follows=schedule.kind in ("all", "explore"),
        )
        seed = settings.seed if settings.draw_seed is None else settings.draw_seed
        values = draw(self._drawn, trials.fails, seed=seed, key=settings.key, examples=examples)
        result = trials.result(values)
        if values is None and not (result.skipped or self._stopped()):
            result.failures += never_struck(self._scenario, self._matrix, self._struck, self._passed_by)
        if values is None or not result.order or schedule.kind != "explore":
            return result
        self._values = values
        easiest = self._searching().shrunk(tuple(Actor(o.session, o.worker) for o in result.order), result)
        easiest.explored, easiest.drawn, easiest.shrunk = trials.explored, result.drawn, True
        return easiest

    def _with(self, values: Mapping[str, str], decisions: tuple[int, ...] | None, share: int) -> RunResult:
        """Run with values: one interleaving where it is known; else a share of those to explore, or by the schedule."""
        self._values = values
        if decisions:
            return self.once(Follow([self._actors[number] for number in decisions], self._actors, lenient=True))
        return self._searching().explore(self._explore(share)) if share else self._by_schedule()
