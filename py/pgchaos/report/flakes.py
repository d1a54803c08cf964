"""How often a repeated scenario fails, and where a run that failed parts from one that passed. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pgchaos.report.lanes import connection_of, in_order, kind_of, outcome
from pgchaos.report.look import Look, parameters, row_count, statements
from pgchaos.results import Record, RunResult
from pgchaos.safe_output import one_line

_Z = 1.959964  # of the normal distribution: 95 % lie between -z and z
_ROWS = 8  # that are shown from where two runs part
_SEEDS = 5  # that are named


@dataclass(frozen=True, slots=True)
class Repeats:
    """The runs of one item."""

    planned: int
    run: int
    failed_seeds: tuple[int, ...]  # one for each run that failed
    failing: tuple[int, RunResult] | None = None  # the number, from 1, and the first of them
    passing: tuple[int, RunResult] | None = None  # the one whose history is the longest the same as the failing one's

    @property
    def failed(self) -> int:
        """How many runs failed."""
        return len(self.failed_seeds)


def wilson(failed: int, runs: int) -> tuple[float, float]:
    """The 95 % confidence interval of a rate, from 0 to 1, of at least one run.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    rate, square = failed / runs, _Z * _Z
    middle = (rate + square / (2 * runs)) / (1 + square / runs)
    reach = _Z / (1 + square / runs) * math.sqrt(rate * (1 - rate) / runs + square / (4 * runs * runs))
    return max(0.0, middle - reach) if failed else 0.0, min(1.0, middle + reach) if failed < runs else 1.0


def rate_line(repeats: Repeats) -> str:
    """Say in one line how many runs failed, and which rate that may be."""
    low, high = wilson(repeats.failed, repeats.run)
    less = "" if repeats.run == repeats.planned else f" ({repeats.planned} were asked for)"
    rate = f"{repeats.failed / repeats.run:.0%}, with 95 % confidence from {low:.0%} to {high:.0%}"
    return f"{repeats.failed} of {repeats.run} runs failed{less}: {rate}"


def flake_lines(repeats: Repeats, width: int, look: Look) -> list[str]:
    """Write how often an item failed, the seeds, and where both happened the two histories from where they part."""
    seeds = list(dict.fromkeys(repeats.failed_seeds))
    more = f" and {len(seeds) - _SEEDS} more" if len(seeds) > _SEEDS else ""
    lines = [f"Repeated: {rate_line(repeats)}"]
    lines.append(f"Seeds of runs that failed: {', '.join(map(str, seeds[:_SEEDS]))}{more}")
    if repeats.failing is not None and repeats.passing is not None:
        lines += _beside(repeats.passing, repeats.failing, width, look)
    return lines


def common_length(one: Sequence[Record], other: Sequence[Record]) -> int:
    """Count the statements at the beginning of two histories that are the same, in the same order."""
    pairs = zip(history(one), history(other), strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if _facts(a) != _facts(b)), min(len(one), len(other)))


def history(records: Sequence[Record]) -> list[Record]:
    """Return the statements of all sessions in the order in which they were sent."""
    return [record for record in in_order(records) if kind_of(record) == "statement"]


def _facts(record: Record) -> tuple[object, ...]:
    more = record.notes, record.parameters, record.skipped
    return (*_key(record), record.statement, record.tag, record.rows, record.sqlstate, *more)


def _beside(passing: tuple[int, RunResult], failing: tuple[int, RunResult], width: int, look: Look) -> list[str]:
    """Write two histories side by side, from the first statement at which they part."""
    (passed, one), (failed, other) = passing, failing
    left, right = history(one.records), history(other.records)
    same = common_length(one.records, other.records)
    if same == max(len(left), len(right)):
        return [f"Run {passed} passed with the same statements, results and order as run {failed}, which failed."]
    column = max((width - 6) // 2, 30)
    begin = max(0, same - 1)
    where = (
        f"They are the same for {statements(same)}, then they part:" if same else "They part at the first statement:"
    )
    lines = [f"Run {passed} passed, run {failed} failed. {where}"]
    lines.append(_row("", f"run {passed}, passed", f"run {failed}, failed", column, look))
    for number in range(begin, min(same + _ROWS, max(len(left), len(right)))):
        texts = [statement_text(run[number]) if number < len(run) else "(ended)" for run in (left, right)]
        lines.append(_row(">" if number == same else "", texts[0], texts[1], column, look))
    rest = [len(run) - same - _ROWS for run in (left, right)]
    more = [f"{look.cut} {statements(count)} more" if count > 0 else "" for count in rest]
    lines += [_row("", more[0], more[1], column, look)] if any(more) else []
    return [*lines, *_other_result(left, right, column, look)]


def _other_result(left: Sequence[Record], right: Sequence[Record], column: int, look: Look) -> list[str]:
    """Show the first statement of the run that failed which the other did not send, or with another result."""
    # of two statements with one key, which `\gexec` made of one, the last counts
    passed = {_key(record): record for record in left}
    for record in right:
        other = passed.get(_key(record))
        if other is None or _facts(other) != _facts(record):
            text = "(not sent)" if other is None else statement_text(other)
            return [
                "Whatever the order, the first with another result:",
                _row(">", text, statement_text(record), column, look),
            ]
    return []


def _key(record: Record) -> tuple[object, ...]:
    return record.session, record.worker, record.iteration, record.attempt, record.step, record.place


def _row(mark: str, one: str, other: str, column: int, look: Look) -> str:
    # rich is loaded only where something is shown
    from pgchaos.report.cells import fitted

    return f"  {mark:1} {fitted(one, column, look)}  {fitted(other, column, look)}".rstrip()


def statement_text(record: Record) -> str:
    """Write a statement with its result in one line: the result is shown, whatever is cut."""
    _, text = outcome(record)
    rows = "" if record.rows is None else row_count(record.rows)
    result = " ".join((text or ", ".join(record.notes) or rows).split()[: 2 if text else 99])
    name = f"{connection_of(record)}:{record.place.line}"
    sent = " ".join([*(record.sent or record.statement).split(), parameters(record)]).rstrip()
    return one_line(f"{name} {f'-> {result}: ' if result else ''}{sent}")
