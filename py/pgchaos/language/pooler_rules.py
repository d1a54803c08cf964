"""What a pooler between the sessions and the server does not allow, each with its reason, and which one applies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pgchaos.language.header_model import Pooler, applies
from pgchaos.language.model import Scenario
from pgchaos.language.section_builder import Complain, SectionBuilder
from pgchaos.language.section_items import Fault

_ALLOWED = frozenset(
    {"acknowledged", "assert", "delay", "fail", "history", "inject_delay", "notifications", "snapshot", "transactions"}
)
"""Of the schema chaos, what asks for no setting of the session and takes no lock of one."""
_TOOLKIT = re.compile(r"\bchaos\s*\.\s*(\w+)", re.IGNORECASE)


def pooler_of(scenario: Scenario, variables: Mapping[str, str]) -> Pooler | None:
    """Give the pooler of an item, by the values of its matrix; None where its sessions connect to the server itself."""
    return next((one for one in scenario.poolers if applies(one.when, variables)), None)


def check_pooler(scenario: Scenario, bodies: Iterable[SectionBuilder], complain: Complain) -> None:
    """Report what cannot be right behind a pooler."""
    if not scenario.poolers:
        for setting in scenario.pooler_settings:
            complain(setting.place, "`pooler`: there is none: `-- chaos:pooler transaction` is missing")
        return
    place = scenario.poolers[0].place
    if scenario.sandbox == "schema":
        complain(
            place,
            "`pooler`: with `sandbox schema` the sessions begin with a search_path, and a pooler drops it: leave"
            " `sandbox schema` out to get a database of its own",
        )
    if scenario.oracle is not None and scenario.oracle_place is not None:
        complain(
            scenario.oracle_place,
            "`oracle` cannot judge behind a pooler: what a connection keeps of another session is no part of a"
            " transaction",
        )
    if not scenario.sessions:
        complain(place, "`pooler`: there is no session that would use it")
    for body in bodies:
        _check_section(body, complain)


def _check_section(body: SectionBuilder, complain: Complain) -> None:
    if body.kind == "session":
        for item in body.items:
            if isinstance(item, Fault):
                complain(
                    item.place,
                    "`fault`: behind a pooler a session has no process and no connection of its own to the server,"
                    " and what strikes the server strikes the pooler too",
                )
    if body.kind not in ("setup", "session", "mutant"):
        return
    for sql in body.sources:
        refused = sorted({name.lower() for name in _TOOLKIT.findall(sql.text)} - _ALLOWED)
        if refused:
            complain(
                sql.place,
                f"chaos.{refused[0]}() works by settings or locks of a session's connection, and behind a pooler"
                " sessions share connections: use psql's variables (:worker, :iteration) and directives",
            )
