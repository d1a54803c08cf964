r"""What `sandbox schema` refuses: statements with an effect outside the one schema of a scenario.

Decided from the text alone, at collection. Statements that exist only at run time are not seen: those of \gexec, those
in a variable of \set, and those that a function builds.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pgchaos.language.assertion_functions import own_functions
from pgchaos.language.header_model import Matrix
from pgchaos.language.lexemes import Sql
from pgchaos.language.model import Replace, Scenario
from pgchaos.language.mutant_texts import text_match
from pgchaos.language.problems import Place
from pgchaos.language.psql_scanner import scan
from pgchaos.language.qualified_names import Qualified, qualified
from pgchaos.language.schema_rules import FUNCTIONS, STATEMENTS, TOOLKIT, Rule
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.section_items import Variable
from pgchaos.language.sql_tokens import SqlStatement, SqlToken, all_statements, function_calls, token_at
from pgchaos.language.substitution import TooLong, render

_WAY_OUT = "leave the directive out to get a database of its own"
_LONGEST = 40  # characters of a string that rules see


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that is refused."""

    line: int  # from 0 at the beginning of the text
    text: str  # what is wrong, and what to write instead
    neighbours: bool = False  # the reason is only that other scenarios use the database; nothing of it remains there


def refusals(text: str, own: frozenset[str] = frozenset(), extensions: frozenset[str] = frozenset()) -> list[Refusal]:
    """Find what has an effect outside the schema, in order of line, each once.

    A function of the file (`own`) may have the name of a refused one, and a name in another schema may be that of a
    required extension.
    """
    found = {refusal for statement in all_statements(text) for refusal in _refused(statement, own, extensions)}
    return sorted(found, key=_order)


def _order(refusal: Refusal) -> tuple[int, str]:
    return refusal.line, refusal.text


def check_schema_sandbox(
    bodies: Sequence[SectionBuilder],
    replaced: Iterable[tuple[Replace, str]],
    matrix: Mapping[str, Matrix],
    extensions: frozenset[str],
    skip: frozenset[Place],
    complain: Callable[[Place, str], None],
) -> None:
    """Complain of effects outside the schema of `sandbox schema`, with each value of a matrix that a statement uses.

    Statements in `skip` are run together with others by a missing `;`.
    """
    everything = [sql for body in bodies for sql in body.sources if sql.place not in skip]
    own = own_functions(everything)
    for sql in everything:
        for refusal in sorted(_of_statement(sql, own, matrix, extensions), key=_order):
            complain(Place(sql.place.path, sql.place.line + refusal.line), refusal.text)
    before = lru_cache(maxsize=None)(lambda text: _texts(f"{text}\n;", own, matrix, extensions))
    for one, changed in replaced:
        put = text_match([changed], one.old).replace(changed, one.new)
        new = _texts(f"{put}\n;", own, matrix, extensions) - before(changed)
        for text in sorted(new):
            complain(one.place, text)


def _of_statement(
    sql: Sql, own: frozenset[str], matrix: Mapping[str, Matrix], extensions: frozenset[str]
) -> set[Refusal]:
    names = sorted({part.name for part in sql.parts if isinstance(part, Variable) and part.name in matrix})
    values = itertools.product(*(matrix[name].values for name in names))
    try:
        return {
            refusal
            for chosen in values
            for refusal in refusals(render(sql.parts, dict(zip(names, chosen, strict=True))), own, extensions)
        }
    except TooLong as error:
        return {Refusal(0, str(error))}


def _texts(text: str, own: frozenset[str], matrix: Mapping[str, Matrix], extensions: frozenset[str]) -> set[str]:
    cut = (sql for sql in scan(text, "") if isinstance(sql, Sql))
    return {refusal.text for sql in cut for refusal in _of_statement(sql, own, matrix, extensions)}


def _refused(statement: SqlStatement, own: frozenset[str], extensions: frozenset[str]) -> Iterator[Refusal]:
    yield from _by_statement(statement)
    yield from _by_call(statement, own)
    yield from (Refusal(name.line, _name_text(name, extensions)) for name in qualified(statement))


def _by_statement(statement: SqlStatement) -> Iterator[Refusal]:
    written, ends = _written(statement.tokens)
    for rule in STATEMENTS:
        found = rule.pattern.match(written)
        if found:
            # a rule ends with the word that it refuses, which may be lines below the verb
            last = next(token for end, token in zip(ends, statement.tokens, strict=True) if end >= found.end())
            groups = " ".join(filter(None, found.groups())).upper()
            yield Refusal(last.line, _rule_text(rule, groups), rule.concerns_neighbours)


def _written(tokens: Sequence[SqlToken]) -> tuple[str, list[int]]:
    """Write a statement in the form that the rules match, and give the end of each token in it."""
    texts = [_as_written(token) for token in tokens]
    ends = list(itertools.accumulate((len(text) + 1 for text in texts), initial=-1))[1:]
    return " ".join(texts), ends


def _as_written(token: SqlToken) -> str:
    match token.kind:
        case "name":
            return '"_' + re.sub(r"\W", "_", token.text[:_LONGEST]) + '"'
        case "string":
            return "'_" + re.sub(r"\W", "_", token.text[:_LONGEST].lower()) + "'"
    return token.text


def _by_call(statement: SqlStatement, own: frozenset[str]) -> Iterator[Refusal]:
    tokens = statement.tokens
    for at, name, schema in function_calls(tokens):
        for rule in _rules_of(schema):
            is_meant = rule.pattern.fullmatch(name) and (schema or name not in own)
            if is_meant and not _is_harmless(name, tokens[at + 2 : at + 6]):
                yield Refusal(tokens[at].line, _rule_text(rule, name), rule.concerns_neighbours)


def _rules_of(schema: str) -> tuple[Rule, ...]:
    return TOOLKIT if schema == "chaos" else FUNCTIONS if schema in ("", "pg_catalog") else ()


def _is_harmless(name: str, arguments: Sequence[SqlToken]) -> bool:
    """Say whether it is pg_terminate_backend(pg_backend_pid()) or the like, or clears the faults of one table."""
    if name == "clear_faults":
        return not token_at(arguments, 0).is_symbol(")")
    is_own_backend = [token.text for token in arguments] == ["pg_backend_pid", "(", ")", ")"]
    return is_own_backend and name in ("pg_terminate_backend", "pg_cancel_backend")


def _rule_text(rule: Rule, groups: str) -> str:
    return f"`{rule.subject.format(groups)}` reaches beyond the schema of `sandbox schema`: {rule.reason}; {_WAY_OUT}"


def _name_text(name: Qualified, extensions: frozenset[str]) -> str:
    if name.variable:
        return (
            f"`{name.text}`: a variable stands for the schema, which may be another than that of `sandbox schema`:"
            f" write `{name.last}`, or {_WAY_OUT}"
        )
    schema = name.text.removesuffix(f".{name.last}")
    if schema in extensions:
        return (
            f"`{name.text}` belongs to the extension `{schema}`, which other scenarios in the database use and change"
            f" too: a scenario with `sandbox schema` may not use it by its schema; {_WAY_OUT}"
        )
    theirs = f" (if it belongs to an extension, only that helps: {', '.join(sorted(extensions))})" if extensions else ""
    return (
        f"`{name.text}` names another schema than that of `sandbox schema`: write `{name.last}`, which is looked for"
        f" there first, or {_WAY_OUT}{theirs}"
    )


# What may show the schemas of other runs that are not removed yet
_LOOKS_AROUND = re.compile(
    r"\b(?:pg_(?!sleep|backend_pid|(?:try_)?advisory_|blocking_pids|isolation_)\w+|information_schema)\b|\bchaos\s*\.\s*no_leaks\b",
    re.IGNORECASE,
)


def fits_schema(scenario: Scenario, variables: Mapping[str, str]) -> bool:
    """Say whether nothing of a run remains in its database once its schema is dropped and its sessions are reset.

    Decided from the text; the checks of a run find what the text does not show.
    """
    statements = list(scenario.statements())
    own = own_functions(statements)
    try:
        return not any(
            _LOOKS_AROUND.search(one.text)
            or any(not refusal.neighbours for refusal in refusals(render(one.parts, variables), own))
            for one in statements
        )
    except TooLong:  # the run reports it
        return False
