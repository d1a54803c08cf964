"""`-- lint: allow RULE, REASON`: a comment that silences one rule on its line, or on the line below it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgchaos.commands.findings import NEEDLESS_SUPPRESSION, RULES, SUPPRESSION, Finding
from pgchaos.language.file_text import Unreadable, text_of
from pgchaos.language.lexemes import Comment
from pgchaos.language.model import Scenario
from pgchaos.language.problems import Place
from pgchaos.language.psql_scanner import scan
from pgchaos.language.suggestions import suggest

_SUPPRESSION = re.compile(r"--\s*lint:\s*allow\b\s*(?P<rule>[\w-]*)\s*[,:]?\s*(?P<reason>.*)")
_LEAST = 8  # letters of a reason


@dataclass(slots=True)
class _Suppression:
    """One comment."""

    place: Place
    rule: str
    lines: frozenset[int]  # to which it applies
    is_used: bool = False


def apply_suppressions(scenario: Scenario, findings: list[Finding]) -> list[Finding]:
    """Remove findings that comments of a file suppress, and add mistakes in these comments.

    The findings are in order of line; those about the whole file are at line 1.
    """
    suppressions: list[_Suppression] = []
    wrong: list[Finding] = []
    for place, text, alone in _comments(scenario, findings):
        found = _SUPPRESSION.fullmatch(text)
        if found is None:
            continue
        mistake = _mistake(found["rule"], found["reason"])
        if mistake:
            wrong.append(Finding(place, SUPPRESSION, mistake, is_error=True))
            continue
        suppressions.append(_Suppression(place, found["rule"], frozenset({place.line, place.line + alone})))
    left = [finding for finding in findings if not _is_allowed(finding, suppressions)]
    needless = [
        Finding(one.place, NEEDLESS_SUPPRESSION, f"`{one.rule}` finds nothing here: remove the comment")
        for one in suppressions
        if not one.is_used
    ]
    return sorted([*left, *wrong, *needless], key=lambda one: one.place)


def _comments(scenario: Scenario, findings: list[Finding]) -> Iterator[tuple[Place, str, bool]]:
    """Yield the comments of the file, and of included files with findings, and whether each is alone on its line."""
    texts = {scenario.shown: scenario.source}
    for path in {finding.place.path for finding in findings} - texts.keys():
        with contextlib.suppress(Unreadable):  # its findings are reported without suppressions
            texts[path] = text_of(Path(path))
    for path, source in texts.items():
        lines = source.splitlines()
        for lexeme in scan(source, path):
            if isinstance(lexeme, Comment):
                line = lines[lexeme.place.line - 1] if lexeme.place.line <= len(lines) else ""
                yield lexeme.place, lexeme.text.strip(), line.lstrip().startswith("--")


def _mistake(rule: str, reason: str) -> str:
    form = "write `-- lint: allow RULE, REASON`"
    if rule not in RULES:
        return f"`{rule}` is no rule{suggest(rule, RULES)}: {form}"
    if not RULES[rule].may_be_allowed:
        return f"`{rule}` cannot be allowed: correct what it finds"
    return "" if len(reason) >= _LEAST else f"the reason is missing: {form}"


def _is_allowed(finding: Finding, suppressions: list[_Suppression]) -> bool:
    for suppression in suppressions:
        # a finding about the whole file has no line of its own
        is_here = finding.place.line == 1 or (
            finding.place.path == suppression.place.path and finding.place.line in suppression.lines
        )
        if suppression.rule == finding.rule and is_here and not finding.is_error:
            suppression.is_used = True
            return True
    return False
