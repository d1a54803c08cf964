from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgchaos.language.directive_table import (
    DIRECTIVES,
    HeaderDirective,
    MutantDirective,
    SectionDirective,
    SessionDirective,
)
from pgchaos.language.reader import is_scenario, read

PAGE = Path(__file__).parents[2] / "sql/LANGUAGE.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = [
    (TEXT.count("\n", 0, found.start()) + 2, found[1])
    for found in re.finditer(r"^```sql\n(.*?)^```", TEXT, re.S | re.M)
]
SCENARIOS = [(line, block) for line, block in BLOCKS if "-- chaos:" in block]


@pytest.mark.parametrize("block", [block for _, block in SCENARIOS], ids=[f"line {line}" for line, _ in SCENARIOS])
def test_every_example_of_the_language_reference_is_accepted(tmp_path: Path, block: str) -> None:
    path = tmp_path / "t.sql"
    path.write_text(block, encoding="utf-8")
    assert not read(path).plain
    assert is_scenario(block)


def test_the_language_reference_has_examples() -> None:
    assert len(SCENARIOS) >= 8


@pytest.mark.parametrize("word", DIRECTIVES)
def test_every_directive_is_in_an_example_of_the_language_reference(word: str) -> None:
    assert any(re.search(rf"^\s*-- chaos:{word}\b", block, re.M) for _, block in SCENARIOS)


def described(heading: str) -> set[str]:
    """The directives that the first table below a heading describes."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = section.partition("| --- ")[2].partition("\n\n")[0].split("\n")[1:]
    return {word for row in rows for word in re.findall(r"`([a-z]+)", row.split(" | ")[0])}


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("The header", HeaderDirective),
        ("Sections", SectionDirective),
        ("Inside a session", SessionDirective),
        ("Mutants", MutantDirective),
    ],
)
def test_every_directive_is_described_where_it_belongs(heading: str, kind: type) -> None:
    known = {word for word, row in DIRECTIVES.items() if isinstance(row, kind)}
    assert known <= described(heading)
