"""The statements of a text, and the SQL in its strings: bodies of functions, DO, and arguments to be run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pgchaos.language.sql_tokens import NOTHING, SqlToken, sql_tokens

_DEEPEST = 8
_BEFORE_A_STATEMENT = ("begin", "then", "else", "loop", "declare", "atomic")
_RUNS_ITS_ARGUMENT = re.compile(
    "throws_(?:ok|like|ilike|matching|imatching)|lives_ok|performs_(?:ok|within)|(?:is|isnt)_empty|row_eq"
    "|(?:results|set|bag)_(?:eq|ne|has|hasnt)|eventually|snapshot|query_to_xml"
)
"""Functions of pgTAP, the toolkit and the server of which the first argument is SQL (of some the second too)."""
_RUNS_TWO = re.compile("(?:results|set|bag)_(?:eq|ne|has|hasnt)")
_LANGUAGES = ("sql", "plpgsql")


@dataclass(frozen=True, slots=True)
class Plain:
    """One statement as its pieces.

    Args:
        pieces: without its `;`.
        body: whether it stands in the body of a function or DO.
        declares: whether it stands between DECLARE and BEGIN there.
    """

    pieces: tuple[SqlToken, ...]
    body: bool = False
    declares: bool = False

    @property
    def verb(self) -> str:
        """Its first word in small letters, or ''."""
        first = self.pieces[0] if self.pieces else NOTHING
        return first.text if first.kind == "word" else ""


def outer(text: str) -> list[Plain]:
    """Give the statements of a text without those in its strings.

    Args:
        text: SQL, of one statement or several.

    Returns:
        The statements that hold something; lines are counted from 0 at the beginning of the text.
    """
    return [plain for plain in _split(sql_tokens(text), body=False) if plain.pieces]


def statements(text: str) -> Iterator[Plain]:
    """Give the statements of a text, each followed by those in its strings that are run.

    Args:
        text: SQL, of one statement or several.

    Yields:
        The statements; lines are counted from 0 at the beginning of the text.
    """
    yield from _statements(sql_tokens(text), body=False, depth=0)


def _statements(cut: list[SqlToken], *, body: bool, depth: int) -> Iterator[Plain]:
    for plain in _split(cut, body=body):
        yield plain
        if depth < _DEEPEST:
            for string, inner in _run(plain):
                yield from _statements(sql_tokens(string.text, string.line), body=inner, depth=depth + 1)


def _split(cut: list[SqlToken], *, body: bool) -> Iterator[Plain]:
    found: list[SqlToken] = []
    cases = 0
    declares = False
    for piece in cut:
        if piece.sign(";"):
            yield Plain(tuple(found), body, declares)
            found, cases = [], 0
            continue
        # the THEN and ELSE of an expression begin no statement
        cases += piece.says("case") and bool(found)
        cases -= piece.says("end") and cases > 0
        found.append(piece)
        if not cases and (piece.says(*_BEFORE_A_STATEMENT) if body else piece.says("atomic")):
            yield Plain(tuple(found), body, declares)
            found = []
            declares = piece.says("declare")
    yield Plain(tuple(found), body, declares)


def _run(plain: Plain) -> Iterator[tuple[SqlToken, bool]]:
    """Give the strings of a statement that hold SQL, and whether they are bodies."""
    words = plain.pieces
    is_routine = plain.verb == "create" and any(piece.says("function", "procedure") for piece in words[:5])
    if plain.verb == "do" or is_routine:
        if _language(words) in _LANGUAGES:
            for before, piece in zip((NOTHING, *words), words, strict=False):
                if piece.kind == "string" and not before.says("language") and (not is_routine or before.says("as")):
                    yield piece, True
        return
    for at, piece in enumerate(words):
        if piece.kind == "string" and _is_argument(words, at):
            yield piece, False


def _language(words: tuple[SqlToken, ...]) -> str:
    for before, piece in itertools.pairwise(words):
        if before.says("language"):
            return piece.text.lower()
    return "plpgsql"


def _is_argument(words: tuple[SqlToken, ...], at: int) -> bool:
    def before(back: int) -> SqlToken:
        return words[at - back] if at >= back else NOTHING

    if before(1).says("execute"):
        return True
    if before(1).sign("("):
        called = before(2)
        return called.identifier and (
            bool(_RUNS_ITS_ARGUMENT.fullmatch(called.text)) or (called.says("format") and before(3).says("execute"))
        )
    second = before(1).sign(",") and before(2).kind == "string" and before(3).sign("(")
    return second and bool(_RUNS_TWO.fullmatch(before(4).text))
