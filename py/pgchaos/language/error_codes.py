"""Errors as authors name them: a SQLSTATE, or a condition name as in PL/pgSQL's EXCEPTION clauses.

The names are those of PostgreSQL's errcodes.txt (kind E), which psycopg carries as classes: UniqueViolation is
unique_violation. A trailing `_` or `Ext` keeps Python's names apart, where one condition has two SQLSTATEs.
"""

from __future__ import annotations

import functools
import re

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.section_items import Code
from pgchaos.language.suggestions import nearest

_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
_WORD_BEGINS = re.compile(r"(?<!^)(?=[A-Z])")
_CLASSES_WITHOUT_ERRORS = ("00", "01", "02")


@functools.lru_cache(maxsize=1)
def conditions() -> dict[str, tuple[str, ...]]:
    """Give every condition name with the SQLSTATEs that it stands for."""
    # read on first need only: most files name SQLSTATEs, and the module is a large one
    from psycopg import Error, errors

    found: dict[str, set[str]] = {}
    for name, thing in vars(errors).items():
        if isinstance(thing, type) and issubclass(thing, Error) and isinstance(thing.sqlstate, str):
            if thing.sqlstate.startswith(_CLASSES_WITHOUT_ERRORS):
                continue
            snake = _WORD_BEGINS.sub("_", name.rstrip("_").removesuffix("Ext")).lower()
            found.setdefault(snake, set()).add(thing.sqlstate)
    return {name: tuple(sorted(states)) for name, states in found.items()}


def code(word: str, where: str) -> Code:
    """Read a SQLSTATE or a condition name.

    Args:
        word: as written.
        where: the directive that it stands in, for messages.

    Returns:
        The error, with every SQLSTATE that it stands for.

    Raises:
        Wrong: it is neither.
    """
    # a condition name holds small letters, so what has none and is five long can only be a SQLSTATE
    if _SQLSTATE.fullmatch(word):
        if word.startswith(_CLASSES_WITHOUT_ERRORS):
            raise DirectiveError(
                f"`{where}`: `{word}` is no error: SQLSTATEs that begin with 00, 01 or 02 say success or warn"
            )
        return Code(word, (word,))
    states = conditions().get(word)
    if states is not None:
        return Code(word, states)
    if _SQLSTATE.fullmatch(word.upper()) and any(c.isdigit() for c in word):
        raise DirectiveError(
            f"`{where}`: `{word}` is no SQLSTATE: its letters are capitals, did you mean `{word.upper()}`?"
        )
    if word == "unknown":
        raise DirectiveError(
            f"`{where}`: `unknown`, the outcome of a lost COMMIT, can only be retried: `retry unknown`"
        )
    begins = (name for name in sorted(conditions()) if len(word) > 3 and name.startswith(word.lower()))
    near = nearest(word, conditions()) or next(begins, None)
    hint = f"did you mean `{near}`?" if near else "see the appendix on error codes in PostgreSQL's documentation"
    raise DirectiveError(f"`{where}`: `{word}` is neither a SQLSTATE nor a condition name, {hint}")


def take_codes(args: Args, stops: tuple[str, ...] = (), *, unknown: bool = False) -> tuple[Code, ...]:
    """Take errors up to the end of the line or a word that ends them.

    Args:
        args: the directive's arguments.
        stops: words that end the list.
        unknown: whether `unknown` (the outcome of a lost COMMIT) may be named too.

    Returns:
        At least one error, in order.

    Raises:
        Wrong: none is named, or one is not known.
    """
    codes: list[Code] = []
    while args.more() and args.peek() not in stops:
        at = args.at
        token = args.take("an error")
        if token.text == "," and not token.quoted:
            continue
        if unknown and token.text == "unknown":
            codes.append(Code("unknown", ("unknown",)))
            continue
        try:
            codes.append(code(token.text, args.word))
        except DirectiveError as error:
            args.at = at
            raise args.misspelt() or error from None
    if not codes:
        raise args.wrong("no error is named, such as 40001 or serialization_failure")
    return tuple(codes)
