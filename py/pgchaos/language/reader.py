"""Reading a file: from its text to a Scenario, or to everything that is wrong with it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from pathlib import Path

from pgchaos.language.assembly import assembled, title_of
from pgchaos.language.directives import directive
from pgchaos.language.lexemes import Command, Comment, Mistake, Sql
from pgchaos.language.model import Scenario
from pgchaos.language.parser import Parser
from pgchaos.language.problems import Place, Problem, ScenarioError
from pgchaos.language.psql_scanner import scan
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.source import Source, Unreadable, text_of

_COMMENT = re.compile(r"--[^\n\r]*")
_CODE = re.compile(r"^[ \t\r\ufeff]*(?!--)[^ \t\r\n\ufeff]", re.MULTILINE)
"""A line that is neither blank nor a comment."""


def read(
    path: Path,
    shown: str | None = None,
    *,
    extra_tags: Collection[str] = (),
    raw: bytes | None = None,
    root: Path | None = None,
) -> Scenario:
    r"""Read a file and the files that it includes.

    Args:
        path: where it lies; \i looks beside it first, then in the current directory.
        shown: the path as users are told of it; without it, `path`.
        extra_tags: tags that are allowed beside slow, concurrent, destructive and smoke.
        raw: what the file holds, where that was read before.
        root: of the project, below which the files lie that \copy reads; None for the current directory, and the folder
            of each file.

    Returns:
        What it says. A file without a directive is a plain pgTAP file: all of it is one check section.

    Raises:
        ScenarioError: with everything that is wrong with it, in order of place.
    """
    shown = str(path) if shown is None else shown
    try:
        text = text_of(path, raw)
    except Unreadable as error:
        raise ScenarioError((Problem(Place(shown, error.line), f"the file {error}"),)) from error
    problems: list[Problem] = []
    source = Source(lambda place, what: problems.append(Problem(place, what)), root)
    source.add(path, shown, text)
    comments = [lexeme for lexeme in source.lexemes if type(lexeme) is Comment]
    if any(directive(comment.text) for comment in comments):
        reading = Parser(shown, source, extra_tags, problems)
        reading.read()
        scenario = assembled(path, reading)
    else:
        scenario = _plain(path, shown, source, problems)
    if problems:
        # of one line, what was found first comes first: what a slip was taken for is told behind the slip
        raise ScenarioError(tuple(sorted(dict.fromkeys(problems), key=lambda one: (one.whole, one.place))))
    return scenario


def is_scenario(text: str) -> bool:
    """Say whether a text holds a directive, or a clear slip of one, outside quotes, block comments and data.

    Args:
        text: of a file.

    Returns:
        True where it does. Most texts are told by a glance at their comments.
    """
    found = next((match for match in _COMMENT.finditer(text) if directive(match[0].rstrip())), None)
    if found is None:
        return False
    if _CODE.search(text, 0, found.start()) is None:
        return True
    return any(type(lexeme) is Comment and directive(lexeme.text) for lexeme in scan(text, ""))


def variants(scenario: Scenario) -> tuple[dict[str, str], ...]:
    """Give the items that a matrix makes of a scenario.

    Args:
        scenario: as read.

    Returns:
        The values of the variables for each item, in order, the last matrix the fastest; one empty one without matrix.
    """
    names = [matrix.name for matrix in scenario.matrix]
    values = itertools.product(*(matrix.values for matrix in scenario.matrix))
    return tuple(dict(zip(names, chosen, strict=True)) for chosen in values)


def _plain(path: Path, shown: str, source: Source, problems: list[Problem]) -> Scenario:
    body = SectionBuilder("check", Place(shown, 1), source.complain)
    for lexeme in source.lexemes:
        if isinstance(lexeme, Sql):
            # as psql does, the last statement is sent without its semicolon too
            body.sql(lexeme)
        elif isinstance(lexeme, Command):
            body.command(lexeme)
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
    )
