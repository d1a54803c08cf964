"""What can be told of a statement from its skeleton: its text with the insides of quotes and all comments taken out."""

from __future__ import annotations

import re
from itertools import islice

from pgchaos.language.psql_patterns import LETTER, NAME, NOT_A_START, WITHIN_NAME

GROUP = "\\;"
"""How a `\\;` stands in a skeleton, so that it is told from a `;` in a body or in parentheses."""

CALL = re.compile(rf"(?<!{NOT_A_START})({LETTER}{WITHIN_NAME}*)\s*\(")
NOT_CALLED_AFTER = frozenset(
    {
        "into",
        "table",
        "exists",
        "copy",
        "as",
        "with",
        "recursive",
        "on",
        "references",
        "function",
        "procedure",
        "update",
    }
)
LOOK_BACK = 160
"""Characters: two identifiers and a word; it keeps a long statement from being read once for each name."""

COPY_VERB = re.compile(r"\s*copy\b", re.IGNORECASE)
COPY_STEP = re.compile(r"[()]|\bfrom\s+std(?:in|out)\b", re.IGNORECASE)
IDENTIFIER = re.compile(
    rf"(?:[bBeEnNxX]|[uU]&)''|[uU]&\"\"|:'{NAME}'|:\"{NAME}\"|(?<!{NOT_A_START})(?P<word>{LETTER}{WITHIN_NAME}*)"
)
BODY_STEP = re.compile(rf"[()]|(?<!{WITHIN_NAME})(?i:begin|case|end)(?!{WITHIN_NAME})")
SLICE_STEP = re.compile(rf"(?P<before>{WITHIN_NAME}|[\"']|[)\]]\s*):(?P<name>{NAME})|[\[\]]")
IN_DOLLARS = re.compile(
    rf"--[^\n\r]*|/\*.*?\*/|::|:(?:(?P<plain>{NAME})|'(?P<literal>{NAME})'|\"(?P<quoted>{NAME})\"|\{{\?(?P<test>{NAME})\}})",
    re.DOTALL,
)


def called(skeleton: str) -> frozenset[str]:
    """List the functions that a statement may call.

    Args:
        skeleton: of the statement.

    Returns:
        Identifiers directly before a parenthesis, in lower case, without those that name what is made or filled, as
        in `INSERT INTO plan (a)`.
    """
    if "(" not in skeleton:
        return frozenset()
    return frozenset([found[1].lower() for found in CALL.finditer(skeleton) if not _is_made(skeleton, found.start())])


def _is_made(skeleton: str, name: int) -> bool:
    before = skeleton[max(0, name - LOOK_BACK) : name].split()
    if before and before[-1].endswith("."):
        del before[-2 if before[-1] == "." else -1 :]  # the schema
    return bool(before) and before[-1].lower() in NOT_CALLED_AFTER


def copies_in(skeleton: str) -> int:
    r"""Count the COPY … FROM STDIN of a statement or group.

    The server takes STDOUT there for STDIN (copy_file_name in gram.y), so it counts too.

    Args:
        skeleton: of the statement, or of a `\;` group.

    Returns:
        How many blocks of data follow it.
    """
    return sum(map(_copies_in, skeleton.split(GROUP)))


def _copies_in(skeleton: str) -> bool:
    if not COPY_VERB.match(skeleton):
        return False
    depth = 0
    for found in COPY_STEP.finditer(skeleton):
        match found[0]:
            case "(":
                depth += 1
            case ")":
                depth -= 1
            case _ if depth <= 0:
                return True
    return False


def slices(skeleton: str) -> frozenset[str]:
    """List what psql takes for a variable though it is the end of an array slice, as `b` in `x[a:b]`.

    Args:
        skeleton: of the statement.

    Returns:
        Names behind a colon that follows an operand within brackets. `x[:b]` and `ARRAY[1, :b]` are not among them.
    """
    names = set()
    depth = 0
    for found in SLICE_STEP.finditer(skeleton):
        if found[0] == "[":
            depth += 1
        elif found[0] == "]":
            depth -= 1
        else:
            depth -= found["before"][0] == "]"
            if depth > 0:
                names.add(found["name"])
    return frozenset(names)


def named_in_dollars(body: str) -> set[str]:
    """List what looks like a psql variable in a dollar-quoted string, where psql puts in no value.

    Args:
        body: the string.

    Returns:
        The names, those in its comments left out.
    """
    if ":" not in body:
        return set()
    return {found[found.lastgroup] for found in IN_DOLLARS.finditer(body) if found.lastgroup}


class Body:
    r"""Whether a `;` stands within the BEGIN … END of a CREATE FUNCTION or PROCEDURE, by psql's own heuristic.

    Fed with the skeleton piece by piece, so that a long body is looked at once.
    """

    __slots__ = ("_depth", "_parentheses")

    def __init__(self) -> None:
        self._depth = 0
        self._parentheses = 0

    def is_open(self) -> bool:
        """Say whether the body is open.

        Returns:
            True where a `;` does not end the statement.
        """
        return self._depth > 0

    def read(self, piece: str) -> None:
        """Read on.

        Args:
            piece: what follows in the skeleton.
        """
        for found in BODY_STEP.finditer(piece):
            match found[0].lower():
                case "(":
                    self._parentheses += 1
                case ")":
                    self._parentheses = max(0, self._parentheses - 1)
                case word if self._parentheses == 0:
                    self._step(word)

    def _step(self, word: str) -> None:
        if word == "begin" or (word == "case" and self._depth > 0):
            self._depth += 1
        elif word == "end" and self._depth > 0:
            self._depth -= 1


def is_routine(skeleton: str) -> bool:
    """Say whether a statement may have a body in BEGIN ATOMIC … END, as psql does: by its first identifiers.

    Args:
        skeleton: of the statement so far.

    Returns:
        True for CREATE [OR REPLACE] FUNCTION or PROCEDURE.
    """
    low = skeleton.lower()
    if "function" not in low and "procedure" not in low:
        return False
    found = (found["word"] for found in IDENTIFIER.finditer(skeleton))
    words = [word.lower() for word in islice(filter(None, found), 4)]
    if words[1:3] == ["or", "replace"]:
        del words[1:3]
    return words[:1] == ["create"] and words[1:2] in (["function"], ["procedure"])
