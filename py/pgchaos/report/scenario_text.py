"""Parts of the scenario's file that a report quotes: server parameters, and statements of failed assertions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from pgchaos.language.header_model import ServerSetting, applies
from pgchaos.language.model import Scenario
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Statement
from pgchaos.results import Failure


def settings_of(scenario: Scenario, variables: Mapping[str, str]) -> list[ServerSetting]:
    """List the parameters of the scenario's own server that apply, the last of each name, in the file's order."""
    found = {one.name: one for one in scenario.server if applies(one.when, variables)}
    return sorted(found.values(), key=scenario.server.index)


def settings_text(settings: Sequence[ServerSetting]) -> str:
    """Write parameters in one line, such as `wal_level = logical, fsync = off (sql/x.sql:3, 4)`; '' for none."""
    if not settings:
        return ""
    values = ", ".join(f"{one.name} = {one.value}" for one in settings)
    return f"{values} ({_lines(one.place for one in settings)})"


def _lines(places: Iterable[Place]) -> str:
    by_file: dict[str, list[str]] = {}
    for place in places:
        by_file.setdefault(place.path, []).append(str(place.line))
    return ", ".join(f"{path}:{', '.join(lines)}" for path, lines in by_file.items())


def check_statement(scenario: Scenario, failure: Failure) -> str:
    """Return the statement of a check that a failed assertion is of, by its line and description; '' if unknown."""
    items = chain.from_iterable(section.items for section in scenario.checks)
    found = [item.text for item in items if isinstance(item, Statement) and item.place == failure.place]
    if len(found) > 1:
        names = [name.replace("'", "''") for name in failure.names]
        found = [text for text in found if any(name in text for name in names)]
    return found[0] if len(found) == 1 else ""
