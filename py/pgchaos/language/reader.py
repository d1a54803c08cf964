"""Reads a file: gives a Scenario, or everything that is wrong with it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pgchaos.language.assembly import build_scenario, title_of
from pgchaos.language.constants import Constants
from pgchaos.language.directives import find_directive
from pgchaos.language.file_text import Unreadable, text_of
from pgchaos.language.lexemes import Command, Comment, Lexeme, Mistake, Sql
from pgchaos.language.model import Scenario
from pgchaos.language.parser import Parser
from pgchaos.language.problems import Place, Problem, ScenarioError
from pgchaos.language.psql_scanner import scan
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.source import Source

_COMMENT = re.compile(r"--[^\n\r]*")
# Commands that read another file, which may hold the directives.
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
        path: of the file; \i looks beside it first, then in the current directory.
        shown: the path as users see it; `path` by default.
        extra_tags: tags of the project, beside slow, concurrent, destructive and smoke.
        raw: the content of the file, where it was read before.
        root: of the project: \copy reads files below it. By default the current directory, and the folder of each file.
        constants: psql variables that are set before the file is read (--chaos-set).

    Returns:
        The scenario. A file without a directive is a plain pgTAP file: all of it is one check section.

    Raises:
        ScenarioError: with everything that is wrong with the file.
    """
    shown = str(path) if shown is None else shown
    try:
        text = text_of(path, raw)
    except Unreadable as error:
        raise ScenarioError((Problem(Place(shown, error.line), f"the file {error}"),)) from error
    problems: list[Problem] = []
    given = Constants(constants or {})
    source = Source(lambda place, what: problems.append(Problem(place, what)), root, constants=given)
    source.add(path, shown, text)
    if _holds_directive(source.lexemes):
        parser = Parser(shown, source, extra_tags, problems)
        parser.parse()
        scenario = build_scenario(path, parser)
    else:
        scenario = _plain(path, shown, source, problems)
    if problems:
        # sorted() keeps the order within a line: a misspelt directive comes before what follows from it
        raise ScenarioError(tuple(sorted(dict.fromkeys(problems), key=lambda one: (one.whole, one.place))))
    return scenario


def is_scenario(text: str, path: Path | None = None) -> bool:
    """Whether a file holds a directive, or one that is clearly misspelt, outside quotes, block comments and data.

    With the `path` of the file, the files that it includes count too.
    """
    found = next((match for match in _COMMENT.finditer(text) if find_directive(match[0].rstrip())), None)
    # most files begin with comments: nothing above this one could quote it
    if found and (_CODE_LINE.search(text, 0, found.start()) is None or _holds_directive(scan(text, ""))):
        return True
    if path is None or _INCLUDES.search(text) is None:
        return False
    source = Source(lambda _place, _what: None)
    source.add(path, str(path), text)
    return _holds_directive(source.lexemes)


def _holds_directive(lexemes: Iterable[Lexeme]) -> bool:
    return any(type(lexeme) is Comment and find_directive(lexeme.text) for lexeme in lexemes)


def tags_in(text: str) -> set[str]:
    """The words of a file's `tags`, also where it has mistakes."""
    found = (find_directive(match[0].rstrip()) for match in _COMMENT.finditer(text))
    lines = (one.text for one in found if one is not None and one.word == "tags")
    return {word for line in lines for word in line.replace(",", " ").split()}


def variants(scenario: Scenario) -> tuple[dict[str, str], ...]:
    """List the values of each item that the matrices of a scenario make; the last matrix changes fastest.

    Without a matrix, there is one empty dict.
    """
    names = [matrix.name for matrix in scenario.matrix]
    values = itertools.product(*(matrix.values for matrix in scenario.matrix))
    return tuple(dict(zip(names, chosen, strict=True)) for chosen in values)


def _plain(path: Path, shown: str, source: Source, problems: list[Problem]) -> Scenario:
    body = SectionBuilder("check", Place(shown, 1), source.complain)
    for lexeme in source.lexemes:
        if isinstance(lexeme, Sql):
            # psql sends the last statement without its semicolon too
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
