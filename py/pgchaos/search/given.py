"""Draws the values of `given` with hypothesis, and shrinks those that fail.

The only module that uses hypothesis; it uses its public API only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase

from pgchaos.language.encodings import UTF8, characters_of
from pgchaos.language.header_model import Given

Values = Mapping[str, str]


class _Found(Exception):
    """Some values fail."""


def draw(
    givens: Sequence[Given],
    fails: Callable[[Values], bool],
    *,
    seed: int,
    examples: int,
    key: str = "",
    encoding: str = UTF8,
) -> Values | None:
    """Find the smallest values that fail.

    Args:
        givens: what to draw.
        fails: whether values fail; it must always return the same for the same values.
        seed: of hypothesis.
        examples: values to try at most.
        key: of its database, where it stores values that failed; '' to store none.
        encoding: the PostgreSQL name of the database's encoding: other characters are not drawn.

    Returns:
        The smallest values found that fail, or None.
    """
    failing: list[Values] = []

    def trial(values: Values) -> None:
        if fails(values):
            failing.append(values)
            raise _Found

    configured = hypothesis.settings(
        hypothesis.settings(),
        max_examples=examples,
        deadline=None,
        database=database_of(key),
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
        phases=(Phase.reuse, Phase.generate, Phase.shrink),
    )
    letters = _letters(encoding)
    drawn = st.fixed_dictionaries({given.name: _strategy(given, letters) for given in givens})
    test = hypothesis.seed(seed)(configured(hypothesis.given(drawn)(trial)))
    try:
        test()
    except _Found:
        # the last that hypothesis runs is the smallest
        return failing[-1]
    return None


def database_of(key: str) -> ExampleDatabase | None:
    """Return one scenario's part of hypothesis's database; None without a key, or if the profile stores nothing."""
    base = hypothesis.settings().database
    return _OneOf(base, key) if key and base is not None else None


def most() -> int:
    """Return how many values hypothesis's profile draws at most."""
    return int(hypothesis.settings().max_examples)


class _OneOf(ExampleDatabase):
    """One scenario's part of a database: hypothesis would use the same keys for all scenarios."""

    def __init__(self, base: ExampleDatabase, key: str) -> None:
        super().__init__()
        self._base, self._key = base, f"pgchaos/{key}/".encode()

    def save(self, key: bytes, value: bytes) -> None:
        self._base.save(self._key + key, value)

    def fetch(self, key: bytes) -> Iterable[bytes]:
        return self._base.fetch(self._key + key)

    def delete(self, key: bytes, value: bytes) -> None:
        self._base.delete(self._key + key, value)


def _letters(encoding: str) -> st.SearchStrategy[str]:
    """Make a strategy for the characters that a database can store."""
    characters = characters_of(encoding)
    if characters is None:
        # the server's text holds no NUL
        return st.characters(codec="utf-8", exclude_characters="\0")
    return st.characters(categories=(), include_characters=characters)


def _strategy(given: Given, letters: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Make a strategy for values as psql takes them: text."""
    low, high = given.low, given.high
    if given.kind == "integer":
        return st.integers(int(low or 0), int(high or 0)).map(str)
    if given.kind == "float":
        return st.floats(float(low or 0), float(high or 0), allow_nan=False).map(_number)
    if given.kind == "boolean":
        return st.booleans().map(lambda value: "true" if value else "false")
    if given.kind == "choice":
        return st.sampled_from(given.choices)
    if given.kind == "timestamp":
        first = datetime.fromisoformat(low) if low else datetime.min
        last = datetime.fromisoformat(high) if high else datetime.max
        return st.datetimes(first, last).map(lambda value: value.isoformat(" "))
    least, most = int(low or 0), None if high is None else int(high)
    if given.kind == "text":
        return st.text(letters, min_size=least, max_size=most)
    assert given.element is not None, "of a list"
    return st.lists(_strategy(given.element, letters), min_size=least, max_size=most).map(_array)


def _number(value: float) -> str:
    # SQL does not distinguish -0.0 from 0.0
    return repr(value + 0.0) if math.isfinite(value) else "0"


def _array(values: Sequence[str]) -> str:
    """Write an array literal (PostgreSQL docs, "Arrays", Array Input and Output Syntax)."""
    quoted = ('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values)
    return "{" + ",".join(quoted) + "}"
