"""The literals in a description that `||` or format() builds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pgchaos.language.sql_tokens import NO_TOKEN, SqlToken, depths

_FORMAT_SPECIFIER = re.compile(r"%(?:\d+\$)?-?(?:\d+|\*(?:\d+\$)?)?[sIL]")

_OUTER_TOKENS = 3  # of one call, outside its parentheses: format, ( and )


def pieces_of(argument: Sequence[SqlToken]) -> tuple[str, ...]:
    """Return the literals that a description must contain.

    Args:
        argument: its tokens, as of `'row ' || id` and `format('row %s', id)`.

    Returns:
        The literals in order; () if the text does not show them.
    """
    inside = _inside_format(argument)
    found = _formatted(inside[0].text) if inside else _concatenated(argument)
    # only the server knows the value of a string with escapes
    return () if any("\\" in one for one in found) else tuple(one for one in found if one.strip())


def _inside_format(argument: Sequence[SqlToken]) -> Sequence[SqlToken]:
    """Return the arguments of format(), if the argument is one call of it that begins with a string; else ()."""
    if len(argument) < 4 or not (argument[0].is_word("format") and argument[1].is_symbol("(")):
        return ()
    is_all = argument[-1].is_symbol(")") and list(depths(argument)).count(0) == _OUTER_TOKENS
    return argument[2:-1] if is_all and argument[2].kind == "string" and argument[3].is_symbol(",", ")") else ()


def _formatted(text: str) -> list[str]:
    pieces = [piece for part in text.split("%%") for piece in _FORMAT_SPECIFIER.split(part)]
    # format() raises an error for any other per cent sign
    return [] if any("%" in piece for piece in pieces) else pieces


def _concatenated(argument: Sequence[SqlToken]) -> list[str]:
    found: list[str] = []
    before = NO_TOKEN
    outer = [token for token, depth in zip(argument, depths(argument), strict=True) if depth == 0]
    for token in outer:
        if token.is_word("case") or (
            token.kind == "symbol" and not token.is_symbol("|", "(", ")", "[", "]", ".", "::")
        ):
            return []
        if token.kind == "string" and (before is NO_TOKEN or before.is_symbol("|")):
            found.append(token.text)
        before = token
    return found if any(token.is_symbol("|") for token in outer) else []
