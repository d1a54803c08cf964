"""Runs isolation specs, compares their output with the expected output, and reports the differences."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pgchaos.runner.jobs import Job

if TYPE_CHECKING:
    from pgchaos.engine.specs import SpecResult, SpecSettings
    from pgchaos.isolation.expected import Difference, Expected
    from pgchaos.isolation.model import Spec
    from pgchaos.server import Server
    from pgchaos.stop import Stop

# Connections besides the sessions: control, detection of blocked sessions, the leak check, a reserve.
_ENGINE_CONNECTIONS = 4

# Messages of twophase.c and logical.c in PostgreSQL 14 to 18, and the setting that the server lacks.
_PREPARED = "requires more prepared transactions than this server has: raise max_prepared_transactions"
_LOGICAL = "requires wal_level = logical, which this server has not"
_MISSING_SETTINGS = {
    "ERROR:  prepared transactions are disabled\n": _PREPARED,
    "ERROR:  maximum number of prepared transactions reached\n": _PREPARED,
    "ERROR:  logical decoding requires wal_level >= logical\n": _LOGICAL,
    'ERROR:  logical decoding requires "wal_level" >= "logical"\n': _LOGICAL,
}

_INDENT = "    "
_SHOWN_PERMUTATIONS = 3
_SHOWN_LINES = 60


@dataclass(frozen=True, slots=True)
class SpecJob(Job):
    """What the item of a spec runs."""

    step_timeout: float | None = None  # seconds; None for isolationtester's own
    accept: bool = False  # write the output as the expected output
    effort: float = 0.0  # estimated seconds; infinite if it makes many other specs wait
    load_extensions: tuple[str, ...] = ()  # created in its database before it runs, in this order


@dataclass(frozen=True, slots=True)
class FinishedSpec:
    """A spec that was run, and how its output differs from the nearest expected output."""

    spec: Spec
    result: SpecResult
    expected: Expected | None
    differences: tuple[Difference, ...] = ()
    # the permutation whose output depends on session state that earlier ones left, or ''
    depends_on_earlier: str = ""
    written: Path | None = None  # the expected output that --chaos-accept wrote

    @property
    def passed(self) -> bool:
        """Whether the output is as expected, or was accepted."""
        same = self.expected is not None and not self.differences
        return not self.result.problems and (same or self.written is not None)

    @property
    def skipped(self) -> str:
        """The setting that the server lacks for this spec, or ''."""
        return next((text for line, text in _MISSING_SETTINGS.items() if line in self.result.output), "")


def spec_job(spec: Spec, step_timeout: float | None, *, accept: bool, load_extensions: tuple[str, ...] = ()) -> SpecJob:
    """Create the job of a spec; the arguments are as in `SpecJob`."""
    from pgchaos.isolation.concurrent_specs import blocks_many_specs, effort, sees_the_server

    return SpecJob(
        spec.path,
        spec.shown,
        connections=_ENGINE_CONNECTIONS + len(spec.sessions),
        alone=sees_the_server(spec.source),
        parts=("spec",),
        step_timeout=step_timeout,
        accept=accept,
        effort=math.inf if blocks_many_specs(spec.source) else effort(spec),
        load_extensions=load_extensions,
    )


def longest_specs_first(jobs: Mapping[str, Job]) -> dict[str, Job]:
    """Sort the specs among jobs by effort, so that parallel runs end sooner; other jobs keep their positions."""
    specs = [(job.effort, key) for key, job in jobs.items() if isinstance(job, SpecJob)]
    longest = (key for _, key in sorted(specs, key=lambda pair: -pair[0]))
    keys = [next(longest) if isinstance(job, SpecJob) else key for key, job in jobs.items()]
    return {key: jobs[key] for key in keys}


def run_spec_job(job: SpecJob, server: Server, stop: Stop | None) -> FinishedSpec:
    """Run a spec, and compare its output with the expected output."""
    from pgchaos.engine.specs import SpecSettings, run_spec, step_timeout
    from pgchaos.isolation.expected import expected_path, read_expected, write
    from pgchaos.isolation.grammar import read

    spec = read(job.path, job.shown)
    expected = read_expected(job.path)
    limit = step_timeout(job.step_timeout)
    settings = SpecSettings(limit, job.limit, stop, load_extensions=job.load_extensions, alone=job.alone)
    # the run ends as soon as no expected output begins with its output
    useful = (lambda output: any(one.text.startswith(output) for one in expected)) if expected else None
    done = _compare(spec, run_spec(spec, server, replace(settings, useful=useful)), expected)
    if done.differences and done.result.reset and not done.result.problems:
        done = _run_without_reset(done, server, settings, expected)
    if job.accept and not done.passed and not done.result.problems:
        path = done.expected.path if done.expected is not None else expected_path(job.path)
        write(path, done.result.output)
        return replace(done, written=path)
    return done


def _compare(spec: Spec, result: SpecResult, expected: Sequence[Expected]) -> FinishedSpec:
    from pgchaos.isolation.expected import nearest

    if not expected:
        return FinishedSpec(spec, result, None)
    near, differences = nearest(result.output, expected)
    return FinishedSpec(spec, result, near, tuple(differences))


def _run_without_reset(
    done: FinishedSpec, server: Server, settings: SpecSettings, expected: Sequence[Expected]
) -> FinishedSpec:
    """Run a spec again as isolationtester does: without resetting the sessions between permutations."""
    from pgchaos.engine.specs import run_spec

    again = _compare(done.spec, run_spec(done.spec, server, replace(settings, leaks=True)), expected)
    again.result.duration += done.result.duration
    if again.passed:
        return replace(again, depends_on_earlier=done.differences[0].steps)
    if not done.result.cut:
        return done
    # the first run ended early: the report needs the whole output
    whole = _compare(done.spec, run_spec(done.spec, server, settings), expected)
    whole.result.duration += again.result.duration
    return whole


def spec_text(done: FinishedSpec, *, everything: bool = False) -> str:
    """Write the report of a failed spec, the first cause first; with `everything`, all differences."""
    from pgchaos.server_text import encoded

    blocks = [
        _causes(done),
        [f"{done.spec.shown}: {note}" for note in done.result.notes],
        *_differences(done, everything),
        [f"Server: {done.result.server}"],
    ]
    if not done.result.problems:
        blocks[-1].append(f"To accept this output as expected: run {done.spec.shown} again with --chaos-accept")
    # the output may contain bytes that are not UTF-8
    return encoded("\n\n".join("\n".join(block) for block in blocks if block)).decode("utf-8", "replace")


def dependency_note(done: FinishedSpec) -> str:
    """Report in one line that a spec depends on session state that an earlier permutation left."""
    return (
        f"{done.spec.shown}: permutation {done.depends_on_earlier} is as expected only with what earlier permutations"
        " leave in their sessions, so sessions were not reset between permutations"
    )


def _causes(done: FinishedSpec) -> list[str]:
    from pgchaos.isolation.expected import expected_path

    shown, result = done.spec.shown, done.result
    causes = [f"{shown}: {problem}" for problem in result.problems]
    if done.expected is None:
        missing = f"there is no expected output, {_relative(expected_path(done.spec.path))}: --chaos-accept writes it"
        return [*causes, f"{shown}:1: {missing}"]
    if done.differences:
        count = len([difference for difference in done.differences if difference.number])
        total = result.output.count("\nstarting permutation:")
        what = f"{count} of {total} permutations" if count else "the output before the first permutation"
        causes.append(f"{shown}: {what} {'differ' if count > 1 else 'differs'} from {_relative(done.expected.path)}")
    return causes


def _differences(done: FinishedSpec, everything: bool) -> Iterator[list[str]]:
    if done.expected is None:
        lines = done.result.output.rstrip("\n").split("\n")
        yield ["Output:", *_cut(lines, everything)]
        return
    most = len(done.differences) if everything else _SHOWN_PERMUTATIONS
    for difference in done.differences[:most]:
        yield [_title(difference, done.expected.path), *_cut(difference.lines, everything)]
    if len(done.differences) > most:
        yield [f"… and {len(done.differences) - most} more permutations (-v shows all)"]


def _title(difference: Difference, path: Path) -> str:
    where = f"{_relative(path)}:{difference.line}"
    if not difference.number:
        return f"Before the first permutation ({where}; - expected, + printed):"
    return f"Permutation {difference.number}: {difference.steps} ({where}; - expected, + printed):"


def _cut(lines: Sequence[str], everything: bool) -> list[str]:
    most = len(lines) if everything else _SHOWN_LINES
    more = [f"{_INDENT}… and {len(lines) - most} more lines (-v shows all)"] if len(lines) > most else []
    return [*(f"{_INDENT}{line}" for line in lines[:most]), *more]


def _relative(path: Path) -> str:
    return os.path.relpath(path)
