"""One scenario's run as plain data, for the page and --chaos-json."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pgchaos.language.header_model import StepName
from pgchaos.language.model import Mutant, Scenario
from pgchaos.language.schedules import format_step
from pgchaos.report.export.timeline_data import Data, failures_data, timeline_data, without_empty
from pgchaos.report.flakes import Repeats, common_length, failure_rate_interval, history, rate_line, statement_text
from pgchaos.report.lanes import lanes_of
from pgchaos.report.latency import latency_data
from pgchaos.report.permutation import none_failed, searched
from pgchaos.report.replay import ways_to_run_again
from pgchaos.report.scenario_text import settings_of
from pgchaos.results import Assertion, Launch, RunResult
from pgchaos.safe_output import printable
from pgchaos.verdict import judge, judge_mutant

_MOST_SOURCE = 200_000  # characters of a file that are shown
_BEFORE, _FROM = 3, 30  # statements of each history before the first difference, and from there on


@dataclass(frozen=True, slots=True)
class ItemData:
    """Data of an item from the test runner."""

    id: str  # of the item, such as `sql/x.sql::x[level=serializable]`
    verdict: str  # passed, failed, skipped, xfailed or error
    file: str  # as reports show it
    line: int = 1  # of the failure or the skip, from 1
    seconds: float = 0.0  # that it took
    text: str = ""  # the report of its failure, or the reason of a skip
    again: str = ""  # the command that runs it again with its seed, or ''
    token: str = ""  # the command that replays the interleaving, or the values, that failed, or ''

    def data(self) -> Data:
        """Return it as data."""
        return {**asdict(self), "name": self.id.rpartition("::")[2], "seconds": round(self.seconds, 4)}


def scenario_data(
    item: ItemData,
    scenario: Scenario,
    mutant: Mutant | None,
    variables: Mapping[str, str],
    result: RunResult,
    repeats: Repeats | None = None,
) -> Data:
    """Convert the run of a scenario, or of its mutant, to `scenario` of the schema, safe to show."""
    verdict = judge_mutant(mutant, result) if mutant else judge(scenario, variables, result)
    expected = [{"reason": xfail.reason, "failures": failures_data(failures)} for xfail, failures in verdict.expected]
    lanes = lanes_of(result, [one.name for one in scenario.sessions])
    found = {
        **item.data(),
        "ways": _ways(item, scenario, result),
        "title": scenario.title or scenario.name,
        "tags": sorted(scenario.tags),
        "mutant": mutant.name if mutant else "",
        "values": {**variables, **result.values},
        "seed": result.seed,
        "server": result.server,
        "settings": _settings(scenario, variables),
        "failures": failures_data(verdict.failures or (result.failures if mutant else ())),
        "expected": expected,
        "tap": tap_lines(result.assertions),
        "diagnostics": result.diagnostics,
        "output": result.output,
        "notes": [*result.notes, *result.remarks, *map(str, scenario.notes)],
        "invariants": {"checked": result.evaluations, "missed": result.missed} if result.evaluations else {},
        "sources": _sources(scenario),
        "timeline": timeline_data(lanes) if lanes.events else {},
        "sessions": [
            without_empty({"session": one.session, "state": one.doing, "waits_for": list(one.waits_for)})
            for one in result.stopped_sessions
        ],
        "search": _search(scenario, result),
        "oracle": _oracle(scenario, result),
        "repeats": repeats_data(repeats),
        # with a schedule, the times depend on the schedule
        "latency": latency_data(result.records) if scenario.schedule.kind == "free" else [],
        "log": result.log,
    }
    return safe(without_empty(found))


def plain_data(item: ItemData, title: str = "", tags: Iterable[str] = (), source: str = "") -> Data:
    """Convert an item without the result of a scenario to data: a spec, or a file that could not be run."""
    sources = [{"file": item.file, "text": source[:_MOST_SOURCE]}] if source else []
    return safe(without_empty({**item.data(), "title": title, "tags": sorted(tags), "sources": sources}))


def _ways(item: ItemData, scenario: Scenario, result: RunResult) -> list[Data]:
    if not item.again:
        return []
    ways = ways_to_run_again(scenario, result, item.again, item.token)
    return [{"words": words, "command": command} for words, command in ways]


def _settings(scenario: Scenario, variables: Mapping[str, str]) -> list[Data]:
    return [
        {"name": one.name, "value": one.value, "file": one.place.path, "line": one.place.line}
        for one in settings_of(scenario, variables)
    ]


def tap_lines(assertions: Iterable[Assertion]) -> list[str]:
    """Write assertions as TAP, with their diagnostics."""
    lines = []
    for number, assertion in enumerate(assertions, 1):
        count = f" ({assertion.count})" if assertion.count else ""
        mark = f" # {assertion.directive.upper()} {assertion.reason}".rstrip() if assertion.directive else ""
        name = f" - {assertion.name}{count}" if assertion.name or count else ""
        lines.append(f"{'ok' if assertion.ok else 'not ok'} {number}{name}{mark}")
        lines += [f"# {line}" for text in assertion.diagnostics for line in text.split("\n")]
    return lines


def _sources(scenario: Scenario) -> list[Data]:
    files = [{"file": scenario.shown, "text": scenario.source[:_MOST_SOURCE]}]
    return [*files, *_included(scenario)]


def _included(scenario: Scenario) -> Iterator[Data]:
    # with the same paths as in places: relative to the folder of the scenario
    here, shown = scenario.path.parent, Path(scenario.shown).parent
    for path in scenario.includes:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:  # removed since it was read: the page has no source to show
            continue
        inner = path.relative_to(here) if path.is_relative_to(here) else None
        yield {"file": str(path if inner is None else shown / inner), "text": text[:_MOST_SOURCE]}


def _search(scenario: Scenario, result: RunResult) -> Data:
    """Return what was searched, the reported order of steps, and the most similar one that passed."""
    counts, explored = result.permutations, result.explored
    if not (counts or explored or result.drawn or result.order):
        return {}
    found: Data = {
        "schedule": scenario.schedule.kind,
        "covered": searched(result),
        "values_tried": result.drawn or None,
        "order": [] if none_failed(result) else _steps(scenario, result.order),
        "nearest": _steps(scenario, result.nearest),
    }
    if counts is not None:
        found |= {"runs": counts.run, "failed": counts.failed, "exhausted": counts.exhausted}
    if explored is not None:
        found |= {"runs": explored.runs, "exhausted": explored.exhausted, "found": explored.found}
    return without_empty(found)


def _steps(scenario: Scenario, order: Iterable[Launch]) -> list[Data]:
    sessions = {session.name: session for session in scenario.sessions}
    return [
        without_empty(
            {
                "step": format_step(StepName(one.session, one.worker, one.step, one.iteration), sessions[one.session]),
                "waits_for": one.waited_on,
            }
        )
        for one in order
    ]


def _oracle(scenario: Scenario, result: RunResult) -> Data:
    judged = result.judged
    if scenario.oracle is None or judged is None:
        return {}
    return without_empty(
        {
            "decided": judged.decided,
            "anomalies": list(judged.anomalies),
            "serial_runs": judged.serial,
            "serial_order": judged.nearest,
            "differences": [asdict(one) for one in judged.differences],
        }
    )


def repeats_data(repeats: Repeats | None) -> Data:
    """Convert the runs of a repeated item to data; empty if it was not repeated."""
    if repeats is None or not repeats.run:
        return {}
    low, high = failure_rate_interval(repeats.failed, repeats.run)
    found: Data = {
        "planned": repeats.planned,
        "runs": repeats.run,
        "failed": repeats.failed,
        "low": round(low, 4),
        "high": round(high, 4),
        "summary": rate_line(repeats),
        "seeds": list(dict.fromkeys(repeats.failed_seeds)),
    }
    if repeats.failing is not None and repeats.passing is not None:
        (passed, one), (failed, other) = repeats.passing, repeats.failing
        same = common_length(one.records, other.records)
        begin = max(0, same - _BEFORE)
        left, right = ([statement_text(record) for record in history(run.records)] for run in (one, other))
        found["parts"] = {
            "same": same,
            "from": begin,
            "passed_run": passed,
            "failed_run": failed,
            "passed": left[begin : same + _FROM],
            "failed": right[begin : same + _FROM],
        }
    return without_empty(found)


def safe(value: Data) -> Data:
    """Mask passwords and control characters in all texts of data."""
    return {name: _safe(one) for name, one in value.items()}


def _safe(value: object) -> object:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {name: _safe(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(one) for one in value]
    return value
