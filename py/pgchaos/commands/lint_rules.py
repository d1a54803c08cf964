"""The rules of lint that warn about scenarios without mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pgchaos.commands.findings import CANNOT_FAIL, FREE_RACE, NO_MUTANT, SLEEP, UNSET_VARIABLE, Finding
from pgchaos.language.assertions import FunctionNames, asserting_functions, function_names, tap_calls
from pgchaos.language.header import SESSION_VARIABLES
from pgchaos.language.model import Scenario, Session, statements_in
from pgchaos.language.problems import Place
from pgchaos.language.programs import used_variables
from pgchaos.language.section_items import (
    STEERS,
    Delay,
    Expect,
    Fault,
    Item,
    Statement,
)
from pgchaos.language.sql_tokens import (
    SqlToken,
    all_statements,
    call_arguments,
    function_calls,
    token_at,
    tokenize,
)
from pgchaos.language.suggestions import nearest

_LIKE = 0.75
"""The similarity of two names of variables, by difflib, from which on one is probably a misspelling."""
_SLEEPS = frozenset({"pg_sleep", "pg_sleep_for", "pg_sleep_until"})
_MEETING_FUNCTIONS = frozenset({"barrier", "signal", "wait_for", "wait_blocked"})


def warnings_of(scenario: Scenario) -> Iterator[Finding]:
    """Find probable mistakes."""
    for note in scenario.notes:
        yield Finding(note.place, note.rule, note.text)
    if not scenario.sessions:
        return
    for session in scenario.all_sessions:
        yield from _sleeps(session)
    yield from _cannot_fail(scenario)
    yield from _free_race(scenario)
    yield from _unset_variables(scenario)
    if not scenario.mutants:
        text = (
            "no mutant: nothing shows that the scenario fails when the bug is there; plant it by `-- chaos:mutant NAME`"
            " with `-- chaos:caught by 'NAME OF THE ASSERTION'`, and run --chaos-mutants"
        )
        yield Finding(Place(scenario.shown, 1), NO_MUTANT, text)


# variables of programs


def _unset_variables(scenario: Scenario) -> Iterator[Finding]:
    """Find misspelt variables in commands, which programs get unchanged."""
    known = {*SESSION_VARIABLES, *scenario.constants, *(one.name for one in scenario.matrix)}
    known.update(one.name for one in scenario.given)
    for session in scenario.all_sessions:
        for name in sorted(used_variables(session.program) - known):
            near = nearest(name, known, _LIKE)
            if session.program is not None and near is not None:
                text = f"nothing sets `:{name}`, so the program gets it as it is written: did you mean `:{near}`?"
                yield Finding(session.program.place, UNSET_VARIABLE, text)


# pg_sleep


def _sleeps(session: Session) -> Iterator[Finding]:
    """Find pg_sleep in statements, except in those that are expected to be interrupted."""
    is_broken_off = False
    for item in session.items:
        if isinstance(item, Fault | Expect):
            is_broken_off = is_broken_off or isinstance(item, Expect) or item.moment == "during"
        elif isinstance(item, Statement):
            if not is_broken_off:
                yield from (_sleep(item, name, session.name) for name in _sleeping_calls(item.text))
            is_broken_off = False


def _sleeping_calls(text: str) -> Iterator[str]:
    for statement in all_statements(text):
        for call in function_calls(statement.tokens):
            is_sleep = call.name in _SLEEPS and call.schema in ("", "pg_catalog")
            if is_sleep and not _is_zero(statement.tokens, call.at):
                yield call.name


def _is_zero(tokens: Sequence[SqlToken], at: int) -> bool:
    return [token.text for argument in call_arguments(tokens, at) for token in argument] == ["0"]


def _sleep(item: Statement, name: str, session: str) -> Finding:
    text = (
        f"{name}() in session `{session}` makes an order likely, not certain: wait for what is meant, by"
        " `-- chaos:barrier NAME`, `-- chaos:wait for SIGNAL` or `-- chaos:wait blocked SESSION`"
    )
    return Finding(item.place, SLEEP, text)


# assertions that cannot fail


def _cannot_fail(scenario: Scenario) -> Iterator[Finding]:
    asserting, names = asserting_functions(scenario), function_names(scenario)
    for item in statements_in(scenario.checks):
        yield from _constant_assertions(item, names)
    for item in statements_in(scenario.invariants):
        if _is_constant_query(tokenize(item.text)):
            yield Finding(item.place, CANNOT_FAIL, "the invariant reads nothing: have it query a table")
    called = [
        (call.name, item) for item in statements_in(scenario.checks) for call in tap_calls(item, asserting, names)
    ]
    passes = [item for name, item in called if name == "pass"]
    asserts = scenario.oracle or scenario.invariants or len(passes) < len(called)
    asserts = asserts or any(map(_asserts, (item for session in scenario.sessions for item in session.items)))
    if passes and not asserts and not _is_conditional(scenario):
        text = "the only assertion is pass(): assert what must be true afterwards, by is() or ok() with a query"
        yield Finding(passes[0].place, CANNOT_FAIL, text)


def _asserts(item: Item) -> bool:
    return isinstance(item, Expect) or (isinstance(item, Statement) and "chaos.assert" in item.text.lower())


def _is_conditional(scenario: Scenario) -> bool:
    """Whether a check chooses between pass() and something else."""
    items = [item for section in scenario.checks for item in section.items]
    return any(not isinstance(item, Statement) or " case " in f" {item.text.lower()} " for item in items)


def _is_constant_query(tokens: Sequence[SqlToken]) -> bool:
    """Whether a query reads no table and calls no function."""
    words = [token for token in tokens if token.is_identifier]
    reads = any(token.is_word("from", "table", "exists") for token in words)
    return not (reads or any(token.kind == "variable" for token in tokens) or list(function_calls(tokens)))


_COMPARES = {"is": 2, "isnt": 2, "cmp_ok": 3, "ok": 1, "matches": 2, "alike": 2}
"""Assertions of values, with the number of arguments that they compare."""


def _constant_assertions(item: Statement, names: FunctionNames) -> Iterator[Finding]:
    tokens = tokenize(item.text)
    if token_at(tokens, 0).is_word("create", "do"):
        return
    is_in_choice = any(token.is_word("case", "coalesce") for token in tokens)
    for call in function_calls(tokens):
        if call.name not in _COMPARES or call.name in names.own or is_in_choice:
            continue
        compared = call_arguments(tokens, call.at)[: _COMPARES[call.name]]
        place = Place(item.place.path, item.place.line + tokens[call.at].line)
        what = _why_true(call.name, compared)
        if what:
            yield Finding(place, CANNOT_FAIL, f"{call.name}() {what}")


def _why_true(name: str, compared: Sequence[Sequence[SqlToken]]) -> str:
    if all(map(_is_constant, compared)) and any(compared):
        return "compares constants: compare what a query finds with what must be there"
    texts = [[(token.kind, token.text) for token in argument] for argument in compared]
    if name in ("is", "cmp_ok") and len(texts) >= 2 and texts[0] == texts[-1]:
        return "compares a value with itself: write what must be there as a constant"
    words = [token.text for argument in compared for token in argument]
    if words in (["count", "(", "*", ")", ">", "=", "0"], ["count", "(", "*", ")", ">", "=", "'>='", "0"]):
        return "is true of every count: no count is below 0"
    return ""


def _is_constant(argument: Sequence[SqlToken]) -> bool:
    """Whether an argument consists of literals, casts and operators."""
    before_cast = [
        token
        for at, token in enumerate(argument)
        if token.is_identifier and not token_at(argument, at - 1).is_symbol("::")
    ]
    has_variable = any(token.kind == "variable" for token in argument)
    return not has_variable and all(token.is_word("true", "false", "null", "not", "and", "or") for token in before_cast)


# races


def _free_race(scenario: Scenario) -> Iterator[Finding]:
    connections = scenario.connections
    if connections < 2 or scenario.schedule.kind != "free" or scenario.plain:
        return
    items = [item for session in scenario.sessions for item in session.items]
    if any(isinstance(item, STEERS) for item in items) or _meet_by_functions(items):
        return
    if any(session.repeat > 1 or session.repeat_while for session in scenario.sessions):
        return  # repetitions make the race likely
    delays = " (a delay makes an order likely, not certain)" if any(isinstance(item, Delay) for item in items) else ""
    barrier = "" if scenario.runs_programs else "`-- chaos:barrier NAME` where all have read, or "
    text = (
        f"{connections} connections run freely, and nothing makes them meet{delays}: the race may never happen; add"
        f" {barrier}`-- chaos:schedule explore 500` to search the orders"
    )
    yield Finding(scenario.sessions[0].place, FREE_RACE, text)


def _meet_by_functions(items: Iterable[Item]) -> bool:
    texts = (item.text for item in items if isinstance(item, Statement) and "chaos" in item.text.lower())
    return any(
        call.schema.lower() == "chaos" and call.name.lower() in _MEETING_FUNCTIONS
        for text in texts
        for statement in all_statements(text)
        for call in function_calls(statement.tokens)
    )
