"""A statement during scanning, and its skeleton: its text without the contents of quotes and comments.

The end of a statement depends only on the skeleton: on parentheses, BEGIN ATOMIC … END, and COPY … FROM STDIN.
"""

from __future__ import annotations

import re
from itertools import islice

from pgchaos.language.lexemes import Sql
from pgchaos.language.meta_arguments import merged
from pgchaos.language.problems import Place
from pgchaos.language.psql_patterns import LETTER, NAME, NOT_A_START, SPACES, WITHIN_NAME, WORD
from pgchaos.language.section_items import Form, Parts, Send, Variable, as_written

_GROUP = "\\;"  # `\;` in a skeleton, different from a `;` in a body or in parentheses
_COPY_VERB = re.compile(r"\s*copy\b", re.IGNORECASE)
_COPY_STEP = re.compile(r"[()]|\bfrom\s+std(?:in|out)\b", re.IGNORECASE)
_IDENTIFIER = re.compile(
    rf"(?:[bBeEnNxX]|[uU]&)''|[uU]&\"\"|:'{NAME}'|:\"{NAME}\"|(?<!{NOT_A_START})(?P<word>{LETTER}{WITHIN_NAME}*)"
)
_BODY_STEP = re.compile(rf"[()]|(?<!{WITHIN_NAME})(?i:begin|case|end)(?!{WITHIN_NAME})")
_SLICE_STEP = re.compile(rf"(?P<before>{WITHIN_NAME}|[\"']|[)\]]\s*):(?P<name>{NAME})|[\[\]]")
_IN_DOLLARS = re.compile(
    rf"--[^\n\r]*|/\*.*?\*/|::|:(?:(?P<plain>{NAME})|'(?P<literal>{NAME})'|\"(?P<quoted>{NAME})\"|\{{\?(?P<test>{NAME})\}})",
    re.DOTALL,
)


class StatementBuilder:
    r"""A statement, or a `\;` group, from its first word to its terminator."""

    __slots__ = (
        "_body",
        "_dollar_variables",
        "_has_plain_variable",
        "_is_group",
        "_is_routine",
        "_parts",
        "_parts_end",
        "_read",
        "_skeleton",
        "_skeleton_end",
        "_start",
        "_text",
        "depth",
        "place",
        "variables",
        "verb",
    )

    def __init__(self, place: Place, text: str, start: int) -> None:
        self.place = place
        self.depth = 0  # of open parentheses
        self.variables = 0
        first = WORD.match(text, start)
        self.verb = first[0].upper() if first else ""
        self._text = text
        self._start = self._parts_end = self._skeleton_end = start
        self._parts: list[str | Variable] = []
        self._skeleton: list[str] = []
        self._read = 0  # the number of skeleton pieces that `_body` has read
        self._dollar_variables: set[str] = set()
        self._has_plain_variable = False  # it may be the end of an array slice
        self._is_group = False
        self._is_routine: bool | None = None
        self._body: _Body | None = None

    def variable(self, start: int, end: int, variable: Variable) -> None:
        """Add a psql variable."""
        self.variables += 1
        self._parts += (self._text[self._parts_end : start], variable)
        self._parts_end = end
        self._has_plain_variable |= variable.form is Form.PLAIN

    def escape(self, start: int, end: int) -> None:
        r"""Add `\;` or `\:`, whose backslash is not sent."""
        sent = self._text[start + 1]
        self._parts += (self._text[self._parts_end : start], sent)
        self._parts_end = end
        if sent == ";":
            self._read_body(start)
            self._is_group = True
            self._is_routine = None
        self.hide(start, end, _GROUP if sent == ";" else " ")

    def leave_out(self, start: int, end: int) -> None:
        """Omit a meta-command without effect, which is not sent."""
        self._parts.append(self._text[self._parts_end : start])
        self._parts_end = end
        self.hide(start, end, " ")

    def hide(self, start: int, end: int, instead: str) -> None:
        """Replace a quote or a comment in the skeleton."""
        self._skeleton += (self._text[self._skeleton_end : start], instead)
        self._skeleton_end = end

    def dollar_quote(self, start: int, end: int) -> None:
        """Record what looks like a psql variable in a dollar quote, outside the comments in it."""
        body = self._text[start:end]
        if ":" in body:
            self._dollar_variables |= {
                found[found.lastgroup] for found in _IN_DOLLARS.finditer(body) if found.lastgroup
            }

    def ends_at(self, at: int) -> bool:
        """Whether psql sends the statement at the `;` at a position: outside parentheses and BEGIN ATOMIC … END."""
        if self.depth:
            return False
        if self.verb not in ("CREATE", "") and not self._is_group:
            return True
        self._read_body(at)
        return self._body is None or not self._body.is_open

    def _read_body(self, at: int) -> None:
        self.hide(at, at, "")
        piece = "".join(self._skeleton[self._read :])
        self._read = len(self._skeleton)
        if self._is_routine is None:
            self._is_routine = _begins_routine(piece)
        if self._is_routine:
            self._body = self._body or _Body()
            self._body.read(piece)

    def copies(self, end: int) -> int:
        """Count the blocks of COPY data that follow the statement, if it ends at a position."""
        if self.verb != "COPY" and not self._is_group:
            return 0
        return sum(map(_copies_from_stdin, self._skeleton_to(end).split(_GROUP)))

    def sql(self, end: int, send: Send, prefix: Parts, copy: str | None, finished: bool) -> Sql:
        """Return the lexeme of the statement, whose terminator is at a position."""
        rest = self._text[self._parts_end : end].rstrip(SPACES)
        parts: Parts = (rest,)
        text = rest
        if self._parts:
            *before, last = merged([*self._parts, rest])
            parts = merged([*before, last.rstrip(SPACES) if isinstance(last, str) else last])
            text = as_written(parts)
        slices = _slice_variables(self._skeleton_to(end)) if self._has_plain_variable and "[" in text else frozenset()
        dollars = frozenset(self._dollar_variables)
        return Sql(self.place, text, parts, self.verb, send, prefix, copy, finished, slices, dollars)

    def _skeleton_to(self, end: int) -> str:
        return "".join(self._skeleton) + self._text[self._skeleton_end : end]


def _copies_from_stdin(skeleton: str) -> bool:
    # the server accepts STDOUT for STDIN there (copy_file_name in gram.y)
    if not _COPY_VERB.match(skeleton):
        return False
    depth = 0
    for found in _COPY_STEP.finditer(skeleton):
        match found[0]:
            case "(":
                depth += 1
            case ")":
                depth -= 1
            case _ if depth <= 0:
                return True
    return False


def _slice_variables(skeleton: str) -> frozenset[str]:
    """Find names that end an array slice and that psql reads as variables: `b` in `x[a:b]`, but not in `x[:b]`."""
    names = set()
    depth = 0
    for found in _SLICE_STEP.finditer(skeleton):
        if found[0] == "[":
            depth += 1
        elif found[0] == "]":
            depth -= 1
        else:
            depth -= found["before"][0] == "]"
            if depth > 0:
                names.add(found["name"])
    return frozenset(names)


class _Body:
    """The BEGIN … END of a CREATE FUNCTION or PROCEDURE, by psql's own heuristic.

    It reads the skeleton piece by piece, so that each piece is read only once.
    """

    __slots__ = ("_depth", "_parentheses")

    def __init__(self) -> None:
        self._depth = 0
        self._parentheses = 0

    @property
    def is_open(self) -> bool:
        return self._depth > 0

    def read(self, piece: str) -> None:
        for found in _BODY_STEP.finditer(piece):
            match found[0].lower():
                case "(":
                    self._parentheses += 1
                case ")":
                    self._parentheses = max(0, self._parentheses - 1)
                case word if self._parentheses == 0:
                    if word == "begin" or (word == "case" and self._depth > 0):
                        self._depth += 1
                    elif word == "end" and self._depth > 0:
                        self._depth -= 1


def _begins_routine(skeleton: str) -> bool:
    """Whether the first identifiers, which psql looks at, are CREATE [OR REPLACE] FUNCTION or PROCEDURE."""
    lower = skeleton.lower()
    if "function" not in lower and "procedure" not in lower:
        return False
    found = (found["word"] for found in _IDENTIFIER.finditer(skeleton))
    words = [word.lower() for word in islice(filter(None, found), 4)]
    if words[1:3] == ["or", "replace"]:
        del words[1:3]
    return words[:1] == ["create"] and words[1:2] in (["function"], ["procedure"])
