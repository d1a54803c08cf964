"""Finds the assertions of a check that printed no TAP line, and those of a whole item that were never evaluated."""

from __future__ import annotations

from collections.abc import Mapping

from pgchaos.engine.answer import Answer
from pgchaos.history import Failure
from pgchaos.scenario.assertions import (
    Call,
    Evaluated,
    Names,
    Written,
    asserting_functions,
    names_of,
    never_evaluated,
    tap_calls,
    written_assertions,
)
from pgchaos.scenario.items import Send, Statement
from pgchaos.scenario.model import Scenario
from pgchaos.tap.lines import points

_WRITE_IT = "write it so that a missing row fails: SELECT is((SELECT …), …)"
_SKIPPED = "where that is meant, say so in the other branch: SELECT skip('why')"


class Unheard:
    """Looks at each statement of one check.

    Args:
        scenario: whose check.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._functions: tuple[frozenset[str], Names] | None = None
        self._heard: list[str] = []

    def hear(self, line: str) -> None:
        """Take a line that the statement prints.

        Args:
            line: as psql would print it.
        """
        self._heard.append(line)

    def done(self, statement: Statement, answer: Answer) -> tuple[list[Failure], int]:
        """Say what is wrong with a statement that was carried out.

        Args:
            statement: of the check.
            answer: without an error.

        Returns:
            A failure for each of its assertions that was not run, and how many TAP lines it printed.
        """
        heard, self._heard = "\n".join(self._heard), []
        printed = points(heard)
        asserting, names = self._named()
        calls = tap_calls(statement, asserting, names)
        if not calls:
            return [], printed
        if not printed:
            described = [call.description for call in calls if call.description]
            return [_failure(statement, _why(statement, answer), described)], 0
        return _missing(statement, calls, heard, printed), printed

    def _named(self) -> tuple[frozenset[str], Names]:
        if self._functions is None:
            self._functions = asserting_functions(self._scenario), names_of(self._scenario)
        return self._functions


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


def _missing(statement: Statement, calls: tuple[Call, ...], heard: str, printed: int) -> list[Failure]:
    """Find what a statement with several assertions has left out."""
    text = "assertion was not run: its part of the query returned no row"
    if len(calls) == 1:
        return []
    missing = [
        call.description
        for call in calls
        if call.certain and call.description and call.description.replace("\n", "\n# ") not in heard
    ]
    if missing:
        return [_failure(statement, text, [one]) for one in missing]
    parts = len({call.part for call in calls})
    return [_failure(statement, text, [])] if parts > printed else []


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
        unused = "nothing uses the function, view, cursor or prepared statement that it stands in"
        why = branch or (unused if one.anywhere else "the check ended before it")
        details = ("call it by a SELECT that prints its TAP line, or take it out",) if one.anywhere else ()
        text = f"assertion was not run: {why}"
    return Failure("not run", (), text, one.place, (*details, *((_SKIPPED,) if branch and one.kind == "tap" else ())))
