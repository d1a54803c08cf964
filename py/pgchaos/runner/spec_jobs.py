"""What the item of an isolation spec runs, and what comes of it. Knows no pytest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

_OWN = 4
"""Connections beside the sessions: control, the look at who is blocked, the look at what was left, a reserve."""

_PREPARED = "requires more prepared transactions than this server has: raise max_prepared_transactions"
_LOGICAL = "requires wal_level = logical, which this server has not"
_LACKING = {
    "ERROR:  prepared transactions are disabled\n": _PREPARED,
    "ERROR:  maximum number of prepared transactions reached\n": _PREPARED,
    "ERROR:  logical decoding requires wal_level >= logical\n": _LOGICAL,
    'ERROR:  logical decoding requires "wal_level" >= "logical"\n': _LOGICAL,
}
"""Messages of twophase.c and logical.c, PostgreSQL 14 to 18, and what the server lacks."""


@dataclass(frozen=True, slots=True)
class SpecJob(Job):
    """What the item of a spec runs.

    Args:
        step_timeout: seconds for a step; None for isolationtester's own.
        accept: take what is printed for what is expected.
        effort: how long it will take, in seconds as they were guessed; infinite where many others wait meanwhile.
        load_extensions: created in its database before it runs, in this order.
    """

    step_timeout: float | None = None
    accept: bool = False
    effort: float = 0.0
    load_extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpecDone:
    """A spec that was run.

    Args:
        spec: the file.
        result: what the run brought.
        expected: the expected output that is nearest, or None.
        differences: from that.
        leaked: the permutation that is as expected only if those before it leave their settings to it, or ''.
        wrote: the file that was written with what was printed, or None.
    """

    spec: Spec
    result: SpecResult
    expected: Expected | None
    differences: tuple[Difference, ...] = ()
    leaked: str = ""
    wrote: Path | None = None

    @property
    def passed(self) -> bool:
        """Say whether it is as expected, or accepted."""
        same = self.expected is not None and not self.differences
        return not self.result.problems and (same or self.wrote is not None)

    @property
    def skipped(self) -> str:
        """Say what of the server's it is that a spec cannot do without, or ''."""
        return next((lack for line, lack in _LACKING.items() if line in self.result.output), "")


def spec_job(spec: Spec, step_timeout: float | None, *, accept: bool, load_extensions: tuple[str, ...] = ()) -> SpecJob:
    """Make the job of a spec.

    Args:
        spec: the file.
        step_timeout: as in `SpecJob`.
        accept: as in `SpecJob`.
        load_extensions: as in `SpecJob`.
    """
    from pgchaos.isolation.concurrent_specs import effort, holds_up_many, sees_the_server

    return SpecJob(
        spec.path,
        spec.shown,
        connections=_OWN + len(spec.sessions),
        alone=sees_the_server(spec.source),
        parts=("spec",),
        step_timeout=step_timeout,
        accept=accept,
        effort=math.inf if holds_up_many(spec.source) else effort(spec),
        load_extensions=load_extensions,
    )


def in_order(jobs: Mapping[str, Job]) -> dict[str, Job]:
    """Put specs in the order in which they are best begun, side by side: the longest first."""
    specs = [(job.effort, key) for key, job in jobs.items() if isinstance(job, SpecJob)]
    longest = (key for _, key in sorted(specs, key=lambda pair: -pair[0]))
    keys = [next(longest) if isinstance(job, SpecJob) else key for key, job in jobs.items()]
    return {key: jobs[key] for key in keys}


def run_spec_job(job: SpecJob, server: Server, stop: Stop | None) -> SpecDone:
    """Run a spec, and compare it with what is expected."""
    from pgchaos.engine.specs import SpecSettings, run_spec, step_timeout
    from pgchaos.isolation.expected import expected_path, read_expected, write
    from pgchaos.isolation.grammar import read

    spec = read(job.path, job.shown)
    expected = read_expected(job.path)
    limit = step_timeout(job.step_timeout)
    settings = SpecSettings(limit, job.limit, stop, load_extensions=job.load_extensions, alone=job.alone)
    # what differs although nothing leaked may be as expected where it does: that is tried at once
    useful = (lambda output: any(one.text.startswith(output) for one in expected)) if expected else None
    done = _compared(spec, run_spec(spec, server, replace(settings, useful=useful)), expected)
    if done.differences and done.result.reset and not done.result.problems:
        done = _with_leaks(done, server, settings, expected)
    if job.accept and not done.passed and not done.result.problems:
        path = done.expected.path if done.expected is not None else expected_path(job.path)
        write(path, done.result.output)
        return replace(done, wrote=path)
    return done


def _compared(spec: Spec, result: SpecResult, expected: Sequence[Expected]) -> SpecDone:
    from pgchaos.isolation.expected import nearest

    if not expected:
        return SpecDone(spec, result, None)
    near, differences = nearest(result.output, expected)
    return SpecDone(spec, result, near, tuple(differences))


def _with_leaks(done: SpecDone, server: Server, settings: SpecSettings, expected: Sequence[Expected]) -> SpecDone:
    """Run it again as isolationtester would, with all that a permutation leaves in its sessions for the next."""
    from pgchaos.engine.specs import run_spec

    again = _compared(done.spec, run_spec(done.spec, server, replace(settings, leaks=True)), expected)
    again.result.duration += done.result.duration
    if again.passed:
        return replace(again, leaked=done.differences[0].steps)
    if not done.result.cut:
        return done
    # all of it is told
    whole = _compared(done.spec, run_spec(done.spec, server, settings), expected)
    whole.result.duration += again.result.duration
    return whole
