"""Parses the arguments of network faults (times and rates), and the `connect` parameters of a session."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.durations import parse_duration
from pgchaos.language.suggestions import nearest

_RATE = re.compile(r"(\d+(?:\.\d+)?)(B|kB|MB)")
_UNITS = {"B": 1, "kB": 1 << 10, "MB": 1 << 20}

TIME_OUTS = ("tcp_user_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count")
"""The libpq parameters by which a client notices that the network does not answer (docs, "Parameter Key Words")."""


@dataclass(frozen=True, slots=True)
class NetworkValues:
    """The values in the argument of a network fault."""

    # the duration of a stall, or the additional time of a round trip; None if a stall lasts until `heal`
    seconds: float | None = None
    jitter: float = 0.0  # the maximum deviation from that, in seconds
    rate: float | None = None  # bytes per second in each direction, or None


def take_argument(args: Args, kind: str, form: str) -> str:
    """Take the argument after the kind, in the form that `network_values` parses; `form` is `FaultForm.argument`."""
    written = args.peek() or ""
    if form == "[TIME]":
        if not written[:1].isdigit():
            return ""
        args.duration(f"the time of `{kind}`")
        return written
    if form == "SIZE":
        token = args.take(f"the rate of `{kind}`")
        if token.quoted or _bytes(token.text) is None:
            raise args.error(f"the rate of `{kind}` must be a size with its unit (500B, 64kB, 1MB), not `{token}`")
        return token.text
    args.duration(f"the time of `{kind}`")
    if not args.accept("jitter"):
        return written
    jitter = args.peek() or ""
    args.duration(f"the jitter of `{kind}`")
    return f"{written} jitter {jitter}"


def connect_parameters(args: Args) -> tuple[tuple[str, str], ...]:
    """Take `'tcp_user_timeout=300 keepalives_idle=1'`: libpq parameters for the time-outs of a client."""
    token = args.take("the text in quotes after `connect`")
    parameters: dict[str, str] = {}
    for part in token.text.split():
        name, _, value = part.partition("=")
        if name not in TIME_OUTS:
            near = nearest(name, TIME_OUTS)
            meant = f", did you mean `{near}`?" if near else f"; there are: {', '.join(TIME_OUTS)}"
            raise DirectiveError(f"`{args.word}`: `connect` does not take `{name}`{meant}")
        if not value.isascii() or not value.isdigit():
            raise DirectiveError(f"`{args.word}`: `{name}` of `connect` must be a whole number, not `{value}`")
        if name in parameters:
            raise DirectiveError(f"`{args.word}`: `{name}` of `connect` is written twice")
        parameters[name] = value
    if not parameters:
        raise DirectiveError(f"`{args.word}`: `connect` is empty; there are: {', '.join(TIME_OUTS)}")
    return tuple(parameters.items())


def words_of_argument(words: Sequence[str], form: str) -> int:
    """Count the words of the argument after the kind; `form` is `FaultForm.argument`."""
    if form == "[TIME]":
        return int(words[0][:1].isdigit())
    return 3 if form == "TIME [jitter TIME]" and words[1:2] == ["jitter"] and len(words) > 2 else 1


def network_values(argument: str) -> NetworkValues:
    """Parse the argument of a network fault, as `take_argument` returned it."""
    first, _, jitter = argument.partition(" jitter ")
    rate = _bytes(first)
    if rate is not None:
        return NetworkValues(rate=rate)
    return NetworkValues(parse_duration(first), (parse_duration(jitter) or 0.0) if jitter else 0.0)


def _bytes(text: str) -> float | None:
    found = _RATE.fullmatch(text)
    size = float(found[1]) * _UNITS[found[2]] if found else 0.0
    return size or None
