"""Parses the errors in directives: a SQLSTATE, or a condition name as in PL/pgSQL's EXCEPTION clauses."""

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
    """Return the condition names with their SQLSTATEs.

    They are those of PostgreSQL's errcodes.txt (kind E), which psycopg has as classes: UniqueViolation is
    unique_violation. If a condition has two SQLSTATEs, the name of psycopg's second class ends in `_` or `Ext`.
    """
    # imported at the first use: the module is large, and most files use SQLSTATEs
    from psycopg import Error, errors

    found: dict[str, set[str]] = {}
    for name, thing in vars(errors).items():
        if isinstance(thing, type) and issubclass(thing, Error) and isinstance(thing.sqlstate, str):
            if thing.sqlstate.startswith(_CLASSES_WITHOUT_ERRORS):
                continue
            condition = _WORD_BEGINS.sub("_", name.rstrip("_").removesuffix("Ext")).lower()
            found.setdefault(condition, set()).add(thing.sqlstate)
    return {name: tuple(sorted(states)) for name, states in found.items()}


def condition_names(sqlstate: str) -> tuple[str, ...]:
    """Return the PL/pgSQL condition names of a SQLSTATE; () if it has none."""
    return tuple(name for name, states in conditions().items() if sqlstate in states)


def parse_code(word: str, directive: str) -> Code:
    """Parse a SQLSTATE or a condition name in a directive, whose name is used in messages."""
    # a condition name is in lower case, so five capitals and digits can only be a SQLSTATE
    if _SQLSTATE.fullmatch(word):
        if word.startswith(_CLASSES_WITHOUT_ERRORS):
            raise DirectiveError(
                f"`{directive}`: `{word}` is not an error: SQLSTATEs that begin with 00, 01 or 02 are successes and"
                " warnings"
            )
        return Code(word, (word,))
    states = conditions().get(word)
    if states is not None:
        return Code(word, states)
    if _SQLSTATE.fullmatch(word.upper()) and any(c.isdigit() for c in word):
        raise DirectiveError(
            f"`{directive}`: `{word}` is not a SQLSTATE: its letters must be capitals, did you mean `{word.upper()}`?"
        )
    if word == "unknown":
        raise DirectiveError(
            f"`{directive}`: `unknown`, the outcome of a lost COMMIT, can only be retried: `retry unknown`"
        )
    begins = (name for name in sorted(conditions()) if len(word) > 3 and name.startswith(word.lower()))
    near = nearest(word, conditions()) or next(begins, None)
    hint = f"did you mean `{near}`?" if near else "see the appendix on error codes in PostgreSQL's documentation"
    raise DirectiveError(f"`{directive}`: `{word}` is neither a SQLSTATE nor a condition name, {hint}")


def take_codes(args: Args, stops: tuple[str, ...] = (), *, unknown: bool = False) -> tuple[Code, ...]:
    """Take at least one error, up to the end of the line or to a word of `stops`.

    With `unknown`, that word is accepted too: the outcome of a lost COMMIT. Raises DirectiveError if there is no error,
    or if one is not known.
    """
    codes: list[Code] = []
    while args.has_more() and args.peek() not in stops:
        if args.accept(","):
            continue
        if unknown and args.accept("unknown"):
            codes.append(Code("unknown", ("unknown",)))
            continue
        try:
            codes.append(parse_code(args.take().text, args.word))
        except DirectiveError as error:
            args.put_back()
            raise args.misspelt() or error from None
    if not codes:
        raise args.error("no error is named, such as 40001 or serialization_failure")
    return tuple(codes)
