"""Isolation specs as pytest's files and items."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from pgchaos.isolation.grammar import read
from pgchaos.isolation.model import Spec
from pgchaos.language.problems import ScenarioError
from pgchaos.pytest_plugin.collection import repetitions, shown_of
from pgchaos.pytest_plugin.items import NOTE, Call, ScenarioItem, broken_call, result_of
from pgchaos.pytest_plugin.options import Options
from pgchaos.report import item_name
from pgchaos.runner.runner import Runner
from pgchaos.runner.spec_jobs import SpecDone, spec_job
from pgchaos.runner.spec_report import leak_note, spec_text
from pgchaos.safe_output import one_line, printable

_FIRST = re.compile(r"^(?!#?[ \t]*$)[^\n]*", re.MULTILINE)
"""The first line that holds anything."""


class SpecFile(pytest.Module):
    """An isolation spec; it has one item."""

    options: Options
    runner: Runner

    def collect(self) -> Iterator[ScenarioItem]:
        """Read the file."""
        name = self.path.name.removesuffix(".spec")
        try:
            spec = read(self.path, shown_of(self.path, self.config))
        except ScenarioError as error:
            if self.config.getoption("collectonly"):
                raise self.CollectError(printable(str(error))) from None
            broken: ScenarioItem = ScenarioItem.from_parent(self, name=name, callobj=broken_call(str(error)))
            broken.add_marker("chaos")
            yield broken
            return
        for repetition in repetitions(self.config):
            yield self._item(spec, name, repetition)

    def _item(self, spec: Spec, own: str, repetition: str) -> ScenarioItem:
        name = item_name(own, {}, "", repetition)
        item: ScenarioItem = ScenarioItem.from_parent(self, name=name, callobj=_call(self.runner))
        item.repeated = own if repetition else None
        options = self.options
        item.job = spec_job(spec, options.spec_timeout, accept=options.accept, load_extensions=options.load_extensions)
        first = _FIRST.search(spec.source)
        item.title = first[0][1:].lstrip(" \t") if first and first[0].startswith("#") else ""
        item.add_marker("chaos")
        return item


def _call(runner: Runner) -> Call:
    def run_spec(request: pytest.FixtureRequest, subtests: pytest.Subtests) -> None:  # noqa: ARG001 as the others
        item = request.node
        assert isinstance(item, ScenarioItem)
        done = result_of(runner, item)
        assert isinstance(done, SpecDone)
        item.took = done.result.duration
        _tell(item, done)

    return run_spec


def _tell(item: ScenarioItem, done: SpecDone) -> None:
    if done.wrote is not None:
        item.user_properties.append((NOTE, one_line(f"{done.spec.shown}: wrote {os.path.relpath(done.wrote)}")))
    if done.leaked:
        item.user_properties.append((NOTE, one_line(leak_note(done))))
    if done.passed:
        return
    if done.skipped:
        pytest.skip(printable(done.skipped))
    pytest.fail(printable(spec_text(done, everything=item.config.get_verbosity() > 0)), pytrace=False)
