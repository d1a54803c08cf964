"""What a page shows of a run: the command and its output, and the output that this command has in truth."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pytest_plugin.conftest import Project

ROOT = Path(__file__).parents[2]
_CUT = 24
"""What is left of a statement where the table is narrowest, its mark included."""
_ROW = re.compile(r" +[0-9]+\.[0-9] +[0-9]+\.[0-9] +(?P<who>\S+) +(?P<line>[0-9]+)  (?P<sql>.*?)(?P<rows>  \(.*\))?")


@dataclass(frozen=True)
class Shown:
    """A command and what it prints.

    Args:
        command: as it is typed.
        text: from the heading of the failure on, or its one line.
    """

    command: str
    text: str


def page(name: str) -> str:
    """Read a page, by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def sql_blocks(text: str) -> list[str]:
    """List the pieces of SQL of a page."""
    return re.findall(r"^```sql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shown(text: str) -> list[Shown]:
    """List the commands of a page whose output it shows."""
    blocks = re.findall(r"^    \$ (make .*)\n    \.\.\.\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    return [Shown(command, re.sub("^    ", "", output, flags=re.MULTILINE).strip()) for command, output in blocks]


def make(project: Project, monkeypatch: pytest.MonkeyPatch, command: str, columns: int = 80) -> pytest.RunResult:
    """Run what `make installcheck-chaos` runs, on a private server, in a terminal of that width.

    In a process of its own: within one, hypothesis would keep what a search has found for the next.
    """
    monkeypatch.setenv("CHAOS_MAKE", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    variables = dict(word.split("=", 1) for word in shlex.split(command) if "=" in word)
    return project.pytester.runpytest_subprocess(
        variables["CHAOS_TESTS"], *shlex.split(variables.get("CHAOS_OPTS", ""))
    )


def failure(result: pytest.RunResult) -> str:
    """Take the text of the one failure, its heading as above it."""
    (text,) = re.findall(r"\n={5,} FAILURES ={5,}\n(.*?)\n={5,} ", result.stdout.str(), re.DOTALL)
    return str(text)


def timeless(text: str) -> list[str]:
    """Leave out what differs from run to run: times, what they leave room for, and which PostgreSQL it was."""
    anywhere = re.sub(r"(?<=Server: PostgreSQL )[0-9.]+| of \S+(?= \(ours\))|PG_BINDIR=\S+ (?=make )", "", text)
    return [_timeless(line) for line in anywhere.splitlines()]


def _timeless(line: str) -> str:
    row = _ROW.fullmatch(line)
    if row is None:
        # the heading of the table, and what stands below a statement, are moved by the width of the times
        folded = " ".join(line.split())
        if folded.startswith("sent: "):
            return "sent: …"  # where it is cut depends on them too
        return folded if re.match(" +(ms +took|->) ", line) else line
    sql = row["sql"] if len(row["sql"]) < _CUT else row["sql"][: _CUT - 1] + "…"
    return f"{row['who']} {row['line']} {sql}{row['rows'] or ''}"
