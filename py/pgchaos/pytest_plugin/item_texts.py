"""What an item says of its run: the text of a failure, of a run that passed, and how to run it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgchaos.pytest_plugin.reports import terminal_width
from pgchaos.report.look import BOXES, PLAIN, Look
from pgchaos.safe_output import printable

# projects without scenarios do not load what judges and reports them
if TYPE_CHECKING:
    from pgchaos.pytest_plugin.options import Options
    from pgchaos.pytest_plugin.scenario_item import ScenarioItem
    from pgchaos.runner.jobs import FinishedScenario
    from pgchaos.verdict import Verdict

# The section of a report with the report of a run that passed.
RUN = "chaos run"

_LEAST_WIDTH = 80


def failure_report(item: ScenarioItem, done: FinishedScenario, verdict: Verdict, options: Options) -> str:
    """Write the text of a failure; where the terminal has box characters, the item keeps it with these too."""
    from pgchaos.report.text import failure_text

    again, token = replay_lines(item, done, options)

    def text(look: Look) -> str:
        return printable(
            failure_text(
                done.scenario,
                values_of(item, done),
                done.result,
                verdict,
                width=_width(options),
                everything=_is_verbose(item),
                again=again,
                token=token,
                look=look,
                repeats=done.repeats,
            )
        )

    if options.boxes:
        item.boxed = text(BOXES)
    return text(PLAIN)


def show_run(item: ScenarioItem, done: FinishedScenario, options: Options) -> None:
    """With --chaos-show, add the report of a run that passed to the item's report."""
    if not options.show:
        return
    from pgchaos.report.text import run_text

    def text(look: Look) -> str:
        return printable(
            run_text(
                done.scenario,
                values_of(item, done),
                done.result,
                width=_width(options),
                everything=_is_verbose(item),
                output=item.config.getoption("capture") != "no",
                look=look,
                mutant=done.mutant,
            )
        )

    if options.boxes:
        item.boxed = text(BOXES)
    item.add_report_section("call", RUN, text(PLAIN))


def _width(options: Options) -> int:
    return max(_LEAST_WIDTH, options.width or terminal_width())


def replay_lines(item: ScenarioItem, done: FinishedScenario, options: Options) -> tuple[str, str]:
    """Write the command that runs an item again, and the one that replays its interleaving, '' where none does."""
    from pgchaos.report.replay import replay_line

    result, token_line = done.result, ""
    if result.decisions is not None and item.job is not None:
        from pgchaos.pytest_plugin.token_file import stored
        from pgchaos.schedule.token import Token

        token = Token(item.job.fingerprint, result.seed, result.decisions, result.values)
        token_line = replay_line(_target(item), stored(token, item.config), options.replay, options.command)
    return run_again(item, done, options), token_line


def run_again(item: ScenarioItem, done: FinishedScenario, options: Options) -> str:
    """Write the command that runs an item again with its seed."""
    from pgchaos.report.replay import replay_line

    return replay_line(_target(item), done.result.seed, options.replay, options.command)


def _target(item: ScenarioItem) -> str:
    path = item.job.shown if item.job else item.path.name
    return f"{path}::{item.name if item.name_once is None else item.name_once}"


def values_of(item: ScenarioItem, done: FinishedScenario) -> dict[str, str]:
    """The values of an item's matrix, and those drawn for it."""
    return {**(item.job.variables if item.job else {}), **done.result.values}


def _is_verbose(item: pytest.Item) -> bool:
    return item.config.get_verbosity() > 0
