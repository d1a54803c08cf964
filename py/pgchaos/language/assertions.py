r"""Finds the assertions that statements call, from their text.

A statement asserts if it calls an assertion of pgTAP or of the toolkit, or a function of the file that does. A
statement that only defines something (CREATE FUNCTION, PREPARE) asserts nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from pgchaos.language.assertion_functions import (
    FUNCTIONS,
    TOOLKIT,
    TOOLKIT_TAP,
    UNICODE_NAME,
    command_arguments,
    is_toolkit_on_search_path,
    own_functions,
    words_of,
)
from pgchaos.language.description_pieces import pieces_of
from pgchaos.language.lexemes import Sql
from pgchaos.language.model import Scenario, Section, Session, cached_on_scenario
from pgchaos.language.section_items import Item, Send, Statement
from pgchaos.language.sql_tokens import (
    NO_TOKEN,
    FunctionCall,
    SqlToken,
    all_statements,
    call_arguments,
    depths,
    function_calls,
    token_at,
    tokenize,
)

_NO_ASSERTIONS = frozenset(
    "add_result collect_tap diag finish no_plan plan skip todo todo_end todo_start".split()  # noqa: SIM905  # a list of names
)
_ASSERTIONS = FUNCTIONS - _NO_ASSERTIONS
_PGTAP_SCHEMAS = frozenset({"public", "pgtap", "tap", "chaos_pgtap"})
# first words of statements that run the functions called in them, as CREATE TABLE AS does too
_RUNS_CALLS = frozenset(
    "select with values table do call execute fetch copy insert update delete merge explain".split()  # noqa: SIM905  # a list of names
)
_TWO = "is_empty isnt_empty lives_ok ok"
_THREE = """
    alike bag_eq bag_has bag_hasnt bag_ne doesnt_imatch doesnt_match ialike imatches is isa_ok isnt matches results_eq
    results_ne row_eq set_eq set_has set_hasnt set_ne throws_like throws_matching unalike unialike
"""
# assertions whose last argument is the description, if they have this number of arguments
_DESCRIBED = {
    "pass": 1,
    "fail": 1,
    **dict.fromkeys(_TWO.split(), 2),
    **dict.fromkeys(_THREE.split(), 3),
    "cmp_ok": 4,
}
_ALL = _ASSERTIONS | TOOLKIT_TAP
_CALLED = re.compile(r'\b(\w+)"?\s*(?:\(|--|/\*)')  # a comment may precede the parenthesis
_READS = ("execute", "from", "in", "join", "table")  # words before a prepared statement, a view or a cursor
_BEFORE_VIEW = ("or", "replace", "global", "local", "temp", "temporary", "recursive")
_SET_OPERATIONS = ("union", "except", "intersect")


class TapLine(Enum):
    """What becomes of the TAP line that a call returns."""

    PRINTED = 1  # by the statement
    READ = 2  # by another assertion or an asserting function, of which the call is an argument
    UNREAD = 3  # the call is an argument of an assertion that does not read it, or may not even evaluate it


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an assertion."""

    name: str
    description: str | None  # if it is a literal, else None
    certain: bool  # it is evaluated for each row: it is not in CASE or the like
    part: int  # the part of a UNION, from 0
    choice: int = 0  # the number of the outermost CASE or COALESCE that contains it, from 1; 0 for none
    column: int | None = None  # the number of its expression in the SELECT list, from 0; None if that is not known
    tap_line: TapLine = TapLine.PRINTED
    pieces: tuple[str, ...] = ()  # the literals of a description that is concatenated or formatted, in order


@dataclass(frozen=True, slots=True)
class FunctionNames:
    """Names of functions that decide which calls of a file are assertions."""

    own: frozenset[str] = frozenset()  # functions that the file creates, in lower case
    # assertions of the toolkit that may be called without their schema, because it is on the search_path
    unqualified: frozenset[str] = frozenset()


@cached_on_scenario
def function_names(scenario: Scenario) -> FunctionNames:
    """Return the names that decide which calls of a scenario are assertions."""
    return function_names_in(list(scenario.statements()), all_items(scenario))


def function_names_in(statements: Collection[Sql | Statement], items: Iterable[Item]) -> FunctionNames:
    """Return the names that decide which calls are assertions, from all statements and items of a file."""
    own = own_functions(statements)
    on_path = is_toolkit_on_search_path(statements, command_arguments(items))
    return FunctionNames(own, TOOLKIT - own if on_path else frozenset())


def all_items(scenario: Scenario) -> list[Item]:
    """Return the items of all sections and sessions."""
    sections: tuple[Section | Session, ...] = (
        *scenario.setup,
        *scenario.sessions,
        *scenario.checks,
        *scenario.teardown,
    )
    return [item for section in sections for item in section.items]


@cached_on_scenario
def asserting_functions(scenario: Scenario) -> frozenset[str]:
    """Find the definitions of a file that call an assertion, directly or through another definition.

    Returns:
        The names, in lower case, of functions, procedures, views, cursors and prepared statements.
    """
    defining = [item for item in scenario.statements() if item.verb in ("CREATE", "PREPARE", "DECLARE")]
    bodies = {name: item.text for item in defining for name in defined_names(item)}
    own = frozenset(bodies)
    names = FunctionNames(own, function_names(scenario).unqualified)
    parsed = {name: [statement.tokens for statement in all_statements(text)] for name, text in bodies.items()}
    users: dict[str, set[str]] = {name: set() for name in own}
    for name, text in bodies.items():
        for word in own.intersection(words_of(text)):
            users[word].add(name)
    found: set[str] = set()
    waiting = list(own)
    while waiting:
        name = waiting.pop()
        # its users are examined again after this one is known to assert
        if name not in found and any(calls_in(tokens, found, names) for tokens in parsed[name]):
            found.add(name)
            waiting += users[name] - found
    return frozenset(found)


def defined_names(item: Statement) -> frozenset[str]:
    """Return the names of the functions, view, cursor or prepared statement that a statement defines, in lower case."""
    return own_functions([item]) | _defined_name(item.text)


def _defined_name(text: str) -> frozenset[str]:
    tokens = tokenize(text)
    at = 1
    if token_at(tokens, 0).is_word("create"):
        while token_at(tokens, at).is_word(*_BEFORE_VIEW):
            at += 1
        if not token_at(tokens, at).is_word("view"):
            return frozenset()
        at += 3 if token_at(tokens, at + 2).is_symbol(".") else 1
    elif not token_at(tokens, 0).is_word("prepare", "declare"):
        return frozenset()
    name = token_at(tokens, at)
    return frozenset({name.text.lower()}) if name.is_identifier else frozenset()


def defines_unread(item: Statement, asserting: frozenset[str], names: FunctionNames) -> bool:
    """Whether a statement defines what calls an assertion and prints no line: a rule, policy, default or the like."""
    if item.verb not in ("CREATE", "ALTER") or (_ALL | asserting).isdisjoint(words_of(item.text)):
        return False
    tokens = tokenize(item.text)
    called = any(
        _is_assertion(call, asserting, names) and not _is_condition(tokens, call) for call in function_calls(tokens)
    )
    return called and not (runs_calls(tokens) or defined_names(item))


def _is_condition(tokens: Sequence[SqlToken], call: FunctionCall) -> bool:
    """Whether a call is a condition, as in `USING (has_role('x'))`: not of an assertion, which returns text."""
    before = token_at(tokens, call.at - (3 if call.schema else 1))
    levels = list(depths(tokens))
    end = next((at for at in range(call.at + 2, len(tokens)) if levels[at] == levels[call.at]), len(tokens))
    after = token_at(tokens, end + 1)
    return (before.is_symbol("(") or before.is_word("and", "or", "not")) and (
        after.is_symbol(")") or after.is_word("and", "or")
    )


def tap_calls(statement: Statement, asserting: frozenset[str], names: FunctionNames) -> tuple[Call, ...]:
    r"""Return the calls of a check's statement that print TAP; with \gexec, also those in its strings."""
    return _tap_calls(statement.text, statement.send is Send.GEXEC, asserting, names)


def is_at_most_one_call(text: str) -> bool:
    """Whether a statement certainly calls at most one assertion; a fast test, without tokens."""
    return sum(name.lower() in _ALL for name in _CALLED.findall(text)) <= 1 and UNICODE_NAME not in text


def first_call(text: str, names: FunctionNames) -> str | None:
    """Return the name of the first assertion of pgTAP or the toolkit that a statement calls, or None."""
    calls = _tap_calls(text, False, frozenset(), names)
    return calls[0].name if calls else None


# a search runs the same check thousands of times
@lru_cache(maxsize=512)
def _tap_calls(text: str, generates: bool, asserting: frozenset[str], names: FunctionNames) -> tuple[Call, ...]:
    tokens = tokenize(text)
    if not runs_calls(tokens):
        return ()
    calls = calls_in(tokens, asserting, names)
    strings = [token for token in tokens if token.kind == "string"] if generates or tokens[0].is_word("do") else []
    for string in strings:
        inner = calls_in(tokenize(string.text), asserting, names)
        calls += [Call(call.name, None, False, 0, tap_line=TapLine.READ) for call in inner]
    return tuple(calls)


def runs_calls(tokens: Sequence[SqlToken]) -> bool:
    """Whether a statement runs the functions that are called in it, and does not only define something."""
    first = next((token for token in tokens if not token.is_symbol("(")), NO_TOKEN)
    if first.is_word("create"):
        kinds = [token for token in tokens[1:5] if token.is_word("table", "view", "function", "materialized")]
        makes_rows = bool(kinds) and kinds[0].is_word("table", "materialized")
        return makes_rows and any(token.is_word("as") for token in tokens)
    return first.kind == "word" and first.text in _RUNS_CALLS


def calls_in(tokens: Sequence[SqlToken], asserting: Collection[str], names: FunctionNames) -> list[Call]:
    """Return the assertions that a statement calls, in order; `asserting` are the file's asserting definitions."""
    assertions = {call.at for call in function_calls(tokens) if _is_assertion(call, asserting, names)}
    found: list[Call] = []
    nesting = _Nesting(tokens)
    for at, token in enumerate(tokens):
        nesting.enter(token, token_at(tokens, at + 1))
        if not token.is_identifier:
            continue
        before, after = token_at(tokens, at - 1), token_at(tokens, at + 1)
        name = token.text.lower()
        if _reads_definition(before, token, after) and name in asserting:
            found.append(nesting.call(token.text))
        elif at in assertions:
            found.append(nesting.call(token.text, _described(tokens, at)))
            nesting.open_call(reads=name == "check_test" or name in asserting)
    return found


class _Nesting:
    """What the current token of a statement is part of."""

    def __init__(self, tokens: Sequence[SqlToken]) -> None:
        self._depth = self._part = self._choice = 0
        self._choices: list[int] = []  # the depth of each open COALESCE; -1 for a CASE, which ends with END
        # of each assertion whose arguments are open: its depth, and whether it may read the lines of others
        self._open_calls: list[tuple[int, bool]] = []
        self._column = 0 if _has_known_columns(tokens) else None

    def enter(self, token: SqlToken, after: SqlToken) -> None:
        """Go on to the next token; another token follows it."""
        if token.kind == "symbol":
            self._enter_symbol(token.text)
        elif token.is_identifier:
            self._enter_word(token, after)

    def _enter_symbol(self, symbol: str) -> None:
        self._depth += (symbol == "(") - (symbol == ")")
        if symbol == ")":
            if self._choices and 0 <= self._choices[-1] == self._depth:
                self._choices.pop()
            while self._open_calls and self._depth == self._open_calls[-1][0]:
                self._open_calls.pop()
        elif self._column is not None and self._depth == 0 and symbol == ",":
            self._column += 1

    def _enter_word(self, token: SqlToken, after: SqlToken) -> None:
        if self._depth == 0:
            self._part += token.is_word(*_SET_OPERATIONS)
            if token.is_word("from", "where", *_SET_OPERATIONS):
                self._column = None
        if token.is_word("case") or (token.is_word("coalesce") and after.is_symbol("(")):
            self._choice += not self._choices
            self._choices.append(-1 if token.is_word("case") else self._depth)
        elif self._choices and self._choices[-1] < 0 and token.is_word("end"):
            self._choices.pop()

    def open_call(self, *, reads: bool) -> None:
        """Go on to the arguments of an assertion."""
        self._open_calls.append((self._depth, reads))

    def call(self, name: str, description: list[SqlToken] | None = None) -> Call:
        """Make the call whose name is the current token; `description` is None for a definition that is read."""
        is_read = description is None or any(reads for _, reads in self._open_calls)
        tap_line = TapLine.READ if is_read else TapLine.UNREAD
        return Call(
            name,
            literal_text(description or []),
            # all branches of a CASE are found, but only one is evaluated
            certain=description is not None and not self._choices,
            part=self._part,
            choice=self._choice if self._choices else 0,
            column=self._column,
            tap_line=tap_line if self._open_calls else TapLine.PRINTED,
            pieces=pieces_of(description or []),
        )


def _has_known_columns(tokens: Sequence[SqlToken]) -> bool:
    """Whether a statement is one SELECT without `*`, so that the commas of its list separate the result's columns."""
    if not token_at(tokens, 0).is_word("select"):
        return False
    for at, token in enumerate(tokens[1:], 1):
        before = tokens[at - 1]
        is_column = before.is_symbol(".", ",") or before.is_word("select")
        if token.is_symbol(";") or (token.is_symbol("*") and is_column and not token_at(tokens, at + 1).is_symbol("(")):
            return False
    return True


def _reads_definition(before: SqlToken, token: SqlToken, after: SqlToken) -> bool:
    """Whether a token is the name of a prepared statement, a view or a cursor that is read."""
    return token.is_identifier and before.is_word(*_READS) and (before.is_word("execute") or not after.is_symbol("("))


def _is_assertion(call: FunctionCall, asserting: Collection[str], names: FunctionNames) -> bool:
    name, schema = call.name.lower(), call.schema.lower()
    if name in asserting:
        return True
    if schema == "chaos":
        return name in TOOLKIT_TAP
    if not schema and name in TOOLKIT_TAP:
        return name in names.unqualified
    return name in _ASSERTIONS and name not in names.own and (not schema or schema in _PGTAP_SCHEMAS)


def literal_text(argument: list[SqlToken]) -> str | None:
    """Return the content of an argument that is a string, with or without `::text`, else None."""
    if len(argument) == 3 and argument[1].is_symbol("::") and argument[2].is_word("text"):
        argument = argument[:1]
    return argument[0].text if len(argument) == 1 and argument[0].kind == "string" else None


def _described(tokens: Sequence[SqlToken], at: int) -> list[SqlToken]:
    """Return the description argument of the call whose name is at an index; empty without one."""
    found = call_arguments(tokens, at)
    return found[-1] if _DESCRIBED.get(tokens[at].text.lower()) == len(found) else []
