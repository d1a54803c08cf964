"""Where a failed item points to: its line in the scenario, for annotations, JUnit's file and IDEs, and its summary."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

_FIRST = re.compile(r"(?P<path>[^\n]+?):(?P<line>[0-9]+): (?P<reason>[^\n]*)")
_VALUES = re.compile(r"\n    have: (?P<have>[^\n]*)\n    want: (?P<want>[^\n]*)(?=\n|\Z)")
_NO_TERMINAL = 160
"""Columns where the output goes into a file or a log."""
_FAILED = "Failed: "
"""What pytest writes before the text of pytest.fail()."""


class Cause(NamedTuple):
    """What the text of a failure says first.

    Args:
        path: of the file, as it is shown; '' where the text names none.
        line: in it, from 1.
        reason: in one line.
    """

    path: str
    line: int
    reason: str

    def summary(self, width: int) -> str:
        """Write path, line and reason; the path is cut from the left, and the reason never."""
        if not self.path:
            return self.reason
        rest = f":{self.line} {self.reason}"
        room = max(0, width - len(rest))
        path = self.path if len(self.path) <= room else "…" + self.path[len(self.path) - max(0, room - 1) :]
        return f"{path}{rest}"


def first_cause(text: str) -> Cause:
    """Read what the text of a failure says first."""
    first = _FIRST.match(text)
    if first is None:
        return Cause("", 1, text.partition("\n")[0])
    values = _VALUES.match(text, first.end())
    compared = f": have {values['have']}, want {values['want']}" if values else ""
    return Cause(first["path"], int(first["line"]), first["reason"] + compared)


def columns() -> int:
    """Tell how wide lines may be: as the terminal, and `_NO_TERMINAL` where there is none."""
    return shutil.get_terminal_size((_NO_TERMINAL, 24)).columns


def point_to(report: pytest.TestReport, line: int) -> None:
    """Have a report point to a line of the item's file."""
    file, _, name = report.location
    report.location = (file, line - 1, name)


def anchor(report: pytest.TestReport, item: pytest.Item, shown: str) -> int:
    """Have the report of a failed item point to its line, instead of to the code of ours that found it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return 1
    cause = first_cause(crash.message.removeprefix(_FAILED))
    own = cause.path in ("", shown)
    line = cause.line if own else 1
    before = f"FAILED {report.nodeid} - "
    # in continuous integration pytest prints all of the message: once is enough, where the failure itself is told
    crash.message = cause.summary(columns() - len(before))
    crash.path = str(item.path if own else Path(item.config.invocation_params.dir, cause.path))
    crash.lineno = line if own else cause.line
    return line
