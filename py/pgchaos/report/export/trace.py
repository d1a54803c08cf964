"""The timelines as Chrome's trace events, which Perfetto and chrome://tracing can open.

A scenario is a process, a connection a thread. Times are in microseconds; all scenarios begin at 0. The format:
https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from pgchaos.report.export.timeline_data import Data


def trace(scenarios: Iterable[Data]) -> str:
    """Write the trace of scenarios: JSON with an event on each line."""
    events = [event for number, one in enumerate(scenarios, 1) for event in _of_scenario(number, one)]
    lines = ",\n".join(json.dumps(event, ensure_ascii=False) for event in events)
    return f'{{"displayTimeUnit":"ms","traceEvents":[\n{lines}\n]}}\n'


def _of_scenario(process: int, scenario: Data) -> Iterator[Data]:
    timeline = scenario.get("timeline")
    if not timeline:
        return
    name = f"{scenario['verdict']}: {scenario['id']}"
    yield {"ph": "M", "pid": process, "name": "process_name", "args": {"name": name}}
    yield {"ph": "M", "pid": process, "name": "process_sort_index", "args": {"sort_index": process}}
    for thread, lane in enumerate(timeline["lanes"], 1):
        yield {"ph": "M", "pid": process, "tid": thread, "name": "thread_name", "args": {"name": lane["name"]}}
        yield {"ph": "M", "pid": process, "tid": thread, "name": "thread_sort_index", "args": {"sort_index": thread}}
    for event in timeline["events"]:
        if "start" in event:
            yield from _of_event(process, event, timeline["end"])


def _of_event(process: int, event: Data, end: float) -> Iterator[Data]:
    thread, start = event["lane"] + 1, event["start"]
    common = {"pid": process, "tid": thread, "cat": event["kind"]}
    text = " ".join((event.get("sent") or event["statement"]).split())
    shown = ("file", "line", "step", "rows", "sqlstate", "message", "mark", "remarks")
    args = {"statement": text, **{name: event[name] for name in shown if name in event}}
    took = event.get("took", end - start if event.get("mark") == "no answer" else 0.0)
    yield {**common, "ph": "X", "name": text[:80], "ts": _micro(start), "dur": _micro(took), "args": args}
    wait = event.get("wait")
    if wait is not None:
        since = max(start, wait["from"])
        length = max(0.0, min(wait["until"], start + took) - since)
        on = ", ".join(wait["on"])
        yield {
            **common,
            "ph": "X",
            "name": f"waits for {on}",
            "cat": "wait",
            "ts": _micro(since),
            "dur": _micro(length),
            "args": {"on": wait["on"]},
        }
    if event.get("fault") or event["kind"] == "fault" or event.get("mark") == "error":
        what = event.get("fault") or (event.get("remarks") or [text])[0]
        yield {**common, "ph": "i", "s": "t", "name": what[:120], "ts": _micro(start + took), "args": args}


def _micro(milliseconds: float) -> float:
    return round(milliseconds * 1000, 3)
