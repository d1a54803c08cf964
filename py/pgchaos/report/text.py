"""The report of a run: the causes of a failure, the timeline, the state of the sessions, and how to repeat it."""

from __future__ import annotations

import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest

from pgchaos.language.model import Mutant
from pgchaos.report.cells import folded
from pgchaos.report.flakes import Repeats, flake_lines
from pgchaos.report.formatting import Symbols
from pgchaos.report.latency import latency_lines
from pgchaos.report.permutation import none_failed, permutation
from pgchaos.report.replay import may_differ, ways_to_run_again, what_is_replayed
from pgchaos.report.scenario_text import check_statement, settings_of, settings_text
from pgchaos.report.statement_list import shorten
from pgchaos.report.timeline import ReportedRun, timeline
from pgchaos.report.wrapping import fitted
from pgchaos.results import Failure, RunResult, StoppedSession
from pgchaos.safe_output import one_line
from pgchaos.tap import failure_of
from pgchaos.verdict import Verdict

_INDENT = "    "
_HINT = "HINT: "
_END_A_RUN = frozenset({"error", "fault", "invariant", "timeout", "wait"})
_LIKE_STATES = 3  # connections of one session in the same state that are shown
_CHANGED = 60  # columns of a text that a mutant replaces
_SQL_LINES = 2  # of the statement of a failed assertion
# lines of every start
_ROUTINE = re.compile(r"LOG:  (?:starting PostgreSQL|listening on|checkpoint |restartpoint )")
# lines of a start after a clean stop; as the first lines they are of the start before the sessions
_FIRST_START = re.compile(r"LOG:  database system (?:was shut down at|is ready to accept connections)")
# removes the date, the time zone, and an empty database and application
_LOG_HEAD = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2} ([0-9:.]+) \S+ (\[[0-9]+\])(?: /(?= ))?")
_MOST_LOGGED = 20  # messages, the last ones
_LOG_LINES = 3  # of a message
_LEAST_LOG = 24  # columns


def failure_text(
    run: ReportedRun, verdict: Verdict, *, again: str = "", token: str = "", repeats: Repeats | None = None
) -> str:
    """Write the report of a run that failed; its first line is the first cause.

    Args:
        run: that failed.
        verdict: on its result.
        again: the command that runs it again.
        token: the command that replays this interleaving, or '' if none is known to fail again.
        repeats: all runs of the item, with --chaos-repeat.
    """
    result, failures, width = run.result, verdict.failures, run.width
    blocks = [
        _causes(run, failures),
        _expected(verdict),
        _what_ran(run),
        flake_lines(repeats, width, run.symbols) if repeats is not None else [],
        permutation(run.scenario, result, width),
        _titled("Output of diag():", result.diagnostics),
        _titled("State of the sessions when the run was stopped:", _session_states(result)),
        [] if none_failed(result) else timeline(run, failures),
        _titled("End of its server's log:", _server_log(run)),
        _notes(run),
        _again(run, again, token) if may_differ(failures) else [],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def run_text(run: ReportedRun, *, output: bool = True, mutant: Mutant | None = None) -> str:
    """Write the report of a run that passed, for --chaos-show.

    Args:
        run: that passed.
        output: with the output of psql commands, and notices.
        mutant: that was caught, or None.
    """
    result, which = run.result, ", the first of these runs" if none_failed(run.result) else ""
    # a mutant is expected to fail
    shown = run if mutant is None else run._replace(result=replace(result, failures=[]))
    blocks = [
        _caught(mutant, run.width) if mutant is not None else [],
        _what_ran(run),
        [line for failure in result.failures for line in _failure(failure, run.width)],
        permutation(run.scenario, result, run.width),
        _titled("Output:", result.output if output else []),
        _titled("Output of diag():", result.diagnostics),
        timeline(shown, shown.result.failures, which=which, summary=True),
        _latencies(run),
        _notes(run),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _caught(mutant: Mutant, width: int) -> list[str]:
    """Write first that the failures below are expected."""
    changes = [
        f"line {one.place.line}: {shorten(one.old, _CHANGED)!r} -> {shorten(one.new, _CHANGED)!r}"
        for one in mutant.replaces
    ]
    where = "; ".join(changes) or f"line {mutant.place.line}"
    by = ", ".join(f"'{name}'" for name in mutant.caught_by)
    return textwrap.wrap(one_line(f"Mutant '{mutant.name}' ({where}) was caught by {by}"), width)


def _latencies(run: ReportedRun) -> list[str]:
    """Write the table for a free run: in others, the times depend on the schedule."""
    if run.scenario.schedule.kind != "free":
        return []
    title = "Latency in ms, for each statement of each session (waited: for locks, all together):"
    return _titled(title, latency_lines(run.result.records, run.width - len(_INDENT), run.symbols))


def _server_log(run: ReportedRun) -> list[str]:
    width = sys.maxsize if run.everything else run.width - len(_INDENT)
    return log_lines(run.result.log, width, run.symbols) if run.scenario.sandbox == "server" else []


def log_lines(log: Iterable[str], width: int, symbols: Symbols) -> list[str]:
    """Fold the last relevant lines of a log, without starts and checkpoints, each beginning with its time."""
    found: list[str] = []
    for line in log:
        if not (_ROUTINE.search(line) or (not found and _FIRST_START.search(line))):
            found.append(" ".join(_LOG_HEAD.sub(r"\1 \2", line).split()))
    room = max(width - len(_INDENT), _LEAST_LOG)
    lines = []
    for text in found[-_MOST_LOGGED:]:
        first, *more = textwrap.wrap(text, room, max_lines=_LOG_LINES, placeholder=f" {symbols.cut}") or [""]
        # textwrap counts characters, but some take two columns
        lines += [shorten(first, room, symbols), *(f"{_INDENT}{shorten(line, room, symbols)}" for line in more)]
    return lines


def _notes(run: ReportedRun) -> list[str]:
    return _titled("Notes:", [*run.result.notes, *map(str, run.scenario.notes)])


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *(f"{_INDENT}{line}" for line in lines)] if lines else []


def _failure(failure: Failure, width: int) -> list[str]:
    where = f"{failure.place}: " if failure.place else ""
    session = f"{failure.session}: " if failure.session and failure.session not in failure.text else ""
    first, *more = failure.text.split("\n")
    details = [line for detail in failure.details for line in _detail(detail, width)]
    return [f"{where}{session}{first}", *(f"{_INDENT}{line}".rstrip() for line in (*more, *details))]


def _detail(detail: str, width: int) -> list[str]:
    """Wrap a hint; text of the server stays as it is."""
    hint = detail.startswith(_HINT)
    return (fitted(detail, max(width - len(_INDENT), 40), len(_HINT)) if hint else detail).split("\n")


def _causes(run: ReportedRun, failures: Sequence[Failure]) -> list[str]:
    """Write each failure, and below the last failure of a check's statement the statement."""
    lines = []
    statements = [check_statement(run.scenario, one) if one.kind == "assertion" else "" for one in failures]
    for failure, statement, following in zip_longest(failures, statements, statements[1:]):
        lines += _failure(failure, run.width)
        if statement and statement != following:
            lines += folded(statement, run.width, f"{_INDENT}in: ", run.symbols, _SQL_LINES)
    return lines


def _expected(verdict: Verdict) -> list[str]:
    return [
        f"Expected failure ({xfail.reason}): {failure.text}"
        for xfail, failures in verdict.expected
        for failure in failures
    ]


def _what_ran(run: ReportedRun) -> list[str]:
    scenario, result = run.scenario, run.result
    lines = [f"Scenario: {scenario.title or scenario.name}"]
    lines += [f"With {name} = {value}" for name, value in run.variables.items()]
    if result.without_fault:
        lines.append(f"It {result.without_fault}")
    if result.drawn:
        which = "the smallest that failed" if result.shrunk else "one of them"
        shown = f"this report shows {which}" if result.values else "none of them failed"
        lines.append(f"Values: {result.drawn} tried; {shown}")
    if result.server:
        lines.append(f"Server: {result.server}")
    if settings := settings_text(settings_of(scenario, run.variables)):
        lines += textwrap.wrap(one_line(f"Settings: {settings}"), max(run.width, 40), subsequent_indent=_INDENT)
    if asserted := _asserted(result):
        lines.append(f"Assertions: {asserted}")
    if result.evaluations and not none_failed(result):
        missed = f", {result.missed} of these checks had no result" if result.missed else ""
        lines.append(f"Invariants: checked {result.evaluations} times{missed}")
    return lines


def _asserted(result: RunResult) -> str:
    """Summarize the assertions in one line, or return ''."""
    if none_failed(result):
        return ""
    skipped = _why_skipped(result) if result.check == "skipped" else ""
    if not result.assertions:
        return skipped
    count = len(result.assertions)
    failed = sum(failure_of(assertion) is not None for assertion in result.assertions)
    missing = sum(failure.kind == "not run" for failure in result.failures)
    ended = any(failure.kind == "error" and failure.session == "check" for failure in result.failures)
    parts = (
        f"{failed} of {count} failed" if failed else f"{count} held" if count == 1 else f"all {count} held",
        f"{missing} not run" if missing else "",
        skipped,
        "then an error ended the check" if ended else "",
    )
    return ", ".join(filter(None, parts))


def _why_skipped(result: RunResult) -> str:
    """Write why the check was not run: the sessions had not ended normally."""
    ended = next((failure for failure in result.failures if failure.kind in _END_A_RUN), None)
    if ended is None:
        return "check was not run"
    return f"check was not run, because {f'{ended.session} failed' if ended.session else 'of the failure above'}"


def _session_states(result: RunResult) -> list[str]:
    width = max((len(stopped.session) for stopped in result.stopped_sessions), default=0)
    seen: Counter[tuple[str, str]] = Counter()
    hidden: Counter[tuple[str, str]] = Counter()
    lines = []
    for stopped in result.stopped_sessions:
        # a program may have hundreds of connections in the same state
        like = stopped.session, stopped.doing
        seen[like] += 1
        if seen[like] <= _LIKE_STATES or stopped.waits_for:
            lines.append(_session_state(stopped, result.started_at, width))
        else:
            hidden[like] += 1
    more = (f"{session:<{width}}  {doing}: {count} more connections" for (session, doing), count in hidden.items())
    return [*lines, *more]


def _session_state(stopped: StoppedSession, started_at: float, width: int) -> str:
    where = f", {stopped.place}" if stopped.place else ""
    since = "" if stopped.since is None else f", from {(stopped.since - started_at) * 1000:.1f} ms on"
    waits = ", waits for " + ", ".join(stopped.waits_for) if stopped.waits_for else ""
    return f"{stopped.session:<{width}}  {stopped.doing}{waits}{since}{where}"


def _again(run: ReportedRun, again: str, token: str) -> list[str]:
    if not again:
        return [f"Seed {run.result.seed}."]
    ways = ways_to_run_again(run.scenario, run.result, again, token)
    lines = [line for words, command in ways for line in (words, f"{_INDENT}{command}")]
    if [command for _, command in ways] == [again]:
        lines += textwrap.wrap(what_is_replayed(run.scenario), max(run.width, 40))
    return lines
