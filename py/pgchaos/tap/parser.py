"""Parses a stream of TAP line by line: its assertions, and problems of the stream itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pgchaos.language.problems import Place
from pgchaos.language.written_assertions import Excuses
from pgchaos.results import Assertion
from pgchaos.tap.lines import (
    COUNTS,
    HEADING,
    SINCE_13,
    BailOut,
    Comment,
    Line,
    Nested,
    Noise,
    Plan,
    Point,
    Pragma,
    Version,
    classify,
)

TOTALS = ("Looks like you failed ", "Looks like you planned ")
_FAILED = re.compile(r"Looks like you failed ([0-9]{1,9}) tests? of [0-9]+\Z")


@dataclass(frozen=True, slots=True)
class TapProblem:
    """A problem of the stream: a broken plan, a number out of sequence, a bail out."""

    text: str
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class TapReport:
    """The contents of a stream."""

    assertions: tuple[Assertion, ...] = ()  # without those of subtests
    problems: tuple[TapProblem, ...] = ()  # a stream with a problem fails, even if all its tests pass
    skipped: str = ""  # the reason of `1..0 # SKIP reason`, 'no reason given' without a reason; '' if not skipped
    remarks: tuple[str, ...] = ()  # diagnostics that belong to no test, without their '# '


@dataclass(slots=True)
class _Result:
    """A test and the diagnostics that follow it."""

    test: Point
    place: Place | None
    diagnostics: list[str]


class TapParser:
    """Parses TAP as it arrives: `feed` every line or cell, then `close`. It raises nothing, whatever the input.

    Args:
        excuses: which directives the author wrote. Other occurrences of `# TODO` and `# SKIP` come from data and are
            part of the description. None accepts every directive, as pg_prove does.
    """

    def __init__(self, excuses: Excuses | None = None) -> None:
        self._excuses = excuses
        self._results: list[_Result] = []
        self._problems: list[TapProblem] = []
        self._remarks: list[str] = []
        self._nested: list[str] = []
        self._plan: Plan | None = None
        self._plan_place: Place | None = None
        self._plan_after = 0
        self._unread = 0
        self._failed = 0
        self._version = 0
        self._strict = False
        self._yaml: int | None = None
        self._bailed_out = False

    def feed(self, text: str, place: Place | None = None) -> None:
        """Parse a line, or a cell with several lines; `place` is the line of its statement."""
        for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            if not self._bailed_out:
                self._take(classify(line, self._version), line, place)

    def add_unread(self, count: int) -> None:
        """Count tests that cannot be read here and are reported elsewhere, so that later numbers match."""
        self._unread += count

    @property
    def tests(self) -> int:
        """The number of tests so far."""
        return len(self._results)

    @property
    def is_empty(self) -> bool:
        """Whether no test, no plan and no problem has been read."""
        return not (self._results or self._problems) and self._plan is None

    def close(self, *, stopped: bool = False) -> TapReport:
        """End the stream. If an error `stopped` it, a broken plan is not a problem, because the error is reported."""
        if not stopped and not self._bailed_out:
            self._end_yaml(None)
            self._check_plan()
            self._check_failed()
        plan = self._plan
        skipped = "" if plan is None or plan.skip is None else plan.skip or "no reason given"
        return TapReport(
            tuple(_assertion(result, self._excuses) for result in self._results),
            tuple(self._problems),
            skipped,
            tuple(self._remarks),
        )

    def _take(self, what: Line, line: str, place: Place | None) -> None:
        if self._in_yaml(what, line, place):
            return
        match what:
            case Point():
                self._take_test(what, place)
            case Comment(text):
                self._take_comment(text)
            case Plan():
                self._take_plan(what, place)
            case BailOut(reason):
                self._bailed_out = True
                self._problems.append(TapProblem(f"Bail out! {reason}".rstrip(), place))
            case Version(number):
                self._take_version(number, place)
            case Pragma(settings):
                for one in settings:
                    self._strict = one[0] == "+" if one[1:] == "strict" else self._strict
            case Nested(text):
                self._nested.append(text)
                self._take_unknown(line, place)
            case Noise():
                self._take_unknown(line, place)

    def _take_unknown(self, line: str, place: Place | None) -> None:
        if self._strict:
            self._problems.append(TapProblem(f'this line is not TAP, and `pragma +strict` is set: "{line}"', place))

    def _take_version(self, number: int, place: Place | None) -> None:
        if self._version or self._results or self._plan is not None:
            self._problems.append(TapProblem("the TAP version is not the first line of TAP", place))
            return
        if number != SINCE_13:
            self._problems.append(TapProblem(f"TAP version {number} is not read: write {SINCE_13}, or none", place))
        self._version = SINCE_13 if number >= SINCE_13 else SINCE_13 - 1

    def _in_yaml(self, what: Line, line: str, place: Place | None) -> bool:
        # a line that is not indented ends a YAML block, even without its `...`
        if self._yaml is not None:
            if isinstance(what, Nested) and what.indent >= self._yaml:
                if what.text.rstrip() == "...":
                    self._yaml = None
                return True
            if isinstance(what, BailOut) and line[:1].isspace():
                return True
            self._end_yaml(place)
        if self._version >= SINCE_13 and isinstance(what, Nested) and what.text.startswith("---"):
            self._yaml = what.indent
            return True
        return False

    def _end_yaml(self, place: Place | None) -> None:
        """End a YAML block that lacks its end."""
        if self._yaml is not None:
            self._problems.append(TapProblem("a YAML block does not end: its line `...` is missing", place))
            self._yaml = None

    def _take_test(self, test: Point, place: Place | None) -> None:
        expected = len(self._results) + self._unread + 1
        if test.number is not None and test.number != expected:
            text = f"test out of sequence: found {test.number}, expected {expected}"
            self._problems.append(TapProblem(text, place))
        if self._excuses is None and self._plan is not None and test.number in self._plan.todo:
            test = replace(test, directive="todo")
        # the lines of a subtest are reported only if it failed
        diagnostics = [] if test.ok else _lines_that_fail(self._nested)
        self._nested = []
        self._results.append(_Result(test, place, diagnostics))

    def _take_comment(self, text: str) -> None:
        if text.startswith("Subtest: "):
            return
        if self._results and not text.startswith(TOTALS):
            self._results[-1].diagnostics.append(text)
        else:
            self._remarks.append(text)
            if found := _FAILED.match(text):
                self._failed = int(found[1])

    def _take_plan(self, plan: Plan, place: Place | None) -> None:
        if self._plan is not None:
            self._problems.append(TapProblem("more than one plan", place))
            return
        self._plan, self._plan_place, self._plan_after = plan, place, len(self._results)

    def _check_plan(self) -> None:
        ran = len(self._results)
        if self._plan is None:
            self._problems.append(TapProblem("no plan: call plan(), or no_plan() and finish()"))
            return
        place = self._plan_place
        if self._plan_after not in (0, ran):
            self._problems.append(TapProblem("the plan is in the middle: it must be first or last", place))
        if self._plan.skip is not None and ran == 0:
            return
        ran += self._unread
        if self._plan.count != ran:
            self._problems.append(TapProblem(f"planned {_tests(self._plan.count)}, ran {ran}", place))

    def _check_failed(self) -> None:
        """Compare pgTAP's own count with what was printed; pg_prove does not, so it is not done for a plain file."""
        printed = sum(not result.test.ok for result in self._results) + self._unread
        # a broken plan is already reported, with its cause
        if self._excuses is not None and not self._problems and self._failed > printed:
            text = (
                f"pgTAP counted {_tests(self._failed)} that failed, and {printed} printed `not ok`: something changes "
                "what an assertion returns before it is printed"
            )
            self._problems.append(TapProblem(text))


def _tests(count: int) -> str:
    return f"{count} test" if count == 1 else f"{count} tests"


def _lines_that_fail(nested: list[str]) -> list[str]:
    found: list[str] = []
    for line in nested:
        match classify(line):
            case Point(ok=False, directive=""):
                found.append(line)
            case Comment(text) if not (text.startswith(("Subtest: ", *TOTALS)) or HEADING.match(text)):
                found.append(text)
            case _:
                pass
    return found


def _assertion(result: _Result, excuses: Excuses | None) -> Assertion:
    test, diagnostics = result.test, tuple(result.diagnostics)
    if excuses is not None and not _is_the_authors(test, diagnostics, excuses):
        return Assertion(test.whole, test.ok, result.place, diagnostics=diagnostics)
    return Assertion(test.name, test.ok, result.place, test.directive, test.reason, diagnostics=diagnostics)


def _is_the_authors(test: Point, diagnostics: tuple[str, ...], excuses: Excuses) -> bool:
    """Whether the author wrote the directive: skip() prints no description, and todo() has its own failure heading."""
    if test.directive == "skip":
        return excuses.skip and not test.name
    if test.directive == "todo":
        return excuses.todo and not any(map(COUNTS.match, diagnostics))
    return True
