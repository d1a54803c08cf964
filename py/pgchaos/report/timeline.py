"""What the sessions of a run did in the order of time: a column for each of them, or a list where there is no room."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from pgchaos.language.model import Scenario
from pgchaos.report.columns import columns, room_for
from pgchaos.report.fold import MOST, left_out, matters, read_by, tells_all, wait_chain
from pgchaos.report.important_rows import shown_rows
from pgchaos.report.lanes import Lane, Lanes, lanes_of
from pgchaos.report.look import Look
from pgchaos.report.statement_list import session_lines, shorten, statement_list
from pgchaos.results import Failure, RunResult

_LEAST_COLUMNS = 2
_INDENT = "    "
_SHORT_WAITS = "(waits for locks shorter than about 5 ms are not seen)"
_FAILURES = 3  # that are repeated below the columns


def timeline(
    scenario: Scenario,
    result: RunResult,
    failures: Sequence[Failure],
    width: int,
    look: Look,
    *,
    which: str = "",
    everything: bool = False,
    summary: bool = False,
) -> list[str]:
    """Write what the sessions did, under a title.

    Args:
        scenario: that was run.
        result: of the run.
        failures: that count.
        width: of the terminal in columns.
        look: its characters.
        which: run it is, for the title.
        everything: all statements of all sessions as a list, each whole.
        summary: with a line for each session; it is always added where statements are left out.

    Returns:
        The lines; none where no session did anything.
    """
    run = lanes_of(result, [session.name for session in scenario.sessions])
    if not run.events:
        return []
    title = f"Timeline of {scenario.shown}{which}"
    shown, beside = _shown(run, read_by(scenario, failures), width, everything=everything)
    others = left_out(run, shown)
    more = textwrap.wrap(f"{others} (-v shows all)", width - len(_INDENT)) if others else []
    if not beside:
        records = [event.record for lane in shown for event in lane.events]
        list_ = statement_list(
            records,
            result.started_at,
            width=width - len(_INDENT),
            everything=everything,
            summary=summary or bool(others),
            look=look,
        )
        return [f"{title} (times in ms):", *(f"{_INDENT}{line}" for line in (*list_, *more))]
    # of a run that went step by step each wait is known
    free = not result.order
    lines = _columns(run, shown, scenario.shown, width, look, summary=summary, free=free)
    chain = wait_chain(run)
    lines += textwrap.wrap(f"{chain}.", width) if ", which" in chain else []
    end = [line for failure in failures for line in _at_the_end(failure, run, width, look)]
    has_lines = any(event.record.has_line for lane in shown for event in lane.events)
    cells = "line: statement as sent" if has_lines else "statements as sent"
    return [f"{title}, time in ms downward ({cells}):", *lines, *more, *end[:_FAILURES]]


def _shown(run: Lanes, read: Collection[str], width: int, *, everything: bool) -> tuple[tuple[Lane, ...], bool]:
    """Choose the sessions that are shown, and whether beside one another."""
    if everything:
        return run.lanes, False
    room = room_for(width, run.end)
    shown = matters(run, read, max(min(room, MOST), _LEAST_COLUMNS))
    if len(shown) >= _LEAST_COLUMNS and (room >= MOST or (room >= len(shown) and tells_all(run, read, shown))):
        return shown, True
    return matters(run, read), False


def _columns(
    run: Lanes,
    shown: Sequence[Lane],
    file: str,
    width: int,
    look: Look,
    *,
    summary: bool,
    free: bool,
) -> list[str]:
    events = sorted((event for lane in shown for event in lane.events), key=lambda event: event.number)
    records = [event.record for event in events]
    rows = shown_rows(records)
    lines = columns(run, shown, [events[row] for row in rows], width, file, look)
    if free and not any(event.wait for event in events):
        lines.append(_SHORT_WAITS)
    if len(rows) < len(events):
        lines.append("(-v shows all)")
    if summary or len(rows) < len(events):
        lines += session_lines(records, width)
    return lines


def _at_the_end(failure: Failure, run: Lanes, width: int, look: Look) -> list[str]:
    """Repeat what failed after the sessions had ended: it is the end of the story."""
    if failure.place is None or failure not in run.failures:
        return []
    details = ", ".join(detail.strip() for detail in failure.details[:2])
    text = f"FAILED {failure.place}: {failure.text}" + (f" ({details})" if details else "")
    return [shorten(text, width, look)]
