"""Finds the assertions of a check that printed no TAP line, and those of a whole item that were never evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pgchaos.engine.answer import Answer
from pgchaos.language.assertions import (
    Call,
    FunctionNames,
    asserting_functions,
    function_names,
    is_at_most_one_call,
    tap_calls,
)
from pgchaos.language.model import Scenario, cached_on_scenario
from pgchaos.language.section_items import Send, Statement
from pgchaos.language.written_assertions import (
    Evaluated,
    Written,
    never_evaluated,
    unconditional_assertions,
    written_assertions,
)
from pgchaos.results import Failure
from pgchaos.tap.lines import points

_WRITE_IT = "write it so that a missing row fails: SELECT is((SELECT …), …)"
_NO_ROW = "assertion was not run: its part of the query returned no row"
_NO_LINE = "assertion was not run: its column of the result holds no TAP line"
_UNREAD = {
    Send.PLAIN: (
        "an assertion is not read: psql prints a row as one line, and only a TAP line at its beginning counts",
        "write a SELECT for each assertion, without other columns",
    ),
    Send.EXPANDED: (
        r"an assertion is not read: \gx prints the name of its column before it",
        "end the statement with `;`",
    ),
}
"""What is wrong with a TAP line that nobody reads, and what to do."""
_NAMELESS = re.compile(r"^(?:not )?ok [0-9]+[ \t]*(?:#|$)", re.MULTILINE)
"""A TAP line without a description."""
_SKIPPED = "where that is meant, say so in the other branch: SELECT skip('why')"


@dataclass(slots=True)
class AssertionLines:
    """What a statement of a check has asserted.

    Args:
        printed: how many TAP lines it returned.
        unread: how many of these nobody reads: they do not stand at the beginning of what psql prints as a line.
        failures: what is wrong with it.
        remarks: what may be.
    """

    printed: int
    unread: int = 0
    failures: list[Failure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class NotRunDetector:
    """Looks at each statement of one check."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._printed: list[str] = []
        self._made_asserts = False  # one that a \gexec has made asserts

    def add_line(self, line: str) -> None:
        """Take a line that the statement prints."""
        self._printed.append(line)

    def done(self, statement: Statement, answer: Answer, *, is_made: bool = False) -> AssertionLines:
        r"""Say what a statement, as it was sent, has asserted that was carried out without an error.

        Args:
            statement: of the check; one with \gexec comes after those that it makes.
            answer: to it.
            is_made: by a \gexec.
        """
        if statement.send is Send.GEXEC and self._made_asserts:
            self._made_asserts = False
            return AssertionLines(0)
        outcome = self._look(statement, answer)
        self._made_asserts = is_made and (self._made_asserts or bool(outcome.printed or outcome.failures))
        return outcome

    def _look(self, statement: Statement, answer: Answer) -> AssertionLines:
        printed_text, self._printed = "\n".join(self._printed), []
        unread = (
            _unread(answer, statement.send) if printed_text and statement.send in (Send.PLAIN, Send.EXPANDED) else 0
        )
        outcome = AssertionLines(points(printed_text) + unread, unread)
        if unread:
            text, advice = _UNREAD[statement.send]
            outcome.failures.append(Failure("tap", (), text, statement.place, (advice,)))
        asserting, names, held = _named(self._scenario)
        if outcome.printed == 1 and not (unread or asserting or held) and is_at_most_one_call(statement.text):
            # what most statements do, of which there is nothing to say
            return outcome
        calls = tap_calls(statement, asserting, names)
        if calls and not outcome.printed:
            described = [call.description for call in calls if call.description]
            outcome.failures.append(_failure(statement, _why(statement, answer), described))
        elif calls and not unread:
            outcome.failures += _missing(statement, calls, printed_text, outcome.printed, answer)
            outcome.remarks += (
                _perhaps(statement, calls, printed_text, outcome.printed, held) if not outcome.failures else []
            )
        return outcome


@cached_on_scenario
def _named(scenario: Scenario) -> tuple[frozenset[str], FunctionNames, Mapping[str, tuple[Call, ...]]]:
    asserting, names = asserting_functions(scenario), function_names(scenario)
    return asserting, names, unconditional_assertions(scenario, asserting, names)


def _why(statement: Statement, answer: Answer) -> str:
    if statement.send is Send.GSET or (answer.results and not _returns(answer)):
        how = "\\gset takes it" if statement.send is Send.GSET else f"{statement.verb or 'this'} returns no rows"
        return f"assertion was not run where it is read: {how}, so call it by a SELECT that prints its TAP line"
    if statement.send is Send.HIDDEN:
        return r"assertion was not run where it is read: \g /dev/null hides what it prints"
    if any(result.height for result in answer.results):
        return "assertion was not run: its query returned no TAP line"
    return "assertion was not run: its query returned no row"


def _returns(answer: Answer) -> bool:
    return any(result.width or result.tag.startswith("COPY") for result in answer.results)


def _unread(answer: Answer, send: Send) -> int:
    r"""Count the TAP lines behind another column, or behind its name, which \gx prints before each cell."""
    found = 0
    several = (result for result in answer.results if result.width > 1 or send is Send.EXPANDED)
    for row in (row for result in several for row in result.rows()):
        cells = ["" if cell is None else cell for cell in row]
        found += sum(map(points, cells)) - (points("|".join(cells)) if send is Send.PLAIN else 0)
    return found


def _missing(
    statement: Statement, calls: tuple[Call, ...], printed_text: str, printed: int, answer: Answer
) -> list[Failure]:
    """Find what a statement with several assertions has left out."""
    calls = tuple(call for call in calls if not call.inside)
    if len(calls) < 2:
        return []
    printed_calls = _printed_calls(calls, printed_text)
    missing = [call for call in calls if call.certain and call not in printed_calls]
    if missing:
        return [_failure(statement, _NO_ROW, [_shown(one)]) for one in missing]
    empty = _empty_columns(statement, calls, answer)
    if empty:
        return [_failure(statement, _NO_LINE, [one.description for one in empty if one.description])]
    if len({call.part for call in calls}) > printed:
        return [_failure(statement, _NO_ROW, [])]
    certain = sum(call.certain for call in calls)
    text = f"assertion was not run where it is read: {certain} are written here, and they printed {_lines(printed)}"
    return [_failure(statement, text, [])] if certain > printed else []


def _lines(printed: int) -> str:
    return f"{printed} TAP line" if printed == 1 else f"{printed} TAP lines"


def _printed_calls(calls: Iterable[Call], printed_text: str) -> set[Call]:
    """Find the calls whose descriptions were printed: each line belongs to the longest that it holds.

    Of a call without a description, or with one that only the server knows, that cannot be known: it counts as printed.
    So does one whose description may be NULL, where no other call can have printed a line without any.
    """
    wanted = {call: _pieces(call) for call in calls}
    may_be_null = all(wanted.values()) and _has_nameless(printed_text)
    found = {call for call, pieces in wanted.items() if not pieces or (may_be_null and call.description is None)}
    for line in printed_text.split("\n"):
        held = {call: sum(map(len, pieces)) for call, pieces in wanted.items() if pieces and _holds(line, pieces)}
        found.update(call for call, length in held.items() if length == max(held.values()))
    return found


def _has_nameless(printed_text: str) -> bool:
    return _NAMELESS.search(printed_text) is not None


def _pieces(call: Call) -> tuple[str, ...]:
    """Give what the first line of its description holds."""
    if call.description is not None:
        # only the server knows the value of a string with escapes
        first = re.split(r"[\n\\]", call.description, maxsplit=1)[0]
        return (first,) if first else ()
    return () if any("\n" in piece for piece in call.pieces) else call.pieces


def _holds(line: str, pieces: Iterable[str]) -> bool:
    at = 0
    for piece in pieces:
        found = line.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _shown(call: Call) -> str:
    return "…".join(call.pieces) if call.description is None else call.description


def _empty_columns(statement: Statement, calls: tuple[Call, ...], answer: Answer) -> list[Call]:
    """Give the assertions of the first column that asserts and that holds no TAP line in any row."""
    if statement.send is not Send.PLAIN or len(answer.results) != 1:
        return []
    rows = list(answer.results[0].rows())
    for column in sorted({call.column for call in calls if call.column is not None}):
        if column < answer.results[0].width and not any(points(row[column] or "") for row in rows):
            return [call for call in calls if call.column == column]
    return []


def _perhaps(
    statement: Statement, calls: tuple[Call, ...], printed_text: str, printed: int, held: Mapping[str, tuple[Call, ...]]
) -> list[str]:
    """Say what a statement may have left out: whether it was to be evaluated, its text does not tell."""
    outer = [call for call in calls if not call.inside]
    parts = len({call.part for call in outer})
    if 1 < parts < printed and (_has_nameless(printed_text) or not all(map(_pieces, outer))):
        text = f"{parts} parts of a query printed {_lines(printed)}, and which printed them is not known"
        return [f"{statement.place}: {text}: give each assertion a description of its own"]
    groups = sum(not call.choice for call in outer) + len({call.choice for call in outer if call.choice})
    if groups > printed:
        text = f"{groups} assertions are written here, and they printed {_lines(printed)}"
        return [f"{statement.place}: {text}: where a CASE is to assert nothing, let its ELSE be skip('why')"]
    if len(outer) != 1 or "# SKIP" in printed_text:
        return []
    name = outer[0].name.lower()
    inside = held.get(name, ())
    printed_calls = _printed_calls(inside, printed_text)
    silent = [_shown(call) for call in inside if call not in printed_calls]
    if not silent and len(inside) <= printed:
        return []
    which = ", ".join(f"'{one}'" for one in silent) or f"{len(inside) - printed} of its {len(inside)} assertions"
    return [f"{statement.place}: {name}() asserted nothing by {which}: its loop or query came over no row"]


def _failure(statement: Statement, text: str, descriptions: list[str]) -> Failure:
    details = (*(f"it is {one!r}" for one in descriptions), _WRITE_IT)
    return Failure("not run", (), text, statement.place, details)


def not_run(scenario: Scenario, variables: Mapping[str, str], evaluated: frozenset[Evaluated]) -> list[Failure]:
    """Say what was never evaluated in all runs of an item.

    Args:
        scenario: as it was run.
        variables: the values of its matrix.
        evaluated: in any of the runs.

    Returns:
        A failure for each assertion, in order of the file.
    """
    return [_never(one) for one in never_evaluated(written_assertions(scenario, variables), evaluated)]


def _never(one: Written) -> Failure:
    described = tuple(f"it is {text!r}" for text in one.descriptions if text is not None)
    branch = "its \\if branch was never taken" if one.branch else ""
    if one.kind == "expect":
        why = branch or "no session came to its statement"
        details: tuple[str, ...] = ()
        text = f"expect was not run: {why}"
    elif one.kind == "assert":
        function = "the function that it stands in was not called, or took another way" if one.anywhere else ""
        why = branch or function or "no session came to it, or its query returned no row"
        details = (*described, "write its condition as its argument, and call it where that holds too")
        text = f"chaos.assert was not run: {why}"
    else:
        unused = "nothing uses the function, procedure, view, cursor or prepared statement that it stands in"
        why = branch or (unused if one.anywhere else "the check ended before it")
        details = ("call it by a SELECT that prints its TAP line, or take it out",) if one.anywhere else ()
        text = f"assertion was not run: {why}"
    return Failure("not run", (), text, one.place, (*details, *((_SKIPPED,) if branch and one.kind == "tap" else ())))
