r"""What a statement does to the transaction block, by its text.

sqlparse tells comments and words apart; where a group is cut into its statements it does not agree with psql, so that
is done by psql's rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from sqlparse import lexer as sqlparse_lexer
from sqlparse import tokens

from pgchaos.language.lexemes import Sql
from pgchaos.language.psql_scanner import scan

_ENDS = frozenset({"COMMIT", "END", "ROLLBACK", "ABORT"})
_CONTROL = _ENDS | {"BEGIN", "START", "PREPARE"}


@lru_cache(maxsize=1024)
def opens_block(verb: str, text: str) -> bool:
    r"""Say whether a statement begins a transaction block.

    Args:
        verb: its first word in capitals.
        text: as it is sent; of a `\;` group, all of it.

    Returns:
        True for BEGIN, START TRANSACTION, and for what ends a block AND CHAIN.
    """
    return any(_opens(head) for head in _heads(verb, text))


@lru_cache(maxsize=1024)
def closes_block(verb: str, text: str) -> bool:
    r"""Say whether a statement ends a transaction block.

    Args:
        verb: its first word in capitals.
        text: as it is sent; of a `\;` group, all of it.

    Returns:
        True for COMMIT, END, ROLLBACK, ABORT and PREPARE TRANSACTION; not for ROLLBACK TO, and not for COMMIT or
        ROLLBACK PREPARED.
    """
    return any(_closes(head) for head in _heads(verb, text))


@lru_cache(maxsize=1024)
def goes_on_behind_end(verb: str, text: str) -> bool:
    r"""Say whether more follows the end of a block in the same statement or group, of another transaction.

    Args:
        verb: its first word in capitals.
        text: as it is sent; of a `\;` group, all of it.

    Returns:
        True for COMMIT AND CHAIN, and for `COMMIT \; BEGIN`.
    """
    heads = _heads(verb, text)
    return any(_closes(head) and (at < len(heads) - 1 or _opens(head)) for at, head in enumerate(heads))


@lru_cache(maxsize=1024)
def prepares_transaction(verb: str, text: str) -> bool:
    r"""Say whether a statement leaves its transaction prepared, for some session to end it.

    Args:
        verb: its first word in capitals.
        text: as it is sent; of a `\;` group, all of it.
    """
    return any(head[:2] == ("PREPARE", "TRANSACTION") for head in _heads(verb, text))


def _opens(head: tuple[str, ...]) -> bool:
    if head[:1] == ("BEGIN",) or head[:2] == ("START", "TRANSACTION"):
        return True
    return _closes(head) and "AND" in head and head[head.index("AND") + 1 :][:1] == ("CHAIN",)


def _closes(head: tuple[str, ...]) -> bool:
    if not head or head[0] not in _ENDS:
        return head[:2] == ("PREPARE", "TRANSACTION")
    rest = head[2:] if head[1:2] in (("WORK",), ("TRANSACTION",)) else head[1:]
    return rest[:1] not in (("TO",), ("PREPARED",))


def _heads(verb: str, text: str) -> tuple[tuple[str, ...], ...]:
    if verb not in _CONTROL and ";" not in text:
        return ()
    return _read_heads(text)


@lru_cache(maxsize=1024)
def _read_heads(text: str) -> tuple[tuple[str, ...], ...]:
    if ";" not in text:
        return (_head(text),)
    return tuple(_head(found.text) for found in scan(text, "") if isinstance(found, Sql))


def _head(text: str) -> tuple[str, ...]:
    return tuple(islice(_words(text), 5))


def _words(text: str) -> Iterator[str]:
    # sqlparse gives some keywords with their neighbours as one token, hence the split
    for kind, value in sqlparse_lexer.tokenize(text):  # type: ignore[no-untyped-call]  # sqlparse has no annotations
        if kind not in tokens.Comment and kind not in tokens.Whitespace:
            yield from value.upper().split()
