"""The failures in a stream of TAP."""

from __future__ import annotations

import textwrap

from pgchaos.results import Assertion, Failure
from pgchaos.tap.lines import HEADING
from pgchaos.tap.parser import TOTALS, TapReport


def failure_of(assertion: Assertion, number: int | None = None) -> Failure | None:
    """Make the failure of an assertion.

    Args:
        assertion: of pgTAP or of chaos.assert.
        number: its number in the stream, from 1. It names an assertion without description.

    Returns:
        The failure, with have and want among its details; None if the assertion holds or is marked TODO. A `not ok`
        marked SKIP fails, as for pg_prove: a skipped test prints `ok`, so this one was run.
    """
    if assertion.ok or assertion.directive == "todo":
        return None
    text = assertion.name or ("assertion without description" if number is None else f"test {number}")
    if assertion.count:
        text = f"{text} ({assertion.count})"
    names = (assertion.name,) if assertion.name else ()
    return Failure("assertion", names, text, assertion.place, _details(assertion.diagnostics))


def failures_of(report: TapReport) -> tuple[Failure, ...]:
    """Return the failures of a closed stream: those of its assertions in order, then those of the stream itself."""
    failing = [failure_of(assertion, number) for number, assertion in enumerate(report.assertions, 1)]
    broken = [Failure("tap", (), problem.text, problem.place) for problem in report.problems]
    return (*(failure for failure in failing if failure is not None), *broken)


def _details(diagnostics: tuple[str, ...]) -> tuple[str, ...]:
    lines = list(diagnostics)
    heading = next((at for at, line in enumerate(lines) if HEADING.match(line)), None)
    if heading is not None:
        del lines[heading : _end_of_heading(lines, heading)]
    return tuple(_shown_empty(textwrap.dedent("\n".join(lines)).split("\n"))) if lines else ()


def _shown_empty(lines: list[str]) -> list[str]:
    """Write '' for an empty value, which pgTAP prints as nothing. If further lines follow, they are the value."""
    shown = list(lines)
    for number, line in enumerate(lines):
        below = lines[number + 1].strip() if number + 1 < len(lines) else ""
        key = line.strip()
        if (key == "have:" and below.startswith("want:")) or (key == "want:" and not below):
            shown[number] = f"{line.rstrip()} ''"
    return shown


def _end_of_heading(lines: list[str], start: int) -> int:
    # the heading repeats the description in quotes, which may have several lines
    if ': "' not in lines[start]:
        return start + 1
    quoted = lines[start].partition(': "')[2]
    if quoted.endswith('"'):
        return start + 1
    closing = (at for at in range(start + 1, len(lines)) if lines[at].endswith('"'))
    return next(closing, start) + 1


def diagnostics_of(report: TapReport) -> list[str]:
    """Return the lines of diag(), without those of failed assertions and without pgTAP's summary."""
    of_no_test = [line for line in report.remarks if not line.startswith(TOTALS)]
    return of_no_test + [line for assertion in report.assertions if assertion.ok for line in assertion.diagnostics]
