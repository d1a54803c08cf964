"""The patterns of psql's lexer: where a statement may begin, and what can end or change it.

Source: psqlscan.l and psqlscanslash.l of PostgreSQL 16 to 18. psql reads bytes and takes each byte above 127 for a
letter; here each character above 127 is one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pgchaos.language.section_items import Form, Variable

SPACES = " \t\n\r\f\v"
"""White space to psql; to Python more characters are some, but those are letters of identifiers there."""

SPACE = r" \t\n\r\f\v"
# By what they are not: a set that reaches beyond 255 takes Python 5 ms to compile, wherever it stands.
LETTER = r"[^\x00-@\[-^`{-\x7f]"
"""A letter to psql: A-Z a-z _ and all above 127."""
WORDLIKE = r"[^\x00-/:-@\[-^`{-\x7f]"
"""A letter or digit."""
WITHIN_NAME = r"[^\x00-#%-/:-@\[-^`{-\x7f]"
"""What an identifier goes on with: a letter, digit or dollar sign."""
NOT_A_START = r"[^\x00-#%-/;-@\[-^`{-\x7f]"
"""What an identifier does not begin behind: what it would go on with, or the colon of a variable."""
NAME = rf"{WORDLIKE}+"
VARIABLE = rf":(?:{NAME}|'{NAME}'|\"{NAME}\"|\{{\?{NAME}\}})"

BETWEEN = re.compile(
    rf"""[{SPACE}]*(?:
        (?P<comment>--[^\n\r]*)
      | (?P<block>/\*)
      | (?P<empty>;|\\;)
      | (?P<slash>\\(?!:))
      | (?P<end>\Z)
    )?""",
    re.VERBOSE,
)
"""What stands between statements; matches with no group where a statement begins."""

WITHIN = re.compile(
    rf"""(?:[^'"$/\-();\\:]+|-(?!-)|/(?!\*)|::|:=){{0,1000}}(?:
        (?P<semicolon>;)
      | (?P<open>\()
      | (?P<close>\))
      | (?P<quote>')
      | (?P<variable>{VARIABLE})
      | (?P<comment>--[^\n\r]*)
      | (?P<name>"[^"]*")
      | (?P<dollar>\$)
      | (?P<block>/\*)
      | (?P<escaped>\\[;:])
      | (?P<slash>\\)
      | (?P<colon>:)
      | (?P<open_name>")
      | (?P<end>\Z)
      | (?P<more>)
    )""",
    re.VERBOSE,
)
"""The next thing within a statement that psql does not simply pass on; always matches.

Repetitions are bounded, and go on behind `more`: Python keeps a hundred bytes for each.
"""

ESCAPED = re.compile(r"[^'\\]*(?:(?:\\.|'')[^'\\]*){0,1000}", re.DOTALL)
"""Some of the inside of E'…': a backslash takes the next character with it, and two quotes are one."""

VALUE = re.compile(
    rf"""::
      | (?P<variable>{VARIABLE})
      | (?P<escaped>(?<!{WITHIN_NAME})[eE]')
      | '[^']*'?
      | "[^"]*"?
      | --[^\n\r]*
      | /\*.*?(?:\*/|\Z)
      | (?P<tag>\$(?:{LETTER}{WORDLIKE}*)?\$).*?(?:(?P=tag)|\Z)""",
    re.VERBOSE | re.DOTALL,
)
"""What to look at in the value of a variable that is put into SQL: variables, and what hides them.

Of E'…' only where it begins.
"""

DOLLAR = re.compile(rf"\$(?:{LETTER}{WORDLIKE}*)?\$")
"""The delimiter of a dollar-quoted string."""

PARAMETER = re.compile(rf"\$(?:[0-9]+(?:{LETTER}{WITHIN_NAME}*)?)?")
IDENTIFIER_REST = re.compile(rf"{WITHIN_NAME}*")
IDENTIFIER_CHARACTER = re.compile(rf"{WITHIN_NAME}")
NUMBER = re.compile(r"[0-9]+(?:[eE][0-9]+)?")
WORD = re.compile(rf"{LETTER}{WITHIN_NAME}*")
SLASH_NAME = re.compile(rf"[^{SPACE}\\]*")
DATA_END = re.compile(r"^\\\.(?:\n|\Z)", re.MULTILINE)
COMMENT_EDGE = re.compile(r"/\*|\*/")


@lru_cache(maxsize=1000)
def variable(raw: str) -> Variable:
    """Take a text that VARIABLE matches for what it is.

    Kept, for a file may name one a million times.

    Args:
        raw: `:name`, `:'name'`, `:"name"` or `:{?name}`.

    Returns:
        The variable.
    """
    match raw[1]:
        case "'":
            return Variable(raw[2:-1], Form.LITERAL, raw)
        case '"':
            return Variable(raw[2:-1], Form.IDENTIFIER, raw)
        case "{":
            return Variable(raw[3:-1], Form.TEST, raw)
    return Variable(raw[1:], Form.PLAIN, raw)


def block_comment_end(text: str, start: int) -> int:
    """Find the end of a block comment, in which others may be nested.

    Args:
        text: the text.
        start: where its `/*` stands.

    Returns:
        The position after its `*/`, or -1 where it has none.
    """
    depth = 0
    for edge in COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return -1


def quoted_end(text: str, start: int, escapes: bool) -> int:
    """Find the end of a string in single quotes.

    A doubled quote inside it needs no care without backslash escapes: there it ends one string and begins the next.

    Args:
        text: the text.
        start: where its quote stands.
        escapes: whether it is an E'…'.

    Returns:
        The position after its closing quote, or -1 where it has none.
    """
    if escapes:
        return escaped_end(text, start + 1, ESCAPED)
    return text.find("'", start + 1) + 1 or -1


def escaped_end(text: str, at: int, inside: re.Pattern[str]) -> int:
    """Find where a quoted text ends, a piece at a time: a pattern over all of it would take memory for each escape.

    Args:
        text: the text.
        at: the position behind the opening quote.
        inside: matches a bounded piece of what may stand inside.

    Returns:
        The position after its closing quote, or -1 where it has none.
    """
    while True:
        found = inside.match(text, at)
        assert found  # all of it may be empty
        end = found.end()
        if text.startswith("'", end) and not text.startswith("''", end):
            return end + 1
        if end == at:
            return -1
        at = end


def in_identifier(text: str, start: int, at: int) -> bool:
    """Say whether a `$` belongs to an identifier, as in `a$b`, and so begins no dollar quote.

    Args:
        text: the text.
        start: where the run of plain text before it begins.
        at: where the `$` stands.

    Returns:
        True where an identifier stands directly before it.
    """
    begin = at
    while begin > start and IDENTIFIER_CHARACTER.match(text, begin - 1):
        begin -= 1
    return begin < at and not NUMBER.fullmatch(text, begin, at)


def data_end(text: str, begin: int) -> tuple[int, int]:
    r"""Find the line `\.` that ends the data of a COPY.

    Args:
        text: the text.
        begin: where the data begins, at the beginning of a line.

    Returns:
        Where that line begins and where the next one does; -1 twice where there is none.
    """
    found = DATA_END.search(text, begin)
    return (found.start(), found.end()) if found else (-1, -1)
