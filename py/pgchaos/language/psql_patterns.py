"""The patterns of psql's lexer: where a statement may begin, and what can end or change it.

Source: psqlscan.l and psqlscanslash.l of PostgreSQL 16 to 18. In psql each byte above 127 is a letter; here each
character above 127 is one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pgchaos.language.section_items import Form, Variable

# more characters are white space to Python, but those are letters of identifiers to psql
SPACES = " \t\n\r\f\v"

SPACE = r" \t\n\r\f\v"
# Negated sets: a set of characters above 255 takes Python 5 ms to compile in each pattern.
LETTER = r"[^\x00-@\[-^`{-\x7f]"  # A-Z a-z _ and all above 127
WORDLIKE = r"[^\x00-/:-@\[-^`{-\x7f]"  # a letter or digit
WITHIN_NAME = r"[^\x00-#%-/:-@\[-^`{-\x7f]"  # a letter, digit or dollar sign
NOT_A_START = r"[^\x00-#%-/;-@\[-^`{-\x7f]"  # no identifier begins behind these: the same, and a variable's colon
NAME = rf"{WORDLIKE}+"
VARIABLE = rf":(?:{NAME}|'{NAME}'|\"{NAME}\"|\{{\?{NAME}\}})"

# White space, comments and the like between statements; matches with no group where a statement begins
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

# The next text within a statement that psql does not simply send; always matches.
#
# Repetitions are bounded, and continue behind `more`: Python keeps a hundred bytes for each.
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

# Some of the content of E'…': a backslash escapes the next character, and two quotes are one
ESCAPED = re.compile(r"[^'\\]*(?:(?:\\.|'')[^'\\]*){0,1000}", re.DOTALL)

# Variables in the value of a variable, and quotes and comments, where psql replaces none; of E'…' the beginning
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

DOLLAR = re.compile(rf"\$(?:{LETTER}{WORDLIKE}*)?\$")
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
    """Parse a text that VARIABLE matches; cached, for a file may name one a million times."""
    match raw[1]:
        case "'":
            return Variable(raw[2:-1], Form.LITERAL, raw)
        case '"':
            return Variable(raw[2:-1], Form.IDENTIFIER, raw)
        case "{":
            return Variable(raw[3:-1], Form.TEST, raw)
    return Variable(raw[1:], Form.PLAIN, raw)


def block_comment_end(text: str, start: int) -> int:
    """Find the position after the `*/` of the block comment that starts at a position, or -1; block comments nest."""
    depth = 0
    for edge in COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return -1


def quoted_end(text: str, start: int, escapes: bool) -> int:
    """Find the position after the string in single quotes that starts at a position, or -1.

    Without backslash escapes a doubled quote needs no care: it ends one string and begins the next.
    """
    if escapes:
        return escaped_end(text, start + 1, ESCAPED)
    return text.find("'", start + 1) + 1 or -1


def has_escape_prefix(text: str, start: int, quote: int) -> bool:
    """Say whether the string whose quote is at a position is an E'…'; plain text begins at `start`."""
    before = quote - 1
    if before < start or text[before] not in "eE":
        return False
    return before == start or not IDENTIFIER_CHARACTER.match(text, before - 1)


def escaped_end(text: str, at: int, inside: re.Pattern[str]) -> int:
    """Find the position after a quoted text, or -1; piece by piece, for a pattern takes memory for each escape."""
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
    """Say whether the `$` at a position continues an identifier, as in `a$b`; plain text begins at `start`."""
    begin = at
    while begin > start and IDENTIFIER_CHARACTER.match(text, begin - 1):
        begin -= 1
    return begin < at and not NUMBER.fullmatch(text, begin, at)


def data_end(text: str, begin: int) -> tuple[int, int]:
    r"""Find the line `\.` that ends the data of a COPY: its beginning and its end, or -1 twice."""
    found = DATA_END.search(text, begin)
    return (found.start(), found.end()) if found else (-1, -1)
