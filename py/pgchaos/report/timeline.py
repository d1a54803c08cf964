"""Writes the timeline of a run: a column for each session, or a list if there is no room for columns."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from pgchaos.language.model import Scenario
from pgchaos.report.columns import columns, room_for
from pgchaos.report.formatting import PLAIN, Symbols
from pgchaos.report.important_rows import shown_rows
from pgchaos.report.important_sessions import (
    MOST,
    choose_sessions,
    explains_all,
    hidden_summary,
    names_read_by,
    wait_chain,
)
from pgchaos.report.lanes import Lane, Lanes, lanes_of
from pgchaos.report.statement_list import session_lines, shorten, statement_list
from pgchaos.results import Failure, RunResult

_LEAST_COLUMNS = 2
_INDENT = "    "
_SHORT_WAITS = "(waits for locks shorter than about 5 ms are not seen)"
_FAILURES = 3  # that are repeated below the columns


class ReportedRun(NamedTuple):
    """A run of a scenario, and how it is shown."""

    scenario: Scenario
    variables: Mapping[str, str]  # the values of its matrix, and drawn values
    result: RunResult  # for a search without a failure, that of its first run
    width: int = 80  # of the terminal in columns
    symbols: Symbols = PLAIN
    everything: bool = False  # show all statements, untruncated


def timeline(
    reported: ReportedRun, failures: Sequence[Failure], *, which: str = "", summary: bool = False
) -> list[str]:
    """Write what the sessions did, under a title.

    Args:
        reported: the run.
        failures: that count for the verdict.
        which: the run, for the title.
        summary: add a line for each session; always added if statements are hidden.

    Returns:
        The lines; none if no session did anything.
    """
    scenario, result, width, symbols = reported.scenario, reported.result, reported.width, reported.symbols
    run = lanes_of(result, [session.name for session in scenario.sessions])
    if not run.events:
        return []
    title = f"Timeline of {scenario.shown}{which}"
    shown, beside = _shown(run, names_read_by(scenario, failures), width, everything=reported.everything)
    others = hidden_summary(run, shown)
    more = textwrap.wrap(f"{others} (-v shows all)", width - len(_INDENT)) if others else []
    if not beside:
        records = [event.record for lane in shown for event in lane.events]
        list_ = statement_list(
            records,
            result.started_at,
            width=width - len(_INDENT),
            everything=reported.everything,
            summary=summary or bool(others),
            symbols=symbols,
        )
        return [f"{title} (times in ms):", *(f"{_INDENT}{line}" for line in (*list_, *more))]
    # in a run with a schedule every wait is known
    free = not result.order
    lines = _columns(run, shown, scenario.shown, width, symbols, summary=summary, free=free)
    chain = wait_chain(run)
    lines += textwrap.wrap(f"{chain}.", width) if ", which" in chain else []
    end = [line for failure in failures for line in _at_the_end(failure, run, width, symbols)]
    has_lines = any(event.record.has_line for lane in shown for event in lane.events)
    cells = "line: statement as sent" if has_lines else "statements as sent"
    return [f"{title}, time in ms downward ({cells}):", *lines, *more, *end[:_FAILURES]]


def _shown(run: Lanes, read: Collection[str], width: int, *, everything: bool) -> tuple[tuple[Lane, ...], bool]:
    """Choose the sessions to show, and whether in columns."""
    if everything:
        return run.lanes, False
    room = room_for(width, run.end)
    shown = choose_sessions(run, read, max(min(room, MOST), _LEAST_COLUMNS))
    if len(shown) >= _LEAST_COLUMNS and (room >= MOST or (room >= len(shown) and explains_all(run, read, shown))):
        return shown, True
    return choose_sessions(run, read), False


def _columns(
    run: Lanes,
    shown: Sequence[Lane],
    file: str,
    width: int,
    symbols: Symbols,
    *,
    summary: bool,
    free: bool,
) -> list[str]:
    events = sorted((event for lane in shown for event in lane.events), key=lambda event: event.number)
    records = [event.record for event in events]
    rows = shown_rows(records)
    lines = columns(run, shown, [events[row] for row in rows], width, file, symbols)
    if free and not any(event.wait for event in events):
        lines.append(_SHORT_WAITS)
    if len(rows) < len(events):
        lines.append("(-v shows all)")
    if summary or len(rows) < len(events):
        lines += session_lines(records, width)
    return lines


def _at_the_end(failure: Failure, run: Lanes, width: int, symbols: Symbols) -> list[str]:
    """Repeat a failure after the end of the sessions below the timeline."""
    if failure.place is None or failure not in run.failures:
        return []
    details = ", ".join(detail.strip() for detail in failure.details[:2])
    text = f"FAILED {failure.place}: {failure.text}" + (f" ({details})" if details else "")
    return [shorten(text, width, symbols)]
