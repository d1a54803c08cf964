"""How often a repeated scenario failed, as data, with the two histories where they part."""

from __future__ import annotations

from pgchaos.report.export.timeline_data import Data, without_empty
from pgchaos.report.flakes import Repeats, common_length, history, rate_line, statement_text, wilson

# Statements of each history: before the first that differs, and from there.
_BEFORE, _FROM = 3, 30


def repeats_data(repeats: Repeats | None) -> Data:
    """Write the runs of a repeated item as data; empty where it was not repeated."""
    if repeats is None or not repeats.run:
        return {}
    low, high = wilson(repeats.failed, repeats.run)
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
