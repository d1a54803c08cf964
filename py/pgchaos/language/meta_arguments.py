"""Parses the arguments of psql's meta-commands by the rules of psqlscanslash.l."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby

from pgchaos.language.psql_patterns import NAME, SPACE, VARIABLE, escaped_end, variable
from pgchaos.language.section_items import Parts, Variable
from pgchaos.server_text import decoded

PIECE = re.compile(
    rf"""(?P<plain>(?:[^{SPACE}\\'"`:]|:(?!{NAME}|'{NAME}'|"{NAME}"|\{{\?{NAME}\}}))+)
      | (?P<space>[ \t\r\f\v]+)
      | (?P<quoted>')
      | (?P<name>"[^"\n]*")
      | (?P<variable>{VARIABLE})
      | (?P<end>\\\\?|\n|\Z)
      | (?P<wrong>.)""",
    re.VERBOSE,
)
# Part of the content of '…'. Repetitions are bounded, because Python keeps a hundred bytes for each.
INSIDE = re.compile(r"[^'\\\n]*(?:(?:''|\\[^\n])[^'\\\n]*){0,1000}")
ESCAPE = re.compile(r"''|\\(?:[0-7]{1,3}|x[0-9A-Fa-f]{1,2}|.)", re.DOTALL)
MOST_PIECES = 100_000
MOST_ESCAPES = 1_000_000
CROWDED = f"its arguments have more than {MOST_PIECES:,} words, quoted texts and variables"
ESCAPES = f"a quoted text has more than {MOST_ESCAPES:,} escapes"
CONTROL = {"n": b"\n", "t": b"\t", "b": b"\b", "r": b"\r", "f": b"\f"}


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a meta-command."""

    args: tuple[Parts, ...]  # each split at its variables
    end: int  # the position where they end: at the next backslash, after `\\`, or at the end of the line
    wrong: str = ""  # what is wrong with them, or ''; if they are wrong, `end` is the end of the line


def arguments(text: str, start: int) -> Arguments:
    r"""Parse the arguments of a meta-command, from after its name to the next backslash or the end of the line."""
    args: list[Parts] = []
    current: list[str | Variable] | None = None
    at, pieces = start, 0
    while found := PIECE.match(text, at):
        kind, raw, at = found.lastgroup, found[0], found.end()
        if kind == "quoted" and (end := escaped_end(text, at, INSIDE)) > 0:
            raw, at = text[at - 1 : end], end
        elif kind == "quoted":
            kind = "wrong"
        pieces += kind not in ("space", "end")
        if kind in ("space", "end"):
            if current is not None:
                args.append(merged(current))
                current = None
            if kind == "end":
                return Arguments(tuple(args), at if raw == "\\\\" else found.start())
            continue
        if kind == "wrong":
            return Arguments(tuple(args), line_end(text, start), _wrong(raw))
        if pieces > MOST_PIECES:
            return Arguments((), line_end(text, start), CROWDED)
        if kind == "quoted" and raw.count("\\") + raw.count("''") > MOST_ESCAPES:
            return Arguments((), line_end(text, start), ESCAPES)
        current = current or []
        if kind == "variable":
            current.append(variable(raw))
        else:
            current.append(_unescape(raw[1:-1]) if kind == "quoted" else raw)
    # not reached, because PIECE matches every character
    return Arguments(tuple(args), line_end(text, start), "an argument that cannot be read")


def merged(pieces: list[str | Variable]) -> Parts:
    """Join neighbouring texts, and remove empty ones."""
    parts: list[str | Variable] = []
    for is_variable, some in groupby(pieces, lambda piece: isinstance(piece, Variable)):
        if is_variable:
            parts += some
        elif text := "".join(str(piece) for piece in some):
            parts.append(text)
    return tuple(parts)


def without_semicolons(args: tuple[Parts, ...]) -> tuple[Parts, ...]:
    """Remove each `;` at the end of a file name, as psql does."""
    bare = (merged([*arg[:-1], last.rstrip(";")]) if arg and isinstance(last := arg[-1], str) else arg for arg in args)
    return tuple(filter(None, bare))


def line_end(text: str, start: int) -> int:
    """Return the position of the next newline, or of the end of the text."""
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _wrong(raw: str) -> str:
    if raw == "`":
        return "a command in backticks is not run by pgchaos; set the variable by a query and \\gset"
    return f"unterminated quoted string in its arguments: the closing {raw} is missing on this line"


def _unescape(inside: str) -> str:
    if "\\" not in inside:
        return inside.replace("''", "'")
    out = bytearray()
    done = 0
    for found in ESCAPE.finditer(inside):
        out += inside[done : found.start()].encode("utf-8", "surrogatepass")
        out += _escaped(found[0][1:])
        done = found.end()
    out += inside[done:].encode("utf-8", "surrogatepass")
    # as in psql, an escape is one byte
    return decoded(bytes(out))


def _escaped(code: str) -> bytes:
    if code[0] in "01234567":
        return bytes([int(code, 8) & 0xFF])
    if code[0] == "x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    return CONTROL.get(code) or code.encode("utf-8", "surrogatepass")
