"""The literals of a description that is put together: by `||`, or by format()."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pgchaos.language.sql_tokens import NO_TOKEN, SqlToken

_PLACE_OF_VALUE = re.compile(r"%(?:\d+\$)?-?(?:\d+|\*(?:\d+\$)?)?[sIL]")

_ENDS = 3  # tokens outside of its parentheses: format, ( and )


def pieces_of(argument: Sequence[SqlToken]) -> tuple[str, ...]:
    """Find what a description must contain.

    Args:
        argument: its tokens, as `'row ' || id` and `format('row %s', id)`.

    Returns:
        The literals in order; none where the text cannot tell.
    """
    inside = _inside_format(argument)
    found = _formatted(inside[0].text) if inside else _concatenated(argument)
    # only the server knows the value of a string with escapes
    return () if any("\\" in one for one in found) else tuple(one for one in found if one.strip())


def _inside_format(argument: Sequence[SqlToken]) -> Sequence[SqlToken]:
    """Give the arguments of format(), if that is all and they begin with a string; else nothing."""
    if len(argument) < 4 or not (argument[0].is_word("format") and argument[1].is_symbol("(")):
        return ()
    is_all = argument[-1].is_symbol(")") and list(_depths(argument)).count(0) == _ENDS
    return argument[2:-1] if is_all and argument[2].kind == "string" and argument[3].is_symbol(",", ")") else ()


def _formatted(text: str) -> list[str]:
    pieces = [piece for part in text.split("%%") for piece in _PLACE_OF_VALUE.split(part)]
    # what is left of a per cent sign is an error of format()
    return [] if any("%" in piece for piece in pieces) else pieces


def _concatenated(argument: Sequence[SqlToken]) -> list[str]:
    found: list[str] = []
    before = NO_TOKEN
    outer = [token for token, depth in zip(argument, _depths(argument), strict=True) if depth == 0]
    for token in outer:
        if token.is_word("case") or (
            token.kind == "symbol" and not token.is_symbol("|", "(", ")", "[", "]", ".", "::")
        ):
            return []
        if token.kind == "string" and (before is NO_TOKEN or before.is_symbol("|")):
            found.append(token.text)
        before = token
    return found if any(token.is_symbol("|") for token in outer) else []


def _depths(tokens: Iterable[SqlToken]) -> Iterable[int]:
    """Give the depth in parentheses of each token; a `)` is outside of its own."""
    depth = 0
    for token in tokens:
        depth -= token.is_symbol(")", "]")
        yield depth
        depth += token.is_symbol("(", "[")
