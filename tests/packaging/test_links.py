"""The links of the pages lead somewhere."""

from __future__ import annotations

import re

import pytest

from tests.packaging.conftest import ROOT

PAGES = [".github/CONTRIBUTING.md", "tests/README.md", "py/ARCHITECTURE.md", "pgtap/README.md"]
PAGES += [f"sql/{path.name}" for path in sorted((ROOT / "sql").glob("*.md"))]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page, and those that it sets itself."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    named = set(re.findall(r'<a (?:name|id)="([^"]+)"', text))
    return named | {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_a_file_and_a_heading(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for link, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", text):
        target = ((ROOT / page).parent / link) if link else ROOT / page
        assert target.exists(), (page, link)
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), (page, link, anchor)
