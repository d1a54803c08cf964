r"""What psql does at run time, as pure functions: variables put into texts, booleans, and \if … \endif.

Sources: psqlscan.l, psqlscanslash.l, common.c (psql_get_variable), variables.c (ParseVariableBool), command.c and
conditional.c of psql, fe-exec.c of libpq.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pgchaos.scenario.branches import Branches
from pgchaos.scenario.items import Form, Parts, Variable
from pgchaos.scenario.lexemes import Sql
from pgchaos.scenario.lexer import scan
from pgchaos.scenario.tokens import NAME, VALUE, variable

__all__ = ["Branches", "assignment", "echoed", "evaluate", "literal", "render", "texts", "truth", "valid_name"]


def render(parts: Parts, variables: Mapping[str, str]) -> str:
    """Put the values of variables into a statement.

    A variable in the value of a plain one is put in too, as psql does, each name once.

    Args:
        parts: the statement, cut at its variables.
        variables: those that are set.

    Returns:
        The text to send; what stands for a variable that is not set stays as it was written.
    """
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0]
    return _render(parts, variables, frozenset())


def texts(parts: Parts, variables: Mapping[str, str]) -> list[str]:
    r"""Give what is sent for a statement: more than one where the value of a variable holds a `;`.

    psql's lexer reads on in the value, and sends at each `;` outside quotes (psqlscan.l).

    Args:
        parts: the statement, cut at its variables.
        variables: those that are set.

    Returns:
        The texts to send, one after the other. A `\;` group, or a statement that holds a `;` of its own, stays one.
    """
    if len(parts) == 1 and isinstance(parts[0], str):
        return [parts[0]]
    text = render(parts, variables)
    # every statement comes through here: the common case first
    if ";" not in text or not any(_holds_semicolon(part, variables) for part in parts):
        return [text]
    found = scan(text, "")
    if any(isinstance(part, str) and ";" in part for part in parts) or not all(isinstance(x, Sql) for x in found):
        return [text]
    return [sql.text for sql in found if isinstance(sql, Sql)] or [text]


def _holds_semicolon(part: str | Variable, variables: Mapping[str, str]) -> bool:
    # the value may hold another variable, hence all of them
    return isinstance(part, Variable) and part.form is Form.PLAIN and any(";" in value for value in variables.values())


def _render(parts: Iterable[str | Variable], variables: Mapping[str, str], within: frozenset[str]) -> str:
    return "".join([part if isinstance(part, str) else _value(part, variables, within) for part in parts])


def _value(wanted: Variable, variables: Mapping[str, str], within: frozenset[str]) -> str:
    value = variables.get(wanted.name)
    if value is not None and wanted.form is Form.PLAIN and ":" in value:
        if wanted.name in within:
            return wanted.raw
        return _render(_cut(value), variables, within | {wanted.name})
    return _put(wanted, value)


def _cut(value: str) -> Iterable[str | Variable]:
    done = 0
    for found in VALUE.finditer(value):
        if found["variable"]:
            yield value[done : found.start()]
            yield variable(found[0])
            done = found.end()
    yield value[done:]


def _put(wanted: Variable, value: str | None) -> str:
    match wanted.form:
        case Form.TEST:
            return "FALSE" if value is None else "TRUE"
        case _ if value is None:
            return wanted.raw
        case Form.LITERAL:
            return literal(value)
        case Form.IDENTIFIER:
            return '"' + value.replace('"', '""') + '"'
        case Form.PLAIN:
            return value


def literal(value: str) -> str:
    r"""Quote a value as PQescapeLiteral does.

    Args:
        value: the value.

    Returns:
        `'…'`, or ` E'…'` (with the space) where it holds a backslash.
    """
    quoted = "'" + value.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted


def evaluate(args: tuple[Parts, ...], variables: Mapping[str, str]) -> tuple[str, ...]:
    """Put the values of variables into the arguments of a meta-command.

    Args:
        args: the arguments.
        variables: those that are set.

    Returns:
        The arguments; here, other than in a statement, a value is not looked into.
    """
    return tuple(
        ["".join([p if isinstance(p, str) else _put(p, variables.get(p.name)) for p in parts]) for parts in args]
    )


def assignment(words: tuple[str, ...]) -> tuple[str, str]:
    r"""Read the arguments of \set.

    Args:
        words: its evaluated arguments, one at least.

    Returns:
        The variable's name and its value: the other arguments joined, '' where there are none.

    Raises:
        ValueError: in psql's words, no variable may have that name.
    """
    name = words[0] if words else ""
    if not valid_name(name):
        raise ValueError(f'invalid variable name: "{name}"')
    return name, "".join(words[1:])


def valid_name(name: str) -> bool:
    """Say whether a variable may have a name: letters, digits and underscores, as valid_variable_name has it."""
    return re.fullmatch(NAME, name) is not None


def echoed(words: tuple[str, ...]) -> str:
    r"""Make the text that \echo, \qecho and \warn write.

    Args:
        words: the evaluated arguments.

    Returns:
        The text, with a newline at its end unless the first argument is `-n`.
    """
    return " ".join(words[1:]) if words[:1] == ("-n",) else " ".join(words) + "\n"


def truth(value: str) -> bool | None:
    """Read a boolean as psql does.

    Args:
        value: 1, 0, or a beginning of true, false, yes, no, on, off, in any case; `o` could be either.

    Returns:
        Its value, None where it is no boolean.
    """
    word = value.lower()
    if word in ("1", "0"):
        return word == "1"
    for full, is_true in _WORDS.items():
        if full.startswith(word) and len(word) >= (2 if full[0] == "o" else 1):
            return is_true
    return None


_WORDS: Mapping[str, bool] = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}
