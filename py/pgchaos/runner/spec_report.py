"""What a user is told of an isolation spec that is not as expected."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pgchaos.isolation.expected import Difference, expected_path
from pgchaos.isolation.model import encoded
from pgchaos.runner.spec_jobs import SpecDone

_INDENT = "    "
_MOST = 3
"""Permutations whose differences are shown in full."""
_LONG = 60
"""Lines of one of them."""


def spec_text(done: SpecDone, *, everything: bool = False) -> str:
    """Write what a user is told of a spec that failed.

    Args:
        done: what came of it.
        everything: all differences, each whole.

    Returns:
        The text; its first line is the first cause.
    """
    blocks = [
        _causes(done),
        [f"{done.spec.shown}: {note}" for note in done.result.notes],
        *_shown(done, everything),
        [f"Server: {done.result.server}", *([] if done.result.problems else [_accept(done)])],
    ]
    # a terminal takes no bytes that are not UTF-8
    return encoded("\n\n".join("\n".join(block) for block in blocks if block)).decode("utf-8", "replace")


def leak_note(done: SpecDone) -> str:
    """Say where a spec needs what an earlier permutation left in its sessions.

    Args:
        done: what came of it.

    Returns:
        One line.
    """
    return (
        f"{done.spec.shown}: permutation {done.leaked} is as expected only with what earlier permutations leave in its"
        " sessions, so nothing was taken back between permutations"
    )


def _causes(done: SpecDone) -> list[str]:
    shown, result = done.spec.shown, done.result
    causes = [f"{shown}: {problem}" for problem in result.problems]
    if done.expected is None:
        return [*causes, f"{shown}: there is no expected output, {_near(expected_path(done.spec.path))}"]
    if done.differences:
        count = len([difference for difference in done.differences if difference.number])
        total = result.output.count("\nstarting permutation:")
        what = f"{count} of {total} permutations are" if count else "what stands before the first permutation is"
        causes.append(f"{shown}: {what} not as in {_near(done.expected.path)}")
    return causes


def _shown(done: SpecDone, everything: bool) -> Iterator[list[str]]:
    if done.expected is None:
        lines = done.result.output.rstrip("\n").split("\n")
        yield ["It printed:", *_cut(lines, everything)]
        return
    most = len(done.differences) if everything else _MOST
    for difference in done.differences[:most]:
        yield [_title(difference, done.expected.path), *_cut(difference.lines, everything)]
    if len(done.differences) > most:
        yield [f"… and {len(done.differences) - most} more permutations (-v shows all)"]


def _title(difference: Difference, path: Path) -> str:
    where = f"{_near(path)}:{difference.line}"
    if not difference.number:
        return f"Before the first permutation ({where}; - expected, + printed):"
    return f"Permutation {difference.number}: {difference.steps} ({where}; - expected, + printed):"


def _cut(lines: Sequence[str], everything: bool) -> list[str]:
    most = len(lines) if everything else _LONG
    more = [f"{_INDENT}… and {len(lines) - most} more lines (-v shows all)"] if len(lines) > most else []
    return [*(f"{_INDENT}{line}" for line in lines[:most]), *more]


def _accept(done: SpecDone) -> str:
    return f"To take what was printed for what is expected: run {done.spec.shown} again with --chaos-accept"


def _near(path: Path) -> str:
    return os.path.relpath(path)
