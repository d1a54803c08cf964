"""Runs a scenario by its schedule: freely, in one order of steps, or in many; with drawn values, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pgchaos import clock
from pgchaos.engine.changed_outside import outside_failure, outside_remark
from pgchaos.engine.connection_limit import too_many
from pgchaos.engine.reused_schema import ReusedSchema, may_share_database
from pgchaos.engine.run_settings import Replay, RunSettings
from pgchaos.language.fault_kinds import felt_by_server
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
    from pgchaos.search.runs_ahead import RunsAhead


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
        # from the beginning, each run in a new database: the result may be due to what runs found of earlier ones
        remark = f"{scenario.shown}: {outside_remark(runs.outside)}"
        factory = RunFactory(scenario, variables, server, settings)
        factory.open_sandbox = lambda: server.search_schema(scenario.extensions)
        runs = _Runs(factory)
        result = runs.run().joined(remarks=[remark])
    failures, remarks = runs.not_evaluated(result)
    judged = runs.oracle.judged if runs.oracle is not None else None
    if judged is not None and result.judged is not None:
        # of all runs, but what differs is of the run that is reported
        judged = replace(judged, nearest=result.judged.nearest, differences=result.judged.differences)
    return replace(result.joined(failures=failures, remarks=remarks), judged=judged)


def _checked_before(
    scenario: Scenario, variables: Mapping[str, str], server: Server, settings: RunSettings
) -> RunResult:
    """Check what is known before the first run: the result has a reason to skip, a failure, or neither."""
    result = RunResult(settings.seed, started_at=clock.now(), server=server.banner)
    if scenario.unsupported:
        return result.joined(failures=[Failure("error", (), one.text, one.place) for one in scenario.unsupported])
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
    """Require a server of our own where a fault harms the common one."""
    if scenario.sandbox == "server":
        return
    for session in scenario.sessions:
        for item in session.items:
            if isinstance(item, Fault) and felt_by_server(item):
                yield Requirement(item.place, "own server")
                return


class _Runs:
    """The runs of one item."""

    def __init__(self, factory: RunFactory) -> None:
        self._factory = factory
        self._scenario, self._settings = factory.scenario, factory.settings
        self.oracle = factory.oracle  # of the reported run
        self._inner_effects: InnerEffects | None = None
        self._ahead: RunsAhead | None = None

    @property
    def outside(self) -> tuple[str, ...]:
        """What a run has changed outside its schema: then the result does not count."""
        return self._factory.outside

    def run(self) -> RunResult:
        """Make all runs of the schedule, or the one to be replayed."""
        if self._settings.replay is not None:
            return self.replay(self._settings.replay)
        key = self._settings.key if self._scenario.schedule.kind == "explore" else ""
        with self._shared_database():
            result = self._search(FailureDatabase(key))
            if not self._factory.stopped() and self._settings.found(result):
                result = replace(result, without_fault=retry_without_fault(self._factory, result))
            if self._ahead is not None:
                self._factory.outside = self._factory.outside or self._ahead.finish()
                result = result.joined(remarks=self._ahead.remarks)
            self._factory.check_outside()
            if self._inner_effects is not None and not result.failures:
                result = result.joined(remarks=self._inner_effects.remarks())
            return result

    def not_evaluated(self, result: RunResult) -> tuple[list[Failure], list[str]]:
        """List the failures for what no run has evaluated or felt, where all of them were made, and remarks."""
        from pgchaos.engine.faults.fault_counter import never_struck
        from pgchaos.engine.not_run import not_run

        factory, settings = self._factory, self._settings
        if self._scenario.plain or settings.replay is not None or factory.stopped() or not factory.complete:
            return [], []
        if (self._scenario.schedule.kind == "explore" or factory.drawn) and settings.found(result):
            # the search ended there: later runs might have
            return [], []
        failures = [
            *not_run(self._scenario, factory.matrix, frozenset(factory.evaluated)),
            *never_struck(self._scenario, factory.matrix, factory.struck, factory.passed_by),
        ]
        if factory.oracle is None or result.failures:
            return failures, []
        failure = factory.oracle.coverage.failure(factory.oracle.place)
        if failure is not None:
            return [*failures, failure], []
        return failures, factory.oracle.coverage.remark(factory.oracle.place)

    @contextmanager
    def _shared_database(self) -> Iterator[None]:
        """Have many runs use one database, where the text shows that they leave nothing in it."""
        factory, scenario, server = self._factory, self._scenario, self._factory.server
        many = scenario.schedule.kind in ("all", "explore") or bool(factory.drawn)
        own = scenario.sandbox in ("database", "schema") and not scenario.alone and not server.in_place
        own = own and not scenario.poolers
        shares = many and own and self._settings.replay is None
        if factory.open_sandbox is not None:
            yield
        # the text is read last: that takes longer than all the rest
        elif shares and (scenario.sandbox == "schema" or self._fits_schema()):
            with server.search_database(scenario.extensions, reuse=may_share_database(scenario)) as place:
                if not place.provable:
                    yield
                    return
                with factory.keeping(place, ReusedSchema(scenario, place.schema, server.version)):
                    from pgchaos.search.runs_ahead import made_ahead

                    with made_ahead(factory) as self._ahead:
                        yield
                    self._ahead = None
        else:
            if many and server.in_place:
                factory.changed = server.track_contents()
            yield

    def _fits_schema(self) -> bool:
        """Whether the text shows that runs leave nothing in their database; what programs send is no text here."""
        return not self._scenario.runs_programs and fits_schema(self._scenario, self._factory.matrix)

    def _search(self, database: FailureDatabase) -> RunResult:
        """Replay what failed before; where that passes, search."""
        for token in database.tokens():
            # with its seed: delays and random choices belong to it
            factory = self._factory.seeded(token.seed)
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
        """Make one run again."""
        numbers, actors = replay.decisions, self._factory.actors
        self._factory.values = replay.values
        if not numbers:
            return self._by_schedule()
        if max(numbers) >= len(actors):
            there = f"the scenario has {len(actors)}, which count from 0"
            text = f"the token names connection {max(numbers)}, and {there}: copy it whole from the report"
            result = RunResult(self._settings.seed, server=self._factory.server.banner)
            return result.joined(failures=[Failure("error", (), text)])
        order = self._factory.following(numbers)
        result = self._factory.checked(order)
        if order.diverged_at is not None:
            actor, step = actors[numbers[order.diverged_at]], order.diverged_at + 1
            return result.joined(
                notes=[f"the token could not be followed: at its step {step} {actor} had no step to do"]
            )
        if not result.failures and len(order.trace) != len(numbers):
            # the failed run may have been cut short, so that its token is whole; one that was cut looks the same
            note = (
                f"the token decides {len(numbers)} steps, and this run had {len(order.trace)}: if the token"
                " was not copied whole, this was another interleaving"
            )
            return result.joined(notes=[note])
        return result

    # by the file's schedule

    def _by_schedule(self) -> RunResult:
        schedule = self._scenario.schedule
        if schedule.kind == "exact":
            return self._exact()
        if schedule.kind == "all":
            self._inspect_inside(None)
            return self._interleavings().run_all(schedule.limit or MOST)
        if schedule.kind == "explore":
            return self._interleavings().explore(self._explore(schedule.limit or MOST))
        return self._factory.once(None)

    def _exact(self) -> RunResult:
        steps, sessions = self._scenario.schedule.steps, self._scenario.sessions
        result = self._factory.once(ListedOrder(steps, sessions))
        if not self._settings.selfcheck:
            return result
        return result.joined(failures=self._factory.compare(result, ListedOrder(steps, sessions)))

    def _interleavings(self) -> InterleavingSearch:
        from pgchaos.search.interleaving_search import InterleavingSearch

        factory = self._factory
        common = factory.checked, factory.actors, self._settings.found, factory.stopped
        return InterleavingSearch(*common, self._ahead, factory.took)

    def _inspect_inside(self, other: DatabaseInspector | None) -> None:
        """Have the database examined for what happens inside statements, besides another look."""
        from pgchaos.search.inner_effects import InnerEffects

        if self._scenario.runs_programs:
            # what they call is known only when it is sent
            return
        if self._inner_effects is None:
            self._inner_effects = InnerEffects(self._scenario)
        self._inner_effects.other = other
        self._factory.inspector = self._inner_effects

    def _explore(self, limit: int) -> Explore:
        from pgchaos.schedule.explore import Explore
        from pgchaos.search.touched_relations import DependenceFinder

        factory = self._factory
        if self._scenario.runs_programs:
            # which steps there are, and what they touch, is known only when they are sent
            return Explore(factory.actors, limit, max(limit, COUNTED) + 1, self._settings.seed)
        possible = interleavings(self._scenario.sessions, max(limit, COUNTED))
        if self._scenario.poolers:
            # steps that touch different tables depend on each other by the connections of the pool
            return Explore(factory.actors, limit, possible, self._settings.seed)
        finder = DependenceFinder(self._scenario, factory.variables, theirs=factory.server.in_place)
        self._inspect_inside(finder)
        if factory.reused is not None:
            # it looks at the schema before and after setup
            factory.reused.renew()
        factory.dependence = finder.dependence
        return Explore(factory.actors, limit, possible, self._settings.seed, finder.dependence)

    # with drawn values

    def _with_drawn_values(self) -> RunResult:
        """Draw values until some fail; then find the smallest, and of these the easiest interleaving."""
        # only here: a scenario without `given` needs no hypothesis
        from pgchaos.search.given import draw
        from pgchaos.search.value_trials import ValueTrials, examples_of

        factory, schedule, settings = self._factory, self._scenario.schedule, self._settings
        examples = examples_of(schedule, factory.drawn)
        share = (schedule.limit or MOST) // examples if examples else 0
        trials = ValueTrials(
            lambda values, decisions: self._run_with(values, decisions, share),
            settings.found,
            factory.stopped,
            follows=schedule.kind in ("all", "explore"),
        )
        values = draw(
            factory.drawn,
            trials.fails,
            seed=settings.seed if settings.draw_seed is None else settings.draw_seed,
            key=settings.key,
            examples=examples,
            exactly=schedule.values is not None,
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
            return self._factory.once(self._factory.following(decisions, lenient=True))
        return self._interleavings().explore(self._explore(share)) if share else self._by_schedule()
