"""Makes the runs of one item, and holds what they share: the values, the database, the oracle, the counts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pgchaos.engine.run import DatabaseInspector
from pgchaos.engine.run_once import OpenSandbox, run_once
from pgchaos.engine.run_settings import RunSettings
from pgchaos.engine.toolkit_effects import broken_by
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

_CHECKS_GROW = 10  # definitions are compared after 1, 10, 100 … runs (3, 30, 300 … in a reused schema), and at the end
_REUSED = 3  # runs after which a reused schema has been reset for the first time: then the first comparison is made


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
        # opens the sandbox of each run in one database; None: the server provides a database for each run
        self.open_sandbox: OpenSandbox | None = None
        self.reused: ReusedSchema | None = None
        self.inspector: DatabaseInspector | None = None
        self.dependence: Dependence | None = None  # of the steps, if it is known
        # lists definitions that have changed outside the schemas of runs; None if that does not matter
        self.changed: Callable[[], list[str]] | None = None
        # what a run has changed outside its schema: then none of these runs counts, and no more are made
        self.outside: tuple[str, ...] = ()
        # faults that were delivered in some run, and the reasons why others were not
        self.delivered: set[Fault] = set()
        self.without_effect: dict[Fault, list[str]] = {}
        self.evaluated: set[Evaluated] = set()  # assertions that some run has evaluated
        self.broken: set[str] = set()  # functions of the toolkit that broke a statement of some run
        self.silent = False  # a run failed on a server that did not answer
        self.complete = False  # a run reached its end
        self.oracle: Oracle | None = None
        self._made, self._next_check = 0, 1
        if scenario.oracle is not None:
            # imported here because it takes long
            from pgchaos.search.serial_oracle import Oracle

            self.oracle = Oracle(scenario, server, settings)

    def with_seed(self, seed: int) -> RunFactory:
        """Return a factory for the same item with another seed, without the counts of this one."""
        factory = RunFactory(self.scenario, self.matrix, self.server, replace(self.settings, seed=seed))
        factory.open_sandbox, factory.reused = self.open_sandbox, self.reused
        if self.reused is not None:
            factory.reuse(self.reused)
        return factory

    def reuse(self, schema: ReusedSchema) -> None:
        """Make all runs in the same schema, which is reset between them."""
        self.reused = schema
        if self.settings.selfcheck:
            # a new schema shows differences between runs, such as the backends' pids
            schema.give_up()
        self.open_sandbox = lambda: schema.open(self.variables)
        self._next_check = _REUSED

    @contextmanager
    def reusing(self, place: SearchDatabase, schema: ReusedSchema) -> Iterator[None]:
        """Make the runs of a search in its database; another search reuses it if nothing else in it has changed.

        Args:
            place: the database, whose changes can be found.
            schema: the reused schema in it, which is closed at the end.
        """
        self.changed = place.changed
        with closing(schema):
            self.reuse(schema)
            yield
        if schema.left_unchanged and not self.outside:
            place.keep()

    def replay_of(self, decisions: Iterable[int], *, lenient: bool = False) -> Replay:
        """Make a scheduler from decisions by number; `lenient`: skip those that cannot be followed."""
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

    def run(self, order: Scheduler | None) -> RunResult:
        """Make and count one run, judged by the oracle if there is one; None for a free run."""
        return self.count(self.make(order))

    def make(self, order: Scheduler | None) -> RunResult:
        """Make one run; the search counts it when it uses it."""
        if self.oracle is not None:
            result = self.oracle.run(self.variables, order, self.open_sandbox, self.inspector)
        else:
            result = self._run_once(order, self.inspector)
        return replace(result, values=self.values, decisions=self._decisions(result, order))

    def count(self, result: RunResult) -> RunResult:
        """Count a run that the search uses, and report the progress."""
        self._add_counts(result)
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

    def _add_counts(self, result: RunResult) -> None:
        self.delivered |= result.delivered
        self.evaluated |= result.evaluated
        self.broken |= broken_by(self.scenario, result.records)
        self.complete = self.complete or result.complete
        # if nothing failed, the server has answered in the end
        self.silent = self.silent or (result.silent and bool(result.failures))
        for fault, reasons in result.without_effect.items():
            self.without_effect.setdefault(fault, []).extend(reasons)
        self._made += 1
        self.outside = self.outside or result.outside or (self.oracle.outside if self.oracle is not None else ())
        if self._made == self._next_check:
            self._next_check *= _CHECKS_GROW
            self.check_outside()

    def check_outside(self) -> None:
        """Check whether definitions have changed outside the schemas of runs, if these share a database."""
        if self.changed is None or self.outside or self.silent:
            return
        changed = self.reused.changed_outside() if self.reused is not None else None
        self.outside = tuple(self.changed() if changed is None else changed)

    def _run_once(self, order: Scheduler | None, inspector: DatabaseInspector | None = None) -> RunResult:
        return run_once(
            self.scenario, self.variables, self.server, self.settings, order, self.open_sandbox, inspector=inspector
        )

    def _most(self) -> int:
        """Return how many runs a search may make, without those that simplify a failure."""
        schedule = self.scenario.schedule
        limit = schedule.limit or MOST
        if schedule.kind == "all" and not self.scenario.runs_programs:
            limit = min(limit, interleavings(self.scenario.sessions, limit))
        elif schedule.kind != "explore":
            limit = 1
        if self.drawn and schedule.kind != "explore":
            # once for each value that hypothesis draws
            from pgchaos.search.given import most

            limit *= most()
        return max(limit, self._made)

    # --chaos-selfcheck

    def run_checked(self, order: Replay | Pct) -> RunResult:
        """Make one run and, with --chaos-selfcheck, others that must have the same result."""
        result = self.run(order)
        if not self.settings.selfcheck:
            return result
        found = self.compare(result, Replay(taken(order.trace), self.actors))
        if not (found or result.failures):
            found = self._compare_swapped(result, order)
        return result.joined(failures=found)

    def compare(self, first: RunResult, order: Scheduler, how: str = "by the same schedule") -> list[Failure]:
        """Make a run that must have the same result as the first.

        Args:
            first: the result of the first.
            order: of the steps of the second.
            how: how the second is made, for the message.

        Returns:
            A failure if they differ.
        """
        second = self._run_once(order)
        self.outside = self.outside or second.outside
        found = difference(first.records, second.records, how)
        if found is None and {*map(failure_key, first.failures)} != {*map(failure_key, second.failures)}:
            failed = first.failures or second.failures
            found = f"not deterministic: {failed[0].text}; but not so, {how}", failed[0].place
        return [] if found is None else [Failure("error", (), *found)]

    def _compare_swapped(self, first: RunResult, order: Replay | Pct) -> list[Failure]:
        """Swap two steps that count as independent; return a failure if that makes a difference."""
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
