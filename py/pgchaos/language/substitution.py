r"""What psql does at run time, as pure functions: variables put into texts, booleans, and \if … \endif.

Sources: psqlscan.l, psqlscanslash.l, common.c (psql_get_variable), variables.c (ParseVariableBool), command.c and
conditional.c of psql, fe-exec.c of libpq.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from pgchaos.language.conditionals import Branches
from pgchaos.language.lexemes import Sql
from pgchaos.language.psql_patterns import NAME, VALUE, quoted_end, variable
from pgchaos.language.psql_scanner import scan
from pgchaos.language.section_items import Form, Parts, Variable

__all__ = [
    "Branches",
    "TooLong",
    "assignment",
    "echoed",
    "evaluate",
    "literal",
    "render",
    "texts",
    "truth",
    "valid_name",
]

LONGEST = 64_000_000
"""Characters that a text may have once the values of variables stand in it."""
MOST_PARTS = 200_000
"""Variables, and texts between them, that the values of variables may bring into one text."""


class TooLong(ValueError):
    """Variables make more of a text than anybody can mean: each may hold the one before it twice."""


def render(parts: Parts, variables: Mapping[str, str]) -> str:
    """Put the values of variables into a statement.

    A variable in the value of a plain one is put in too, as psql does, each name once.

    Args:
        parts: the statement, cut at its variables.
        variables: those that are set.

    Returns:
        The text to send; what stands for a variable that is not set stays as it was written.

    Raises:
        TooLong: variables make too much of it.
    """
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0]
    return "".join(_Growing(variables).render(parts))


def values_of(parts: Parts, variables: Mapping[str, str]) -> list[str]:
    """Give what `render` joins.

    Args:
        parts: the statement, cut at its variables.
        variables: those that are set.

    Returns:
        The text of each part, in order.

    Raises:
        TooLong: variables make too much of it.
    """
    growing = _Growing(variables)
    return ["".join(growing.render((part,))) for part in parts]


def texts(parts: Parts, variables: Mapping[str, str]) -> list[str]:
    r"""Give what is sent for a statement: more than one where the value of a variable holds a `;`.

    psql's lexer reads on in the value, and sends at each `;` outside quotes (psqlscan.l).

    Args:
        parts: the statement, cut at its variables.
        variables: those that are set.

    Returns:
        The texts to send, one after the other. A `\;` group, or a statement that holds a `;` of its own, stays one.

    Raises:
        TooLong: variables make too much of it.
    """
    if len(parts) == 1 and isinstance(parts[0], str):
        return [parts[0]]
    text = render(parts, variables)
    # every statement comes through here: the common case first
    # the value may hold another variable, hence all of them
    if ";" not in text or not (_has_plain(parts) and any(";" in value for value in variables.values())):
        return [text]
    found = scan(text, "")
    if any(isinstance(part, str) and ";" in part for part in parts) or not all(isinstance(x, Sql) for x in found):
        return [text]
    return [sql.text for sql in found if isinstance(sql, Sql)] or [text]


def _has_plain(parts: Parts) -> bool:
    return any(isinstance(part, Variable) and part.form is Form.PLAIN for part in parts)


class _Growing:
    """What is made of a text by the values of variables, within its limits."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._length = 0
        self._parts = 0

    def render(self, parts: Iterable[str | Variable]) -> Iterator[str]:
        """Give the pieces of the text, those of values that stand in values too."""
        # values within values may be more than Python nests calls
        within: dict[str, None] = {}
        open_: list[Iterator[str | Variable]] = [iter(parts)]
        while open_:
            part = next(open_[-1], None)
            if part is None:
                open_.pop()
                if open_:
                    within.popitem()
                continue
            self._count(within)
            if isinstance(part, str):
                yield self._counted(part, within)
                continue
            value = self._variables.get(part.name)
            if value is None or part.form is not Form.PLAIN or ":" not in value:
                yield self.put(part, within)
            elif part.name in within:
                yield self._counted(part.raw, within)
            else:
                within[part.name] = None
                open_.append(_cut(value))

    def put(self, wanted: Variable, within: Iterable[str] = ()) -> str:
        """Give what stands for a variable, without a look into its value."""
        return self._counted(_put(wanted, self._variables.get(wanted.name)), within or (wanted.name,))

    def _count(self, within: Iterable[str]) -> None:
        self._parts += bool(within)
        if self._parts > MOST_PARTS:
            raise TooLong(f"{_leads(within)} more than {MOST_PARTS:,} texts and variables, by values within values")

    def _counted(self, text: str, within: Iterable[str]) -> str:
        self._length += len(text)
        if self._length > LONGEST and within:
            raise TooLong(f"{_leads(within)} a text of more than {LONGEST:,} characters")
        return text


def _leads(within: Iterable[str]) -> str:
    return f"the variable {next(iter(within))} stands for"


def _cut(value: str) -> Iterator[str | Variable]:
    done = at = 0
    while found := VALUE.search(value, at):
        at = found.end()
        if found["variable"]:
            yield value[done : found.start()]
            yield variable(found[0])
            done = at
        elif found["escaped"]:
            end = quoted_end(value, at - 1, escapes=True)
            at = len(value) if end < 0 else end
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

    Raises:
        TooLong: variables make too much of them.
    """
    growing = _Growing(variables)
    return tuple(["".join([p if isinstance(p, str) else growing.put(p) for p in parts]) for parts in args])


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
