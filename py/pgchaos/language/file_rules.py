"""Rules of a whole file for one directive each: `repeat while`, `matrix`, and `oracle`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from pgchaos.language.header_model import Matrix, When
from pgchaos.language.lexemes import Sql
from pgchaos.language.model import Scenario, Session
from pgchaos.language.mutation import sessions_of
from pgchaos.language.problems import Place, Problem
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.section_items import Barrier, Fault, Meta, Parts, Variable
from pgchaos.language.sql_tokens import all_statements
from pgchaos.language.suggestions import meant
from pgchaos.language.transaction_statements import continues_after_end, prepares_transaction

_ENDS = re.compile("commit|rollback", re.IGNORECASE)
_WAITS = re.compile(r"\bchaos\s*\.\s*(?:barrier|wait_for|wait_blocked)\b", re.IGNORECASE)
_FOR_EVER = "in a serial order it waits for ever; the directive of that name is left out there"
_NO_ORACLE = "`state` is what an oracle compares: `-- chaos:oracle serializable` in the head is missing"


def check_oracle(bodies: Iterable[SectionBuilder], oracle: bool, complain: Callable[[Place, str], None]) -> None:
    """Hold sections against the oracle, or against there being none.

    Args:
        bodies: all sections, those of mutants too.
        oracle: whether the file asks for one.
        complain: called with the place and text of each problem.
    """
    for body in bodies:
        if body.kind == "state" and not oracle:
            complain(body.place, _NO_ORACLE)
        for sql in body.sources if oracle else ():
            what = _what(sql) if body.kind == "session" else ""
            if not what and _commits_inside(sql.text):
                what = "a procedure or DO that ends transactions inside: it is several, and counts as one"
            if not what and body.kind in ("session", "setup", "mutant") and (wait := _WAITS.search(sql.text)):
                what = f"{wait[0]}(): {_FOR_EVER}"
            if what:
                complain(sql.place, f"`oracle` cannot judge {what}")


def _commits_inside(text: str) -> bool:
    return _ENDS.search(text) is not None and any(
        parsed.in_body and parsed.verb in ("commit", "rollback") for parsed in all_statements(text)
    )


def _what(sql: Sql) -> str:
    if prepares_transaction(sql.verb, sql.text):
        return "PREPARE TRANSACTION: another session may end it"
    if continues_after_end(sql.verb, sql.text):
        return "one statement, or group, that ends a transaction and begins the next: write them apart"
    return ""


def check_repeats(scenario: Scenario, complain: Callable[[Place, str], None]) -> None:
    """Complain of each `repeat while` that cannot be.

    Args:
        scenario: the file.
        complain: called with the place and text of each problem, once for each.
    """
    found: dict[tuple[Place, str], None] = {}
    changed = [mutant for mutant in scenario.mutants if mutant.sessions]
    own = [scenario.sessions, *(mutant.sessions for mutant in changed)]
    if not any(session.beside for sessions in own for session in sessions):
        return
    for sessions in (scenario.sessions, *(sessions_of(scenario, mutant) for mutant in changed)):
        by_name = {session.name: session for session in sessions}
        for session in sessions:
            if session.beside:
                found.update(((session.place, text), None) for text in _wrong(session, by_name))
                found.update(((session.place, text), None) for text in _cannot_be_counted(scenario))
    for place, text in found:
        complain(place, f"`repeat while`: {text}")


def _wrong(session: Session, sessions: Mapping[str, Session]) -> Iterable[str]:
    if session.beside not in sessions:
        yield f"there is no session `{session.beside}`{meant(session.beside, set(sessions) - {session.name})}"
        return
    chain = [session.name]
    while (beside := sessions[chain[-1]].beside) in sessions:
        chain.append(beside)
        if beside == session.name:
            yield f"it would never end: {' waits for '.join(f'`{name}`' for name in chain)}"
            return
        if beside in chain[:-1]:
            return
    for item in session.items:
        if isinstance(item, Barrier):
            yield (
                f"the barrier `{item.name}` in line {item.place.line} would wait for sessions that do not come again;"
                " use `signal` and `wait for`, or `repeat N`"
            )
        elif isinstance(item, Fault) and item.anywhere:
            yield f"`at any step` in line {item.place.line} needs to know how many steps there are: write `repeat N`"


def _cannot_be_counted(scenario: Scenario) -> Iterable[str]:
    if scenario.schedule.kind != "free":
        yield "a schedule needs to know how many steps there are: write `repeat N`, or leave the schedule out"
    if scenario.oracle is not None:
        yield "the oracle runs the same transactions again, one after the other: write `repeat N`"


_ASKED = re.compile(r"\bvar\s*\(\s*(?:'(?P<name>\w+)'\s*\))?", re.IGNORECASE)
"""A call of chaos.var(), with the name in it where it is a plain string."""
_ALL = re.compile(r"\bchaos\.vars\b", re.IGNORECASE)
"""The setting that holds all variables."""
_WRITTEN = re.compile(r""":(?:(?P<plain>\w+)|'(?P<literal>\w+)'|"(?P<identifier>\w+)"|\{\?(?P<test>\w+)\})""")
"""A psql variable in a text that is cut at its variables only when it is used."""


def check_matrix_used(
    scenario: Scenario,
    own: Collection[SectionBuilder],
    of_mutants: Collection[SectionBuilder],
    matrix: Mapping[str, Matrix],
    complain: Callable[[Place, str], None],
) -> tuple[Problem, ...]:
    """Complain of each matrix that no statement, meta-command or condition uses: all of its items would run the same.

    The `when` of a mutant only chooses beside which of these items it is run, so it uses none.

    Args:
        scenario: the file.
        own: the sections of the scenario itself, those of included files too.
        of_mutants: the sections of its mutants.
        matrix: by name.
        complain: called with the place and text of each problem.

    Returns:
        A note on each that only mutants use: without them its items run the same.
    """
    if not matrix:
        return ()
    unused = set(matrix) - _used_by((*scenario.server, *scenario.xfails, *scenario.leaves), own, matrix)
    by_mutants = _used_by((), of_mutants, matrix) if unused else set[str]()
    for text in _new_texts(scenario):
        by_mutants |= _names_in(text, matrix)
    chosen = {one.when.name for one in scenario.mutants if one.when is not None}
    for name in [name for name in matrix if name in unused - by_mutants]:
        one = matrix[name]
        uses = f"only the `when` of a mutant uses `{name}`" if name in chosen else f"nothing uses `{name}`"
        complain(
            one.place,
            f"`matrix`: {uses}: write `:{name}` or `:'{name}'` in a statement, chaos.var('{name}')"
            f" in a function, or `when {name} = {_quoted(one.values[0])}` behind {'another' if name in chosen else 'a'}"
            " directive",
        )
    text = "`matrix`: only mutants use `{}`: without them all its items run the same"
    return tuple(Problem(one.place, text.format(name)) for name, one in matrix.items() if name in unused & by_mutants)


def _used_by(
    directives: Iterable[object], bodies: Collection[SectionBuilder], matrix: Mapping[str, Matrix]
) -> set[str]:
    """Name the matrices that directives ask for by `when`, and those that sections use."""
    items = (item for body in bodies for item in body.items)
    conditions: list[When | None] = [getattr(one, "when", None) for one in (*directives, *items)]
    used = {when.name for when in conditions if when is not None}
    return used.union(*(_used_in(body, matrix) for body in bodies))


def _new_texts(scenario: Scenario) -> Iterator[str]:
    """Give the texts that mutants put into statements."""
    return (replace.new for mutant in scenario.mutants for replace in mutant.replaces)


def _used_in(body: SectionBuilder, matrix: Mapping[str, Matrix]) -> set[str]:
    used: set[str] = set()
    for sql in body.sources:
        # what stands in a dollar quote or a slice is told of by itself
        used |= (
            _variables((*sql.parts, *sql.prefix))
            | sql.dollar_variables
            | sql.slice_variables
            | _asked_in(sql.text, matrix)
        )
    for item in body.items:
        if isinstance(item, Meta):
            for parts in item.args:
                used |= _variables(parts)
                # the value of a \set is cut when it is used
                used |= _names_in("".join(part for part in parts if isinstance(part, str)), matrix)
    return used


def _variables(parts: Parts) -> set[str]:
    return {part.name for part in parts if isinstance(part, Variable)}


def _names_in(text: str, matrix: Mapping[str, Matrix]) -> set[str]:
    return {name for found in _WRITTEN.finditer(text) for name in found.groups() if name} | _asked_in(text, matrix)


def _asked_in(text: str, matrix: Mapping[str, Matrix]) -> set[str]:
    """Name what a text asks for by chaos.var(); all, where the name is no plain string."""
    if _ALL.search(text):
        return set(matrix)
    asked = [found["name"] for found in _ASKED.finditer(text)]
    return set(matrix) if None in asked else {name for name in asked if name}


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"\w+", value) else "'" + value.replace("'", "''") + "'"
