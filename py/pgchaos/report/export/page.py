"""The page of a run: one HTML file that loads nothing, with all data as JSON. Its script draws opened scenarios."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pgchaos.report.export.document import RunData, dumps, in_html, summary_of

_FOLDER = Path(__file__).parent


def page(run: RunData, scenarios: Sequence[str]) -> str:
    """Write the page in HTML, from scenarios that are JSON already.

    Texts of the run are contained as JSON in scripts of a type that does not run, and as escaped text.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    index = [summary_of(json.loads(text)) for text in scenarios]
    script = _file("page.js")
    when = datetime.fromtimestamp(run.started_at, timezone.utc)
    return environment.get_template("page.html").render(
        title=_title(Counter(one["verdict"] for one in index)),
        run=asdict(run),
        not_run=list(run.not_run),
        when=when.isoformat(timespec="seconds"),
        shown_when=f"{when:%Y-%m-%d %H:%M} UTC",
        style=Markup(_file("page.css")),
        script=Markup(script),
        # only this script may run: no text of the data can
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        index=Markup(in_html(dumps({"scenarios": index}))),
        scenarios=[Markup(in_html(text)) for text in scenarios],
    )


def _file(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _title(counts: Counter[str]) -> str:
    total, failed = sum(counts.values()), counts["failed"] + counts["error"]
    scenarios = "1 scenario" if total == 1 else f"{total:,} scenarios"
    if failed:
        return f"{failed:,} of {scenarios} failed"
    parts = [f"{counts[verdict]:,} {verdict}" for verdict in ("passed", "xfailed", "skipped") if counts[verdict]]
    return f"{scenarios}: {', '.join(parts)}" if parts else "No scenario was run"
