r"""Finds what `sandbox schema` refuses: statements with an effect outside the schema of a scenario.

It decides from the text, at collection. It does not see statements that exist only at run time: those of \gexec, in a
variable of \set, or built by a function.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pgchaos.language.assertion_functions import own_functions
from pgchaos.language.header_model import Matrix, combinations
from pgchaos.language.lexemes import Sql
from pgchaos.language.model import Replace, Scenario
from pgchaos.language.mutant_texts import text_match
from pgchaos.language.problems import Place
from pgchaos.language.psql_scanner import scan
from pgchaos.language.qualified_names import Qualified, qualified
from pgchaos.language.schema_rules import FUNCTIONS, STATEMENTS, TOOLKIT, Rule
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.section_items import variable_names
from pgchaos.language.sql_tokens import SqlStatement, SqlToken, all_statements, function_calls, token_at
from pgchaos.language.substitution import TooLong, render

_OTHERWISE = "leave the directive out to get a database of its own"
_LONGEST = 40  # characters of a string that the rules match


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that is refused."""

    line: int  # from 0 at the beginning of the text
    text: str  # what is wrong, and what to write instead
    leaves_nothing: bool = False  # see Rule


def refusals(text: str, own: frozenset[str] = frozenset(), extensions: frozenset[str] = frozenset()) -> list[Refusal]:
    """Return what has an effect outside the schema, in order of line, each once.

    Args:
        text: one or more statements.
        own: the functions that the file creates; they may have the name of a refused function.
        extensions: the required extensions, to which a name in another schema may belong.
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
    """Report effects outside the schema of `sandbox schema`, with each value of the matrices that a statement uses.

    Statements in `skip` contain others because of a missing `;`. In `replaced` is each replacement of a mutant with its
    statement.
    """
    everything = [sql for body in bodies for sql in body.sources if sql.place not in skip]
    own = own_functions(everything)

    def refused(sql: Sql) -> set[Refusal]:
        used = [matrix[name] for name in sorted(variable_names(sql.parts) & matrix.keys())]
        try:
            texts = [render(sql.parts, values) for values in combinations(used)]
            return {refusal for text in texts for refusal in refusals(text, own, extensions)}
        except TooLong as error:
            return {Refusal(0, str(error))}

    @cache
    def messages(text: str) -> set[str]:
        statements = (sql for sql in scan(f"{text}\n;", "") if isinstance(sql, Sql))
        return {refusal.text for sql in statements for refusal in refused(sql)}

    for sql in everything:
        for refusal in sorted(refused(sql), key=_order):
            complain(Place(sql.place.path, sql.place.line + refusal.line), refusal.text)
    for one, statement in replaced:
        changed = text_match([statement], one.old).replace(statement, one.new)
        for message in sorted(messages(changed) - messages(statement)):
            complain(one.place, message)


def _refused(statement: SqlStatement, own: frozenset[str], extensions: frozenset[str]) -> Iterator[Refusal]:
    yield from _by_statement(statement)
    yield from _by_call(statement, own)
    yield from (Refusal(name.line, _name_text(name, extensions)) for name in qualified(statement))


def _by_statement(statement: SqlStatement) -> Iterator[Refusal]:
    written, ends = _written(statement.tokens)
    for rule in STATEMENTS:
        found = rule.pattern.match(written)
        if found:
            # the pattern of a rule ends at the refused word, which may be lines below the verb
            last = next(token for end, token in zip(ends, statement.tokens, strict=True) if end >= found.end())
            groups = " ".join(filter(None, found.groups())).upper()
            yield Refusal(last.line, _rule_text(rule, groups), rule.leaves_nothing)


def _written(tokens: Sequence[SqlToken]) -> tuple[str, list[int]]:
    """Return a statement in the form that the rules match, and the end of each token in it."""
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
                yield Refusal(tokens[at].line, _rule_text(rule, name), rule.leaves_nothing)


def _rules_of(schema: str) -> tuple[Rule, ...]:
    return TOOLKIT if schema == "chaos" else FUNCTIONS if schema in ("", "pg_catalog") else ()


def _is_harmless(name: str, arguments: Sequence[SqlToken]) -> bool:
    """Whether a call is pg_terminate_backend(pg_backend_pid()) or the like, or clears the faults of one table."""
    if name == "clear_faults":
        return not token_at(arguments, 0).is_symbol(")")
    is_own_backend = [token.text for token in arguments] == ["pg_backend_pid", "(", ")", ")"]
    return is_own_backend and name in ("pg_terminate_backend", "pg_cancel_backend")


def _rule_text(rule: Rule, groups: str) -> str:
    return f"`{rule.subject.format(groups)}` reaches beyond the schema of `sandbox schema`: {rule.reason}; {_OTHERWISE}"


def _name_text(name: Qualified, extensions: frozenset[str]) -> str:
    if name.variable:
        return (
            f"`{name.text}`: a variable stands for the schema, which may be another than that of `sandbox schema`:"
            f" write `{name.last}`, or {_OTHERWISE}"
        )
    schema = name.text.removesuffix(f".{name.last}")
    if schema in extensions:
        return (
            f"`{name.text}` belongs to the extension `{schema}`, which other scenarios in the database use and change"
            f" too: a scenario with `sandbox schema` may not use it by its schema; {_OTHERWISE}"
        )
    theirs = f" (if it belongs to an extension, only that helps: {', '.join(sorted(extensions))})" if extensions else ""
    return (
        f"`{name.text}` names another schema than that of `sandbox schema`: write `{name.last}`, which is looked for"
        f" there first, or {_OTHERWISE}{theirs}"
    )


# what may show schemas of other runs that are not removed yet
_SEES_OTHER_SCHEMAS = re.compile(
    r"\b(?:pg_(?!sleep|backend_pid|(?:try_)?advisory_|blocking_pids|isolation_)\w+|information_schema)\b|\bchaos\s*\.\s*no_leaks\b",
    re.IGNORECASE,
)


def fits_schema(scenario: Scenario, variables: Mapping[str, str]) -> bool:
    """Whether nothing of a run remains in its database after its schema is dropped and its sessions are reset.

    This is decided from the text; the checks of a run find what the text does not show.
    """
    statements = list(scenario.statements())
    own = own_functions(statements)
    try:
        return not any(
            _SEES_OTHER_SCHEMAS.search(one.text)
            or any(not refusal.leaves_nothing for refusal in refusals(render(one.parts, variables), own))
            for one in statements
        )
    except TooLong:  # the run reports it
        return False
