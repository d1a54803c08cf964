"""The JSON document of a whole run: data of the run, and of its scenarios, which are JSON already.

Workers of pytest-xdist send scenarios as text; the texts are joined here without parsing them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pgchaos.report.export.timeline_data import Data, without_empty

FORMAT, VERSION = "pgchaos report", 1
SCHEMA = Path(__file__).with_name("schema.json")

# In HTML a text inside a script must not end it, nor begin a comment; JSON may write each of these by its number. The
# separators end a line for JavaScript before 2019.
_ESCAPED = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


@dataclass(frozen=True, slots=True)
class RunData:
    """Data of a run of the test runner."""

    pgchaos: str  # the version
    seed: int  # of the run
    started_at: float  # seconds since the epoch
    seconds: float = 0.0  # that it took
    exit_status: int = 0  # of pytest
    collected: int = 0  # scenarios, specs and tests with chaos_explore that were to run
    not_run: Sequence[str] = ()  # the ids of those that did not
    server: str = ""  # that the scenarios ran on; '' if each worker had its own


def dumps(data: Data) -> str:
    """Write data as JSON, on one line."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def document(run: RunData, scenarios: Iterable[str]) -> str:
    """Write the whole document as JSON, from scenarios that are JSON already."""
    head = dumps({"format": FORMAT, "version": VERSION, "run": without_empty(asdict(run))})
    texts = ",\n".join(scenarios)
    return f'{head[:-1]},"scenarios":[\n{texts}\n]}}\n'


def in_html(text: str) -> str:
    r"""Escape JSON for a script of HTML, which no text in it can end: `<` becomes `\u003c`."""
    return text.translate(_ESCAPED)


def summary_of(scenario: Data) -> Data:
    """Extract from a scenario's data what the list of the page shows and searches."""
    failures = scenario.get("failures", ())
    reason = failures[0]["text"] if failures else scenario.get("text", "").partition("\n")[0]
    found = {name: scenario.get(name) for name in ("id", "name", "title", "verdict", "file", "line", "seconds", "tags")}
    found["values"] = scenario.get("values")
    return without_empty({**found, "reason": reason if scenario["verdict"] != "passed" else ""})
