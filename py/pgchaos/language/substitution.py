r"""Replaces psql's variables in statements and in arguments of meta-commands. Pure.

Sources: psqlscan.l, psqlscanslash.l, common.c (psql_get_variable) and command.c of psql, fe-exec.c of libpq.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from pgchaos.language.lexemes import Sql
from pgchaos.language.problems import Place
from pgchaos.language.psql_patterns import NAME, VALUE, quoted_end, variable
from pgchaos.language.psql_scanner import scan
from pgchaos.language.section_items import Form, Parts, Variable, as_written
from pgchaos.language.sql_tokens import SqlToken, tokenize

LONGEST = 64_000_000  # characters of a text with the values of its variables
MOST_PARTS = 200_000  # variables, and texts between them, that values of variables may add to one text


class TooLong(ValueError):
    """A text is too long with the values of its variables, for example if each value contains another one twice."""


def render(parts: Parts, variables: Mapping[str, str]) -> str:
    """Return a statement with the values of the variables that are set.

    As in psql, variables in the value of a plain one are replaced too, but not within their own value. Raises TooLong.
    """
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0]
    return "".join(_Renderer(variables).render(parts))


def render_words(parts: Parts, variables: Mapping[str, str]) -> str | None:
    """Return a statement with the values of variables if these are only letters and digits, as most are; else None.

    This is a fast form of `render_to_send`: the result is its only text, and `find_misread` finds nothing in it.
    """
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif part.form is Form.PLAIN and (value := variables.get(part.name, "")).isalnum():
            texts.append(value)
        else:
            return None
    text = "".join(texts)
    return text if len(text) <= LONGEST else None


def render_to_send(parts: Parts, variables: Mapping[str, str]) -> list[str]:
    r"""Return the texts that are sent for a statement: several if the value of a variable contains a `;`.

    psql's lexer continues in the value, and sends at each `;` outside quotes (psqlscan.l). A `\;` group, or a statement
    that itself contains a `;`, remains one text. Raises TooLong.
    """
    if len(parts) == 1 and isinstance(parts[0], str):
        return [parts[0]]
    text = render(parts, variables)
    has_plain = any(isinstance(part, Variable) and part.form is Form.PLAIN for part in parts)
    # a value may contain another variable, so any value may have the `;`
    if ";" not in text or not (has_plain and any(";" in value for value in variables.values())):
        return [text]
    found = scan(text, "", keeps_crlf=True)
    if any(isinstance(part, str) and ";" in part for part in parts) or not all(isinstance(x, Sql) for x in found):
        return [text]
    return [sql.text for sql in found if isinstance(sql, Sql)] or [text]


def evaluate(args: tuple[Parts, ...], variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the arguments of a meta-command with the values of variables, not of those in values. Raises TooLong."""
    renderer = _Renderer(variables)
    return tuple(["".join([p if isinstance(p, str) else renderer.value(p) for p in parts]) for parts in args])


class _Renderer:
    """Replaces variables by their values, within the limits of the length."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._length = 0
        self._parts = 0

    def render(self, parts: Iterable[str | Variable]) -> Iterator[str]:
        # an explicit stack, because values within values may be nested deeper than Python's calls
        within: dict[str, None] = {}
        stack: list[Iterator[str | Variable]] = [iter(parts)]
        while stack:
            part = next(stack[-1], None)
            if part is None:
                stack.pop()
                if stack:
                    within.popitem()
                continue
            self._parts += bool(within)
            if self._parts > MOST_PARTS:
                what = f"more than {MOST_PARTS:,} texts and variables, by values within values"
                raise TooLong(f"the variable {next(iter(within))} expands to {what}")
            if isinstance(part, str):
                yield self._counted(part, within)
                continue
            value = self._variables.get(part.name)
            if value is None or part.form is not Form.PLAIN or ":" not in value:
                yield self.value(part, within)
            elif part.name in within:
                yield self._counted(part.raw, within)
            else:
                within[part.name] = None
                stack.append(_cut(value))

    def value(self, wanted: Variable, within: Iterable[str] = ()) -> str:
        """Return the value of a variable in its form; the text as written if it is not set."""
        return self._counted(_quoted(wanted, self._variables.get(wanted.name)), within or (wanted.name,))

    def _counted(self, text: str, within: Iterable[str]) -> str:
        self._length += len(text)
        if self._length > LONGEST and within:
            raise TooLong(f"the variable {next(iter(within))} expands to a text of more than {LONGEST:,} characters")
        return text


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


def _quoted(wanted: Variable, value: str | None) -> str:
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
    r"""Quote a value as PQescapeLiteral does: `'…'`, or ` E'…'` (with the space) if it contains a backslash."""
    quoted = "'" + value.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted


# the effects of \set and \echo


def assignment(words: tuple[str, ...]) -> tuple[str, str]:
    r"""Return the name and the value, which is the other arguments joined, from the evaluated arguments of \set.

    Raises ValueError, with psql's text, if the name is not valid.
    """
    name = words[0] if words else ""
    if not valid_name(name):
        raise ValueError(f'invalid variable name: "{name}"')
    return name, "".join(words[1:])


def valid_name(name: str) -> bool:
    """Whether a name is valid for a variable: letters, digits and underscores (valid_variable_name in variables.c)."""
    return re.fullmatch(NAME, name) is not None


def echo_text(words: tuple[str, ...]) -> str:
    r"""Return the text that \echo, \qecho and \warn print: with a newline, unless the first argument is `-n`."""
    return " ".join(words[1:]) if words[:1] == ("-n",) else " ".join(words) + "\n"


# values that change how the server reads the text around them: `100 -:delta` with -5 contains a comment

_MAY_BE_MISREAD = re.compile(r"['\"$*/-]")  # required in such a value, or in the text next to it
_SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class Misread:
    """A variable whose value changes how the text around it is read."""

    line: int  # of the variable, from 0 at the first line of the statement
    text: str  # what is wrong, and what to write instead

    def place(self, statement: Place) -> Place:
        """Return the line of the variable, from the place of its statement."""
        return Place(statement.path, statement.line + self.line)


def find_misread(parts: Parts, variables: Mapping[str, str]) -> Misread | None:
    """Find the first variable whose value is read together with the text around it, or None.

    A comment or a quoted text begins inside its value and ends outside of it, or the other way round. `E:'name'` is not
    such a case: the escape string is meant. Nor is a `;` in a value: psql sends two statements then. Raises TooLong.
    """
    if not _may_be_misread(parts, variables):
        return None
    renderer = _Renderer(variables)
    values = ["".join(renderer.render((part,))) for part in parts]
    whole, ends = "".join(values), list(accumulate(map(len, values)))
    number = 0
    for token in tokenize(whole, comments=True):
        if token.kind not in ("comment", "string", "name"):
            continue
        # the prefix of E'…' may precede the variable
        opening = next(at for at in range(token.start, token.end) if whole[at] in "'\"$-/")
        while ends[number] <= opening:
            number += 1
        if token.end > ends[number] and whole[ends[number] : token.end].strip():
            return _misread(parts, values, number, token)
    return None


def _may_be_misread(parts: Parts, variables: Mapping[str, str]) -> bool:
    # a fast test of every statement, which excludes nearly all
    for number, part in enumerate(parts):
        if isinstance(part, str) or part.form is Form.TEST or (value := variables.get(part.name)) is None:
            continue
        if part.form is Form.PLAIN and (_MAY_BE_MISREAD.search(value) or ":" in value):
            return True
        around = [parts[near] for near in (number - 1, number + 1) if 0 <= near < len(parts)]
        if part.form is not Form.PLAIN and any(
            isinstance(near, Variable) or _MAY_BE_MISREAD.search(near) for near in around
        ):
            return True
    return False


def _misread(parts: Parts, values: list[str], number: int, token: SqlToken) -> Misread:
    # the variable is the part in which the token begins, or the one after that text
    at = number if isinstance(parts[number], Variable) else number + 1
    wanted = parts[at]
    assert isinstance(wanted, Variable), "two neighbouring parts are never both texts"
    before = as_written(parts[:at])
    value = values[at] if len(values[at]) <= _SHOWN else values[at][: _SHOWN - 1] + "…"
    subject = f"the value of {wanted.name} ({' '.join(value.split())})"
    if token.kind == "comment":
        rest = "line" if token.text.startswith("--") else "statement"
        text = f"{subject} makes a comment of the rest of the {rest}: {_advice(wanted, before, values, at)}"
    elif at != number or wanted.form is not Form.PLAIN:
        text = f"{subject} and the text beside it are read as one quoted text: join them by `||`"
    else:
        text = f"{subject} opens a quoted text, which takes in what follows: write :'{wanted.name}'"
    return Misread(before.count("\n"), text)


def _advice(wanted: Variable, before: str, values: list[str], at: int) -> str:
    """Return how to separate a value from the operator before or after it."""
    line = before.rpartition("\n")[2]
    if line[-1:] in ("-", "/") and values[at][:1] in ("-", "*"):
        words = re.search(r"(?:[^\s,(]*\s*)[-/]\Z", line)
        head = (words[0] if words else line[-1:]).lstrip()
        head = f"{head[:-1].rstrip()} {head[-1]}".lstrip()
        return f"write {head} {wanted.raw} or {head} ({wanted.raw})"
    if at + 1 < len(values) and values[at][-1:] in ("-", "/") and values[at + 1][:1] in ("-", "*"):
        return f"write ({wanted.raw})"
    return f"write :'{wanted.raw[1:]}' if it is text; a comment is of no use in a value"
