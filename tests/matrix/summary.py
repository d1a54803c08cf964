"""`python -m tests.matrix.summary FILE…`: what JUnit's files say, as a table in Markdown."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

_LINES = 200
"""Lines of a failure's text: the page that shows all of this has an end."""


def summary(files: Sequence[Path]) -> Iterator[str]:
    """Lay out what was run, and tell what failed in its own words.

    Args:
        files: of `pytest --junit-xml`.

    Yields:
        Lines of Markdown. Each scenario or test counts once, whatever number of assertions it has.

    Raises:
        xml.etree.ElementTree.ParseError: a file is none of JUnit's.
    """
    yield "| run | passed | failed | errors | skipped | time |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    bad: list[ElementTree.Element] = []
    for file in files:
        for suite in ElementTree.parse(file).iter("testsuite"):
            cases = list(suite.iter("testcase"))
            others = [sum(case.find(tag) is not None for case in cases) for tag in ("failure", "error", "skipped")]
            passed = sum({"failure", "error", "skipped"}.isdisjoint(part.tag for part in case) for case in cases)
            counts = " | ".join(map(str, (passed, *others)))
            yield f"| {file.stem} | {counts} | {float(suite.get('time', '0')):.0f} s |"
            bad += [case for case in cases if {"failure", "error"} & {part.tag for part in case}]
    for case in bad:
        yield ""
        yield f"- failed: `{case.get('classname')}::{case.get('name')}`"
        for part in case:
            if part.tag in ("failure", "error"):
                yield from _told(part.text or part.get("message") or "")


def _told(text: str) -> Iterator[str]:
    """Write a text as a block of code within the point of a list."""
    lines = text.strip("\n").split("\n")
    more = len(lines) - _LINES
    lines = [*lines[:_LINES], f"… and {more} more lines"] if more > 0 else lines
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield ""
    yield from (f"  {line}".rstrip() for line in (f"{fence}text", *lines, fence))


def main(names: list[str]) -> int:
    """Print the summary of files of `pytest --junit-xml`; return the exit code."""
    files = [Path(name) for name in names if Path(name).exists()]
    print("\n".join(summary(files)) if files else "Nothing was run: there is no file of JUnit.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
