"""How often a repeated scenario fails, and where a failed run first differs from one that passed. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pgchaos.report.formatting import Symbols, parameters, row_count, statements
from pgchaos.report.lanes import connection_of, in_order, kind_of, outcome
from pgchaos.results import Record, RunResult
from pgchaos.safe_output import one_line

_Z = 1.959964  # of the normal distribution: 95 % lie between -z and z
_ROWS = 8  # that are shown from the first difference on
_SEEDS = 5  # that are listed


@dataclass(frozen=True, slots=True)
class Repeats:
    """The runs of one item."""

    planned: int
    run: int
    failed_seeds: tuple[int, ...]  # one for each run that failed
    failing: tuple[int, RunResult] | None = None  # the first failed run, with its number from 1
    passing: tuple[int, RunResult] | None = None  # the run with the longest common beginning with `failing`

    @property
    def failed(self) -> int:
        """How many runs failed."""
        return len(self.failed_seeds)


def failure_rate_interval(failed: int, runs: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a failure rate, from 0 to 1, of at least one run.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    rate, square = failed / runs, _Z * _Z
    middle = (rate + square / (2 * runs)) / (1 + square / runs)
    reach = _Z / (1 + square / runs) * math.sqrt(rate * (1 - rate) / runs + square / (4 * runs * runs))
    return max(0.0, middle - reach) if failed else 0.0, min(1.0, middle + reach) if failed < runs else 1.0


def rate_line(repeats: Repeats) -> str:
    """Write in one line how many runs failed, and the confidence interval of the rate."""
    low, high = failure_rate_interval(repeats.failed, repeats.run)
    less = "" if repeats.run == repeats.planned else f" ({repeats.planned} were planned)"
    rate = f"{repeats.failed / repeats.run:.0%}, with 95 % confidence from {low:.0%} to {high:.0%}"
    return f"{repeats.failed} of {repeats.run} runs failed{less}: {rate}"


def flake_lines(repeats: Repeats, width: int, symbols: Symbols) -> list[str]:
    """Write how often an item failed, the seeds, and the two histories from their first difference on, if any."""
    seeds = list(dict.fromkeys(repeats.failed_seeds))
    more = f" and {len(seeds) - _SEEDS} more" if len(seeds) > _SEEDS else ""
    lines = [f"Repeated: {rate_line(repeats)}"]
    lines.append(f"Seeds of runs that failed: {', '.join(map(str, seeds[:_SEEDS]))}{more}")
    if repeats.failing is not None and repeats.passing is not None:
        lines += _beside(repeats.passing, repeats.failing, width, symbols)
    return lines


def common_length(one: Sequence[Record], other: Sequence[Record]) -> int:
    """Count the statements of the common beginning of two histories."""
    pairs = zip(history(one), history(other), strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if _facts(a) != _facts(b)), min(len(one), len(other)))


def history(records: Sequence[Record]) -> list[Record]:
    """Return the statements of all sessions in the order in which they were sent."""
    return [record for record in in_order(records) if kind_of(record) == "statement"]


def _facts(record: Record) -> tuple[object, ...]:
    more = record.notes, record.parameters, record.skipped
    return (*_key(record), record.statement, record.tag, record.rows, record.sqlstate, *more)


def _beside(passing: tuple[int, RunResult], failing: tuple[int, RunResult], width: int, symbols: Symbols) -> list[str]:
    """Write two histories side by side, from the first difference on."""
    (passed, one), (failed, other) = passing, failing
    left, right = history(one.records), history(other.records)
    same = common_length(one.records, other.records)
    if same == max(len(left), len(right)):
        return [f"Run {passed} passed with the same statements, results and order as run {failed}, which failed."]
    column = max((width - 6) // 2, 30)
    begin = max(0, same - 1)
    where = f"They are the same for {statements(same)}, then differ:" if same else "They differ at the first statement:"
    lines = [f"Run {passed} passed, run {failed} failed. {where}"]
    lines.append(_row("", f"run {passed}, passed", f"run {failed}, failed", column, symbols))
    for number in range(begin, min(same + _ROWS, max(len(left), len(right)))):
        texts = [statement_text(run[number]) if number < len(run) else "(ended)" for run in (left, right)]
        lines.append(_row(">" if number == same else "", texts[0], texts[1], column, symbols))
    rest = [len(run) - same - _ROWS for run in (left, right)]
    more = [f"{symbols.cut} {statements(count)} more" if count > 0 else "" for count in rest]
    lines += [_row("", more[0], more[1], column, symbols)] if any(more) else []
    return [*lines, *_other_result(left, right, column, symbols)]


def _other_result(left: Sequence[Record], right: Sequence[Record], column: int, symbols: Symbols) -> list[str]:
    """Show the first statement of the failed run that the other did not send, or that had another result there."""
    # statements that `\gexec` makes have the same key: the last one counts
    passed = {_key(record): record for record in left}
    for record in right:
        other = passed.get(_key(record))
        if other is None or _facts(other) != _facts(record):
            text = "(not sent)" if other is None else statement_text(other)
            return [
                "Whatever the order, the first with another result:",
                _row(">", text, statement_text(record), column, symbols),
            ]
    return []


def _key(record: Record) -> tuple[object, ...]:
    return record.session, record.worker, record.iteration, record.attempt, record.step, record.place


def _row(mark: str, one: str, other: str, column: int, symbols: Symbols) -> str:
    # rich is loaded only if something is shown
    from pgchaos.report.cells import fitted

    return f"  {mark:1} {fitted(one, column, symbols)}  {fitted(other, column, symbols)}".rstrip()


def statement_text(record: Record) -> str:
    """Write a statement in one line, with its result first, so that truncation keeps it."""
    _, text = outcome(record)
    rows = "" if record.rows is None else row_count(record.rows)
    result = " ".join((text or ", ".join(record.notes) or rows).split()[: 2 if text else 99])
    name = f"{connection_of(record)}:{record.place.line}"
    sent = " ".join([*(record.sent or record.statement).split(), parameters(record)]).rstrip()
    return one_line(f"{name} {f'-> {result}: ' if result else ''}{sent}")
