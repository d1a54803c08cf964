"""The token stream for all code that inspects SQL: tokens, statements, and SQL in strings that is executed.

Nothing here raises, whatever the text. The psql scanner decides where psql ends a statement.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pgchaos.language.psql_patterns import LETTER, SPACE, VARIABLE, WITHIN_NAME, WORDLIKE, block_comment_end, quoted_end

Kind = Literal["word", "name", "string", "variable", "number", "symbol", "comment"]

# the order matters: `E'…'` before the word E, `::` before a variable, `1..2` before a number with a point
_TOKEN = re.compile(
    rf"""(?P<space>[{SPACE}]+)
      | (?P<comment>--[^\n\r]*)
      | (?P<block>/\*)
      | (?P<quote>(?:[eEnNbBxX]|[uU]&)?')
      | (?P<unicode>[uU]&)?"(?P<name>[^"]*(?:""[^"]*)*)"?
      | (?P<tag>\$(?:{LETTER}{WORDLIKE}*)?\$)
      | (?P<long>::|:=|\.\.)
      | (?P<variable>{VARIABLE})
      | (?P<word>{LETTER}{WITHIN_NAME}*)
      | (?P<number>[0-9]+(?:\.(?!\.)[0-9]*)?{WITHIN_NAME}*)
      | (?P<symbol>.)""",
    re.VERBOSE | re.DOTALL,
)


_UESCAPE = re.compile(rf"[{SPACE}]*uescape[{SPACE}]*'([^'])'", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SqlToken:
    """One token."""

    kind: Kind  # `name` is an identifier in double quotes
    text: str  # a word in lower case, the content of a name or string, else as written
    line: int  # of its first character
    start: int = 0  # its position in the text
    end: int = 0  # the position after it

    @property
    def is_identifier(self) -> bool:
        """Whether it may be the name of something."""
        return self.kind in ("word", "name")

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these words (in lower case), not in quotes."""
        return self.kind == "word" and self.text in words

    def is_symbol(self, *symbols: str) -> bool:
        """Whether it is one of these symbols, such as `(`."""
        return self.kind == "symbol" and self.text in symbols


NO_TOKEN = SqlToken("symbol", "", 0)  # before the first token and after the last


def tokenize(text: str, line: int = 0, *, comments: bool = False) -> list[SqlToken]:
    """Split SQL, which begins in this line, into tokens. An unterminated one extends to the end of the text."""
    return list(_tokens(text, line, comments))


def _tokens(text: str, line: int, comments: bool) -> Iterator[SqlToken]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found  # its last alternative matches any character
        kind, start, raw = found.lastgroup, at, found[0]
        at = found.end()
        match kind:
            case "space":
                pass
            case "comment" | "block":
                if kind == "block":
                    at = block_comment_end(text, start)
                    at = len(text) if at < 0 else at
                if comments:
                    yield SqlToken("comment", text[start:at], line, start, at)
            case "quote":
                end = _string_end(text, at - 1, escapes=raw[0] in "eE")
                content, at = text[at : end - 1].replace("''", "'"), min(end, len(text))
                yield SqlToken("string", content, line, start, at)
            case "tag":
                close = text.find(raw, at)
                content = text[at:close] if close >= 0 else text[at:]
                at = close + len(raw) if close >= 0 else len(text)
                yield SqlToken("string", content, line, start, at)
            case "name":
                name = found["name"].replace('""', '"')
                yield SqlToken("name", _decoded(name, text, at) if found["unicode"] else name, line, start, at)
            case "word":
                yield SqlToken("word", raw.lower(), line, start, at)
            case "variable":
                yield SqlToken("variable", raw, line, start, at)
            case "number":
                yield SqlToken("number", raw, line, start, at)
            case _:
                yield SqlToken("symbol", raw, line, start, at)
        line += text.count("\n", start, at)


def _decoded(name: str, text: str, end: int) -> str:
    """Decode the escapes in U&"…", which ends at a position of a text; UESCAPE behind it names another character."""
    uescape = _UESCAPE.match(text, end)
    escape = re.escape(uescape[1] if uescape else "\\")
    escapes = rf"{escape}(?:(?P<escape>{escape})|\+(?P<six>[0-9a-fA-F]{{6}})|(?P<four>[0-9a-fA-F]{{4}}))"

    def character(found: re.Match[str]) -> str:
        code = int(found["six"] or found["four"] or "0", 16)
        return found["escape"] or (chr(code) if code <= sys.maxunicode else found[0])

    return re.sub(escapes, character, name)


def _string_end(text: str, start: int, *, escapes: bool) -> int:
    """Return the end of a string with doubled quotes; one beyond the text if it is unterminated."""
    end = quoted_end(text, start, escapes)
    while not escapes and 0 < end < len(text) and text[end] == "'":
        end = quoted_end(text, end, escapes)
    return len(text) + 1 if end < 0 else end


def token_at(tokens: Sequence[SqlToken], at: int) -> SqlToken:
    """Return the token at an index, NO_TOKEN outside of the sequence."""
    return tokens[at] if 0 <= at < len(tokens) else NO_TOKEN


def depths(tokens: Iterable[SqlToken]) -> Iterator[int]:
    """Yield the depth of each token in parentheses and brackets, which do not count as within themselves."""
    depth = 0
    for token in tokens:
        depth -= token.is_symbol(")", "]")
        yield depth
        depth += token.is_symbol("(", "[")


def last_part(tokens: Sequence[SqlToken], at: int) -> int:
    """Return the index of the last part of the qualified name that begins at an index."""
    while token_at(tokens, at + 1).is_symbol("."):
        at += 2
    return at


def open_parenthesis(text: str, line: int, end: int = sys.maxsize) -> int | None:
    """Return the line of the last parenthesis that is opened before line `end` and never closed, or None."""
    opened: list[int] = []
    for token in tokenize(text, line):
        if token.is_symbol("("):
            opened.append(token.line)
        elif token.is_symbol(")") and opened:
            opened.pop()
    return next((line for line in reversed(opened) if line < end), None)


# calls

_NAMED_AFTER = frozenset(
    """into table exists copy as with recursive references function procedure routine aggregate index view constraint
    update""".split()  # noqa: SIM905  # so many words are easier to read without quotes
)


class FunctionCall(NamedTuple):
    """A call of a function: the index of its name token, its name, and its schema or ''."""

    at: int
    name: str
    schema: str


def function_calls(tokens: Sequence[SqlToken]) -> Iterator[FunctionCall]:
    """Yield the calls in a statement: names and keywords before a parenthesis, unless they name a table or the like."""
    # CREATE INDEX … ON t (a), but JOIN … ON f(a)
    creates = token_at(tokens, 0).is_word("create")
    for at, token in enumerate(tokens):
        if not (token.is_identifier and token_at(tokens, at + 1).is_symbol("(")):
            continue
        before, schema = token_at(tokens, at - 1), ""
        if before.is_symbol("."):
            schema, before = token_at(tokens, at - 2).text, token_at(tokens, at - 3)
        if not (before.is_word(*_NAMED_AFTER) or (creates and before.is_word("on"))):
            yield FunctionCall(at, token.text, schema)


def call_arguments(tokens: Sequence[SqlToken], at: int) -> list[list[SqlToken]]:
    """Return the arguments of the call whose name is at an index."""
    depth, found = 0, [list[SqlToken]()]
    for token in tokens[at + 1 :]:
        depth += token.is_symbol("(", "[") - token.is_symbol(")", "]")
        if depth == 0:
            break
        if depth == 1 and token.is_symbol(","):
            found.append([])
        elif not (depth == 1 and token.is_symbol("(") and not found[0] and len(found) == 1):
            found[-1].append(token)
    return found


# statements

_DEEPEST = 8  # nesting levels of SQL in strings
_BEFORE_A_STATEMENT = ("begin", "then", "else", "loop", "declare", "atomic")
_RUNS_FIRST_ARGUMENT = re.compile(
    "throws_(?:ok|like|ilike|matching|imatching)|lives_ok|performs_(?:ok|within)|(?:is|isnt)_empty|row_eq"
    "|(?:results|set|bag)_(?:eq|ne|has|hasnt)|eventually|snapshot|query_to_xml"
)
_RUNS_TWO_ARGUMENTS = re.compile("(?:results|set|bag)_(?:eq|ne|has|hasnt)")
_LANGUAGES = ("sql", "plpgsql")


@dataclass(frozen=True, slots=True)
class SqlStatement:
    """One statement as tokens."""

    tokens: tuple[SqlToken, ...]  # without its `;`
    in_body: bool = False  # it is in the body of a function or DO
    declares: bool = False  # it is between DECLARE and BEGIN of such a body

    @property
    def verb(self) -> str:
        """Its first word in lower case, or ''."""
        first = self.tokens[0] if self.tokens else NO_TOKEN
        return first.text if first.kind == "word" else ""


def top_statements(text: str) -> list[SqlStatement]:
    """Return the non-empty statements of a text, without those in its strings; lines are counted from 0."""
    return [statement for statement in _split(tokenize(text), in_body=False) if statement.tokens]


def all_statements(text: str) -> Iterator[SqlStatement]:
    """Yield the statements of a text, each followed by those in its strings that it executes; lines are from 0."""
    yield from _with_inner(tokenize(text), in_body=False, depth=0)


def _with_inner(tokens: list[SqlToken], *, in_body: bool, depth: int) -> Iterator[SqlStatement]:
    for statement in _split(tokens, in_body=in_body):
        yield statement
        if depth < _DEEPEST:
            for string, is_body in _sql_strings(statement):
                yield from _with_inner(tokenize(string.text, string.line), in_body=is_body, depth=depth + 1)


def _split(tokens: list[SqlToken], *, in_body: bool) -> Iterator[SqlStatement]:
    found: list[SqlToken] = []
    cases = 0
    declares = False
    for token in tokens:
        if token.is_symbol(";"):
            yield SqlStatement(tuple(found), in_body, declares)
            found, cases = [], 0
            continue
        # THEN and ELSE of a CASE expression begin no statement
        cases += token.is_word("case") and bool(found)
        cases -= token.is_word("end") and cases > 0
        found.append(token)
        if not cases and (token.is_word(*_BEFORE_A_STATEMENT) if in_body else token.is_word("atomic")):
            yield SqlStatement(tuple(found), in_body, declares)
            found = []
            declares = token.is_word("declare")
    yield SqlStatement(tuple(found), in_body, declares)


def _sql_strings(statement: SqlStatement) -> Iterator[tuple[SqlToken, bool]]:
    """Yield the strings of a statement that are executed as SQL, and whether they are bodies."""
    tokens = statement.tokens
    is_routine = statement.verb == "create" and any(token.is_word("function", "procedure") for token in tokens[:5])
    if statement.verb == "do" or is_routine:
        if _language(tokens) in _LANGUAGES:
            for before, token in zip((NO_TOKEN, *tokens), tokens, strict=False):
                if (
                    token.kind == "string"
                    and not before.is_word("language")
                    and (not is_routine or before.is_word("as"))
                ):
                    yield token, True
        return
    for at, token in enumerate(tokens):
        if token.kind == "string" and _is_run(tokens, at):
            yield token, False


def _language(tokens: tuple[SqlToken, ...]) -> str:
    for before, token in itertools.pairwise(tokens):
        if before.is_word("language"):
            return token.text.lower()
    return "plpgsql"


def _is_run(tokens: tuple[SqlToken, ...], at: int) -> bool:
    """Whether a string is executed by EXECUTE, or by the function whose argument it is."""
    before, function = token_at(tokens, at - 1), token_at(tokens, at - 2)
    if before.is_word("execute"):
        return True
    if before.is_symbol("("):
        is_formatted = function.is_word("format") and token_at(tokens, at - 3).is_word("execute")
        return function.is_identifier and (bool(_RUNS_FIRST_ARGUMENT.fullmatch(function.text)) or is_formatted)
    is_second = before.is_symbol(",") and function.kind == "string" and token_at(tokens, at - 3).is_symbol("(")
    return is_second and bool(_RUNS_TWO_ARGUMENTS.fullmatch(token_at(tokens, at - 4).text))
