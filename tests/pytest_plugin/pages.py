"""What a page shows of a run: the command and its output, and the output that this command has in truth."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pytest_plugin.conftest import Project

ROOT = Path(__file__).parents[2]
_TIME = re.compile(r" *[0-9]+\.[0-9](?=  )")
_TOOK = re.compile(r"(?<=-> )[0-9.]+ ms(, )?|(?<=\+- )[0-9.]+ ms(, )?")


@dataclass(frozen=True)
class Shown:
    """A command as it is typed, and what it prints from the heading of the failure on."""

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
    """Leave out what differs from run to run: times, and which PostgreSQL it was."""
    server = r"(?<=Server: PostgreSQL )[0-9.]+| of \S+(?= \(ours\))|(?<=make installcheck-chaos )PG_BINDIR=\S+ "
    anywhere = re.sub(server, "", text)
    return [_TOOK.sub("", _TIME.sub(lambda found: " " * len(found[0]), line)) for line in anywhere.splitlines()]


@dataclass(frozen=True)
class Columns:
    """The columns of a timeline.

    Args:
        around: the lines above and below them.
        cells: of each session its statements, with what is said of each; without bars, waits and times.
        order: of the statements of all sessions, as the session and the line of the file.
    """

    around: list[str]
    cells: dict[str, list[str]]
    order: list[tuple[str, int]]


def columns(text: str) -> Columns:
    """Take a failure with a timeline in columns apart."""
    lines = timeless(text)
    head = next(number for number, line in enumerate(lines) if re.fullmatch(r" +ms  .*\[1\].*", line))
    until = next(number for number in range(head, len(lines)) if not lines[number].startswith(" "))
    names = lines[head].split()[1:]
    starts = [match.start() for match in re.finditer("-+", lines[head + 1])]
    cells: dict[str, list[str]] = {name: [] for name in names}
    order = []
    for line in lines[head + 2 : until]:
        for name, start, end in zip(names, starts, [*starts[1:], None], strict=True):
            cell = line[start:end].strip()
            if found := re.match("([0-9]+): ", cell):
                cells[name].append(cell)
                order.append((name, int(found[1])))
            elif cell and cell not in "|:":
                cells[name][-1] += f" {cell}"
    seen = re.compile(r" \| waits for .*? \+- waited [0-9.]+ ms(, )?| \+- (?=[0-9a-z])")
    # on a busy machine the end of any statement may have a line of its own
    ends = re.compile(r" \+-( done)?$")
    cells = {name: [seen.sub(" -> ", ends.sub("", cell)) for cell in own] for name, own in cells.items()}
    around = [line for line in (*lines[:head], *lines[until:]) if not line.startswith(("(|", "(:", "(waits"))]
    return Columns(around, cells, order)
