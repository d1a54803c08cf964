"""Adds colours to a report, for a terminal; the text does not change."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import ClassVar

from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.text import Text
from rich.theme import Theme

_CELL_ENDS = r"(?=  |$)"  # two blanks are between columns, and never within one

_THEME = Theme(
    {
        "chaos.cause": "bold red",
        "chaos.error": "bold red",
        "chaos.want": "green",
        "chaos.fault": "bold magenta",
        "chaos.wait": "yellow",
        "chaos.dim": "dim",
        "chaos.number": "cyan",
        "chaos.head": "bold",
        "chaos.command": "cyan",
    },
    inherit=False,
)


class _Report(RegexHighlighter):
    """The coloured parts of a report; if two patterns match, the later one counts."""

    base_style = "chaos."
    highlights: ClassVar[Sequence[str]] = [
        r"(?m)^(?P<head>(?:Timeline of|Scenario|Server|Assertions|Invariants|Seed|Notes|Output|End of|State of)\b)",
        r"(?m)^ +ms  (?P<head>.*)$",
        r"(?m)^(?P<dim> *[0-9]+\.[0-9])(?=  )",
        r"(?m)(?:^|  ) *(?P<number>[a-z]?[0-9]+(?:-[a-z]?[0-9]+)?:)(?= )",
        r"(?m)(?P<dim>-- (?:barrier|wait|signal|delay|jitter|received|ROLLBACK by)\b.*?)" + _CELL_ENDS,
        r"(?m)(?P<dim>-> [^\n]*?)" + _CELL_ENDS,
        r"(?P<dim>┊|─{3,})",
        r"(?m)(?:^|  )(?P<wait>│)",
        r"(?m)[│|] (?P<wait>waits for [^\n]*?)" + _CELL_ENDS,
        r"(?P<wait>└─ waited [0-9.]+(?: of [0-9.]+)? ms)",
        r"(?m)(?P<fault>(?:! )?fault:? [^\n]*?)" + _CELL_ENDS,
        r"(?P<error>FAILED\b:?|\bERROR [0-9A-Z]{5}(?: \(?[a-z_]+\)?)?)",
        r"(?m)^    have: (?P<error>.*)$",
        r"(?m)^    want: (?P<want>.*)$",
        r"(?m)^    (?P<command>(?:\S+=\S+ )*\S*(?:make|pytest) .*--chaos-(?:seed|replay)=.*)$",
        r"\A(?P<cause>[^\n]+)",
    ]


def styled(text: str) -> str:
    """Add colours as escape sequences to a report that is safe to show."""
    content = Text(text, end="")
    _Report().highlight(content)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", theme=_THEME, legacy_windows=False)
    console.print(content, soft_wrap=True, end="")
    return out.getvalue()
