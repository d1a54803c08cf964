r"""Finds all assertions of a scenario, so that one that was never evaluated can be reported.

They are the assertions that its checks call, each chaos.assert and each `expect`. A definition of the file that asserts
must be used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Literal, TypeAlias

from pgchaos.language.assertion_functions import called_functions, own_functions
from pgchaos.language.assertions import (
    Call,
    FunctionNames,
    TapLine,
    asserting_functions,
    calls_in,
    defined_names,
    defines_unread,
    function_names,
    literal_text,
    runs_calls,
    tap_calls,
)
from pgchaos.language.header_model import applies
from pgchaos.language.model import Invariant, Part, Scenario, Session, cached_on_scenario, statements_in
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Expect, Fault, Item, Meta, Send, Statement, Variable
from pgchaos.language.sql_tokens import (
    FunctionCall,
    SqlStatement,
    SqlToken,
    all_statements,
    call_arguments,
    function_calls,
    token_at,
    tokenize,
)
from pgchaos.language.unused_definitions import unused_definitions

# a TAP line of a check's statement, chaos.assert, `expect`, a query of an invariant, or a session that sends statements
Kind: TypeAlias = Literal["tap", "assert", "expect", "invariant", "session"]

# an assertion that was evaluated: its kind, its place, and the description of a chaos.assert
Evaluated: TypeAlias = tuple[Kind, Place | None, str]

# for each \if around an item, its number in the scenario and the number of the item's branch
Branch: TypeAlias = tuple[tuple[int, int], ...]

_CONDITIONAL = ("if", "case", "when", "exception", "loop", "while", "coalesce")
_TODO = frozenset({"todo", "todo_start"})


@dataclass(frozen=True, slots=True)
class Excuses:
    """Which TAP directives excuse an assertion of a check."""

    todo: bool = False  # the file calls pgTAP's todo() or todo_start()
    skip: bool = False  # the file calls skip()


@cached_on_scenario
def excuses(scenario: Scenario) -> Excuses:
    """Return which TAP directives the checks and functions of a file make by calls of pgTAP."""
    texts = [item.text for item in scenario.statements() if item.verb == "CREATE"]
    texts += [item.text for item in statements_in(scenario.checks)]
    called = frozenset().union(*map(called_functions, texts))
    return Excuses(not _TODO.isdisjoint(called), "skip" in called)


@dataclass(frozen=True, slots=True)
class Written:
    """An assertion in the file."""

    kind: Kind
    place: Place  # of its statement, or of the directive
    # of a chaos.assert: at least one of them must be evaluated; None for one that is not a literal. Else its name.
    descriptions: tuple[str | None, ...] = (None,)
    # it is in a function, so any statement may evaluate it; for `tap`: it is in a definition that nothing uses
    anywhere: bool = False
    branch: Branch = ()  # the \if around it
    needed: bool = True  # it must be evaluated; if False, it only shows that its branch was taken
    alone: bool = False  # its statement can evaluate no chaos.assert of a function of the file


def written_assertions(scenario: Scenario, variables: Mapping[str, str]) -> tuple[Written, ...]:
    """Return what must be evaluated at least once in all runs of an item together, in order of the file.

    `scenario` contains the mutant, if there is one. What invariants return is not included: their monitor reports it.
    A session that holds no assertion and no fault counts as one: that it sends a statement.
    """
    asserting = asserting_functions(scenario)
    names = function_names(scenario)
    unused = unused_definitions(scenario, asserting)
    found: list[Written] = []
    checks = {id(section) for section in scenario.checks}
    numbers = count(1)
    parts: tuple[Part, ...] = (*scenario.setup, *scenario.sessions, *scenario.invariants)
    for section in (*parts, *scenario.checks, *scenario.teardown):
        before = len(found)
        for item, branch in _with_branches(section.items, numbers):
            if isinstance(item, Expect) and applies(item.when, variables):
                found.append(Written("expect", item.place, branch=branch))
            if not isinstance(item, Statement):
                continue
            if isinstance(section, Invariant):
                found.append(Written("invariant", item.place, branch=branch))
            elif id(section) in checks:
                found += _written_tap(item, branch, asserting, names)
            # an included file may be a library, which need not be used completely
            is_unused = not unused.isdisjoint(defined_names(item)) or defines_unread(item, asserting, names)
            if is_unused and item.place.path == scenario.shown:
                found.append(Written("tap", item.place, anywhere=True, branch=branch))
            found += _chaos_asserts(item, branch, scenario.shown, names)
        if isinstance(section, Session) and len(found) == before and _must_send(section, variables):
            found.append(Written("session", section.place, (section.name,)))
    return tuple(found)


def _written_tap(item: Statement, branch: Branch, asserting: frozenset[str], names: FunctionNames) -> Iterator[Written]:
    needed = bool(tap_calls(item, asserting, names))
    if needed or "skip" in called_functions(item.text):
        yield Written("tap", item.place, branch=branch, needed=needed)


def _must_send(session: Session, variables: Mapping[str, str]) -> bool:
    """Whether it has statements; without faults, which are reported if they are not delivered."""
    faults = (item for item in session.items if isinstance(item, Fault) and applies(item.when, variables))
    return not any(faults) and any(isinstance(item, Statement) for item in session.items)


def _with_branches(items: Iterable[Item], numbers: Iterator[int]) -> Iterator[tuple[Item, Branch]]:
    branch: Branch = ()
    for item in items:
        if isinstance(item, Meta) and item.name == "if":
            branch = (*branch, (next(numbers), 0))
        elif isinstance(item, Meta) and item.name in ("elif", "else") and branch:
            branch = (*branch[:-1], (branch[-1][0], branch[-1][1] + 1))
        elif isinstance(item, Meta) and item.name == "endif":
            branch = branch[:-1]
        else:
            yield item, branch


def _chaos_asserts(item: Statement, branch: Branch, shown: str, names: FunctionNames) -> Iterator[Written]:
    """Yield calls of chaos.assert. In functions only those of the file itself: an included file may be a library."""
    if "assert" not in item.text.lower():
        return
    defines = not runs_calls(tokenize(item.text))
    if defines and item.place.path != shown:
        return
    alone = _evaluates_no_other(item, names)
    for descriptions in _descriptions(item, names):
        yield Written("assert", item.place, descriptions, defines, branch, alone=alone)


def _evaluates_no_other(item: Statement, names: FunctionNames) -> bool:
    """Whether a statement certainly evaluates no assertion of a function, by a call, a view or a trigger."""
    if item.verb != "SELECT" or any(isinstance(part, Variable) for part in item.parts):
        return False
    reads = any(token.is_word("from") or token.is_symbol(";") for token in tokenize(item.text.rstrip("; \n")))
    return not reads and names.own.isdisjoint(called_functions(item.text))


def _descriptions(item: Statement, names: FunctionNames) -> list[tuple[str | None, ...]]:
    """Return the descriptions of each chaos.assert; one tuple with all if the statement chooses among them."""
    found: list[str | None] = []
    is_conditional = False
    for statement in all_statements(item.text):
        tokens = statement.tokens
        is_conditional = is_conditional or any(token.is_word(*_CONDITIONAL) for token in tokens)
        found += [_assert_description(call_arguments(tokens, call.at)) for call in _asserts(tokens, names)]
    if item.send is Send.GEXEC and not found:
        strings = (token.text for token in tokenize(item.text) if token.kind == "string")
        if any(True for string in strings for _ in _asserts(tokenize(string), names)):
            found.append(None)
    if is_conditional:
        return [tuple(found)] if found else []
    return [(one,) for one in found]


def _asserts(tokens: Iterable[SqlToken], names: FunctionNames) -> Iterator[FunctionCall]:
    for call in function_calls(tuple(tokens)):
        if call.name.lower() == "assert" and (
            call.schema.lower() == "chaos"
            # ASSERT (…) at the beginning is PL/pgSQL's statement
            or (not call.schema and call.at > 0 and "assert" in names.unqualified)
        ):
            yield call


def _assert_description(found: list[list[SqlToken]]) -> str | None:
    if len(found) != 2 or any(token.is_symbol("=>", ":=") for token in found[1]):
        return None
    text = literal_text(found[1])
    # only the server knows the value of a string with escapes
    return None if text is None or "\\" in text else text or "chaos.assert"


def never_evaluated(written: Iterable[Written], evaluated: frozenset[Evaluated]) -> list[Written]:
    r"""Return the assertions of one item that none of its runs evaluated.

    Those in a branch of an \if are not included if an assertion in another branch was evaluated.
    """
    written = list(written)
    places = {(kind, place) for kind, place, _ in evaluated}
    asserts = {(place, text) for kind, place, text in evaluated if kind == "assert"}
    descriptions = {text for _, text in asserts}
    of_functions = {
        text for _, text in asserts - {(one.place, text) for one in written if one.alone for text in one.descriptions}
    }
    literals = {one for item in written for one in item.descriptions if one is not None}
    has_others = bool(descriptions - literals)

    def was_evaluated(one: Written) -> bool:
        if one.kind != "assert":
            return (one.kind, one.place) in places
        for description in one.descriptions:
            if description is None:
                found = has_others if one.anywhere else ("assert", one.place) in places
            elif one.anywhere:
                found = description in of_functions
            else:
                found = ("assert", one.place, description) in evaluated
            if found:
                return True
        return False

    taken = {step for one in written if was_evaluated(one) for step in one.branch}
    return [one for one in written if one.needed and not was_evaluated(one) and not _another_taken(one.branch, taken)]


def _another_taken(branch: Branch, taken: set[tuple[int, int]]) -> bool:
    r"""Whether an assertion in another branch of an \if was evaluated instead."""
    return any(step not in taken and any(number == step[0] for number, _ in taken) for step in branch)


# assertions in functions of the file

_BRANCHES = ("if", "case")
_ENDS_EARLY = ("exception", "return", "exit", "continue")  # words after which a function may not continue


def unconditional_assertions(
    scenario: Scenario, asserting: Collection[str], names: FunctionNames
) -> dict[str, tuple[Call, ...]]:
    """Find the assertions that functions of a file print in every call, if their loops have rows.

    Returns:
        The assertions by the name of the function, in lower case; without functions that may end early, and those with
        one assertion.
    """
    found: dict[str, tuple[Call, ...]] = {}
    for item in scenario.statements():
        for name in own_functions([item]).intersection(asserting):
            calls = _unconditional(list(all_statements(item.text)), asserting, names)
            if len(calls) > 1:
                found[name] = calls
    return found


def _unconditional(body: list[SqlStatement], asserting: Collection[str], names: FunctionNames) -> tuple[Call, ...]:
    found: list[Call] = []
    branches = 0
    for statement in body[1:]:
        tokens = statement.tokens
        if statement.verb == "end":
            branches -= token_at(tokens, 1).is_word(*_BRANCHES) and branches > 0
        elif statement.verb in _BRANCHES:
            branches += 1
        elif statement.verb in _ENDS_EARLY and (len(tokens) == 1 or statement.verb == "exception"):
            return ()
        elif not branches:
            calls = calls_in(tokens, asserting, names)
            found += [call for call in calls if call.certain and call.tap_line is TapLine.PRINTED]
    return tuple(found)
