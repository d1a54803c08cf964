"""A file and the files that it includes, as one sequence of lexemes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pgchaos.language.client_copy import WrongCopy, client_copy, data_file
from pgchaos.language.encodings import UTF8, codec_of, encoding_named
from pgchaos.language.lexemes import Command, Lexeme
from pgchaos.language.problems import Place
from pgchaos.language.psql_scanner import copy_statement, scan
from pgchaos.language.section_items import Parts

_NEWLINE = ord("\n")
LARGEST = 16 * 1024 * 1024
DEEPEST = 50
MOST_FILES = 500
# As pg_dump writes it; in a file that is not UTF-8 it sets the encoding of the lines below it, as \encoding does
_SET_ENCODING = re.compile(
    rb"^[ \t]*SET\s+(?:SESSION\s+)?client_encoding\s*(?:=|\bTO\b)\s*'?([\w-]+)'?\s*;[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_READ_HERE = ("\\i", "\\q", "\\copy", "\\encoding")
_INCLUDES = {"i": False, "include": False, "ir": True, "include_relative": True}


class Unreadable(Exception):
    """A file that cannot be read as text: the reason, and its line."""

    def __init__(self, text: str, line: int = 1) -> None:
        super().__init__(text)
        self.line = line


def text_of(path: Path, raw: bytes | None = None, encoding: str = UTF8, *, commands: bool = True) -> str:
    r"""Read a file.

    Args:
        path: of the file.
        raw: its contents, where they were read before.
        encoding: of the file, by PostgreSQL's name.
        commands: it holds commands, of which \encoding sets the encoding of the lines below.

    Returns:
        Its text, with its line ends and byte order mark.

    Raises:
        Unreadable: it is no plain file, larger than 16 MiB, not in its encoding, or holds a NUL byte.
    """
    raw = _bytes_of(path) if raw is None else raw
    if len(raw) > LARGEST:
        raise _too_large()
    nul = raw.find(b"\0")
    if nul >= 0:
        raise Unreadable("holds a NUL byte, so it is no text", raw.count(b"\n", 0, nul) + 1)
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
    r"""Find each \encoding of a file: where the line below it begins, and the encoding from there on."""
    ends = [at + 1 for at, byte in enumerate(raw) if byte == _NEWLINE]
    # the characters of commands are ASCII in every encoding
    for lexeme in scan(raw.decode("latin-1"), ""):
        named = _encoding_of(lexeme)
        if named and lexeme.place.line <= len(ends):
            yield ends[lexeme.place.line - 1], named


def _encoding_of(lexeme: Lexeme) -> str | None:
    if not (isinstance(lexeme, Command) and lexeme.name == "encoding" and lexeme.args):
        return None
    return encoding_named(_plain(lexeme.args[0]) or "")


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


@dataclass(slots=True)
class Source:
    """A file with what it includes."""

    complain: Callable[[Place, str], None]  # called with the place and text of each problem
    # of the project, which must hold the files of `\copy`; None for the current and the file's directory
    root: Path | None = None
    texts: dict[str, str] = field(default_factory=dict)  # the text of each file, by its name in messages
    included: list[Path] = field(default_factory=list)  # the included files, in order
    lexemes: list[Lexeme] = field(default_factory=list)  # of all, in the order in which psql reads them
    _open: list[Path] = field(default_factory=list)
    _encoding: str = UTF8
    _branches: int = 0

    def add(self, path: Path, shown: str, text: str) -> None:
        """Scan a file, and the files that it includes in their places.

        Args:
            path: of the file.
            shown: its path in messages.
            text: of the file.
        """
        self.texts[shown] = text
        found = scan(text, shown)
        if not any(command in text for command in _READ_HERE):
            self.lexemes += found
            return
        self._open.append(path)
        within, outside = self._branches, self._encoding
        for lexeme in found:
            if isinstance(lexeme, Command):
                if lexeme.name in _INCLUDES:
                    self._include(path, shown, lexeme)
                    continue
                if lexeme.name == "copy":
                    self._copy(path, lexeme)
                    continue
                self._encoding = _encoding_of(lexeme) or self._encoding
                self._branches += {"if": 1, "endif": -1}.get(lexeme.name, 0)
                # psql ends this file only, not the one that includes it; in a branch only the run knows
                if lexeme.name == "quit" and len(self._open) > 1 and self._branches <= within:
                    break
            self.lexemes.append(lexeme)
        self._open.pop()
        self._branches, self._encoding = within, outside

    def _unreadable(self, command: Command, text: str) -> None:
        r"""Report a file that cannot be read; in a branch of an \if only where that is taken, as psql does."""
        if self._branches > 0:
            self.lexemes.append(Command(command.place, "i", ((text,),)))
        else:
            self.complain(command.place, text)

    def _copy(self, path: Path, command: Command) -> None:
        copy = client_copy("".join(map(str, command.args[0])))
        name = copy.file or ""
        try:
            found = data_file(name, path.parent, self.root)
            data = text_of(found, encoding=self._encoding, commands=False)
        except (WrongCopy, Unreadable) as error:
            at = f" (line {error.line})" if isinstance(error, Unreadable) and error.line > 1 else ""
            what = str(error) if isinstance(error, WrongCopy) else f"the file {error}"
            self._unreadable(command, f"\\copy … FROM '{name}': {what}{at}")
            return
        self.included.append(found)
        self.lexemes.append(copy_statement(command.place, copy.statement, data))

    def _include(self, path: Path, shown: str, command: Command) -> None:
        name = _plain(command.args[0]) if len(command.args) == 1 else None
        if not name:
            what = "needs the name of one file, without variables: it is read before the scenario runs"
            self.complain(command.place, f"\\{command.name} {what}")
            return
        inner, inner_shown = _found(path, shown, name, beside_only=_INCLUDES[command.name])
        if _resolved(inner) in map(_resolved, self._open):
            self.complain(command.place, f"\\{command.name} {name}: this file includes itself")
            return
        if len(self._open) >= DEEPEST or len(self.included) >= MOST_FILES:
            self.complain(command.place, f"\\{command.name} {name}: too many files are included")
            return
        try:
            text = text_of(inner, encoding=self._encoding)
        except Unreadable as error:
            at = f" (line {error.line})" if error.line > 1 else ""
            self._unreadable(command, f"\\{command.name} {name}: {error}{at}")
            return
        self.included.append(inner)
        self.add(inner, inner_shown, text)


def _plain(parts: Parts) -> str | None:
    return "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else None


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path


def _found(path: Path, shown: str, name: str, *, beside_only: bool) -> tuple[Path, str]:
    try:
        given = Path(name).expanduser()
    except RuntimeError:
        given = Path(name)
    if given.is_absolute():
        return given, str(given)
    beside = path.parent / given
    if beside_only or _is_file(beside) or not _is_file(given):
        return beside, str(PurePosixPath(shown).parent / name)
    return given, name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
