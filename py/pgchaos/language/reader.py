"""Reads a file: returns a Scenario, or raises all its problems."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pgchaos.language.assembly import build_scenario, title_of
from pgchaos.language.constants import Constants
from pgchaos.language.directives import find_directive
from pgchaos.language.file_text import Unreadable, text_of
from pgchaos.language.header_model import combinations
from pgchaos.language.lexemes import MEANT, OTHER_MARK, Command, Comment, Lexeme, Mistake, Sql
from pgchaos.language.model import Scenario
from pgchaos.language.parser import Parser
from pgchaos.language.problems import UNREAD_DIRECTIVE, Place, Problem, ScenarioError
from pgchaos.language.psql_patterns import GOES_ON
from pgchaos.language.psql_scanner import scan
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.source import Source

_COMMENT = re.compile(rf"--[^\n\r]*|{re.escape(MEANT)}[^\n\r]*?\*/|{OTHER_MARK.pattern}[^\n\r]*")
_DIRECTIVE = re.compile(r"^[ \t]*-- chaos:[^\n\r]*", re.MULTILINE)
# commands that include another file, which may contain the directives
_INCLUDES = re.compile(r"^[ \t]*\\(?:i|ir|include|include_relative)\b", re.MULTILINE)
_CODE_LINE = re.compile(r"^[ \t\r\ufeff]*(?!--)[^ \t\r\n\ufeff]", re.MULTILINE)


def read(
    path: Path,
    shown: str | None = None,
    *,
    extra_tags: Collection[str] = (),
    raw: bytes | None = None,
    root: Path | None = None,
    constants: Mapping[str, str] | None = None,
) -> Scenario:
    r"""Read a file and the files that it includes.

    Args:
        path: the file. \i searches its folder first, then the current directory.
        shown: the path in messages; `path` by default.
        extra_tags: tags of the project, in addition to the predefined ones.
        raw: the content of the file, if it was read before.
        root: the directory of the project; \copy reads only files in it. By default the current directory, and the
            folder of each file.
        constants: psql variables that are set before the file is read (--chaos-set).

    Returns:
        The scenario. A file without a directive is a plain pgTAP file: all of it is one check section.

    Raises:
        ScenarioError: the file has problems; all of them are in the error.
    """
    shown = str(path) if shown is None else shown
    try:
        text = text_of(path, raw)
    except Unreadable as error:
        raise ScenarioError((Problem(Place(shown, error.line), f"the file {error}"),)) from error
    problems: list[Problem] = []
    source = _source(path, shown, text, problems, root, constants)
    if _has_directive(source.lexemes):
        parser = Parser(shown, source, extra_tags, problems)
        parser.parse()
        scenario = build_scenario(path, parser)
    else:
        if (
            problems
            or any(isinstance(one, Mistake) for one in source.lexemes)
            or any("\r\n" in one or GOES_ON.search(one) for one in source.texts.values())
        ):
            problems.clear()
            source = _source(path, shown, text, problems, root, constants, as_psql=True)
        scenario = _plain(path, shown, source, problems)
    if any(one.whole for one in problems):
        # what is missing may be there, where it is not read
        problems += _unread_directives(source)
    if problems:
        # sorted() keeps the order within a line: a misspelt directive comes before its consequences
        raise ScenarioError(tuple(sorted(dict.fromkeys(problems), key=lambda one: (one.whole, one.place))))
    unread = tuple(_unread_directives(source))
    return replace(scenario, notes=(*scenario.notes, *unread)) if unread else scenario


def _source(
    path: Path,
    shown: str,
    text: str,
    problems: list[Problem],
    root: Path | None,
    constants: Mapping[str, str] | None,
    *,
    as_psql: bool = False,
) -> Source:
    given = Constants(constants or {})
    source = Source(lambda place, what: problems.append(Problem(place, what)), root, constants=given, as_psql=as_psql)
    source.add(path, shown, text)
    return source


def is_scenario(text: str, path: Path | None = None) -> bool:
    """Whether a file contains a directive, perhaps misspelt, outside quotes, block comments and COPY data.

    With the `path` of the file, a directive in the files that it includes counts too.
    """
    found = next((match for match in _COMMENT.finditer(text) if find_directive(match[0].rstrip())), None)
    # if only comments precede it, as in most files, it cannot be in a quote
    if found and (_CODE_LINE.search(text, 0, found.start()) is None or _has_directive(scan(text, ""))):
        return True
    if path is None or _INCLUDES.search(text) is None:
        return False
    source = Source(lambda _place, _what: None)
    source.add(path, str(path), text)
    return _has_directive(source.lexemes)


def _unread_directives(source: Source) -> Iterator[Problem]:
    """Note lines that have the form of a directive, and are no comments."""
    comments = {lexeme.place for lexeme in source.lexemes if type(lexeme) is Comment}
    for shown, text in source.texts.items():
        at, line = 0, 1
        for match in _DIRECTIVE.finditer(text):
            at, line = match.start(), line + text.count("\n", at, match.start())
            found = find_directive(match[0].strip())
            if Place(shown, line) not in comments and found is not None and not found.mistake:
                where = "it is inside quotes, dollar quotes, a block comment or COPY data, or below \\quit"
                note = f"`-- chaos:{found.word}` is not read as a directive: {where}"
                yield Problem(Place(shown, line), note, rule=UNREAD_DIRECTIVE)


def _has_directive(lexemes: Iterable[Lexeme]) -> bool:
    return any(type(lexeme) is Comment and find_directive(lexeme.text) for lexeme in lexemes)


def tags_in(text: str) -> set[str]:
    """Return the words of a file's `tags` directives, even if the file has mistakes."""
    found = (find_directive(match[0].rstrip()) for match in _COMMENT.finditer(text))
    lines = (one.text for one in found if one is not None and one.word == "tags")
    return {word for line in lines for word in line.replace(",", " ").split()}


def variants(scenario: Scenario) -> tuple[dict[str, str], ...]:
    """Return the matrix values of each item of a scenario, see `combinations`."""
    return tuple(combinations(scenario.matrix))


def _plain(path: Path, shown: str, source: Source, problems: list[Problem]) -> Scenario:
    body = SectionBuilder("check", Place(shown, 1), source.complain)
    for lexeme in source.lexemes:
        if isinstance(lexeme, Sql):
            # psql also sends a last statement without a semicolon
            body.add_statement(lexeme)
        elif isinstance(lexeme, Command):
            body.add_command(lexeme)
        elif isinstance(lexeme, Mistake):
            source.complain(lexeme.place, lexeme.text)
    body.finish()
    if not body.items and not problems:
        source.complain(body.place, "the file holds no statement")
    return Scenario(
        path=path,
        shown=shown,
        name=path.stem,
        title=title_of(c for c in source.lexemes if isinstance(c, Comment) and c.place.path == shown),
        source=source.texts[shown],
        plain=True,
        checks=(body.section(),),
        includes=tuple(source.included),
        constants=dict(source.constants.given),
    )
