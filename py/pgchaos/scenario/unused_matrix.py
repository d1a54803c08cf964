"""Finds matrices that nothing uses: their items would all run the same, and look like tests of different values."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from pgchaos.scenario.body import Body
from pgchaos.scenario.condition import When
from pgchaos.scenario.items import Meta, Parts, Variable
from pgchaos.scenario.model import Scenario
from pgchaos.scenario.place import Place
from pgchaos.scenario.terms import Matrix

_ASKED = re.compile(r"\bvar\s*\(\s*(?:'(?P<name>\w+)'\s*\))?", re.IGNORECASE)
"""A call of chaos.var(), with the name in it where it is a plain string."""
_ALL = re.compile(r"\bchaos\.vars\b", re.IGNORECASE)
"""The setting that holds all variables."""
_WRITTEN = re.compile(r""":(?:(?P<plain>\w+)|'(?P<literal>\w+)'|"(?P<identifier>\w+)"|\{\?(?P<test>\w+)\})""")
"""A psql variable in a text that is cut at its variables only when it is used."""


def check_matrix_used(
    scenario: Scenario, bodies: Collection[Body], matrix: Mapping[str, Matrix], complain: Callable[[Place, str], None]
) -> None:
    """Complain of each matrix that no statement, meta-command or condition of the file uses.

    Args:
        scenario: the file.
        bodies: all sections, those of mutants and included files too.
        matrix: by name.
        complain: called with the place and text of each problem.
    """
    if not matrix:
        return
    unused = set(matrix) - set(_conditions(scenario, bodies))
    for text in _new_texts(scenario):
        unused -= _names_in(text, matrix)
    for body in bodies:
        if not unused:
            return
        unused -= _used_in(body, matrix)
    for name, one in matrix.items():
        if name in unused:
            complain(
                one.place,
                f"`matrix`: nothing uses `{name}`: write `:{name}` or `:'{name}'` in a statement, chaos.var('{name}')"
                f" in a function, or `when {name} = {_quoted(one.values[0])}` behind a directive",
            )


def _conditions(scenario: Scenario, bodies: Iterable[Body]) -> Iterator[str]:
    """Name the matrices that directives ask for by `when`."""
    items = (item for body in bodies for item in body.items)
    for one in (*items, *scenario.server, *scenario.xfails, *scenario.leaves, *scenario.mutants):
        when: When | None = getattr(one, "when", None)
        if when is not None:
            yield when.name


def _new_texts(scenario: Scenario) -> Iterator[str]:
    """Give the texts that mutants put into statements."""
    return (replace.new for mutant in scenario.mutants for replace in mutant.replaces)


def _used_in(body: Body, matrix: Mapping[str, Matrix]) -> set[str]:
    used: set[str] = set()
    for sql in body.sources:
        # what stands in a dollar quote or a slice is told of by itself
        used |= _variables((*sql.parts, *sql.prefix)) | sql.quoted | sql.slices | _asked_in(sql.text, matrix)
    for item in body.items:
        if isinstance(item, Meta):
            for parts in item.args:
                used |= _variables(parts)
                # the value of a \set is cut when it is used
                used |= _names_in("".join(part for part in parts if isinstance(part, str)), matrix)
    return used


def _variables(parts: Parts) -> set[str]:
    return {part.name for part in parts if isinstance(part, Variable)}


def _names_in(text: str, matrix: Mapping[str, Matrix]) -> set[str]:
    return {name for found in _WRITTEN.finditer(text) for name in found.groups() if name} | _asked_in(text, matrix)


def _asked_in(text: str, matrix: Mapping[str, Matrix]) -> set[str]:
    """Name what a text asks for by chaos.var(); all, where the name is no plain string."""
    if _ALL.search(text):
        return set(matrix)
    asked = [found["name"] for found in _ASKED.finditer(text)]
    return set(matrix) if None in asked else {name for name in asked if name}


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"\w+", value) else "'" + value.replace("'", "''") + "'"
