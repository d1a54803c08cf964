r"""What `sandbox schema` refuses: statements whose effect leaves the one schema that a scenario has.

Decided from the text alone, when a file is collected. What psql or the server makes only at run time is not seen: the
statements of \gexec, those held by a variable of \set, and those that a function puts together.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pgchaos.language.header_model import Matrix
from pgchaos.language.lexemes import Sql
from pgchaos.language.model import Replace, Scenario
from pgchaos.language.mutant_texts import text_match
from pgchaos.language.pgtap_functions import own_functions
from pgchaos.language.problems import Place
from pgchaos.language.psql_scanner import scan
from pgchaos.language.qualified_names import Qualified, qualified
from pgchaos.language.schema_rules import FUNCTIONS, STATEMENTS, TOOLKIT, Rule
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.section_items import Variable
from pgchaos.language.sql_skeleton import NOT_CALLED_AFTER
from pgchaos.language.sql_tokens import NO_TOKEN, SqlStatement, SqlToken, all_statements
from pgchaos.language.substitution import TooLong, render

_WAY_OUT = "leave the directive out to get a database of its own"
_LONGEST = 40
"""Characters of a string that rules look at."""
_NAMED_AFTER = (NOT_CALLED_AFTER - {"on"}) | {"view", "routine", "aggregate"}
"""Words after which a name before a parenthesis is no call; of ON that depends on the statement."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that is refused.

    Args:
        line: where it stands, from 0 at the beginning of the text.
        text: what is wrong, and what was meant.
        neighbours: it is only because other scenarios work in the database, and nothing of it stays there.
    """

    line: int
    text: str
    neighbours: bool = False


def refusals(text: str, own: frozenset[str] = frozenset(), extensions: frozenset[str] = frozenset()) -> list[Refusal]:
    """Find what reaches beyond a schema.

    Args:
        text: SQL of one statement or several, without psql variables whose values are known.
        own: functions that the file makes itself, in small letters: they may be called as one of the server.
        extensions: that the file requires: what another schema holds may be theirs.

    Returns:
        All that is refused, in order of line, each once.
    """
    return sorted(
        {refusal for parsed in all_statements(text) for refusal in _refused(parsed, own, extensions)},
        key=lambda it: (it.line, it.text),
    )


def check_schema_sandbox(
    bodies: Sequence[SectionBuilder],
    replaced: Iterable[tuple[Replace, str]],
    matrix: Mapping[str, Matrix],
    extensions: frozenset[str],
    skip: frozenset[Place],
    complain: Callable[[Place, str], None],
) -> None:
    """Complain of what reaches beyond the schema of `sandbox schema`.

    Args:
        bodies: all sections, those of mutants too.
        replaced: what mutants replace, each with the statement that it changes; looked at as well.
        matrix: by name; a statement is looked at with each of the values that it uses.
        extensions: that the file requires.
        skip: statements that a missing `;` has run together with others.
        complain: called with the place and text of each problem.
    """
    everything = [sql for body in bodies for sql in body.sources if sql.place not in skip]
    own = own_functions(everything)
    for sql in everything:
        for refusal in _of_statement(sql, own, matrix, extensions):
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


def _refused(parsed: SqlStatement, own: frozenset[str], extensions: frozenset[str]) -> Iterator[Refusal]:
    yield from _by_statement(parsed)
    yield from _by_call(parsed, own)
    yield from (Refusal(name.line, _of_name(name, extensions)) for name in qualified(parsed))


def _by_statement(parsed: SqlStatement) -> Iterator[Refusal]:
    written, ends = _written(parsed.tokens)
    for rule in STATEMENTS:
        found = rule.pattern.match(written)
        if found:
            # a rule ends with the word that it refuses, and that may stand lines below the verb
            last = next(token for end, token in zip(ends, parsed.tokens, strict=True) if end >= found.end())
            groups = " ".join(filter(None, found.groups())).upper()
            yield Refusal(last.line, _of_rule(rule, groups), rule.concerns_neighbours)


def _written(tokens: Sequence[SqlToken]) -> tuple[str, list[int]]:
    """Write a statement as the rules have it, and say where each token ends."""
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


def _by_call(parsed: SqlStatement, own: frozenset[str]) -> Iterator[Refusal]:
    every = (NO_TOKEN, NO_TOKEN, NO_TOKEN, *parsed.tokens, NO_TOKEN)
    for at, token in enumerate(every):
        if not (token.is_identifier and every[at + 1].is_symbol("(")):
            continue
        before, schema = every[at - 1], ""
        if before.is_symbol("."):
            schema, before = every[at - 2].text, every[at - 3]
        if before.is_word(*_NAMED_AFTER) or (before.is_word("on") and parsed.verb == "create"):
            continue
        for rule in _rules_of(schema):
            if rule.pattern.fullmatch(token.text) and (schema or token.text not in own):
                if _is_harmless(token, every[at + 2 : at + 6]):
                    continue
                yield Refusal(token.line, _of_rule(rule, token.text), rule.concerns_neighbours)


def _rules_of(schema: str) -> tuple[Rule, ...]:
    return TOOLKIT if schema == "chaos" else FUNCTIONS if schema in ("", "pg_catalog") else ()


def _is_harmless(token: SqlToken, arguments: Sequence[SqlToken]) -> bool:
    """Say whether it is pg_terminate_backend(pg_backend_pid()) or its like, or clears the faults of one table."""
    if token.text == "clear_faults":
        return not arguments[0].is_symbol(")")
    itself = [one.text for one in arguments] == ["pg_backend_pid", "(", ")", ")"]
    return itself and token.text in ("pg_terminate_backend", "pg_cancel_backend")


def _of_rule(rule: Rule, groups: str) -> str:
    return f"`{rule.said.format(groups)}` reaches beyond the schema of `sandbox schema`: {rule.reason}; {_WAY_OUT}"


def _of_name(name: Qualified, extensions: frozenset[str]) -> str:
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


_LOOKS_AROUND = re.compile(
    r"\b(?:pg_(?!sleep|backend_pid|(?:try_)?advisory_|blocking_pids|isolation_)\w+|information_schema)\b|\bchaos\s*\.\s*no_leaks\b",
    re.IGNORECASE,
)
"""What may show the schemas of other runs, which are not gone yet."""


def fits_schema(scenario: Scenario, variables: Mapping[str, str]) -> bool:
    """Say whether nothing of a run stays behind in its database once its schema is dropped, and its sessions reset.

    Decided from the text; what stays where the text does not show it is found by the checks of a run.

    Args:
        scenario: as read, a mutant in it.
        variables: the values of its matrix.
    """
    statements = list(scenario.statements())
    own = own_functions(statements)
    try:
        return not any(
            _LOOKS_AROUND.search(one.text)
            or any(not refusal.neighbours for refusal in refusals(render(one.parts, variables), own))
            for one in statements
        )
    except TooLong:  # the run will tell
        return False
