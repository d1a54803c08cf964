"""Reads a file and the files that it includes into one sequence of lexemes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pgchaos.language.client_copy import WrongCopy, client_copy, data_file
from pgchaos.language.constants import Constants, unset_in
from pgchaos.language.directive_table import DIRECTIVES, SectionDirective
from pgchaos.language.directives import find_directive
from pgchaos.language.encodings import UTF8
from pgchaos.language.file_text import Unreadable, encoding_of, text_of
from pgchaos.language.lexemes import Command, Comment, Lexeme, Sql
from pgchaos.language.problems import Place
from pgchaos.language.psql_patterns import GOES_ON
from pgchaos.language.psql_scanner import copy_statement, scan
from pgchaos.language.section_items import Parts, Send, as_written, literal_argument
from pgchaos.language.substitution import evaluate
from pgchaos.language.suggestions import suggest

DEEPEST = 50
MOST_FILES = 500
_READ_HERE = ("\\i", "\\q", "\\copy", "\\encoding", "\\set", "\\unset", "\\getenv", "chaos:default")
_SETS = frozenset({"set", "unset", "getenv"})
_INCLUDES = {"i": False, "include": False, "ir": True, "include_relative": True}


@dataclass(slots=True)
class Source:
    """A file with the files that it includes."""

    complain: Callable[[Place, str], None]  # called with the place and text of each problem
    # the directory of the project, which must contain the files of `\copy`; None for the current directory and that of
    # the file
    root: Path | None = None
    constants: Constants = field(default_factory=Constants)  # from options and the header so far
    as_psql: bool = False  # a plain pgTAP file, see `scan`
    texts: dict[str, str] = field(default_factory=dict)  # the text of each file, by its name in messages
    included: list[Path] = field(default_factory=list)  # the included files, in order
    lexemes: list[Lexeme] = field(default_factory=list)  # of all files, in the order in which psql reads them
    _open: list[Path] = field(default_factory=list)
    _encoding: str = UTF8
    _branches: int = 0
    _in_header: bool = True
    _set_again: dict[str, Place] = field(default_factory=dict)  # variables that sections set, with the first line

    def add(self, path: Path, shown: str, text: str) -> None:
        """Scan a file, and each file that it includes at the place of the include command."""
        self.texts[shown] = text
        found = scan(text, shown, keeps_crlf=self.as_psql, as_psql=self.as_psql)
        if not any(command in text for command in _READ_HERE):
            self._in_header = self._in_header and not any(map(_ends_header, found))
            self.lexemes += found
            return
        self._open.append(path)
        outer_branches, outer_encoding = self._branches, self._encoding
        for lexeme in found:
            self._set(path, shown, lexeme)
            if isinstance(lexeme, Command):
                if lexeme.name in _INCLUDES:
                    self._include(path, shown, lexeme)
                    continue
                if lexeme.name == "copy":
                    self._copy(path, lexeme)
                    continue
                self._encoding = encoding_of(lexeme) or self._encoding
                self._branches += {"if": 1, "endif": -1}.get(lexeme.name, 0)
                # in psql, \q ends only the included file; whether a branch is taken is known only in the run
                if lexeme.name == "quit" and len(self._open) > 1 and self._branches <= outer_branches:
                    break
            self.lexemes.append(lexeme)
        self._open.pop()
        self._branches, self._encoding = outer_branches, outer_encoding

    def _set(self, path: Path, shown: str, lexeme: Lexeme) -> None:
        """Record the variables that the header sets, and those that later lines may set to another value."""
        self._in_header = self._in_header and not _ends_header(lexeme)
        if isinstance(lexeme, Comment) and self._in_header and "chaos:default" in lexeme.text:
            found = find_directive(lexeme.text)
            if found is not None and found.word == "default":
                self.constants.default(found.text, _folder(path, shown))
        elif self.as_psql and isinstance(lexeme, Sql) and lexeme.send is Send.GSET:
            for name in self.constants.values:
                if _may_return(lexeme, name):
                    self._set_again.setdefault(name, lexeme.place)
        elif isinstance(lexeme, Command) and lexeme.name in _SETS and lexeme.args:
            is_known = lexeme.name != "getenv" and self._knows(lexeme.args) if self.as_psql else self._in_header
            if self._branches or not is_known:
                self._set_again.setdefault(literal_argument(lexeme.args[0]) or "", lexeme.place)
            elif lexeme.name == "unset":
                self.constants.unset(lexeme.args)
            elif lexeme.name == "set":
                try:
                    self.constants.set(lexeme.args, _folder(path, shown))
                except ValueError as error:
                    if not self._goes_on():
                        self.complain(lexeme.place, f"\\set: {error}")

    def _knows(self, args: tuple[Parts, ...]) -> bool:
        """Whether the variables in arguments have known values."""
        names = {part.name for parts in args for part in parts if not isinstance(part, str)}
        return names <= self.constants.values.keys() - self._set_again.keys()

    def _goes_on(self) -> bool:
        """Whether psql may pass over what fails."""
        return self.as_psql and any(map(GOES_ON.search, self.texts.values()))

    def _unreadable(self, command: Command, text: str) -> None:
        r"""Report a file that cannot be read; the run reports it in a branch of an \if, or where psql may continue."""
        if self._branches > 0 or self._goes_on():
            self.lexemes.append(Command(command.place, "i", ((text,),)))
        else:
            self.complain(command.place, text)

    def _copy(self, path: Path, command: Command) -> None:
        copy = client_copy(as_written(command.args[0]))
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
        try:
            name, folder = self._name_of(command)
        except _WrongName as error:
            self.complain(command.place, f"\\{command.name} {error}")
            return
        inner, inner_shown = _found(path, shown, name, beside_only=_INCLUDES[command.name], first=folder)
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

    def _name_of(self, command: Command) -> tuple[str, tuple[Path, str] | None]:
        """Return the name of an included file, and the folder of the file that set the variable in the name."""
        parts = command.args[0] if len(command.args) == 1 else ()
        if not parts:
            raise _WrongName("needs the name of one file")
        constants = self.constants
        for name in unset_in(parts, constants.values):
            raise _WrongName(
                f":{name}: the file is read before the scenario runs, and the header does not set {name}"
                f"{suggest(name, constants.values)}; write `-- chaos:default {name} = FILE` or `\\set {name} FILE`"
                f" above the first section, or --chaos-set={name}=FILE"
            )
        names = [part.name for part in parts if not isinstance(part, str)]
        for name in names:
            if name in self._set_again:
                raise _WrongName(f":{name}: {name} is set again in line {self._set_again[name].line}; use another name")
        return evaluate((parts,), constants.values)[0], constants.folders.get(names[0]) if names else None


class _WrongName(Exception):
    """The name of an included file is wrong; the text says how."""


def _may_return(sql: Sql, name: str) -> bool:
    r"""Whether a \gset may set a variable: a name of its columns, except of `*`, is in its text."""
    if "*" in sql.text or sql.verb != "SELECT":
        return True
    column = name.removeprefix(as_written(sql.prefix))
    return re.search(rf"\b{re.escape(column)}\b", sql.text, re.IGNORECASE) is not None


def _ends_header(lexeme: Lexeme) -> bool:
    """Whether a lexeme ends the header of a file: a statement, or a directive that opens a section."""
    if isinstance(lexeme, Comment):
        found = find_directive(lexeme.text)
        return found is not None and isinstance(DIRECTIVES.get(found.word), SectionDirective)
    return isinstance(lexeme, Sql)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path


def _found(path: Path, shown: str, name: str, *, beside_only: bool, first: tuple[Path, str] | None) -> tuple[Path, str]:
    try:
        given = Path(name).expanduser()
    except RuntimeError:
        given = Path(name)
    if given.is_absolute():
        return given, str(given)
    if first is not None and _is_file(first[0] / given):
        return first[0] / given, str(PurePosixPath(first[1]) / name)
    beside = path.parent / given
    if beside_only or _is_file(beside) or not _is_file(given):
        return beside, str(PurePosixPath(shown).parent / name)
    return given, name


def _folder(path: Path, shown: str) -> tuple[Path, str]:
    """Return the folder of a file, and the folder's name in messages."""
    return path.parent, str(PurePosixPath(shown).parent)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
