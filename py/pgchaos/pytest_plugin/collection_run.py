"""What all collected files of a run share, computed once."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from pgchaos.pytest_plugin.collection_cache import CollectionCache
from pgchaos.pytest_plugin.item_fixtures import shared_fixtures
from pgchaos.pytest_plugin.items import Call, scenario_call
from pgchaos.pytest_plugin.scenario_item import ScenarioItem
from pgchaos.pytest_plugin.stash import OPTIONS, RUNNER


class Run:
    """A run of pytest that collects scenarios or specs."""

    def __init__(self, config: pytest.Config) -> None:
        self.options = config.stash[OPTIONS]
        self.runner = config.stash[RUNNER]
        self.cache = CollectionCache(config, self.options.tags, self.options.constants)  # written when the run ends
        self.call = scenario_call(self.runner, self.options)  # the function of the item of each scenario
        self.repetitions = _repetitions(config)
        self._marks: dict[tuple[str, ...], list[pytest.Mark]] = {}

    def item(self, file: pytest.Module, name: str, call: Call, tags: Collection[str] = ()) -> ScenarioItem:
        """Make an item with these tags and `chaos` as markers."""
        made: ScenarioItem = ScenarioItem.from_parent(file, name=name, callobj=call, fixtureinfo=shared_fixtures(file))
        marks = self._marks_of(tuple(tags))
        # as Node.add_marker does for each of them
        made.own_markers += marks
        made.keywords.update((mark.name, mark) for mark in marks)
        return made

    def _marks_of(self, tags: tuple[str, ...]) -> list[pytest.Mark]:
        marks = self._marks.get(tags)
        if marks is None:
            marks = self._marks[tags] = [getattr(pytest.mark, tag).mark for tag in sorted({"chaos", *tags})]
        return marks


def _repetitions(config: pytest.Config) -> list[str]:
    """Return a suffix for each repetition by pytest-repeat, which only repeats parametrized functions itself."""
    count = config.getoption("count", None)
    # another plugin may have an option of that name
    if config.getoption("repeat_scope", None) is None or not isinstance(count, int) or count < 2:
        return [""]
    return [f"{number}-{count}" for number in range(1, count + 1)]


_RUN = pytest.StashKey[Run]()


def run_of(config: pytest.Config) -> Run:
    """Return the run, created for the first file, so that other projects need not load it."""
    run = config.stash.get(_RUN, None)
    if run is None:
        run = config.stash[_RUN] = Run(config)
        config.add_cleanup(run.cache.write)
    return run


def check_constants(config: pytest.Config) -> None:
    """Raise pytest.UsageError for a variable of --chaos-set that no collected file uses."""
    # only the command line's: the ini file is for the whole project
    unused = sorted(run_of(config).cache.unused) if config.getoption("chaos_set") is not None else []
    if unused:
        each = ", ".join(f"--chaos-set={name}=…" for name in unused)
        raise pytest.UsageError(f"{each}: no collected scenario uses a variable of this name")
