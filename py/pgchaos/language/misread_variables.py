r"""Finds variables whose value changes how the text around them is read: `100 -:delta` with -5 is a comment. Pure.

psql puts the value of `:name` into the text as it is; the server then reads the whole (scan.l).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from pgchaos.language.problems import Place
from pgchaos.language.psql_patterns import LETTER, WITHIN_NAME, WORDLIKE, block_comment_end, quoted_end
from pgchaos.language.section_items import Form, Parts, Variable
from pgchaos.language.substitution import values_of

_MAY = re.compile(r"['\"$*/-]")
"""What a value must hold, or stand beside, to be read together with what is around it."""
_OPENS = re.compile(
    rf"""(?P<line>--[^\n\r]*)
      | (?P<block>/\*)
      | (?P<escaped>(?<!{WITHIN_NAME})[eE]')
      | (?P<quote>['"])
      | (?P<dollar>(?<!{WITHIN_NAME})\$(?P<tag>(?:{LETTER}{WORDLIKE}*)?)\$(?:.*?\$(?P=tag)\$|.*\Z))""",
    re.VERBOSE | re.DOTALL,
)
_LONG = 40
"""Characters of a value, and of the text before it, that a message shows."""


@dataclass(frozen=True, slots=True)
class Misread:
    """A variable whose value changes how the text around it is read.

    Args:
        line: of the variable, counted from that of the statement, which is 0.
        text: what is wrong, and what to write instead.
    """

    line: int
    text: str

    def place(self, statement: Place) -> Place:
        """Give the line of the variable.

        Args:
            statement: where that begins.
        """
        return Place(statement.path, statement.line + self.line)


def misread(parts: Parts, variables: Mapping[str, str]) -> Misread | None:
    r"""Find the first variable whose value is read together with the text around it.

    Args:
        parts: a statement, cut at its variables.
        variables: those that are set.

    Returns:
        The variable, where a comment or a quoted text begins inside its value and ends outside of it, or the other way
        round; None where there is none, as for `E:'name'` (an escape string on purpose). A `;` in a value is psql's: it
        sends two statements then.

    Raises:
        pgchaos.language.substitution.TooLong: variables make too much of it.
    """
    if not _may(parts, variables):
        return None
    values = values_of(parts, variables)
    whole, ends = "".join(values), list(accumulate(map(len, values)))
    at, number = 0, 0
    while (opened := _OPENS.search(whole, at)) is not None:
        begin, at = opened.start(), _end(whole, opened)
        while ends[number] <= begin:
            number += 1
        own = _escape_prefix(whole, begin, ends[number])
        if at > ends[number] and own < ends[number] and whole[ends[number] : at].strip():
            return _told(parts, values, number, opened)
    return None


def _end(whole: str, opened: re.Match[str]) -> int:
    """Find where a comment or a quoted text ends; the end of the text where it does not."""
    if opened["block"]:
        end = block_comment_end(whole, opened.start())
    elif opened["escaped"]:
        end = quoted_end(whole, opened.end() - 1, escapes=True)
    elif quote := opened["quote"]:
        end = whole.find(quote, opened.end()) + 1
        while end and whole.startswith(quote, end):
            end = whole.find(quote, end + 1) + 1
        end = end or -1
    else:
        end = opened.end()
    return len(whole) if end < 0 else end


def _may(parts: Parts, variables: Mapping[str, str]) -> bool:
    # every statement comes through here, and nearly all of them end here
    for number, part in enumerate(parts):
        if isinstance(part, str) or part.form is Form.TEST or (value := variables.get(part.name)) is None:
            continue
        if part.form is Form.PLAIN and (_MAY.search(value) or ":" in value):
            return True
        around = [parts[near] for near in (number - 1, number + 1) if 0 <= near < len(parts)]
        if part.form is not Form.PLAIN and any(not isinstance(near, str) or _MAY.search(near) for near in around):
            return True
    return False


def _escape_prefix(whole: str, begin: int, end: int) -> int:
    """Go past the E of an escape string whose quotes are the variable's."""
    return begin + 1 if whole[begin] in "eE" and begin + 1 == end else begin


def _told(parts: Parts, values: list[str], number: int, opened: re.Match[str]) -> Misread:
    """Say which variable it is: the one in which it opens, else the one behind that text."""
    at = number if isinstance(parts[number], Variable) else number + 1
    wanted = parts[at]
    assert isinstance(wanted, Variable), "no two texts stand side by side"
    before = "".join(part if isinstance(part, str) else part.raw for part in parts[:at])
    value = values[at] if len(values[at]) <= _LONG else values[at][: _LONG - 1] + "…"
    line = before.count("\n")
    said = f"the value of {wanted.name} ({' '.join(value.split())})"
    if opened["line"] or opened["block"]:
        rest = "line" if opened["line"] else "statement"
        text = f"{said} makes a comment of the rest of the {rest}: {_apart(parts, at, before, values)}"
    elif at != number or wanted.form is not Form.PLAIN:
        text = f"{said} and the text beside it are read as one quoted text: join them by `||`"
    else:
        text = f"{said} opens a quoted text, which takes in what follows: write :'{wanted.name}'"
    return Misread(line, text)


def _apart(parts: Parts, at: int, before: str, values: list[str]) -> str:
    """Say how to keep a value apart from the operator before or behind it."""
    wanted = parts[at].raw  # type: ignore[union-attr]  # a variable, the caller has looked
    own = before.rpartition("\n")[2]
    if own[-1:] in ("-", "/") and values[at][:1] in ("-", "*"):
        words = re.search(r"(?:[^\s,(]*\s*)[-/]\Z", own)
        head = (words[0] if words else own[-1:]).lstrip()
        head = f"{head[:-1].rstrip()} {head[-1]}".lstrip()
        return f"write {head} {wanted} or {head} ({wanted})"
    if at + 1 < len(parts) and values[at][-1:] in ("-", "/") and values[at + 1][:1] in ("-", "*"):
        return f"write ({wanted})"
    return f"write :'{wanted[1:]}' if it is text; a comment is of no use in a value"
