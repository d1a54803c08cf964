"""`-- lint: allow RULE, REASON`: a comment that silences one rule on its line, or on the line below it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgchaos.commands.findings import NEEDLESS_PERMIT, PERMIT, RULES, Finding
from pgchaos.language.file_text import Unreadable, text_of
from pgchaos.language.lexemes import Comment
from pgchaos.language.model import Scenario
from pgchaos.language.problems import Place
from pgchaos.language.psql_scanner import scan
from pgchaos.language.suggestions import suggest

_PERMIT = re.compile(r"--\s*lint:\s*allow\b\s*(?P<rule>[\w-]*)\s*[,:]?\s*(?P<reason>.*)")
_LEAST = 8  # letters of a reason


@dataclass(slots=True)
class _Permit:
    """One comment."""

    place: Place
    rule: str
    lines: frozenset[int]  # that it is about
    is_used: bool = False


def apply_permits(scenario: Scenario, findings: list[Finding]) -> list[Finding]:
    """Take out findings that the comments of a file allow, and add what is wrong with these comments.

    The findings are in order of line; those of the file as a whole are at line 1.
    """
    permits: list[_Permit] = []
    wrong: list[Finding] = []
    for place, text, alone in _comments(scenario, findings):
        found = _PERMIT.fullmatch(text)
        if found is None:
            continue
        mistake = _mistake(found["rule"], found["reason"])
        if mistake:
            wrong.append(Finding(place, PERMIT, mistake, is_error=True))
            continue
        permits.append(_Permit(place, found["rule"], frozenset({place.line, place.line + alone})))
    left = [finding for finding in findings if not _is_allowed(finding, permits)]
    needless = [
        Finding(one.place, NEEDLESS_PERMIT, f"`{one.rule}` finds nothing here: remove the comment")
        for one in permits
        if not one.is_used
    ]
    return sorted([*left, *wrong, *needless], key=lambda one: one.place)


def _comments(scenario: Scenario, findings: list[Finding]) -> Iterator[tuple[Place, str, bool]]:
    """Yield the comments of the file, and of included files with findings, and whether each is alone on its line."""
    texts = {scenario.shown: scenario.source}
    for path in {finding.place.path for finding in findings} - texts.keys():
        with contextlib.suppress(Unreadable):
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


def _is_allowed(finding: Finding, permits: list[_Permit]) -> bool:
    for permit in permits:
        # what is of the file as a whole has no line of its own
        is_here = finding.place.line == 1 or (
            finding.place.path == permit.place.path and finding.place.line in permit.lines
        )
        if permit.rule == finding.rule and is_here and not finding.is_error:
            permit.is_used = True
            return True
    return False
