"""Rules of the whole file for one directive each: `oracle`, `repeat while`, `default`, `matrix` and `given`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from pgchaos.language.constants import names_used
from pgchaos.language.header_model import Given, Matrix, When
from pgchaos.language.lexemes import Sql
from pgchaos.language.model import Scenario, Session
from pgchaos.language.mutation import sessions_of
from pgchaos.language.problems import UNUSED_MATRIX, Place, Problem
from pgchaos.language.programs import used_variables
from pgchaos.language.section_builder import Complain, SectionBuilder
from pgchaos.language.section_items import Barrier, Fault, Meta, variable_names
from pgchaos.language.sql_tokens import all_statements
from pgchaos.language.suggestions import suggest
from pgchaos.language.transaction_statements import continues_after_end, prepares_transaction

# oracle

_ENDS = re.compile("commit|rollback", re.IGNORECASE)
_WAITS = re.compile(r"\bchaos\s*\.\s*(?:barrier|wait_for|wait_blocked)\b", re.IGNORECASE)


def check_oracle(bodies: Iterable[SectionBuilder], oracle: bool, complain: Complain) -> None:
    """Report what an oracle cannot judge, and `state` without an oracle."""
    for body in bodies:
        if body.kind == "state" and not oracle:
            text = "`state` is what an oracle compares: `-- chaos:oracle serializable` in the header is missing"
            complain(body.place, text)
        for sql in body.sources if oracle else ():
            what = _not_judged(sql, body.kind)
            if what:
                complain(sql.place, f"`oracle` cannot judge {what}")


def _not_judged(sql: Sql, kind: str) -> str:
    if kind == "session" and prepares_transaction(sql.verb, sql.text):
        return "PREPARE TRANSACTION: another session may end it"
    if kind == "session" and continues_after_end(sql.verb, sql.text):
        return "one statement, or group, that ends a transaction and begins the next: write them separately"
    if _commits_inside(sql.text):
        return "a procedure or DO that ends transactions inside: it is several transactions, and counts as one"
    if kind in ("session", "setup", "mutant") and (wait := _WAITS.search(sql.text)):
        return f"{wait[0]}(): in a serial order it waits for ever; the directive of that name is left out there"
    return ""


def _commits_inside(text: str) -> bool:
    return _ENDS.search(text) is not None and any(
        statement.in_body and statement.verb in ("commit", "rollback") for statement in all_statements(text)
    )


# repeat while


def check_repeats(scenario: Scenario, complain: Complain) -> None:
    """Report each `repeat while` that cannot work."""
    found: dict[tuple[Place, str], None] = {}
    changed = [mutant for mutant in scenario.mutants if mutant.sessions]
    if not any(session.repeat_while for session in scenario.all_sessions):
        return
    for sessions in (scenario.sessions, *(sessions_of(scenario, mutant) for mutant in changed)):
        by_name = {session.name: session for session in sessions}
        for session in (one for one in sessions if one.repeat_while):
            texts = (*_wrong_repeat(session, by_name), *_needs_count(scenario))
            found.update(((session.place, text), None) for text in texts)
    for place, text in found:
        complain(place, f"`repeat while`: {text}")


def _wrong_repeat(session: Session, sessions: Mapping[str, Session]) -> Iterable[str]:
    if session.repeat_while not in sessions:
        others = set(sessions) - {session.name}
        yield f"there is no session `{session.repeat_while}`{suggest(session.repeat_while, others)}"
        return
    chain = [session.name]
    while (other := sessions[chain[-1]].repeat_while) in sessions:
        chain.append(other)
        if other == session.name:
            yield f"it would never end: {' waits for '.join(f'`{name}`' for name in chain)}"
            return
        if other in chain[:-1]:
            return
    for item in session.items:
        if isinstance(item, Barrier):
            yield (
                f"the barrier `{item.name}` in line {item.place.line} waits for sessions that never reach it again;"
                " use `signal` and `wait for`, or `repeat N`"
            )
        elif isinstance(item, Fault) and item.anywhere:
            yield f"`at any step` in line {item.place.line} needs the number of steps: write `repeat N`"


def _needs_count(scenario: Scenario) -> Iterable[str]:
    if scenario.schedule.kind != "free":
        yield "a schedule needs the number of steps: write `repeat N`, or leave the schedule out"
    if scenario.oracle is not None:
        yield "the oracle runs the same transactions again, one after the other: write `repeat N`"


# constants


def check_constants_used(declared: Mapping[str, Place], texts: Iterable[str], complain: Complain) -> None:
    """Report each variable that the header sets and nothing uses: it may be misspelt."""
    used = names_used(texts) if declared else frozenset()
    for name, place in declared.items():
        if name not in used:
            hint = suggest(name, used & declared.keys())
            complain(place, f"nothing uses the variable `{name}`{hint}")


# matrix

_VAR_CALL = re.compile(r"\bvar\s*\(\s*(?:'(?P<name>\w+)'\s*\))?", re.IGNORECASE)  # the name if it is a plain string
_ALL_VARS = re.compile(r"\bchaos\.vars\b", re.IGNORECASE)  # the setting that holds all variables
_VARIABLE = re.compile(r""":(?:(?P<plain>\w+)|'(?P<literal>\w+)'|"(?P<identifier>\w+)"|\{\?(?P<test>\w+)\})""")


def check_matrix_used(
    scenario: Scenario,
    own: Collection[SectionBuilder],
    of_mutants: Collection[SectionBuilder],
    matrix: Mapping[str, Matrix],
    problems: list[Problem],
) -> tuple[Problem, ...]:
    """Report each matrix that no statement, meta-command or condition uses: all its items would run the same.

    The `when` of a mutant is no use, because it only chooses the items with the mutant. For a matrix that only mutants
    use (`of_mutants` are their sections, `own` those of the scenario) a note is returned.
    """
    if not matrix:
        return ()
    directives = *scenario.server, *scenario.poolers, *scenario.pooler_settings, *scenario.xfails, *scenario.leaves
    unused = set(matrix) - _used_by(directives, own, matrix) - _used_in_constants(scenario, matrix)
    by_mutants = _used_by((), of_mutants, matrix) if unused else set[str]()
    for one in (replace for mutant in scenario.mutants for replace in mutant.replaces):
        by_mutants |= _names_in(one.new, matrix)
    chosen = {mutant.when.name for mutant in scenario.mutants if mutant.when is not None}
    for name in [name for name in matrix if name in unused - by_mutants]:
        values, place = matrix[name].values, matrix[name].place
        uses = f"only the `when` of a mutant uses `{name}`" if name in chosen else f"nothing uses `{name}`"
        text = (
            f"`matrix`: {uses}: write `:{name}` or `:'{name}'` in a statement, chaos.var('{name}')"
            f" in a function, or `when {name} = {_quoted(values[0])}` behind {'another' if name in chosen else 'a'}"
            " directive"
        )
        problems.append(Problem(place, text, rule=UNUSED_MATRIX))
    text = "`matrix`: only mutants use `{}`: without them all its items run the same"
    return tuple(
        Problem(one.place, text.format(name), rule=UNUSED_MATRIX)
        for name, one in matrix.items()
        if name in unused & by_mutants
    )


def check_given_used(
    scenario: Scenario, bodies: Collection[SectionBuilder], given: Mapping[str, Given], complain: Complain
) -> None:
    """Report each variable of `given` that nothing uses: all its values would run the same."""
    used = _used_by((), bodies, given) | _used_in_constants(scenario, given) if given else set[str]()
    for change in (replace for mutant in scenario.mutants for replace in mutant.replaces if given):
        used |= _names_in(change.new, given)
    for name, one in given.items():
        if name not in used:
            text = f"write `:{name}` or `:'{name}'` in a statement, or chaos.var('{name}') in a function"
            complain(one.place, f"`given`: nothing uses `{name}`: {text}")


def _used_by(directives: Iterable[object], bodies: Collection[SectionBuilder], names: Collection[str]) -> set[str]:
    items = (item for body in bodies for item in body.items)
    conditions: list[When | None] = [getattr(one, "when", None) for one in (*directives, *items)]
    used = {when.name for when in conditions if when is not None}
    return used.union(*(_used_in(body, names) for body in bodies))


def _used_in_constants(scenario: Scenario, names: Collection[str]) -> set[str]:
    """Return the names in the values that the header or --chaos-set gives to variables, such as a whole statement."""
    return set[str]().union(*(_names_in(value, names) for value in scenario.constants.values()))


def _used_in(body: SectionBuilder, names: Collection[str]) -> set[str]:
    used = used_variables(body.program)
    for sql in body.sources:
        # a name in a dollar quote or a slice is reported as a mistake of its own
        used |= variable_names((*sql.parts, *sql.prefix)) | sql.dollar_variables | sql.slice_variables
        used |= _var_calls(sql.text, names)
    for item in body.items:
        if isinstance(item, Meta):
            for parts in item.args:
                used |= variable_names(parts)
                # psql replaces variables in the value of a variable when that is used
                used |= _names_in("".join(part for part in parts if isinstance(part, str)), names)
    return used


def _names_in(text: str, names: Collection[str]) -> set[str]:
    return {name for found in _VARIABLE.finditer(text) for name in found.groups() if name} | _var_calls(text, names)


def _var_calls(text: str, names: Collection[str]) -> set[str]:
    """Return the names that chaos.var() is called with; all names if one is not a string literal."""
    if _ALL_VARS.search(text):
        return set(names)
    called = [found["name"] for found in _VAR_CALL.finditer(text)]
    return set(names) if None in called else {name for name in called if name}


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"\w+", value) else "'" + value.replace("'", "''") + "'"
