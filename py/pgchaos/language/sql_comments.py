"""Parses comments about the origin of a statement, as sqlcommenter and similar tools add them. Pure.

`SELECT 1 /*application='shop',file='app.py%3A12'*/`: keys and URL-encoded values in single quotes (the specification of
sqlcommenter, https://google.github.io/sqlcommenter/spec/).
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

_PAIR = r"[\w.\-%]+\s*=\s*'(?:[^'\\]|\\.)*'"
_COMMENT = re.compile(rf"/\*\s*({_PAIR}(?:\s*,\s*{_PAIR})*)\s*\*/")
_EACH = re.compile(r"([\w.\-%]+)\s*=\s*'((?:[^'\\]|\\.)*)'")
_LINE = re.compile(r"(?P<file>.*?):(?P<line>[0-9]{1,9})(?::[0-9]+|:.*| in .*)?")
_FILES, _LINES = ("file", "filepath", "code.filepath", "source_location", "source"), ("line", "lineno", "code.lineno")
_NOT_SHOWN = frozenset({*_FILES, *_LINES, "traceparent", "tracestate"})


class Source(NamedTuple):
    """The origin of a statement."""

    statement: str  # without these comments
    file: str = ""  # the source file of the program, or ''
    line: int = 0  # the line in it, or 0
    tags: tuple[str, ...] = ()  # other keys, such as `application=shop`; without ids of traces


def source_of(statement: str) -> Source:
    """Parse the comments of a statement that a program sends."""
    if "/*" not in statement:
        return Source(statement)
    pairs: dict[str, str] = {}
    for comment in _COMMENT.finditer(statement):
        pairs |= {unquote(key): unquote(value.replace("\\'", "'")) for key, value in _EACH.findall(comment[1])}
    if not pairs:
        return Source(statement)
    file = next((pairs[key] for key in _FILES if pairs.get(key)), "")
    written = next((pairs[key] for key in _LINES if pairs.get(key, "").isdigit()), "")
    found = _LINE.fullmatch(file)
    if found is not None and not written:
        file, written = found["file"], found["line"]
    tags = tuple(f"{key}={value}" for key, value in pairs.items() if key not in _NOT_SHOWN)
    return Source(_COMMENT.sub("", statement).strip(), file, int(written or 0), tags)
