"""Each exception from a rule of lint or types has its reason beside it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXCEPTION = re.compile(r"#\s*(?:noqa\b|type:\s*ignore\b)(?P<rules>:\s*[A-Z0-9, ]+\b|\[[^\]]*\])?(?P<reason>.*)")


def test_each_exception_names_its_rule_and_its_reason() -> None:
    found = [
        (f"{path.relative_to(ROOT)}:{number}", match)
        for folder in ("py", "tests")
        for path in sorted(ROOT.joinpath(folder).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := EXCEPTION.search(line)) and path != Path(__file__)
    ]
    assert found
    assert [place for place, match in found if not (match["rules"] and re.search(r"\w{2}", match["reason"]))] == []
