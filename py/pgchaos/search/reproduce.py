"""Repeats a failed run in another form: a free run as an order of steps, or a run without its fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from threading import Timer
from typing import NamedTuple

from pgchaos.engine.run_settings import RunSettings, uncounted
from pgchaos.language.model import Scenario
from pgchaos.language.search_choices import without_faults
from pgchaos.results import Record, RunResult
from pgchaos.schedule.scheduler import Replay
from pgchaos.schedule.wait_rules import Actor
from pgchaos.search.result_merger import failure_key
from pgchaos.search.run_factory import RunFactory
from pgchaos.server import Server
from pgchaos.server.threads import start
from pgchaos.stop import Stop

_LONG = 10.0  # seconds; a longer run that its timeout ended is not repeated
_LEAST_LIMIT = 2.0  # seconds that the second run may always take: one step at a time takes longer than all at once
_MOST_STEPS = 1_000  # that are run one at a time for a token
_MOST_WAITED = 0.5  # seconds of waits that are repeated
# waits within a statement for another session, which cannot go on while steps run one at a time
_FOR_OTHERS = re.compile(r"\bchaos\s*\.\s*(?:barrier|wait_for|wait_blocked)(?=\s*\()", re.IGNORECASE)
# waits for some time, in a statement or as a directive
_FOR_A_TIME = re.compile(
    r"\b(?:chaos\s*\.\s*(?:delay|jitter)|pg_sleep(?:_for|_until)?)(?=\s*\()|(?<=^-- )(?:delay|jitter)\b", re.IGNORECASE
)


class Reproduction(NamedTuple):
    """Whether a free run can be replayed."""

    decisions: tuple[int, ...] | None = None  # numbers of connections; None if it does not fail again
    notes: tuple[str, ...] = ()  # for the report of the failed run: why there is no order of its steps


def reproduce(
    scenario: Scenario,
    variables: Mapping[str, str],
    server: Server,
    settings: RunSettings,
    failed: RunResult,
    announce: Callable[[], None] = lambda: None,
) -> Reproduction:
    """Run the steps of a free run one at a time, in the order in which they began, to see if it fails again.

    It may take as long as the run, or `_LEAST_LIMIT`.

    Args:
        scenario: that was run.
        variables: of its matrix, and drawn for it.
        server: that it ran on.
        settings: how it was run.
        failed: its result.
        announce: called before it is run again.
    """
    order = _step_order(failed.records)
    if len(set(order)) < 2:
        return Reproduction()
    reason = _reason_against(scenario, failed, len(order))
    if reason:
        return Reproduction(notes=(f"no token replays it: {reason}",))
    announce()
    limit = max(failed.duration, _LEAST_LIMIT)
    with _with_time_limit(settings, limit) as limited:
        factory = RunFactory(scenario, variables, server, limited)
        again = factory.run(Replay(order, factory.actors, lenient=True))
        late = limited.stop is not None and limited.stop.is_set()
    if factory.outside or (settings.stop is not None and settings.stop.is_set()):
        # the second run changed something outside; a token is not essential
        return Reproduction()
    if not (late or _failure_keys(failed).isdisjoint(_failure_keys(again))):
        return Reproduction(again.decisions)
    if late:
        ending = f"does not end within the time of the run, {limit:.1f} s"
    elif again.failures:
        ending = f"fails in another way: {again.failures[0].text}"
    else:
        ending = "passes"
    return Reproduction(notes=(f"no token replays it: the same order, one step at a time, {ending}",))


def retry_without_fault(factory: RunFactory, failed: RunResult) -> str:
    """Repeat a failed run without its faults `at any step`, with the same other values and order of steps.

    Args:
        factory: made the run.
        failed: its result.

    Returns:
        How the scenario fails without the fault; '' if it passes, or if the run had no such fault.
    """
    values = without_faults(failed.values)
    if values == failed.values:
        return ""
    # with a new oracle: the search's oracle must not count this run
    again = factory.with_seed(factory.settings.seed)
    again.settings = replace(again.settings, ran=uncounted)
    again.values = values
    result = again.run(again.replay_of(failed.decisions, lenient=True) if failed.decisions else None)
    if again.stopped() or not result.failures:
        return ""
    if _failure_keys(failed).isdisjoint(_failure_keys(result)):
        return f"fails without the fault too, in another way: {result.failures[0].text}"
    return "fails without the fault too"


def _failure_keys(result: RunResult) -> set[tuple[str, tuple[str, ...], str]]:
    return set(map(failure_key, result.failures))


def _reason_against(scenario: Scenario, failed: RunResult, steps: int) -> str:
    """Explain why a run is not repeated one step at a time, or return ''."""
    beside = next((session for session in scenario.sessions if session.repeat_while), None)
    if beside is not None:
        # how often it is repeated depends on time, so its steps cannot be listed
        return f"session `{beside.name}` repeats for as long as another one lasts"
    if failed.silent:
        return "the server did not answer"
    if failed.duration > _LONG and any(failure.kind == "timeout" for failure in failed.failures):
        return f"the time-out ended the run, after {failed.duration:.1f} s"
    if steps > _MOST_STEPS:
        return f"it has {steps:,} steps, and at most {_MOST_STEPS:,} are run one at a time"
    for record, what in _waits_in(failed, _FOR_OTHERS):
        return f"{what} in line {record.place.line} would wait for a session that does nothing meanwhile"
    waits = [(record.seconds, record.place.line, what) for record, what in _waits_in(failed, _FOR_A_TIME)]
    if sum(seconds for seconds, *_ in waits) <= _MOST_WAITED:
        return ""
    seconds, line, what = max(waits)
    return f"it would wait again, {seconds:.1f} s for {what} in line {line} alone"


def _waits_in(failed: RunResult, form: re.Pattern[str]) -> Iterator[tuple[Record, str]]:
    """List the statements and directives that wait, each with the words that match."""
    for record in (*failed.records, *failed.acts):
        found = form.search(record.statement) if record.started_at is not None else None
        if found:
            yield record, "".join(found[0].split())


@contextmanager
def _with_time_limit(settings: RunSettings, seconds: float) -> Iterator[RunSettings]:
    """Copy the settings for a run that is stopped after some time, or by the outer stop."""
    stop, outer = Stop(), settings.stop
    stop_it = stop.set
    timer = Timer(seconds, stop_it)
    timer.daemon = True
    if outer is not None:
        outer.add_callback(stop_it)
    start(timer)
    try:
        yield replace(settings, stop=stop, ran=uncounted)
    finally:
        timer.cancel()
        timer.join()
        if outer is not None:
            outer.remove_callback(stop_it)
        stop.close()


def _step_order(records: list[Record]) -> list[Actor]:
    """List the connections in the order in which their steps began; a retry belongs to the failed step."""
    seen = set()
    order = []
    sent = [record for record in records if record.started_at is not None]
    for record in sorted(sent, key=lambda one: one.started_at or 0.0):
        step = (record.session, record.worker, record.iteration, record.step)
        if step not in seen:
            seen.add(step)
            order.append(Actor(record.session, record.worker))
    return order
