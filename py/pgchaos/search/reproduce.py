"""Turns a free run that failed into an order of its steps, where that fails too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from threading import Timer

from pgchaos.engine.run_settings import RunSettings, uncounted
from pgchaos.engine.stop import Stop
from pgchaos.language.model import Scenario
from pgchaos.results import Record, RunResult
from pgchaos.schedule.scheduler import Replay
from pgchaos.schedule.wait_rules import Actor
from pgchaos.search.merge import key_of
from pgchaos.search.run_factory import RunFactory
from pgchaos.server import Server

_LONG = 10.0
"""Seconds of a run that its time-out ended which are not spent once more."""
_LEAST_LIMIT = 2.0
"""Seconds that the second run may take in any case: one step at a time takes longer than all at once."""
_MOST_STEPS = 1_000
"""Steps that are run one at a time only to get a token."""
_MOST_WAITED = 0.5
"""Seconds of waits that are waited for once more."""
_FOR_OTHERS = re.compile(r"\bchaos\s*\.\s*(?:barrier|wait_for|wait_blocked)(?=\s*\()", re.IGNORECASE)
"""What waits in a statement until another session comes: while one step is run at a time, none does."""
_FOR_A_TIME = re.compile(
    r"\b(?:chaos\s*\.\s*(?:delay|jitter)|pg_sleep(?:_for|_until)?)(?=\s*\()|(?<=^-- )(?:delay|jitter)\b", re.IGNORECASE
)
"""What waits for a time, in a statement or as a directive."""


def reproduce(
    scenario: Scenario,
    variables: Mapping[str, str],
    server: Server,
    settings: RunSettings,
    failed: RunResult,
    announce: Callable[[], None] = lambda: None,
) -> tuple[int, ...] | None:
    """Try whether the order in which a free run's steps began makes it fail again, one step at a time.

    It takes no longer than the run did, but may take `_LEAST_LIMIT`.

    Args:
        scenario: that was run.
        variables: of its matrix.
        server: that it ran on.
        settings: how it was run.
        failed: what it left behind; its notes are told where this is left out, and what came of it.
        announce: called before it is run again.

    Returns:
        The decisions that do, by the numbers of the connections; None where it does not fail so again.
    """
    begun = _begun(failed.records)
    if len(set(begun)) < 2:
        return None
    reason = _left_out(scenario, failed, len(begun))
    if reason:
        failed.notes.append(f"no order of steps that replays it was looked for: {reason}")
        return None
    announce()
    limit = max(failed.duration, _LEAST_LIMIT)
    with _limited(settings, limit) as limited:
        single = RunFactory(scenario, variables, server, limited)
        again = single.once(Replay(begun, single.actors, lenient=True))
        late = limited.stop is not None and limited.stop.is_set()
    if single.outside or (settings.stop is not None and settings.stop.is_set()):
        # it changed what the run before was judged without; the token is only a help
        return None
    if not (late or set(map(key_of, failed.failures)).isdisjoint(map(key_of, again.failures))):
        return again.decisions
    came = f"not found within the time of the run, {limit:.1f} s" if late else "there is none: run so, it does not fail"
    failed.notes.append(
        "an order of steps that replays it was looked for, by its steps one at a time in the order in which they"
        f" began; {came}"
    )
    return None


def _left_out(scenario: Scenario, failed: RunResult, steps: int) -> str:
    """Say why a run is not made again one step at a time, or ''."""
    beside = next((session for session in scenario.sessions if session.repeat_while), None)
    if beside is not None:
        # how often it is repeated is a matter of time, so that its steps cannot be listed
        return f"session `{beside.name}` repeats for as long as another one lasts"
    if failed.silent:
        return "the server did not answer"
    if failed.duration > _LONG and any(failure.kind == "timeout" for failure in failed.failures):
        return f"the time-out ended the run, after {failed.duration:.1f} s"
    if steps > _MOST_STEPS:
        return f"it has {steps:,} steps, and at most {_MOST_STEPS:,} are run one at a time"
    for record, what in _that_wait(failed, _FOR_OTHERS):
        return f"{what} in line {record.place.line} would wait for a session that does nothing meanwhile"
    waits = [(_took(record), record.place.line, what) for record, what in _that_wait(failed, _FOR_A_TIME)]
    if sum(seconds for seconds, *_ in waits) <= _MOST_WAITED:
        return ""
    seconds, line, what = max(waits)
    return f"it would wait again, {seconds:.1f} s for {what} in line {line} alone"


def _that_wait(failed: RunResult, form: re.Pattern[str]) -> Iterator[tuple[Record, str]]:
    """List what was sent or done that waits, each with the words that say so."""
    for record in (*failed.records, *failed.acts):
        found = form.search(record.statement) if record.started_at is not None else None
        if found:
            yield record, "".join(found[0].split())


@contextmanager
def _limited(settings: RunSettings, seconds: float) -> Iterator[RunSettings]:
    """Give settings of a run that is stopped after some time, and with all others where these are stopped."""
    stop, outer = Stop(), settings.stop
    stop_it = stop.set
    timer = Timer(seconds, stop_it)
    timer.daemon = True
    if outer is not None:
        outer.call(stop_it)
    timer.start()
    try:
        yield replace(settings, stop=stop, ran=uncounted)
    finally:
        timer.cancel()
        timer.join()
        if outer is not None:
            outer.call_no_more(stop_it)
        stop.close()


def _took(record: Record) -> float:
    return 0.0 if record.started_at is None or record.ended_at is None else record.ended_at - record.started_at


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
