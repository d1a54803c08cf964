"""A picture of one scenario's run, for a README or a ticket. Time runs downward, each column is a connection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.sax.saxutils import escape

from pgchaos.report.export.choose_events import Chosen, choose
from pgchaos.report.export.timeline_data import MOST_LINES, Box, Data, Rows, rows_of, text_lines

# Pixels. The page's script has the same numbers.
GUTTER, LINE, GAP, HEAD = 74, 17, 8, 30
_CHARACTER, _TITLE_CHARACTER = 7.25, 8.6
_MOST_TITLE = 3  # lines
_NARROWEST, _WIDEST, _WIDTH, _LEAST_WIDTH = 190, 460, 1000, 640
_MARGIN = 12

_STYLE = Path(__file__).with_name("picture.css")
_PUNCTUATION = ",.;:()[]{}=/_-"
_SYMBOLS = {"error": "✕", "rolled back": "↶", "not sent": "∅", "no answer": "…", "stopped": "■"}


def wrap(text: str, width: int, most: int) -> list[str]:
    """Break a text into at most `most` lines at blanks; a longer word is broken, after punctuation if possible."""
    lines: list[str] = []
    while len(text) > width:
        blank = text.rfind(" ", 1, width + 1)
        word = len(text[blank + 1 :].partition(" ")[0])
        end = blank if blank > 0 and (word <= width or blank >= width - width // 3) else _end_of_part(text, width)
        if len(lines) == most - 1:
            return [*lines, text[: min(end, width - 1)] + "…"]
        lines.append(text[:end])
        text = text[end:].lstrip(" ")
    return [*lines, text]


def _end_of_part(text: str, width: int) -> int:
    return max(text.rfind(char, width - width // 3, width) for char in _PUNCTUATION) + 1 or width


class _Frame(NamedTuple):
    """The positions of lanes and rows."""

    lane: float  # the width of a lane
    tops: Sequence[float]  # of the rows, and of the end
    gaps: Mapping[int, int]  # by row, the number of hidden events before it

    def left(self, lane: int) -> float:
        return GUTTER + lane * self.lane

    def bottom(self, row: int) -> float:
        """Return the bottom of what is above a row."""
        return self.tops[row] - GAP - (LINE if row in self.gaps else 0)

    @property
    def box(self) -> float:
        return self.lane - 2 * GAP

    def lines(self, texts: Sequence[str], room: int) -> list[tuple[str, str]]:
        """Fit texts into the lines of a box, each with its class; the statement gets the remaining lines."""
        width = int((self.box - 14) / _CHARACTER)
        first = max(1, room - len(texts) + 1)
        wrapped = wrap(" ".join(texts[0].split()), width, first)
        rest = [_cut(" ".join(text.split()), width) for text in texts[1:]]
        return [*((line, "sql") for line in wrapped), *((line, "remark") for line in rest)][:room]


def file_name(nodeid: str) -> str:
    """Make a file name from an item's id."""
    return re.sub(r"[^\w.=,+-]+", "_", nodeid).strip("_")[-180:] + ".svg"


def svg(scenario: Data) -> str:
    """Draw a scenario's run, from its data as in --chaos-json.

    A long run shows the events that explain most, and the number of hidden ones.
    """
    chosen = choose(scenario.get("timeline") or {"lanes": [], "events": []})
    lanes = max(1, len(chosen.lanes))
    lane = min(_WIDEST, max(_NARROWEST, (_WIDTH - GUTTER) / lanes))
    rows = rows_of([_box(event) for event in chosen.events])
    width = max(_LEAST_WIDTH, GUTTER + lanes * lane + _MARGIN)
    title = _title(scenario, int((width - 2 * _MARGIN) / _TITLE_CHARACTER))
    top = _MARGIN + LINE * len(title) + GAP + HEAD
    gaps = dict(chosen.gaps)
    frame = _Frame(lane, _tops(rows.heights, top, gaps), gaps)
    found = list(_failure_lines(scenario, int((width - 60) / _CHARACTER)))
    bottom = frame.tops[-1] + GAP + (LINE if chosen.hidden_lanes else 0)
    height = bottom + (LINE * len(found) + 2 * GAP if found else 0) + _MARGIN
    shown = zip(chosen.events, rows.spans, strict=True)
    parts = [
        *_heading(title),
        *_lifelines(chosen, rows, frame, top),
        *_arrows(chosen, rows, frame),
        *(part for event, span in shown for part in _event(event, span, frame, scenario["file"])),
        *_left_out(chosen, frame, width),
        *_failures(found, bottom, width),
    ]
    label = escape(f"{scenario['verdict']}: {scenario.get('title', scenario['name'])}", {'"': "&quot;"})
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
            f' viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{label}">',
            f"<style>\n{_STYLE.read_text(encoding='utf-8')}</style>",
            '<rect class="paper" width="100%" height="100%"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _box(event: Data) -> Box:
    start, took = event.get("start"), event.get("took")
    end = None if start is None or took is None else start + took
    text = event.get("sent") or event["statement"]
    return Box(event["lane"], start, end, text_lines(text, event.get("remarks", ())))


def _tops(heights: Sequence[int], top: float, gaps: Mapping[int, int]) -> list[float]:
    tops = [top + (LINE if 0 in gaps else 0)]
    for row, height in enumerate(heights, 1):
        tops.append(tops[-1] + height * LINE + GAP + 4 + (LINE if row in gaps else 0))
    return tops


def _title(scenario: Data, room: int) -> list[str]:
    title = f"{scenario['verdict'].upper()}  {scenario.get('title') or scenario['name']}"
    values = ", ".join(f"{name}={value}" for name, value in scenario.get("values", {}).items())
    if not values:
        return wrap(title, room, _MOST_TITLE)
    lines = wrap(f"{title} ({values})", room, _MOST_TITLE + 1)
    if len(lines) > _MOST_TITLE:
        lines = [*wrap(title, room, _MOST_TITLE - 1), _cut(f"({values})", room)]
    return lines


def _text(x: float, y: float, text: str, kind: str, anchor: str = "") -> str:
    at = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{at}>{escape(text)}</text>'


def _heading(lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield _text(_MARGIN, _MARGIN + LINE * (number + 1) - 4, line, "title")


def _lifelines(chosen: Chosen, rows: Rows, frame: _Frame, top: float) -> Iterator[str]:
    yield _text(GUTTER - GAP, top - 12, "ms", "time", "end")
    for number, lane in enumerate(chosen.lanes):
        x = frame.left(number)
        yield _text(x + GAP, top - 12, lane["name"], "lane")
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{frame.tops[-1]:.1f}" class="life"/>'
    for number, first, last in chosen.transactions:
        y, x = frame.tops[first], frame.left(number)
        height = frame.bottom(rows.spans[last][1]) - y
        yield f'<rect x="{x - 2:.1f}" y="{y:.1f}" width="4" height="{height:.1f}" class="transaction"/>'


def kind_of(event: Data) -> str:
    """Return the class that an event is drawn with, as in the page."""
    if event.get("failures"):
        return "failed"
    if event.get("fault") or event["kind"] == "fault":
        return "fault"
    if event.get("mark") in ("error", "no answer"):
        return "error"
    if "wait" in event:
        return "waits"
    return "quiet" if event["kind"] != "statement" or event.get("mark") else "fine"


def _event(event: Data, span: tuple[int, int], frame: _Frame, file: str) -> Iterator[str]:
    x, y = frame.left(event["lane"]) + GAP, frame.tops[span[0]]
    height = frame.bottom(span[1]) - y
    kind = kind_of(event)
    if "start" in event:
        yield _text(GUTTER - GAP, y + LINE - 4, f"{event['start']:,.1f}", "time", "end")
    yield f'<rect x="{x:.1f}" y="{y:.1f}" width="{frame.box:.1f}" height="{height:.1f}" rx="3" class="box {kind}"/>'
    if "wait" in event:
        yield f'<rect x="{x:.1f}" y="{y:.1f}" width="5" height="{height:.1f}" class="bar"/>'
    room = max(1, min(MOST_LINES, int((height + 4) / LINE)))
    for number, (line, kind) in enumerate(frame.lines(label(event, file), room)):
        yield _text(x + 10, y + LINE * (number + 1) - 4, line, kind)


def label(event: Data, file: str) -> list[str]:
    """Return the lines of an event's box: its line in the file and what was sent, then what happened."""
    text = f"{_place(event, file)}{event.get('sent') or event['statement']}"
    mark = _SYMBOLS.get(event.get("mark", ""), "")
    rest = list(event.get("remarks", ()))
    if rest and mark:
        rest[0] = f"{mark} {rest[0]}"
    if event.get("fault") or event["kind"] == "fault":
        text = f"⚡ {text}"
    return [text, *rest]


def _place(event: Data, file: str) -> str:
    if "line" not in event:
        return ""
    other = "" if event.get("file") == file else f"{PurePosixPath(event.get('file', '')).name}:"
    return f"{other}{event['line']}: "


def _arrows(chosen: Chosen, rows: Rows, frame: _Frame) -> Iterator[str]:
    for event, (row, _) in zip(chosen.events, rows.spans, strict=True):
        for lane in event.get("wait", {}).get("lanes", ()):
            own = event["lane"]
            if lane == own:
                continue
            y = frame.tops[row] + LINE / 2
            begin = frame.left(own) + GAP + (frame.box if lane > own else 0)
            end = frame.left(lane) + (3 if lane > own else GAP + frame.box)
            tip = -6 if lane > own else 6
            yield f'<path d="M{begin:.1f} {y:.1f}H{end:.1f}" class="arrow"/>'
            yield f'<path d="M{end:.1f} {y:.1f}l{tip} -4v8z" class="tip"/>'


def _left_out(chosen: Chosen, frame: _Frame, width: float) -> Iterator[str]:
    for row, count in chosen.gaps:
        y = frame.bottom(row) + LINE
        text = f"{count:,} more"
        yield f'<line x1="{GUTTER}" x2="{width - _MARGIN:.1f}" y1="{y - 4:.1f}" y2="{y - 4:.1f}" class="cut"/>'
        yield _text(GUTTER - GAP, y, text, "gap", "end")
    if chosen.hidden_lanes:
        connections = "1 more connection" if chosen.hidden_lanes == 1 else f"{chosen.hidden_lanes} more connections"
        text = f"{connections} not shown"
        yield _text(_MARGIN, frame.tops[-1] + LINE - 4, text, "gap")


def _failure_lines(scenario: Data, room: int) -> Iterator[str]:
    for failure in scenario.get("failures", ())[:3]:
        place = f"{failure['file']}:{failure['line']}: " if "line" in failure else ""
        session = failure.get("session", "")
        prefix = f"{session}: " if session not in failure["text"] else ""
        yield _cut(f"✕ {place}{prefix}{failure['text']}", room)
        details = [line for text in failure.get("details", ()) for line in text.split("\n") if line.strip()]
        yield from (_cut(f"    {line}", room) for line in details[:4])


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _failures(lines: Sequence[str], y: float, width: float) -> Iterator[str]:
    if not lines:
        return
    height = LINE * len(lines) + GAP
    yield (
        f'<rect x="{_MARGIN}" y="{y:.1f}" width="{width - 2 * _MARGIN:.1f}" height="{height:.1f}" rx="3"'
        ' class="box failed"/>'
    )
    for number, line in enumerate(lines):
        yield _text(_MARGIN + 10, y + LINE * (number + 1), line, "sql" if line.startswith("✕") else "remark")
