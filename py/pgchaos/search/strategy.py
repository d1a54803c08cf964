"""Runs a scenario by its schedule: freely, in one order of steps, or in many; with or without drawn values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pgchaos import clock
from pgchaos.engine.changed_outside import outside_failure, outside_remark, unreadable_remarks
from pgchaos.engine.connection_limit import too_many
from pgchaos.engine.reused_schema import ReusedSchema, may_share_database
from pgchaos.engine.run_settings import Replay, RunSettings
from pgchaos.language.fault_kinds import affects_server
from pgchaos.language.header_model import Requirement
from pgchaos.language.model import Scenario
from pgchaos.language.pooler import pooler_of
from pgchaos.language.schedules import COUNTED, MOST, interleavings
from pgchaos.language.schema_sandbox import fits_schema
from pgchaos.language.search_choices import drawn_variables
from pgchaos.language.section_items import Fault
from pgchaos.results import Failure, RunResult
from pgchaos.schedule.scheduler import ListedOrder
from pgchaos.schedule.token import Token
from pgchaos.schedule.wait_rules import Actor
from pgchaos.search.failure_database import FailureDatabase
from pgchaos.search.optional_hypothesis import NOT_INSTALLED, no_hypothesis
from pgchaos.search.reproduce import retry_without_fault
from pgchaos.search.run_factory import RunFactory
from pgchaos.server import Server

if TYPE_CHECKING:
    from pgchaos.engine.run import DatabaseInspector
    from pgchaos.schedule.explore import Explore
    from pgchaos.search.inner_effects import InnerEffects
    from pgchaos.search.interleaving_search import InterleavingSearch
    from pgchaos.search.speculative_runs import SpeculativeRuns


def run(scenario: Scenario, variables: Mapping[str, str], server: Server, settings: RunSettings) -> RunResult:
    """Run a scenario by its schedule.

    Args:
        scenario: what to run.
        variables: the matrix values of this item.
        server: where.
        settings: how.

    Returns:
        The result; of several permutations, as ResultMerger joins them. Failures of the scenario are in it, and never
        raised.

    Raises:
        pgchaos.server.ServerError: there is no server, or no database to work in.
    """
    variables = {**scenario.constants, **variables}
    result = _checked_before(scenario, variables, server, settings)
    if result.skipped or result.failures:
        return result
    runs = _Runs(RunFactory(scenario, variables, server, settings))
    result = runs.run()
    if runs.outside and server.in_place:
        failure = Failure("error", (), outside_failure(runs.outside), scenario.schedule.place)
        result = result.joined(failures=[failure])
    elif runs.outside and not (settings.stop is not None and settings.stop.is_set()):
        # repeat all, each run in a new database: earlier runs may have influenced the result
        remark = f"{scenario.shown}: {outside_remark(runs.outside)}"
        factory = RunFactory(scenario, variables, server, settings)
        factory.open_sandbox = lambda: server.search_schema(scenario.extensions)
        runs = _Runs(factory)
        result = runs.run().joined(remarks=[remark])
    failures, remarks = runs.not_evaluated(result)
    judged = runs.oracle.judged if runs.oracle is not None else None
    if judged is not None and result.judged is not None:
        # of all runs, but with the differences of the reported run
        judged = replace(judged, nearest=result.judged.nearest, differences=result.judged.differences)
    return replace(result.joined(failures=failures, remarks=remarks), judged=judged)


def _checked_before(
    scenario: Scenario, variables: Mapping[str, str], server: Server, settings: RunSettings
) -> RunResult:
    """Check what can be checked before the first run: the result has a reason to skip, a failure, or neither."""
    result = RunResult(settings.seed, started_at=clock.now(), server=server.banner)
    missing = server.missing_on_own_server if scenario.sandbox == "server" else server.missing
    pooler = pooler_of(scenario, variables)
    poolers = [] if pooler is None else [Requirement(pooler.place, "pooler")]
    skipped = "; ".join(filter(None, map(missing, (*scenario.requires, *_harms_server(scenario), *poolers))))
    if drawn_variables(scenario, variables) and (reason := no_hypothesis()):
        text = f"`given` draws values by {reason}"
        if reason != NOT_INSTALLED and not skipped:
            return result.joined(failures=[Failure("error", (), text)])
        skipped = text if reason == NOT_INSTALLED else skipped
    if not skipped and (refusal := too_many(scenario, variables, server)) is not None:
        return result.joined(failures=[refusal])
    return replace(result, skipped=skipped)


def _harms_server(scenario: Scenario) -> Iterator[Requirement]:
    """Require a private server if a fault harms the whole server."""
    if scenario.sandbox == "server":
        return
    for session in scenario.sessions:
        for item in session.items:
            if isinstance(item, Fault) and affects_server(item):
                yield Requirement(item.place, "own server")
                return


class _Runs:
    """The runs of one item."""

    def __init__(self, factory: RunFactory) -> None:
        self._factory = factory
        self._scenario, self._settings = factory.scenario, factory.settings
        self.oracle = factory.oracle  # of the reported run
        self._inner_effects: InnerEffects | None = None
        self._speculative: SpeculativeRuns | None = None
        self._remarks: list[str] = []

    @property
    def outside(self) -> tuple[str, ...]:
        """What a run has changed outside its schema: then the result does not count."""
        return self._factory.outside

    def run(self) -> RunResult:
        """Make all runs of the schedule, or the one to replay."""
        if self._settings.replay is not None:
            return self.replay(self._settings.replay)
        key = self._settings.key if self._scenario.schedule.kind == "explore" else ""
        with self._shared_database():
            result = self._search(FailureDatabase(key))
            if not self._factory.stopped() and self._settings.found(result):
                result = replace(result, without_fault=retry_without_fault(self._factory, result))
            if self._speculative is not None:
                self._factory.outside = self._factory.outside or self._speculative.finish()
                result = result.joined(remarks=self._speculative.remarks)
            self._factory.check_outside()
            if self._inner_effects is not None and not result.failures:
                result = result.joined(remarks=self._inner_effects.remarks())
            return result.joined(remarks=self._remarks)

    def not_evaluated(self, result: RunResult) -> tuple[list[Failure], list[str]]:
        """Return failures for assertions and faults that no run reached, if all runs were made, and remarks."""
        from pgchaos.engine.faults.fault_counter import never_delivered
        from pgchaos.engine.not_run import excuses_alone, not_run
        from pgchaos.engine.toolkit_effects import without_effect

        factory, settings = self._factory, self._settings
        if self._scenario.plain or settings.replay is not None or factory.stopped() or not factory.complete:
            return [], []
        if (self._scenario.schedule.kind == "explore" or factory.drawn) and settings.found(result):
            # the search ended there: later runs might have reached them
            return [], []
        failures = [
            *not_run(self._scenario, factory.matrix, frozenset(factory.evaluated)),
            *never_delivered(self._scenario, factory.matrix, factory.delivered, factory.without_effect),
        ]
        remarks = [*without_effect(self._scenario, factory.broken), *excuses_alone(self._scenario, result)]
        if factory.oracle is None or result.failures:
            return failures, remarks
        failure = factory.oracle.coverage.failure(factory.oracle.place)
        if failure is not None:
            return [*failures, failure], remarks
        return failures, [*remarks, *factory.oracle.coverage.remark(factory.oracle.place)]

    @contextmanager
    def _shared_database(self) -> Iterator[None]:
        """Use one database for many runs, if the text shows that they leave nothing in it."""
        factory, scenario, server = self._factory, self._scenario, self._factory.server
        many = scenario.schedule.kind in ("all", "explore") or bool(factory.drawn)
        own = scenario.sandbox in ("database", "schema") and not scenario.alone and not server.in_place
        own = own and not scenario.poolers
        shares = many and own and self._settings.replay is None
        if factory.open_sandbox is not None:
            yield
        # the text is examined last, because that takes longest
        elif shares and (scenario.sandbox == "schema" or self._fits_schema()):
            with server.search_database(scenario.extensions, reuse=may_share_database(scenario)) as place:
                if not place.provable:
                    yield
                    return
                with factory.reusing(place, ReusedSchema(scenario, place.schema, server.version)):
                    from pgchaos.search.speculative_runs import speculation

                    with speculation(factory) as self._speculative:
                        yield
                    self._speculative = None
        else:
            if many and server.in_place:
                factory.changed, unreadable = server.track_contents()
                self._remarks = unreadable_remarks(scenario, unreadable)
            yield

    def _fits_schema(self) -> bool:
        """Whether the text shows that runs leave nothing in their database; not for programs, whose SQL is unknown."""
        return not self._scenario.runs_programs and fits_schema(self._scenario, self._factory.matrix)

    def _search(self, database: FailureDatabase) -> RunResult:
        """Replay stored failures; if they pass, search."""
        for token in database.tokens():
            # with its seed: delays and random choices depend on it
            factory = self._factory.with_seed(token.seed)
            again = _Runs(factory)
            result = again.replay(Replay(token.decisions, token.values))
            self._factory.outside = factory.outside
            if self._factory.stopped():
                return result
            if self._settings.found(result):
                self.oracle = again.oracle
                return result.joined(
                    notes=["this failed before: its stored interleaving was run, without a new search"]
                )
            database.delete(token)
        result = self._with_drawn_values() if self._factory.drawn else self._by_schedule()
        if result.decisions and self._settings.found(result):
            database.save(Token(self._settings.key, self._settings.seed, result.decisions, result.values))
        return result

    def replay(self, replay: Replay) -> RunResult:
        """Repeat one run."""
        numbers, actors = replay.decisions, self._factory.actors
        self._factory.values = replay.values
        if not numbers:
            return self._by_schedule()
        if max(numbers) >= len(actors):
            there = f"the scenario has {len(actors)}, which count from 0"
            text = f"the token names connection {max(numbers)}, and {there}: copy it whole from the report"
            result = RunResult(self._settings.seed, server=self._factory.server.banner)
            return result.joined(failures=[Failure("error", (), text)])
        order = self._factory.replay_of(numbers)
        result = self._factory.run_checked(order)
        if order.diverged_at is not None:
            actor, step = actors[numbers[order.diverged_at]], order.diverged_at + 1
            return result.joined(
                notes=[f"the token could not be followed: at its step {step} {actor} had no step to do"]
            )
        if not result.failures and len(order.trace) != len(numbers):
            # either the failed run was interrupted, or the token was not copied whole: the two look the same
            note = (
                f"the token decides {len(numbers)} steps, and this run had {len(order.trace)}: if the token"
                " was not copied whole, this was another interleaving"
            )
            return result.joined(notes=[note])
        return result

    # by the schedule

    def _by_schedule(self) -> RunResult:
        schedule = self._scenario.schedule
        if schedule.kind == "exact":
            return self._exact()
        if schedule.kind == "all":
            self._inspect_inside(None)
            return self._interleavings().run_all(schedule.limit or MOST)
        if schedule.kind == "explore":
            return self._interleavings().explore(self._explore(schedule.limit or MOST))
        return self._factory.run(None)

    def _exact(self) -> RunResult:
        steps, sessions = self._scenario.schedule.steps, self._scenario.sessions
        result = self._factory.run(ListedOrder(steps, sessions))
        if not self._settings.selfcheck:
            return result
        return result.joined(failures=self._factory.compare(result, ListedOrder(steps, sessions)))

    def _interleavings(self) -> InterleavingSearch:
        from pgchaos.search.interleaving_search import InterleavingSearch

        factory = self._factory
        common = factory.run_checked, factory.actors, self._settings.found, factory.stopped
        return InterleavingSearch(*common, self._speculative, factory.count)

    def _inspect_inside(self, next_inspector: DatabaseInspector | None) -> None:
        """Examine the database for effects inside statements, and with another inspector, if any."""
        from pgchaos.search.inner_effects import InnerEffects

        if self._scenario.runs_programs:
            # what programs call is known only when they send it
            return
        if self._inner_effects is None:
            self._inner_effects = InnerEffects(self._scenario)
        self._inner_effects.next = next_inspector
        self._factory.inspector = self._inner_effects

    def _explore(self, limit: int) -> Explore:
        from pgchaos.schedule.explore import Explore
        from pgchaos.search.touched_relations import DependenceFinder

        factory = self._factory
        if self._scenario.runs_programs:
            # the steps, and what they touch, are known only when programs send them
            return Explore(factory.actors, limit, max(limit, COUNTED) + 1, self._settings.seed)
        possible = interleavings(self._scenario.sessions, max(limit, COUNTED))
        if self._scenario.poolers:
            # steps that touch different tables still depend on each other through the connections of the pool
            return Explore(factory.actors, limit, possible, self._settings.seed)
        finder = DependenceFinder(self._scenario, factory.variables, existing_database=factory.server.in_place)
        self._inspect_inside(finder)
        if factory.reused is not None:
            # the inspector must see the schema before and after setup
            factory.reused.renew()
        factory.dependence = finder.dependence
        return Explore(factory.actors, limit, possible, self._settings.seed, finder.dependence)

    # with drawn values

    def _with_drawn_values(self) -> RunResult:
        """Draw values until some fail; then find the smallest, and the simplest interleaving for these."""
        # imported here: a scenario without `given` needs no hypothesis
        from pgchaos.search.given import draw, most
        from pgchaos.search.value_trials import ValueTrials, examples_of

        factory, schedule, settings = self._factory, self._scenario.schedule, self._settings
        examples = examples_of(schedule, factory.drawn)
        share = (schedule.limit or MOST) // examples if examples else 0
        trials = ValueTrials(
            lambda values, decisions: self._run_with(values, decisions, share),
            settings.found,
            factory.stopped,
            reuse_decisions=schedule.kind in ("all", "explore"),
        )
        values = draw(
            factory.drawn,
            trials.fails,
            seed=settings.seed if settings.draw_seed is None else settings.draw_seed,
            # a number in the file overrides hypothesis's profile
            examples=examples if examples and schedule.values is not None else min(examples or most(), most()),
            key=settings.key,
            encoding=factory.server.encoding,
        )
        result = trials.result(values)
        if values is None or not result.order or schedule.kind != "explore":
            return result
        factory.values = values
        easiest = self._interleavings().shrink(tuple(Actor(one.session, one.worker) for one in result.order), result)
        return replace(easiest, explored=trials.explored, drawn=result.drawn, shrunk=True)

    def _run_with(self, values: Mapping[str, str], decisions: tuple[int, ...] | None, share: int) -> RunResult:
        """Run with values: by given decisions; else a share of the interleavings to explore, or by the schedule."""
        self._factory.values = values
        if decisions:
            return self._factory.run(self._factory.replay_of(decisions, lenient=True))
        return self._interleavings().explore(self._explore(share)) if share else self._by_schedule()
