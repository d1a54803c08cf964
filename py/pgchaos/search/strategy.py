"""Runs a scenario by its schedule: freely, in one order of steps, or in many; with values that are drawn, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgchaos import clock
from pgchaos.engine.changed_outside import told, told_in_place
from pgchaos.engine.connection_limit import too_many
from pgchaos.engine.run_settings import Replay, RunSettings
from pgchaos.language.fault_kinds import felt_by_server
from pgchaos.language.header_model import Requirement
from pgchaos.language.model import Scenario
from pgchaos.language.schedules import COUNTED, MOST, interleavings
from pgchaos.language.schema_sandbox import fits_schema
from pgchaos.language.search_choices import drawn_variables
from pgchaos.language.section_items import Fault
from pgchaos.results import Failure, RunResult
from pgchaos.schedule.scheduler import ListedOrder
from pgchaos.schedule.token import Token
from pgchaos.schedule.wait_rules import Actor
from pgchaos.search.kept_failures import Kept
from pgchaos.search.optional_hypothesis import NOT_INSTALLED, no_hypothesis
from pgchaos.search.run_factory import RunFactory
from pgchaos.search.without_fault import tried_without_fault
from pgchaos.server import Server

if TYPE_CHECKING:
    from pgchaos.engine.run import Look
    from pgchaos.schedule.explore import Explore
    from pgchaos.search.inner_effects import Inside
    from pgchaos.search.search import Searching


def run(scenario: Scenario, variables: Mapping[str, str], server: Server, settings: RunSettings) -> RunResult:
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
    result = RunResult(settings.seed, started_at=clock.now(), server=server.banner)
    if scenario.unsupported:
        result.failures += [Failure("error", (), problem.text, problem.place) for problem in scenario.unsupported]
        return result
    missing = server.own_missing if scenario.sandbox == "server" else server.missing
    result.skipped = "; ".join(filter(None, map(missing, (*scenario.requires, *_harm(scenario)))))
    if drawn_variables(scenario, variables) and (reason := no_hypothesis()):
        text = f"`given` draws values by {reason}"
        if reason == NOT_INSTALLED:
            result.skipped = text
        elif not result.skipped:
            result.failures.append(Failure("error", (), text))
    if not (result.skipped or result.failures) and (refusal := too_many(scenario, variables, server)) is not None:
        result.failures.append(refusal)
    if result.skipped or result.failures:
        return result
    runs = _Runs(RunFactory(scenario, variables, server, settings))
    result = runs.go()
    if runs.outside and server.in_place:
        result.failures.append(Failure("error", (), told_in_place(runs.outside), scenario.schedule.place))
    elif runs.outside and not (settings.stop is not None and settings.stop.is_set()):
        # from the beginning: what came of it may be due to what runs found of others
        outside = runs.outside
        single = RunFactory(scenario, variables, server, settings)
        single.lend = lambda: server.rehearsal(scenario.extensions)
        runs = _Runs(single)
        result = runs.go()
        result.remarks.append(f"{scenario.shown}: {told(outside)}")
    result.failures += runs.never_run(result)
    result.judged = runs.oracle.judged if runs.oracle is not None else None
    return result


def _harm(scenario: Scenario) -> Iterator[Requirement]:
    """Tell what it takes that a scenario harms the common server, where it does."""
    if scenario.sandbox == "server":
        return
    for session in scenario.sessions:
        for item in session.items:
            if isinstance(item, Fault) and felt_by_server(item):
                yield Requirement(item.place, "own server")
                return


class _Runs:
    """The runs of one item.

    Args:
        single: makes one.
    """

    def __init__(self, single: RunFactory) -> None:
        self._single = single
        self._scenario, self._settings = single.scenario, single.settings
        self.oracle = single.oracle
        """Of the run that is told of."""
        self._inside: Inside | None = None

    @property
    def outside(self) -> tuple[str, ...]:
        """What a run has changed outside its schema: then the result does not count."""
        return self._single.outside

    def go(self) -> RunResult:
        replay = self._settings.replay
        if replay is not None:
            return self.replayed(replay)
        shelf = Kept(self._settings.key) if self._scenario.schedule.kind == "explore" else Kept("")
        with self._place():
            result = self._from(shelf)
            if not self._single.stopped() and self._settings.found(result):
                result.without_fault = tried_without_fault(self._single, result)
            self._single.look_outside()
            if self._inside is not None and not result.failures:
                result.remarks += self._inside.remarks()
            return result

    def never_run(self, result: RunResult) -> list[Failure]:
        """Say what no run has evaluated, where all of them were made."""
        from pgchaos.engine.not_run import not_run

        single, settings = self._single, self._settings
        if self._scenario.plain or settings.replay is not None or single.stopped() or not single.complete:
            return []
        if (self._scenario.schedule.kind == "explore" or single.drawn) and settings.found(result):
            # the search ended there: others might have
            return []
        failures = not_run(self._scenario, single.matrix, frozenset(single.evaluated))
        if single.oracle is not None and not result.failures:
            place = single.oracle.place
            failure = single.oracle.worth.failure(place)
            failures += [failure] if failure is not None else []
            result.remarks += [] if failure is not None else single.oracle.worth.remark(place)
        return failures

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Lend many runs one database, where the text shows that they leave nothing in it."""
        if self._single.lend is not None:
            yield
            return
        scenario, server = self._scenario, self._single.server
        many = scenario.schedule.kind in ("all", "explore") or bool(self._single.drawn)
        own = scenario.sandbox in ("database", "schema") and not scenario.alone and not server.in_place
        fits = scenario.sandbox == "schema" or fits_schema(scenario, self._single.matrix)
        if many and own and self._settings.replay is None and fits:
            with server.rehearsals(scenario.extensions) as place:
                if place.provable:
                    self._single.lend, self._single.changed = place.lend, place.changed
                yield
        else:
            if many and server.in_place:
                self._single.changed = server.contents()
            yield

    def _from(self, shelf: Kept) -> RunResult:
        for token in shelf.all():
            # by the seed that it failed with: delays and what is drawn by chance are part of it
            single = self._single.seeded(token.seed)
            again = _Runs(single)
            result = again.replayed(Replay(token.decisions, token.values))
            self._single.outside = single.outside
            if self._single.stopped():
                return result
            if self._settings.found(result):
                self.oracle = again.oracle
                result.notes.append("this failed before: the interleaving was kept, and not searched for again")
                return result
            shelf.forget(token)
        result = self._given() if self._single.drawn else self._by_schedule()
        if result.decisions and self._settings.found(result):
            shelf.keep(Token(self._settings.key, self._settings.seed, result.decisions, result.values))
        return result

    def replayed(self, replay: Replay) -> RunResult:
        """Make one run again."""
        numbers, everybody = replay.decisions, self._single.actors
        self._single.values = replay.values
        if not numbers:
            return self._by_schedule()
        if max(numbers) >= len(everybody):
            result = RunResult(self._settings.seed, server=self._single.server.banner)
            there = f"the scenario has {len(everybody)}, which count from 0"
            text = f"the token names connection {max(numbers)}, and {there}: copy it whole from the report"
            result.failures.append(Failure("error", (), text))
            return result
        order = self._single.following(numbers)
        result = self._single.checked(order)
        if order.diverged_at is not None:
            who, at = everybody[numbers[order.diverged_at]], order.diverged_at + 1
            result.notes.append(f"the token could not be followed: at its step {at} {who} had no step to do")
        elif not result.failures and len(order.trace) != len(numbers):
            # the failed run may have been cut short, so that its token is whole; one that was cut looks the same
            result.notes.append(
                f"the token says who goes on at {len(numbers)} steps, and this run had {len(order.trace)}: if the token"
                " was not copied whole, this was another interleaving"
            )
        return result

    # by the file's schedule

    def _by_schedule(self) -> RunResult:
        schedule = self._scenario.schedule
        if schedule.kind == "exact":
            return self._exact()
        if schedule.kind == "all":
            self._look_inside(None)
            return self._searching().all(schedule.limit or MOST)
        if schedule.kind == "explore":
            return self._searching().explore(self._explore(schedule.limit or MOST))
        return self._single.once(None)

    def _exact(self) -> RunResult:
        steps, sessions = self._scenario.schedule.steps, self._scenario.sessions
        result = self._single.once(ListedOrder(steps, sessions))
        if self._settings.selfcheck:
            self._single.compare(result, ListedOrder(steps, sessions))
        return result

    def _searching(self) -> Searching:
        from pgchaos.search.search import Searching

        single = self._single
        return Searching(single.checked, single.actors, self._settings.found, single.stopped)

    def _look_inside(self, other: Look | None) -> None:
        """Have the database looked at for what happens inside statements, beside another look."""
        from pgchaos.search.inner_effects import Inside

        if self._inside is None:
            self._inside = Inside(self._scenario)
        self._inside.other = other
        self._single.look = self._inside

    def _explore(self, limit: int) -> Explore:
        from pgchaos.schedule.explore import Explore
        from pgchaos.search.touched_relations import Touching

        single = self._single
        touching = Touching(self._scenario, single.variables, theirs=single.server.in_place)
        self._look_inside(touching)
        single.dependence = touching.dependence
        possible = interleavings(self._scenario.sessions, max(limit, COUNTED))
        return Explore(single.actors, limit, possible, self._settings.seed, touching.dependence)

    # with values that are drawn

    def _given(self) -> RunResult:
        """Draw values until some fail; then the smallest, and of these the easiest interleaving."""
        # only here: who draws nothing needs no hypothesis
        from pgchaos.engine.faults.fault_counter import never_struck
        from pgchaos.search.given import draw
        from pgchaos.search.value_trials import ValueTrials, examples_of

        single, schedule, settings = self._single, self._scenario.schedule, self._settings
        examples = examples_of(schedule, single.drawn)
        share = (schedule.limit or MOST) // examples if examples else 0
        trials = ValueTrials(
            lambda values, decisions: self._with(values, decisions, share),
            settings.found,
            single.stopped,
            follows=schedule.kind in ("all", "explore"),
        )
        seed = settings.seed if settings.draw_seed is None else settings.draw_seed
        values = draw(
            single.drawn,
            trials.fails,
            seed=seed,
            key=settings.key,
            examples=examples,
            exactly=schedule.values is not None,
        )
        result = trials.result(values)
        if values is None and not (result.skipped or single.stopped()):
            result.failures += never_struck(self._scenario, single.matrix, single.struck, single.passed_by)
        if values is None or not result.order or schedule.kind != "explore":
            return result
        single.values = values
        easiest = self._searching().shrunk(tuple(Actor(o.session, o.worker) for o in result.order), result)
        easiest.explored, easiest.drawn, easiest.shrunk = trials.explored, result.drawn, True
        return easiest

    def _with(self, values: Mapping[str, str], decisions: tuple[int, ...] | None, share: int) -> RunResult:
        """Run with values: one interleaving where it is known; else a share of those to explore, or by the schedule."""
        self._single.values = values
        if decisions:
            return self._single.once(self._single.following(decisions, lenient=True))
        return self._searching().explore(self._explore(share)) if share else self._by_schedule()
