"""What may stand on the line that opens a session or an invariant."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.error_codes import take_codes
from pgchaos.language.model import Repeat, Retry
from pgchaos.language.section_items import Code
from pgchaos.language.suggestions import RESERVED_SESSIONS

SESSION = (
    "session NAME [x N] [repeat M [until VARIABLE] | repeat while SESSION] [retry CODE… [up to 10] [backoff 5ms]]"
    " [allow CODE…]"
)
_INVARIANT = "invariant [every 10ms] [may be empty] [at end]"
_WITHOUT_END = 1_000_000_000
"""Iterations of a session that is repeated while another one runs: the time-out ends it long before."""
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
MOST_CONNECTIONS = 262_143
"""The largest max_connections (MAX_BACKENDS in postmaster.h)."""
_COUNT = re.compile(r"x[0-9]+")
_STOPS = ("x", "repeat", "retry", "allow", "up", "backoff")


@dataclass(slots=True)
class SessionOptions:
    """A session's line; None for what is not written there, which a mutant inherits."""

    name: str = ""
    count: int | None = None
    repeat: Repeat | None = None
    retry: Retry | None = None
    allow: tuple[Code, ...] | None = None


def session_options(text: str, options: SessionOptions) -> None:
    """Read a session's line.

    Args:
        text: what stands behind `session`.
        options: filled as far as the line can be understood, its name first.

    Raises:
        Wrong: it cannot be understood.
    """
    args = Args("session", text, SESSION)
    options.name = args.name("the session")
    if options.name in RESERVED_SESSIONS:
        raise DirectiveError(f"`session`: `{options.name}` cannot be its name: {RESERVED_SESSIONS[options.name]}")
    while args.more():
        if options.count is None and args.took("x"):
            options.count = args.count("the number of connections")
            if options.count > MOST_CONNECTIONS:
                raise DirectiveError(
                    f"`session`: no PostgreSQL server takes more than {MOST_CONNECTIONS:,} connections"
                )
        elif options.repeat is None and args.took("repeat"):
            options.repeat = _repeat(args)
        elif options.retry is None and args.took("retry"):
            options.retry = _retry(args)
        elif options.allow is None and args.took("allow"):
            options.allow = () if args.took("none") else take_codes(args, _STOPS)
        else:
            word = args.peek() or ""
            if _COUNT.fullmatch(word):
                raise DirectiveError(f"`session`: `{word}` is not understood, did you mean `x {word[1:]}`?")
            args.end()


def _repeat(args: Args) -> Repeat:
    if args.took("while"):
        return Repeat(_WITHOUT_END, beside=args.name("the session that it is repeated beside"))
    count = args.count("the number of iterations, or `while` and a session,")
    until = args.take("the variable that is true at the end").text if args.took("until") else ""
    if until and not _VARIABLE.fullmatch(until):
        raise args.wrong(f"`until` takes the name of a psql variable, not `{until}`")
    return Repeat(count, until)


def _retry(args: Args) -> Retry:
    if args.took("none"):
        return Retry()
    retry = Retry(take_codes(args, _STOPS, unknown=True))
    limit, backoff = retry.limit, retry.backoff
    while args.more():
        if args.took("up"):
            args.need("to")
            limit = args.count("the number of retries")
        elif args.took("backoff"):
            backoff = args.time("the backoff", zero=True)
        else:
            break
    return Retry(retry.codes, limit, backoff)


@dataclass(slots=True)
class InvariantOptions:
    """An invariant's line; see Invariant."""

    every: float = 0.01
    may_be_empty: bool = False
    at_end: bool = False


def invariant_options(text: str, options: InvariantOptions) -> None:
    """Read an invariant's line.

    Args:
        text: what stands behind `invariant`.
        options: filled as far as the line can be understood.

    Raises:
        Wrong: it cannot be understood.
    """
    args = Args("invariant", text, _INVARIANT)
    every = False
    while args.more():
        if not every and args.took("every"):
            options.every, every = args.time("the interval"), True
        elif not options.may_be_empty and args.took("may", "be", "empty"):
            options.may_be_empty = True
        elif not options.at_end and args.took("at", "end"):
            options.at_end = True
        else:
            args.end()
    if every and options.at_end:
        raise args.wrong("`every` and `at end` exclude each other")
