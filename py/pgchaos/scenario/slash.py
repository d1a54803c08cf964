"""Arguments of psql's meta-commands, cut by the rules of psqlscanslash.l."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pgchaos.scenario.items import Parts, Variable
from pgchaos.scenario.tokens import NAME, SPACE, VARIABLE, variable

PIECE = re.compile(
    rf"""(?P<plain>(?:[^{SPACE}\\'"`:]|:(?!{NAME}|'{NAME}'|"{NAME}"|\{{\?{NAME}\}}))+)
      | (?P<space>[ \t\r\f\v]+)
      | (?P<quoted>'[^'\\\n]*(?:(?:''|\\[^\n])[^'\\\n]*)*')
      | (?P<name>"[^"\n]*")
      | (?P<variable>{VARIABLE})
      | (?P<end>\\\\?|\n|\Z)
      | (?P<wrong>.)""",
    re.VERBOSE,
)
ESCAPE = re.compile(r"''|\\(?:[0-7]{1,3}|x[0-9A-Fa-f]{1,2}|.)", re.DOTALL)
CONTROL = {"n": b"\n", "t": b"\t", "b": b"\b", "r": b"\r", "f": b"\f"}


@dataclass(frozen=True, slots=True)
class Arguments:
    r"""What stands behind the name of a meta-command.

    Args:
        args: the arguments, each cut at its variables.
        end: the position where the command ends: at the next backslash, after `\\`, or at the end of the line.
        wrong: what is wrong with them, or ''; then `end` is the end of the line.
    """

    args: tuple[Parts, ...]
    end: int
    wrong: str = ""


def arguments(text: str, start: int) -> Arguments:
    r"""Cut the arguments of a meta-command.

    Args:
        text: the text.
        start: the position after the command's name.

    Returns:
        The arguments up to the end of the line, the next unquoted backslash, or `\\`.
    """
    args: list[Parts] = []
    current: list[str | Variable] | None = None
    at = start
    while found := PIECE.match(text, at):
        kind, raw, at = found.lastgroup, found[0], found.end()
        if kind in ("space", "end"):
            if current is not None:
                args.append(merged(current))
                current = None
            if kind == "end":
                return Arguments(tuple(args), at if raw == "\\\\" else found.start())
            continue
        if kind == "wrong":
            return Arguments(tuple(args), line_end(text, start), _wrong(raw))
        current = current or []
        if kind == "variable":
            current.append(variable(raw))
        else:
            current.append(_unescape(raw[1:-1]) if kind == "quoted" else raw)
    # only a character that PIECE does not know (none is known) can end the loop: give up on the line
    return Arguments(tuple(args), line_end(text, start), "an argument that cannot be read")


def merged(pieces: list[str | Variable]) -> Parts:
    """Join neighbouring texts.

    Args:
        pieces: texts and variables in order.

    Returns:
        The same, with no empty text and no two texts side by side.
    """
    parts: list[str | Variable] = []
    for piece in pieces:
        if isinstance(piece, str) and parts and isinstance(last := parts[-1], str):
            parts[-1] = last + piece
        elif piece:
            parts.append(piece)
    return tuple(parts)


def without_semicolons(args: tuple[Parts, ...]) -> tuple[Parts, ...]:
    """Take off the `;` that psql takes off a file's name.

    Args:
        args: the arguments of a command that reads a file.

    Returns:
        The same without `;` at their ends, and without those that are nothing else.
    """
    bare = (merged([*arg[:-1], last.rstrip(";")]) if arg and isinstance(last := arg[-1], str) else arg for arg in args)
    return tuple(filter(None, bare))


def line_end(text: str, start: int) -> int:
    """Find the end of a line.

    Args:
        text: the text.
        start: a position in the line.

    Returns:
        The position of its newline, or of the end of the text.
    """
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _wrong(raw: str) -> str:
    if raw == "`":
        return "a command in backticks is not run by pgchaos; set the variable by a query and \\gset"
    return f"unterminated quoted string in its arguments: the closing {raw} is missing on this line"


def _unescape(inside: str) -> str:
    if "'" not in inside and "\\" not in inside:
        return inside
    out = bytearray()
    done = 0
    for found in ESCAPE.finditer(inside):
        out += inside[done : found.start()].encode("utf-8", "surrogatepass")
        out += _escaped(found[0][1:])
        done = found.end()
    out += inside[done:].encode("utf-8", "surrogatepass")
    # an escape gives one byte, as in psql; bytes that are no UTF-8 could not be sent anyway
    return out.decode("utf-8", "replace")


def _escaped(code: str) -> bytes:
    if code[0] in "01234567":
        return bytes([int(code, 8) & 0xFF])
    if code[0] == "x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    return CONTROL.get(code) or code.encode("utf-8", "surrogatepass")
