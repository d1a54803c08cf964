"""The last statement of a file without its semicolon: psql -f sends it, with ON_ERROR_STOP too, and so do we."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgchaos.language.reader import read
from pgchaos.language.section_items import Statement
from tests.language.psql_log import Psql, bare, start

FILES = {
    "at once": ("SELECT 1;\nSELECT 'last'", 2),
    "a newline": ("SELECT 1;\nSELECT 'last'\n", 2),
    "a comment": ("SELECT 1;\nSELECT 'last' -- of all\n", 2),
    "a parenthesis": ("SELECT (1\n", 1),
    "a group": ("SELECT 1 \\; SELECT 2\n", 1),
    "an included file": ("\\ir included.sql\nSELECT 'after';\n", 2),
}


@pytest.fixture(scope="module")
def psql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Psql]:
    named = os.environ.get("PG_BINDIR")
    if named and not Path(named, "psql").exists():
        pytest.skip(f"there is no psql in {named}")
    running = start(Path(named) if named else None, tmp_path_factory.mktemp("psql"))
    with running.server:
        yield running


@pytest.mark.parametrize("stop", [{}, {"ON_ERROR_STOP": "1"}], ids=["going on", "stopping"])
@pytest.mark.parametrize(("text", "count"), FILES.values(), ids=FILES.keys())
def test_the_last_statement_needs_no_semicolon(psql: Psql, text: str, count: int, stop: dict[str, str]) -> None:
    (psql.folder / "included.sql").write_text("SELECT 'included'\n", encoding="utf-8")
    sent = [bare(statement) for statement in psql.sent(text, stop)]
    items = read(psql.folder / "file.sql").checks[0].items
    ours = [bare(item.text.replace("\\;", ";")) for item in items if isinstance(item, Statement)]
    assert ours == sent
    assert len(sent) == count
