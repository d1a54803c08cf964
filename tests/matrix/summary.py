"""`python -m tests.matrix.summary FILE…`: what JUnit's files say, as a table in Markdown."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree


def summary(files: Sequence[Path]) -> Iterator[str]:
    """Lay out what was run, and name what failed.

    Args:
        files: of `pytest --junit-xml`.

    Yields:
        Lines of Markdown.

    Raises:
        xml.etree.ElementTree.ParseError: a file is none of JUnit's.
    """
    yield "| run | passed | failed | errors | skipped | time |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    bad = []
    for file in files:
        for suite in ElementTree.parse(file).iter("testsuite"):
            total, *others = (int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped"))
            counts = " | ".join(map(str, (total - sum(others), *others)))
            yield f"| {file.stem} | {counts} | {float(suite.get('time', '0')):.0f} s |"
            bad += [case for case in suite.iter("testcase") if {"failure", "error"} & {part.tag for part in case}]
    if bad:
        yield ""
        yield from (f"- failed: `{case.get('classname')}::{case.get('name')}`" for case in bad)


def main(names: list[str]) -> int:
    """Print the summary.

    Args:
        names: of files; where none is there, that is what it says.

    Returns:
        The exit code.
    """
    files = [Path(name) for name in names if Path(name).exists()]
    print("\n".join(summary(files)) if files else "Nothing was run: there is no file of JUnit.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
