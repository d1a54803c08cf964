"""The patterns of psql's lexer: what may be between statements, and what may end or change a statement.

Source: psqlscan.l and psqlscanslash.l of PostgreSQL 16 to 18. In psql each byte above 127 is a letter; here each
character above 127 is one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pgchaos.language.section_items import Form, Variable

# Python has more white space characters, but to psql those are letters of identifiers
SPACES = " \t\n\r\f\v"

SPACE = r" \t\n\r\f\v"
# negated sets, because Python needs 5 ms to compile a set of characters above 255 in each pattern
LETTER = r"[^\x00-@\[-^`{-\x7f]"  # A-Z a-z _ and all above 127
WORDLIKE = r"[^\x00-/:-@\[-^`{-\x7f]"  # a letter or digit
WITHIN_NAME = r"[^\x00-#%-/:-@\[-^`{-\x7f]"  # a letter, digit or dollar sign
NOT_A_START = r"[^\x00-#%-/;-@\[-^`{-\x7f]"  # no identifier begins after these: the same, and a variable's colon
NAME = rf"{WORDLIKE}+"
VARIABLE = rf":(?:{NAME}|'{NAME}'|\"{NAME}\"|\{{\?{NAME}\}})"

# white space, comments and the like between statements; matches without a group if a statement begins
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

# The next text within a statement that psql does not send unchanged; always matches.
#
# Repetitions are bounded, because Python keeps a hundred bytes for each; they continue after `more`.
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

# part of the content of E'…': a backslash escapes the next character, and two quotes are one
ESCAPED = re.compile(r"[^'\\]*(?:(?:\\.|'')[^'\\]*){0,1000}", re.DOTALL)

# variables in the value of a variable; also quotes and comments, in which psql replaces none (of E'…' only its start)
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
DATA_END = re.compile(r"^\\\.(?:\r?\n|\Z)", re.MULTILINE)
# where psql may pass over a command that fails
GOES_ON = re.compile(r"\\(?:unset[ \t]+|set[ \t]+(?=ON_ERROR_STOP[ \t]+'?(?!1|t|y|on)))ON_ERROR_STOP\b", re.IGNORECASE)
COMMENT_EDGE = re.compile(r"/\*|\*/")


@lru_cache(maxsize=1000)
def variable(raw: str) -> Variable:
    """Parse a text that VARIABLE matches; cached, because a file may contain one a million times."""
    match raw[1]:
        case "'":
            return Variable(raw[2:-1], Form.LITERAL, raw)
        case '"':
            return Variable(raw[2:-1], Form.IDENTIFIER, raw)
        case "{":
            return Variable(raw[3:-1], Form.TEST, raw)
    return Variable(raw[1:], Form.PLAIN, raw)


def block_comment_end(text: str, start: int) -> int:
    """Return the position after the block comment that starts at a position, or -1; block comments nest."""
    depth = 0
    for edge in COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return -1


def quoted_end(text: str, start: int, escapes: bool) -> int:
    """Return the position after the string in single quotes that starts at a position, or -1.

    Without backslash escapes a doubled quote needs no special case: it ends one string and begins the next.
    """
    if escapes:
        return escaped_end(text, start + 1, ESCAPED)
    return text.find("'", start + 1) + 1 or -1


def has_escape_prefix(text: str, start: int, quote: int) -> bool:
    """Whether the string whose quote is at a position is an E'…'; text without quotes begins at `start`."""
    before = quote - 1
    if before < start or text[before] not in "eE":
        return False
    return before == start or not IDENTIFIER_CHARACTER.match(text, before - 1)


def escaped_end(text: str, at: int, inside: re.Pattern[str]) -> int:
    """Return the position after a quoted text, or -1; in pieces, because a pattern needs memory for each escape."""
    while True:
        found = inside.match(text, at)
        assert found  # the pattern matches the empty text
        end = found.end()
        if text.startswith("'", end) and not text.startswith("''", end):
            return end + 1
        if end == at:
            return -1
        at = end


def in_identifier(text: str, start: int, at: int) -> bool:
    """Whether the `$` at a position continues an identifier, as in `a$b`; text without quotes begins at `start`."""
    begin = at
    while begin > start and IDENTIFIER_CHARACTER.match(text, begin - 1):
        begin -= 1
    return begin < at and not NUMBER.fullmatch(text, begin, at)


def data_end(text: str, begin: int) -> tuple[int, int]:
    r"""Return the beginning and end of the line `\.` that ends the data of a COPY, or -1 twice."""
    found = DATA_END.search(text, begin)
    return (found.start(), found.end()) if found else (-1, -1)
