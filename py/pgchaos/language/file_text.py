"""Reads the text of a file in its encoding."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from pgchaos.language.encodings import UTF8, codec_of, encoding_named
from pgchaos.language.lexemes import Command, Lexeme
from pgchaos.language.psql_scanner import scan
from pgchaos.language.section_items import literal_argument

_NEWLINE = ord("\n")
LARGEST = 16 * 1024 * 1024
# as pg_dump writes it; in a file that is not UTF-8 it sets the encoding of the lines below, like \encoding
_SET_ENCODING = re.compile(
    rb"^[ \t]*SET\s+(?:SESSION\s+)?client_encoding\s*(?:=|\bTO\b)\s*'?([\w-]+)'?\s*;[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)


class Unreadable(Exception):
    """A file that cannot be read as text: the reason, and its line."""

    def __init__(self, text: str, line: int = 1) -> None:
        super().__init__(text)
        self.line = line


def text_of(path: Path, raw: bytes | None = None, encoding: str = UTF8, *, commands: bool = True) -> str:
    r"""Read a file.

    Args:
        path: the file.
        raw: its content, if it was read before.
        encoding: PostgreSQL's name of its encoding.
        commands: it may contain psql commands: \encoding sets the encoding of the lines below.

    Returns:
        Its text, with its line ends and byte order mark.

    Raises:
        Unreadable: it is not a regular file, is larger than 16 MiB or not in its encoding, or contains a NUL byte.
    """
    raw = _bytes_of(path) if raw is None else raw
    if len(raw) > LARGEST:
        raise _too_large()
    nul = raw.find(b"\0")
    if nul >= 0:
        is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        what = "is UTF-16: save it as UTF-8" if is_utf16 else "holds a NUL byte, so it is no text"
        raise Unreadable(what, 1 if is_utf16 else raw.count(b"\n", 0, nul) + 1)
    if commands and b"client_encoding" in raw and encoding == UTF8 and not _is_utf8(raw):
        raw = _SET_ENCODING.sub(rb"\\encoding \1", raw)
    texts, done = [], 0
    for end, following in [*(_encodings(raw) if commands and b"\\encoding" in raw else ()), (len(raw), UTF8)]:
        try:
            texts.append(raw[done:end].decode(codec_of(encoding)))
        except UnicodeDecodeError as error:
            at = done + error.start
            name, hint = ("UTF-8", "; \\encoding says what it is in") if encoding == UTF8 else (encoding, "")
            what = f"is not {name} (byte 0x{raw[at]:02x} in this line{hint})"
            raise Unreadable(what, raw.count(b"\n", 0, at) + 1) from error
        done, encoding = end, following
    return "".join(texts)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _encodings(raw: bytes) -> Iterator[tuple[int, str]]:
    r"""Yield for each \encoding of a file the beginning of the line below it, and the encoding from there."""
    ends = [at + 1 for at, byte in enumerate(raw) if byte == _NEWLINE]
    # commands are ASCII in every encoding
    for lexeme in scan(raw.decode("latin-1"), ""):
        named = encoding_of(lexeme)
        if named and lexeme.place.line <= len(ends):
            yield ends[lexeme.place.line - 1], named


def encoding_of(lexeme: Lexeme) -> str | None:
    r"""Return the encoding that an \encoding names; None for any other lexeme."""
    if not (isinstance(lexeme, Command) and lexeme.name == "encoding" and lexeme.args):
        return None
    return encoding_named(literal_argument(lexeme.args[0]) or "")


def _bytes_of(path: Path) -> bytes:
    try:
        # reading a pipe or device may block
        if not path.is_file():
            raise Unreadable("cannot be read: " + ("it is no plain file" if path.exists() else "there is no such file"))
        if path.stat().st_size > LARGEST:
            raise _too_large()
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise Unreadable(f"cannot be read: {error}") from error


def _too_large() -> Unreadable:
    return Unreadable(f"is larger than {LARGEST // 1024 // 1024} MiB; load large data from files of the server")
