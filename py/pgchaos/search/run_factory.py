"""One run of an item after the other, and what they have in common: the values, the place, the oracle, the counts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pgchaos.engine.run import Look
from pgchaos.engine.run_once import Lend, run_once
from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.model import Scenario
from pgchaos.language.schedules import MOST, interleavings
from pgchaos.language.search_choices import drawn_variables
from pgchaos.language.written_assertions import Evaluated
from pgchaos.results import Failure, RunResult
from pgchaos.schedule.commutation import commuting, difference
from pgchaos.schedule.permutations import actors, taken
from pgchaos.schedule.scheduler import Replay, Scheduler
from pgchaos.schedule.wait_rules import Actor
from pgchaos.search.merge import key_of
from pgchaos.server import Server

if TYPE_CHECKING:
    from pgchaos.schedule.explore import Pct
    from pgchaos.schedule.footprint import Dependence
    from pgchaos.search.serial_oracle import Oracle

_LOOKS_GROW = 10
"""Times as many runs as at the last look at definitions until there is another; the last is at the end."""


class RunFactory:
    """Makes single runs.

    Args:
        scenario: what to run.
        variables: the values of its matrix.
        server: where.
        settings: how.
    """

    def __init__(self, scenario: Scenario, variables: Mapping[str, str], server: Server, settings: RunSettings) -> None:
        self.scenario, self.matrix, self.server, self.settings = scenario, variables, server, settings
        self.actors = actors(scenario.sessions)
        self.drawn = drawn_variables(scenario, variables)
        self.values: Mapping[str, str] = {}
        """That were drawn for the next run."""
        self.lend: Lend | None = None
        """Lends the place for all of them; None to ask the server for one each time."""
        self.look: Look | None = None
        self.dependence: Dependence | None = None
        """Tells which steps touch no common table, where that is known."""
        self.changed: Callable[[], list[str]] | None = None
        """Names definitions that have changed outside the schemas of runs; None where nobody needs to know."""
        self.outside: tuple[str, ...] = ()
        """What a run has changed outside its schema: then none of these runs counts, and there are no more."""
        self.struck: set[str] = set()
        self.passed_by: dict[str, list[str]] = {}
        """The chosen faults that were delivered in one of the runs, and why others were not."""
        self.evaluated: set[Evaluated] = set()
        """The assertions that were evaluated in one of the runs."""
        self.silent = False
        """One of the runs failed on a server that did not answer."""
        self.complete = False
        """One of the runs came to its end."""
        self.oracle: Oracle | None = None
        self._made, self._look_at = 0, 1
        if scenario.oracle is not None:
            # what takes long to load is loaded by those who need it, here and elsewhere
            from pgchaos.search.serial_oracle import Oracle

            self.oracle = Oracle(scenario, server, settings)

    def seeded(self, seed: int) -> RunFactory:
        """Make runs of the same with another seed, as if none had been made.

        Args:
            seed: of delays, and of what is drawn by chance.
        """
        single = RunFactory(self.scenario, self.matrix, self.server, replace(self.settings, seed=seed))
        single.lend = self.lend
        return single

    def following(self, decisions: Iterable[int], *, lenient: bool = False) -> Replay:
        """Make an order of decisions."""
        return Replay([self.actors[number] for number in decisions], self.actors, lenient=lenient)

    @property
    def variables(self) -> dict[str, str]:
        """What the next run is made with."""
        return {**self.matrix, **self.values}

    def stopped(self) -> bool:
        """Say whether the user has had enough, the server answers no more, or what was run does not count."""
        return bool(self.outside) or self.silent or self._stopped_by_user()

    def _stopped_by_user(self) -> bool:
        return self.settings.stop is not None and self.settings.stop.is_set()

    def once(self, order: Scheduler | None) -> RunResult:
        """Make one run, judged by the oracle where there is one.

        Args:
            order: of its steps; None to let the sessions go freely.
        """
        if self.oracle is not None:
            result = self.oracle.run(self.variables, order, self.lend, self.look)
        else:
            result = self._run(order, self.look)
        result.values = self.values
        self.struck |= result.struck
        self.evaluated |= result.evaluated
        self.complete = self.complete or result.complete
        # where it failed there is something to tell of, and the search may end
        self.silent = self.silent or (result.silent and bool(result.failures))
        for choice, why in result.passed_by.items():
            self.passed_by.setdefault(choice, []).extend(why)
        self._made += 1
        self.outside = self.outside or result.outside or (self.oracle.outside if self.oracle is not None else ())
        if self._made == self._look_at:
            self._look_at *= _LOOKS_GROW
            self.look_outside()
        most = self._most()
        if self.lend is not None or self._made > 1:
            self.settings.progress(self._made, most)
        if order is not None:
            result.decisions = tuple(self.actors.index(Actor(step.session, step.worker)) for step in result.order)
        elif self.values:
            result.decisions = ()
        if not self._stopped_by_user():
            self.settings.ran(result, most)
        return result

    def look_outside(self) -> None:
        """See whether definitions have changed outside the schemas of runs, where these have one database."""
        if self.changed is not None and not (self.outside or self.silent):
            self.outside = tuple(self.changed())

    def _run(self, order: Scheduler | None, look: Look | None = None) -> RunResult:
        result = run_once(self.scenario, self.variables, self.server, self.settings, order, self.lend, look=look)
        self.outside = self.outside or result.outside
        return result

    def _most(self) -> int:
        """Tell how many runs a search may make, without those that make a failure easier to read."""
        schedule = self.scenario.schedule
        limit = schedule.limit or MOST
        if schedule.kind == "all":
            limit = min(limit, interleavings(self.scenario.sessions, limit))
        elif schedule.kind != "explore":
            limit = 1
        if self.drawn and schedule.kind != "explore":
            # as many values as hypothesis draws
            from pgchaos.search.given import most

            limit *= most()
        return max(limit, self._made)

    # the same twice

    def checked(self, order: Replay | Pct) -> RunResult:
        """Make one run and, where that is asked for, another that must come to the same."""
        result = self.once(order)
        if self.settings.selfcheck:
            self.compare(result, Replay(taken(order.trace), self.actors))
            self._compare_swapped(result, order)
        return result

    def compare(self, first: RunResult, order: Scheduler, how: str = "by the same schedule") -> None:
        """Make a run that shall go the same way, and say in the first where it went another."""
        second = self._run(order)
        found = difference(first.records, second.records, how)
        if found is None and {*map(key_of, first.failures)} != {*map(key_of, second.failures)}:
            failed = first.failures or second.failures
            found = f"not deterministic: {failed[0].text}; but not so, {how}", failed[0].place
        if found is not None:
            first.failures.append(Failure("error", (), *found))

    def _compare_swapped(self, first: RunResult, order: Replay | Pct) -> None:
        """Have two steps change places that are taken for independent, and say where that made a difference."""
        if self.dependence is None or first.failures:
            return
        at = commuting(order.trace, self.dependence, random.Random(f"swapped/{self.settings.seed}/{self._made}"))
        if at is None:
            return
        went = list(taken(order.trace))
        went[at], went[at + 1] = went[at + 1], went[at]
        one, other = (f"{step.session}[{step.worker}].{step.step}" for step in first.order[at : at + 2])
        self.compare(first, Replay(went, self.actors), f"with {one} and {other} swapped, which touch no common table")
