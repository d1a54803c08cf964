"""The item of a scenario or a spec, and the keys of data in its reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pgchaos.safe_output import one_line

if TYPE_CHECKING:
    from pgchaos.runner.jobs import FinishedScenario, Job
    from pgchaos.runner.specs import FinishedSpec

# Properties of a report, and of JUnit's file.
NOTE = "chaos_note"  # on a scenario
SEARCHED = "chaos_explored"  # what a search without a failure has covered
ORACLE = "chaos_oracle"  # what the oracle found
REPEATED = "chaos_repeated"  # how many runs failed
# The section of a pytest report that contains the report of a run that passed.
RUN = "chaos run"
SQL_SUFFIXES = frozenset({".sql", ".pg", ".pgsql", ".psql"})
# Of files that items of this kind run.
SCENARIO_SUFFIXES = SQL_SUFFIXES | {".spec"}


class ScenarioItem(pytest.Function):
    """One run of a scenario or a spec."""

    job: Job | None = None  # None for a file that cannot be read
    title: str = ""  # of the scenario
    line: int = 1  # that a skip points to
    duration: float | None = None  # seconds of the scenario itself; None before it has run
    failed_at: int | None = None  # the line that its failure points to, from 1; None if it did not fail
    unrepeated_name: str | None = None  # without the number of the repetition; None if it is not repeated
    was_called: bool = False  # its function was called, in this run of the item
    in_subtest: bool = False  # one of its assertions is being reported
    boxed: str | None = None  # the text of its report with box characters, if the terminal has them
    # the result, until it is reported; None if no report file needs it
    finished: FinishedScenario | FinishedSpec | None = None

    if hasattr(pytest.Function, "id"):

        @property
        def id(self) -> Any:  # noqa: ANN401 the type has no public name
            """The structured node id, as pytest (9.2 and newer) reads it from its cache.

            pytest treats `x[level=a]` as a plain name in an item without parametrize, but as a name with parameters
            when it reads the cache. The two would differ, and --lf, --ff, --nf and --sw would find nothing.
            """
            return type(super().id).parse(self.nodeid)

    def runtest(self) -> None:
        """Run the item; it fails where its function is not called: then nothing has looked at the scenario."""
        self.was_called = False
        super().runtest()
        if not self.was_called:
            pytest.fail(
                "not run: pytest did not call the function of this item. Run without `-p no:python`, and without a hook"
                " pytest_pyfunc_call that takes the place of pytest's own",
                pytrace=False,
            )

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the file, its first line, and the heading of the item's failure."""
        return self.path, 0, one_line(f"{self.name}: {self.title or self.path.name}")
