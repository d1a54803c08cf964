"""Makes the runs of one item, with what they share: the values, the database, the oracle, the counts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pgchaos.engine.run import DatabaseInspector
from pgchaos.engine.run_once import OpenSandbox, run_once
from pgchaos.engine.run_settings import RunSettings
from pgchaos.language.model import Scenario
from pgchaos.language.schedules import MOST, interleavings
from pgchaos.language.search_choices import drawn_variables
from pgchaos.language.section_items import Fault
from pgchaos.language.written_assertions import Evaluated
from pgchaos.results import Failure, RunResult
from pgchaos.schedule.permutations import actors, taken
from pgchaos.schedule.scheduler import Replay, Scheduler
from pgchaos.schedule.selfcheck import commuting, difference
from pgchaos.schedule.wait_rules import Actor
from pgchaos.search.result_merger import failure_key
from pgchaos.server import Server

if TYPE_CHECKING:
    from pgchaos.engine.reused_schema import ReusedSchema
    from pgchaos.schedule.explore import Pct
    from pgchaos.schedule.footprint import Dependence
    from pgchaos.search.serial_oracle import Oracle
    from pgchaos.server.sandbox_provider import SearchDatabase

_CHECKS_GROW = 10  # definitions are compared after 1, 10, 100 … runs (3, 30, 300 … in a kept schema), and at the end
_KEPT = 3  # the runs after which a schema has been put back, where it can be: then the first of these looks is enough


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
        self.values: Mapping[str, str] = {}  # drawn for the next run
        # provides one database for all runs; None: the server does for each
        self.open_sandbox: OpenSandbox | None = None
        self.reused: ReusedSchema | None = None
        self.inspector: DatabaseInspector | None = None
        self.dependence: Dependence | None = None  # of the steps, where it is known
        # names definitions that have changed outside the schemas of runs; None where that does not matter
        self.changed: Callable[[], list[str]] | None = None
        # what a run has changed outside its schema: then none of these runs counts, and there are no more
        self.outside: tuple[str, ...] = ()
        # faults that were delivered in a run, and why others were not
        self.struck: set[Fault] = set()
        self.passed_by: dict[Fault, list[str]] = {}
        self.evaluated: set[Evaluated] = set()  # assertions, in any run
        self.silent = False  # a run failed on a server that did not answer
        self.complete = False  # a run reached its end
        self.oracle: Oracle | None = None
        self._made, self._next_check = 0, 1
        if scenario.oracle is not None:
            # it takes long to import
            from pgchaos.search.serial_oracle import Oracle

            self.oracle = Oracle(scenario, server, settings)

    def seeded(self, seed: int) -> RunFactory:
        """Make runs of the same item with another seed, as if none had been made."""
        factory = RunFactory(self.scenario, self.matrix, self.server, replace(self.settings, seed=seed))
        factory.open_sandbox, factory.reused = self.open_sandbox, self.reused
        if self.reused is not None:
            factory.reuse(self.reused)
        return factory

    def reuse(self, schema: ReusedSchema) -> None:
        """Make the runs in a schema that is kept from one to the next."""
        self.reused = schema
        if self.settings.selfcheck:
            # what differs from run to run is to be seen, the numbers of backends say
            schema.give_up()
        self.open_sandbox = lambda: schema.open(self.variables)
        self._next_check = _KEPT

    @contextmanager
    def keeping(self, place: SearchDatabase, schema: ReusedSchema) -> Iterator[None]:
        """Make the runs of a search in its database, which another search gets where nothing else has changed in it.

        Args:
            place: the database, of which it can be proven.
            schema: that is kept in it from one run to the next, and closed.
        """
        self.changed = place.changed
        with closing(schema):
            self.reuse(schema)
            yield
        if schema.left_unchanged and not self.outside:
            place.keep()

    def following(self, decisions: Iterable[int], *, lenient: bool = False) -> Replay:
        """Make a scheduler of decisions by number; `lenient`: skip those that cannot be followed."""
        return Replay([self.actors[number] for number in decisions], self.actors, lenient=lenient)

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the next run."""
        return {**self.matrix, **self.values}

    def stopped(self) -> bool:
        """Whether to make no more runs: the user stopped, the server does not answer, or the runs do not count."""
        return bool(self.outside) or self.silent or self._stopped_by_user()

    def _stopped_by_user(self) -> bool:
        return self.settings.stop is not None and self.settings.stop.is_set()

    def once(self, order: Scheduler | None) -> RunResult:
        """Make one run, judged by the oracle where there is one; None for a free run."""
        return self.took(self.make(order))

    def make(self, order: Scheduler | None) -> RunResult:
        """Make one run that is not counted before the search has taken it."""
        if self.oracle is not None:
            result = self.oracle.run(self.variables, order, self.open_sandbox, self.inspector)
        else:
            result = self._run(order, self.inspector)
        return replace(result, values=self.values, decisions=self._decisions(result, order))

    def took(self, result: RunResult) -> RunResult:
        """Count a run that the search has taken."""
        self._count(result)
        most = self._most()
        if self.open_sandbox is not None or self._made > 1:
            self.settings.progress(self._made, most)
        if not self._stopped_by_user():
            self.settings.ran(result, most)
        return result

    def _decisions(self, result: RunResult, order: Scheduler | None) -> tuple[int, ...] | None:
        if order is not None:
            return tuple(self.actors.index(Actor(step.session, step.worker)) for step in result.order)
        return () if self.values else None

    def _count(self, result: RunResult) -> None:
        self.struck |= result.struck
        self.evaluated |= result.evaluated
        self.complete = self.complete or result.complete
        # a silent server where nothing failed has answered in the end
        self.silent = self.silent or (result.silent and bool(result.failures))
        for fault, reasons in result.passed_by.items():
            self.passed_by.setdefault(fault, []).extend(reasons)
        self._made += 1
        self.outside = self.outside or result.outside or (self.oracle.outside if self.oracle is not None else ())
        if self._made == self._next_check:
            self._next_check *= _CHECKS_GROW
            self.check_outside()

    def check_outside(self) -> None:
        """Check whether definitions have changed outside the schemas of runs, where these share a database."""
        if self.changed is None or self.outside or self.silent:
            return
        changed = self.reused.changed_outside() if self.reused is not None else None
        self.outside = tuple(self.changed() if changed is None else changed)

    def _run(self, order: Scheduler | None, inspector: DatabaseInspector | None = None) -> RunResult:
        return run_once(
            self.scenario, self.variables, self.server, self.settings, order, self.open_sandbox, inspector=inspector
        )

    def _most(self) -> int:
        """Return how many runs a search may make, without those that make a failure easier to read."""
        schedule = self.scenario.schedule
        limit = schedule.limit or MOST
        if schedule.kind == "all" and not self.scenario.runs_programs:
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
        """Make one run and, with --chaos-selfcheck, others that must do the same."""
        result = self.once(order)
        if not self.settings.selfcheck:
            return result
        found = self.compare(result, Replay(taken(order.trace), self.actors))
        if not (found or result.failures):
            found = self._compare_swapped(result, order)
        return result.joined(failures=found)

    def compare(self, first: RunResult, order: Scheduler, how: str = "by the same schedule") -> list[Failure]:
        """Make a run that must do the same as the first.

        Args:
            first: the result of the first.
            order: of the steps of the second.
            how: the second is made, in words.

        Returns:
            A failure where they differ.
        """
        second = self._run(order)
        self.outside = self.outside or second.outside
        found = difference(first.records, second.records, how)
        if found is None and {*map(failure_key, first.failures)} != {*map(failure_key, second.failures)}:
            failed = first.failures or second.failures
            found = f"not deterministic: {failed[0].text}; but not so, {how}", failed[0].place
        return [] if found is None else [Failure("error", (), *found)]

    def _compare_swapped(self, first: RunResult, order: Replay | Pct) -> list[Failure]:
        """Swap two steps that are taken for independent; a failure says where that made a difference."""
        if self.dependence is None:
            return []
        at = commuting(order.trace, self.dependence, random.Random(f"swapped/{self.settings.seed}/{self._made}"))
        if at is None:
            return []
        swapped = list(taken(order.trace))
        swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
        one, other = (f"{step.session}[{step.worker}].{step.step}" for step in first.order[at : at + 2])
        return self.compare(
            first, Replay(swapped, self.actors), f"with {one} and {other} swapped, which touch no common table"
        )
