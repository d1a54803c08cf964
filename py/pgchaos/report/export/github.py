"""Annotations and the job summary of GitHub Actions, as text.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath

from pgchaos.report.export.timeline_data import Data

_FAILED = frozenset({"failed", "error"})
_MOST_ANNOTATION = 4000  # characters of a message, of which GitHub shows the first lines
_MOST_SUMMARY = 900_000  # bytes of the summary: GitHub rejects more than 1 MiB
_MOST_TEXT = 20_000  # characters of one failure


def has_failed(scenario: Data) -> bool:
    """Whether a scenario's verdict fails the run."""
    return scenario["verdict"] in _FAILED


def annotation_lines(scenarios: Iterable[Data], prefix: str = "") -> list[str]:
    """Write an annotation for each failed scenario, which GitHub shows at the line of the file.

    `prefix` is the folder that paths are relative to, from the root of the repository.
    """
    return [_annotation(one, prefix) for one in scenarios if has_failed(one)]


def _annotation(scenario: Data, prefix: str) -> str:
    file = scenario["file"] if PurePath(scenario["file"]).is_absolute() else str(PurePath(prefix, scenario["file"]))
    title = scenario.get("title", "")
    title = f"{scenario['name']}: {scenario['file'] if title in ('', scenario['name']) else title}"
    places = f"file={_property(file)},line={scenario.get('line', 1)},title={_property(title)}"
    text = scenario.get("text") or "failed"
    return f"::error {places}::{_message(text[:_MOST_ANNOTATION])}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def job_summary(scenarios: Iterable[Data]) -> str:
    """Write the counts of verdicts and the text of each failure in Markdown; '' without scenarios."""
    every = list(scenarios)
    if not every:
        return ""
    counts = Counter(one["verdict"] for one in every)
    parts = [f"### pgchaos: {', '.join(f'{count} {verdict}' for verdict, count in sorted(counts.items()))}\n"]
    size, failed = 0, [one for one in every if has_failed(one)]
    for number, one in enumerate(failed):
        part = _failure(one)
        size += len(part.encode())
        if size > _MOST_SUMMARY:
            parts.append(f"… and {len(failed) - number} more failures.\n")
            break
        parts.append(part)
    return "\n".join(parts)


def _failure(scenario: Data) -> str:
    text = scenario.get("text") or "failed"
    text = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}\n…"
    # a fence longer than any in the text
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    title = scenario.get("title", "")
    title = scenario["id"] if title in ("", scenario["name"]) else f"{scenario['id']}: {title}"
    title = html.escape(title, quote=False)
    return f"<details open><summary>{title}</summary>\n\n{fence}text\n{text}\n{fence}\n\n</details>\n"
