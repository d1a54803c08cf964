"""`… when NAME = value [or value …]`: what limits a directive to values of a matrix."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pgchaos.language.arguments import Args, DirectiveError, cut
from pgchaos.language.header_model import Matrix, When
from pgchaos.language.suggestions import meant, nearest

_FIRST_WORD = re.compile(r"\s*(\w+)\s*(=?)")


class WrongCondition(DirectiveError):
    """A condition that names no matrix or value: of no interest where a matrix itself could not be read."""


def take_when(args: Args, matrix: Mapping[str, Matrix]) -> When | None:
    """Take the condition off the end of a directive's arguments.

    Args:
        args: the arguments; what belongs to the condition is removed from them.
        matrix: the matrices of the file by name.

    Returns:
        The condition, or None where none is written.

    Raises:
        Wrong: it names no matrix, or a value that its matrix does not have.
    """
    tokens = args.tokens
    for at in range(len(tokens) - 3, -1, -1):
        if not tokens[at].quoted and tokens[at].text == "when" and str(tokens[at + 2]) == "=":
            tail = Args(args.word, "", args.usage)
            tail.tokens = tokens[at + 1 :]
            del tokens[at:]
            return _condition(tail, matrix)
    return None


def split_when(word: str, text: str, usage: str, matrix: Mapping[str, Matrix]) -> tuple[str, When | None]:
    """Cut the condition off a line of free text: the last ` when ` counts, if a matrix name follows.

    Args:
        word: the directive's name.
        text: what stands behind it.
        usage: how it is written.
        matrix: the matrices of the file by name.

    Returns:
        The text before the condition, and the condition.

    Raises:
        Wrong: a matrix name follows, but no condition; or the condition's name is nearly that of a matrix.
    """
    before, found, after = f" {text}".rpartition(" when ")
    name = _FIRST_WORD.match(after) if found else None
    if name is None:
        return text, None
    if name[1] not in matrix and not (name[2] and nearest(name[1], matrix)):
        return text, None
    tail = Args(word, "", usage)
    tail.tokens = cut(word, after)
    return before.strip(), _condition(tail, matrix)


def _condition(args: Args, matrix: Mapping[str, Matrix]) -> When:
    name = args.take("the name of a matrix").text
    if name not in matrix:
        raise WrongCondition(
            f"`{args.word}`: `when` names no matrix: `{name}`{meant(name, matrix, none='; this file has no matrix')}"
        )
    args.need("=")
    known = matrix[name].values
    values = [_value(args, name, known)]
    while args.took("or"):
        values.append(_value(args, name, known))
    if args.more():
        raise DirectiveError(
            f"`{args.word}`: `{args.take('')}` is not understood behind `when`; it is written"
            f" `when {name} = value or value`, a value with a space in quotes"
        )
    return When(name, tuple(values))


def _value(args: Args, name: str, known: tuple[str, ...]) -> str:
    value = args.take(f"a value of `{name}`").text
    if value not in known:
        raise WrongCondition(f"`{args.word}`: `{value}` is no value of `{name}`{meant(value, known)}")
    return value
