r"""A file and the files that it includes, as one run of lexemes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pgchaos.scenario.items import Parts
from pgchaos.scenario.lexemes import Command, Lexeme
from pgchaos.scenario.lexer import scan
from pgchaos.scenario.place import Place

LARGEST = 16 * 1024 * 1024
DEEPEST = 50
MOST_FILES = 500
_INCLUDES = {"i": False, "include": False, "ir": True, "include_relative": True}


class Unreadable(Exception):
    """A file that cannot be read as text: what is wrong with it, and in which of its lines."""

    def __init__(self, text: str, line: int = 1) -> None:
        super().__init__(text)
        self.line = line


def text_of(path: Path, raw: bytes | None = None) -> str:
    """Read a file.

    Args:
        path: where it lies.
        raw: what it holds, where that was read before.

    Returns:
        Its text; line ends and a byte order mark as they are.

    Raises:
        Unreadable: it is no plain file, larger than 16 MiB, not UTF-8, or holds a NUL byte.
    """
    raw = _bytes_of(path) if raw is None else raw
    if len(raw) > LARGEST:
        raise _too_large()
    nul = raw.find(b"\0")
    if nul >= 0:
        raise Unreadable("holds a NUL byte, so it is no text", raw.count(b"\n", 0, nul) + 1)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"is not UTF-8 (byte 0x{raw[error.start]:02x} in this line)", line) from error


def _bytes_of(path: Path) -> bytes:
    try:
        # a pipe or device would be waited for
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
    """A file with what it includes.

    Args:
        complain: called with the place and text of each problem.
        texts: the text of each file, by the name that it is shown with.
        included: the files that were read besides, in order.
        lexemes: of all, in the order in which psql would meet them.
    """

    complain: Callable[[Place, str], None]
    texts: dict[str, str] = field(default_factory=dict)
    included: list[Path] = field(default_factory=list)
    lexemes: list[Lexeme] = field(default_factory=list)
    _open: list[Path] = field(default_factory=list)

    def add(self, path: Path, shown: str, text: str) -> None:
        """Cut a file's text into lexemes, and put those of the files that it includes in their place.

        Args:
            path: where it lies.
            shown: the path as users are told of it.
            text: what it holds.
        """
        self.texts[shown] = text
        cut = scan(text, shown)
        if "\\i" not in text and "\\q" not in text:
            self.lexemes += cut
            return
        self._open.append(path)
        branches = 0
        for lexeme in cut:
            if isinstance(lexeme, Command):
                if lexeme.name in _INCLUDES:
                    self._include(path, shown, lexeme)
                    continue
                branches += {"if": 1, "endif": -1}.get(lexeme.name, 0)
                # psql ends this file only, not the one that includes it
                if lexeme.name == "quit" and len(self._open) > 1 and branches <= 0:
                    break
            self.lexemes.append(lexeme)
        self._open.pop()

    def _include(self, path: Path, shown: str, command: Command) -> None:
        name = _plain(command.args[0]) if len(command.args) == 1 else None
        if not name:
            said = "needs the name of one file, without variables: it is read before the scenario runs"
            self.complain(command.place, f"\\{command.name} {said}")
            return
        inner, inner_shown = _found(path, shown, name, beside_only=_INCLUDES[command.name])
        if _resolved(inner) in map(_resolved, self._open):
            self.complain(command.place, f"\\{command.name} {name}: this file includes itself")
            return
        if len(self._open) >= DEEPEST or len(self.included) >= MOST_FILES:
            self.complain(command.place, f"\\{command.name} {name}: too many files are included")
            return
        try:
            text = text_of(inner)
        except Unreadable as error:
            at = f" (line {error.line})" if error.line > 1 else ""
            self.complain(command.place, f"\\{command.name} {name}: {error}{at}")
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
