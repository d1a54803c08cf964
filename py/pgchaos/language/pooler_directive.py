"""Parses `pooler`, a directive of the header: by its mode and size, or by a parameter of the pooler."""

from __future__ import annotations

import re
from typing import get_args

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.header import Header
from pgchaos.language.header_model import Pooler, PoolMode, ServerSetting, may_both_apply

_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Parameters by which the engine finds and understands the pooler.
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
    word = args.choice("pool mode", modes)
    size = args.count("the size") if args.accept("size") else None
    for other in header.poolers:
        if may_both_apply(other.when, args.when):
            raise DirectiveError(f"`pooler` is written twice, first in line {other.place.line}")
    mode = next(mode for mode in modes if mode == word)
    header.poolers.append(Pooler(args.place, mode, size, args.when))
