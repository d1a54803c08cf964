"""The header directive `pooler`: parsing, what it does not allow and why, and which one applies to an item."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import get_args

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.header import Header
from pgchaos.language.header_model import Pooler, PoolMode, ServerSetting, applies, may_both_apply
from pgchaos.language.model import Scenario
from pgchaos.language.section_builder import Complain, SectionBuilder
from pgchaos.language.section_items import Fault

_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# parameters that the engine needs to connect to the pooler and to control it
_POOLER_SETTINGS = frozenset(
    {
        "admin_users",
        "auth_file",
        "auth_type",
        "conffile",
        "daemon",
        "default_pool_size",
        "listen_addr",
        "listen_port",
        "logfile",
        "pidfile",
        "pool_mode",
        "unix_socket_dir",
        "unix_socket_mode",
        "user",
    }
)


def pooler(header: Header, args: Args) -> None:
    """`pooler MODE [size N]`, or `pooler NAME = VALUE`."""
    if args.peek(1) == "=":
        name = args.take("the name of a parameter").text
        args.expect("=")
        value = args.take(f"the value of `{name}`").text
        if name.lower() in _POOLER_SETTINGS:
            raise DirectiveError(f"`pooler`: the engine sets `{name}` itself")
        if not _SETTING.fullmatch(name):
            raise args.error(f"`{name}` is not a name of a parameter")
        header.add_setting("pooler", ServerSetting(args.place, name, value, args.when))
        return
    modes: tuple[PoolMode, ...] = get_args(PoolMode)
    mode = args.choice("pool mode", modes)
    size = args.count("the size") if args.accept("size") else None
    for other in header.poolers:
        if may_both_apply(other.when, args.when):
            raise DirectiveError(f"`pooler` is written twice, first in line {other.place.line}")
    header.poolers.append(Pooler(args.place, mode, size, args.when))


# names in the schema chaos that need no setting of the session and take no session lock
_ALLOWED = frozenset(
    {"acknowledged", "assert", "delay", "fail", "history", "inject_delay", "notifications", "snapshot", "transactions"}
)
_TOOLKIT = re.compile(r"\bchaos\s*\.\s*(\w+)", re.IGNORECASE)


def pooler_of(scenario: Scenario, variables: Mapping[str, str]) -> Pooler | None:
    """Return the pooler of an item with these matrix values; None if its sessions connect to the server directly."""
    return next((one for one in scenario.poolers if applies(one.when, variables)), None)


def check_pooler(scenario: Scenario, bodies: Iterable[SectionBuilder], complain: Complain) -> None:
    """Report what does not work behind a pooler."""
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
                    " and what affects the server affects the pooler too",
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
