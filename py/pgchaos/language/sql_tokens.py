"""SQL cut into words, names, strings and signs, for checks that look at what a statement says.

Comments and white space are left out; nothing here raises, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pgchaos.language.psql_patterns import LETTER, SPACE, VARIABLE, WITHIN_NAME, WORDLIKE, block_comment_end, quoted_end

Kind = Literal["word", "name", "string", "variable", "number", "sign"]

_PIECE = re.compile(
    rf"""(?P<space>[{SPACE}]+|--[^\n\r]*)
      | (?P<block>/\*)
      | (?P<quote>(?:[eEnNbBxX]|[uU]&)?')
      | (?:[uU]&)?"(?P<name>[^"]*(?:""[^"]*)*)"?
      | (?P<tag>\$(?:{LETTER}{WORDLIKE}*)?\$)
      | (?P<long>::|:=|\.\.)
      | (?P<variable>{VARIABLE})
      | (?P<word>{LETTER}{WITHIN_NAME}*)
      | (?P<number>[0-9]+(?:\.(?!\.)[0-9]*)?)
      | (?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class SqlToken:
    """One piece of SQL.

    Args:
        kind: what it is; `name` is an identifier in double quotes.
        text: a word in small letters, what a name or string holds, a variable as written, else the characters.
        line: where it begins, counted from that of the text.
        start: its position in the text.
    """

    kind: Kind
    text: str
    line: int
    start: int = 0

    @property
    def identifier(self) -> bool:
        """Whether it may be the name of something."""
        return self.kind in ("word", "name")

    def says(self, *words: str) -> bool:
        """Say whether it is one of these words, not in quotes.

        Args:
            words: in small letters.
        """
        return self.kind == "word" and self.text in words

    def sign(self, *signs: str) -> bool:
        """Say whether it is one of these signs.

        Args:
            signs: such as `(`.
        """
        return self.kind == "sign" and self.text in signs


NOTHING = SqlToken("sign", "", 0)
"""What stands before the first piece and behind the last."""


def sql_tokens(text: str, line: int = 0) -> list[SqlToken]:
    """Cut a text.

    Args:
        text: SQL, or the body of a function.
        line: that its first line has.

    Returns:
        Its pieces in order. A quote or comment that does not end goes to the end of the text.
    """
    return list(_cut(text, line))


def _cut(text: str, line: int) -> Iterator[SqlToken]:
    at = 0
    while at < len(text):
        found = _PIECE.match(text, at)
        assert found  # its last alternative matches anything
        kind, start = found.lastgroup, at
        at = found.end()
        match kind:
            case "space":
                pass
            case "block":
                at = block_comment_end(text, start)
                at = len(text) if at < 0 else at
            case "quote":
                at = _string_end(text, at - 1, found[0][0] in "eE")
                yield SqlToken("string", text[found.end() : at - 1].replace("''", "'"), line, start)
                at = min(at, len(text))
            case "tag":
                close = text.find(found[0], at)
                inside, at = at, len(text) if close < 0 else close + len(found[0])
                yield SqlToken("string", text[inside : at if close < 0 else close], line, start)
            case "name":
                yield SqlToken("name", found["name"].replace('""', '"'), line, start)
            case "word":
                yield SqlToken("word", found["word"].lower(), line, start)
            case "variable":
                yield SqlToken("variable", found[0], line, start)
            case "number":
                yield SqlToken("number", found[0], line, start)
            case _:
                yield SqlToken("sign", found[0], line, start)
        line += text.count("\n", start, at)


def _string_end(text: str, start: int, escapes: bool) -> int:
    """Find the end of a string, over its doubled quotes."""
    end = quoted_end(text, start, escapes)
    while not escapes and 0 < end < len(text) and text[end] == "'":
        end = quoted_end(text, end, escapes)
    return len(text) + 1 if end < 0 else end
