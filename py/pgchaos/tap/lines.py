"""Classifies one line of TAP.

The patterns are those of Perl's TAP::Parser::Grammar (Test::Harness 3.44), which pg_prove uses, so both reach the same
verdict: the first unescaped `#` of a description must begin the directive, `1..0` skips everything, and an indented
line does not count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

_TEST = re.compile(r"(not )?ok\b\s*([0-9]+)?\s*(.*)\Z", re.DOTALL)
_DIRECTIVE = re.compile(r"([^\\#]*(?:\\.[^\\#]*)*)#\s*(SKIP|TODO)\b\s*(.*)\Z", re.DOTALL | re.IGNORECASE)
_PLAN = re.compile(r"1\.\.([0-9]+)\s*(.*)\Z", re.DOTALL)
_PLAN_SKIP = re.compile(r"#\s*SKIP\S*(?:\s+(.*))?\Z", re.DOTALL | re.IGNORECASE)
_PLAN_SKIP_13 = re.compile(r"#\s*SKIP\b\s*(.*)\Z", re.DOTALL | re.IGNORECASE)
_PLAN_TODO = re.compile(r"todo((?:\s+[0-9]{1,18})+)")
_PRAGMA = re.compile(r"pragma\s+([-+]\w+\s*(?:,\s*[-+]\w+\s*)*)\Z")
_BAIL_OUT = re.compile(r"\s*Bail out!\s*(.*)\Z", re.DOTALL)
_VERSION = re.compile(r"TAP\s+version\s+([0-9]{1,9})\s*\Z", re.IGNORECASE)
_LONGEST_NUMBER = 18
SINCE_13 = 13  # the version with YAML, pragmas and stricter plans

# pgTAP repeats the description of a failed test in this diagnostic
HEADING = re.compile(r"Failed (?:\(TODO\) )?test [0-9]+(?:$|: \")")
COUNTS = re.compile(r"Failed test [0-9]+(?:$|: \")")  # the same, of a test outside todo()


@dataclass(frozen=True, slots=True)
class Point:
    """`ok 1 - name # TODO reason`."""

    ok: bool  # without regard to the directive
    number: int | None
    name: str  # the description without the directive
    directive: Literal["", "todo", "skip"] = ""
    reason: str = ""
    whole: str = field(default="", compare=False)  # the description with the directive


@dataclass(frozen=True, slots=True)
class Plan:
    """`1..N`."""

    count: int
    skip: str | None = None  # the reason of `1..0 # SKIP reason`, '' without a reason; None if tests are planned
    todo: frozenset[int] = frozenset()  # the numbers of `1..9 todo 2 5`


@dataclass(frozen=True, slots=True)
class Comment:
    """`# text`, without its `# `."""

    text: str


@dataclass(frozen=True, slots=True)
class BailOut:
    """`Bail out! reason`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Version:
    """`TAP version N`."""

    number: int


@dataclass(frozen=True, slots=True)
class Pragma:
    """`pragma +strict, -other`."""

    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nested:
    """A line of a subtest, without its indentation."""

    text: str
    indent: int


@dataclass(frozen=True, slots=True)
class Noise:
    """Anything else."""

    text: str


Line: TypeAlias = "Point | Plan | Comment | BailOut | Version | Pragma | Nested | Noise"


def classify(line: str, version: int = 12) -> Line:
    """Classify one line, without its line end, by the grammar of a version of TAP. A line that is not TAP is Noise."""
    if line.startswith(("ok", "not ok")) and (match := _TEST.match(line)):
        return _test(match)
    if line.startswith("#"):
        return Comment(line[1:].removeprefix(" "))
    if line.startswith("1..") and (match := _PLAN.match(line)):
        return _plan(line, match, version)
    if "Bail out!" in line and (match := _BAIL_OUT.match(line)):
        return BailOut(match[1].strip())
    if match := _VERSION.match(line):
        return Version(int(match[1]))
    if version >= SINCE_13 and (match := _PRAGMA.match(line)):
        return Pragma(tuple(word.strip() for word in match[1].split(",")))
    stripped = line.lstrip(" \t")
    if stripped and stripped != line:
        return Nested(stripped, len(line) - len(stripped))
    return Noise(line)


def points(text: str) -> int:
    """Count the tests in a line, or in a cell with several lines."""
    return sum(isinstance(classify(line), Point) for line in text.splitlines())


def _test(match: re.Match[str]) -> Point:
    description, directive, reason = match[3], "", ""
    whole = _unescape(description.strip().removeprefix("-").strip())
    if found := _DIRECTIVE.match(description):
        description, directive, reason = found[1], found[2].lower(), found[3].strip()
    # one digit more is enough to be out of sequence
    number = int((match[2].lstrip("0") or "0")[: _LONGEST_NUMBER + 1]) if match[2] else None
    name = _unescape(description.strip().removeprefix("-").strip())
    kind: Literal["", "todo", "skip"] = "todo" if directive == "todo" else "skip" if directive == "skip" else ""
    return Point(match[1] is None, number, name, kind, reason, whole)


def _plan(line: str, match: re.Match[str], version: int) -> Plan | Noise:
    if len(match[1]) > _LONGEST_NUMBER:
        return Noise(line)
    count, tail = int(match[1]), match[2].strip()
    if version >= SINCE_13:
        skip = _PLAN_SKIP_13.match(tail)
        if tail and not skip:
            return Noise(line)
        return Plan(count, (skip[1].strip() if skip else "") if count == 0 else None)
    if todo := _PLAN_TODO.match(tail):
        return Plan(count, todo=frozenset(map(int, todo[1].split())))
    if count == 0:
        skip = _PLAN_SKIP.match(tail)
        return Plan(0, (skip[1] or "").strip() if skip else "")
    return Noise(line) if tail else Plan(count)


def _unescape(text: str) -> str:
    # pgTAP escapes nothing, so a backslash before any other character is part of the author's text
    return text.replace("\\#", "#")
