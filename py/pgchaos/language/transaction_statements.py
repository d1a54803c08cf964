r"""Decides from the text of a statement whether it begins or ends a transaction block.

sqlparse splits it into words. It does not split a `\;` group as psql does, so the psql scanner does that.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from sqlparse import lexer as sqlparse_lexer
from sqlparse import tokens

from pgchaos.language.lexemes import Sql
from pgchaos.language.psql_scanner import scan

_ENDS = frozenset({"COMMIT", "END", "ROLLBACK", "ABORT"})
_CONTROL = _ENDS | {"BEGIN", "START", "PREPARE"}
_FIRST = 5  # words that decide what a statement does


def opens_block(verb: str, text: str) -> bool:
    r"""Whether a statement begins a transaction block: BEGIN, START TRANSACTION, or COMMIT AND CHAIN and the like.

    As in all functions here, `verb` is its first word in upper case, and `text` is the whole statement or `\;` group.
    """
    return (verb in _CONTROL or ";" in text) and _control(text).opens


def closes_block(verb: str, text: str) -> bool:
    """Whether a statement ends a transaction block: COMMIT, END, ROLLBACK, ABORT or PREPARE TRANSACTION.

    ROLLBACK TO, COMMIT PREPARED and ROLLBACK PREPARED do not.
    """
    return (verb in _CONTROL or ";" in text) and _control(text).closes


def continues_after_end(verb: str, text: str) -> bool:
    r"""Whether another transaction follows the end of a block: COMMIT AND CHAIN, or `COMMIT \; BEGIN`."""
    statements = _first_words(verb, text)
    return any(_closes(words) and (_opens(words) or at < len(statements) - 1) for at, words in enumerate(statements))


def prepares_transaction(verb: str, text: str) -> bool:
    """Whether a statement has PREPARE TRANSACTION."""
    return any(words[:2] == ("PREPARE", "TRANSACTION") for words in _first_words(verb, text))


def begins_none(text: str) -> bool:
    """Whether psql sends a statement without BEGIN before it while AUTOCOMMIT is off (command_no_begin in common.c)."""
    words = tuple(islice(_words(text), _FIRST))
    match words:
        case (("BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "VACUUM"), *_) | ("CLUSTER",):
            return True
        case (
            ("PREPARE", "TRANSACTION", *_)
            | ("CREATE", "DATABASE" | "TABLESPACE", *_)
            | ("DROP" | "REINDEX", "DATABASE" | "SYSTEM" | "TABLESPACE", *_)
            | ("ALTER", "SYSTEM", *_)
            | ("DISCARD", "ALL", *_)
        ):
            return True
        case ("CREATE" | "DROP" | "REINDEX", *_):
            return "CONCURRENTLY" in words
    return False


def _opens(words: tuple[str, ...]) -> bool:
    if words[:1] == ("BEGIN",) or words[:2] == ("START", "TRANSACTION"):
        return True
    return _closes(words) and "AND" in words and words[words.index("AND") + 1 :][:1] == ("CHAIN",)


def _closes(words: tuple[str, ...]) -> bool:
    if not words or words[0] not in _ENDS:
        return words[:2] == ("PREPARE", "TRANSACTION")
    rest = words[2:] if words[1:2] in (("WORK",), ("TRANSACTION",)) else words[1:]
    return rest[:1] not in (("TO",), ("PREPARED",))


def _first_words(verb: str, text: str) -> tuple[tuple[str, ...], ...]:
    """Return the first words of each statement of a text, in upper case; () if none controls a transaction."""
    return _control(text).words if verb in _CONTROL or ";" in text else ()


class _Control(NamedTuple):
    """The effect of a text on transactions."""

    words: tuple[tuple[str, ...], ...]  # the first words of each statement
    opens: bool
    closes: bool


@lru_cache(maxsize=1024)  # a session repeats its statements, and asks several things of each
def _control(text: str) -> _Control:
    texts = [found.text for found in scan(text, "") if isinstance(found, Sql)] if ";" in text else [text]
    words = tuple(tuple(islice(_words(one), _FIRST)) for one in texts)
    return _Control(words, any(map(_opens, words)), any(map(_closes, words)))


def _words(text: str) -> Iterator[str]:
    # split, because some tokens of sqlparse are several keywords
    for kind, value in sqlparse_lexer.tokenize(text):  # type: ignore[no-untyped-call]  # sqlparse has no annotations
        if kind not in tokens.Comment and kind not in tokens.Whitespace:
            yield from value.upper().split()
