"""Parses the options of a session or an invariant, and the directives inside a session.

The functions raise DirectiveError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.error_codes import take_codes
from pgchaos.language.fault_kinds import PROCESSES
from pgchaos.language.model import Program, Repeat, Retry, Session
from pgchaos.language.network_faults import connect_parameters
from pgchaos.language.programs import take_command, take_statuses
from pgchaos.language.section_builder import SectionBuilder
from pgchaos.language.section_items import Allow, AllowExit, Barrier, Code, Delay, Expect, Signal, WaitBlocked, WaitFor
from pgchaos.language.suggestions import suggest

MOST_CONNECTIONS = 262_143
"""The largest max_connections (MAX_BACKENDS in postmaster.h)."""
_WITHOUT_END = 1_000_000_000  # iterations of `repeat while`; the time-out ends the session long before
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_COUNT_UNSPACED = re.compile(r"x[0-9]+")
# words that end a list of errors
_STOPS = ("x", "repeat", "retry", "allow", "up", "backoff", "run", "grace")
RESERVED_NAMES = {
    "setup": "`in setup` of a mutant means the setup sections",
    "server": "`of server` of a fault means the whole server",
    **{name: f"`of {name}` of a fault means that process of the server" for name in PROCESSES},
}
"""Names that no session can have, and why."""


@dataclass(slots=True)
class SessionOptions:
    """The options of a session. None means not written: a mutant's session inherits it."""

    name: str = ""
    count: int | None = None
    repeat: Repeat | None = None
    retry: Retry | None = None
    allow: tuple[Code, ...] | None = None
    connect: tuple[tuple[str, str], ...] | None = None
    program: Program | None = None
    grace: float | None = None
    exits: tuple[int, ...] | None = None

    def program_or(self, base: Program | None) -> Program | None:
        """Return the program with its options; without a command, `base`, that of the replaced session."""
        program = self.program or base
        if program is None:
            return None
        grace = program.grace if self.grace is None else self.grace
        return replace(program, grace=grace, exits=program.exits if self.exits is None else self.exits)


def build_session(options: SessionOptions, body: SectionBuilder, base: Session | None = None) -> Session:
    """Build a session; what its options do not say is as in `base`, the session that a mutant replaces."""
    base = base or Session(body.place, options.name, (), ())
    repeat = options.repeat or Repeat(base.repeat, base.until, base.repeat_while)
    return Session(
        place=body.place,
        name=options.name,
        items=tuple(body.items),
        steps=tuple(body.steps),
        count=options.count or base.count,
        repeat=repeat.count,
        retry=base.retry if options.retry is None else options.retry,
        allow=base.allow if options.allow is None else options.allow,
        connect=base.connect if options.connect is None else options.connect,
        until=repeat.until,
        repeat_while=repeat.repeat_while,
        # a body of SQL replaces the program too
        program=options.program_or(None if body.sources else base.program),
    )


def session_options(args: Args, options: SessionOptions) -> None:
    """Parse the line of a session into `options`, its name first. After an error, they have what precedes it."""
    options.name = args.name("the session")
    if options.name in RESERVED_NAMES:
        raise DirectiveError(f"`session`: `{options.name}` cannot be its name: {RESERVED_NAMES[options.name]}")
    while args.has_more():
        if options.count is None and args.accept("x"):
            options.count = args.count("the number of connections")
            if options.count > MOST_CONNECTIONS:
                raise DirectiveError(
                    f"`session`: no PostgreSQL server takes more than {MOST_CONNECTIONS:,} connections"
                )
        elif options.repeat is None and args.accept("repeat"):
            options.repeat = _repeat(args)
        elif options.retry is None and args.accept("retry"):
            options.retry = _retry(args)
        elif options.program is None and args.accept("run"):
            options.program = take_command(args)
        elif options.grace is None and args.accept("grace"):
            options.grace = args.duration("the grace")
        elif options.exits is None and args.accept("allow", "exit"):
            options.exits = take_statuses(args)
        elif options.allow is None and args.accept("allow"):
            options.allow = () if args.accept("none") else take_codes(args, _STOPS)
        elif options.connect is None and args.accept("connect"):
            options.connect = connect_parameters(args)
        else:
            word = args.peek() or ""
            if _COUNT_UNSPACED.fullmatch(word):
                raise DirectiveError(f"`session`: `{word}` is not understood, did you mean `x {word[1:]}`?")
            args.end()


def _repeat(args: Args) -> Repeat:
    if args.accept("while"):
        return Repeat(_WITHOUT_END, repeat_while=args.name("the session that it is repeated beside"))
    count = args.count("the number of iterations, or `while` and a session,")
    until = args.take("the variable that is true at the end").text if args.accept("until") else ""
    if until and not _VARIABLE.fullmatch(until):
        raise args.error(f"`until` takes the name of a psql variable, not `{until}`")
    return Repeat(count, until)


def _retry(args: Args) -> Retry:
    if args.accept("none"):
        return Retry()
    retry = Retry(take_codes(args, _STOPS, unknown=True))
    limit, backoff = retry.limit, retry.backoff
    while args.has_more():
        if args.accept("up"):
            args.expect("to")
            limit = args.count("the number of retries")
        elif args.accept("backoff"):
            backoff = args.duration("the backoff", zero=True)
        else:
            break
    return Retry(retry.codes, limit, backoff)


@dataclass(slots=True)
class InvariantOptions:
    """The options of an invariant; see Invariant."""

    every: float = 0.01
    may_be_empty: bool = False
    at_end: bool = False


def invariant_options(args: Args, options: InvariantOptions) -> None:
    """Parse the line of an invariant into `options`. After an error, they have what precedes it."""
    every = False
    while args.has_more():
        if not every and args.accept("every"):
            options.every, every = args.duration("the interval"), True
        elif not options.may_be_empty and args.accept("may", "be", "empty"):
            options.may_be_empty = True
        elif not options.at_end and args.accept("at", "end"):
            options.at_end = True
        else:
            args.end()
    if every and options.at_end:
        raise args.error("`every` and `at end` exclude each other")


@dataclass(frozen=True, slots=True)
class Step:
    """`step NAME`: the name of the statements below. It is not an item, because each statement has its step's name."""

    name: str


def step(args: Args) -> Step:
    """`step NAME`."""
    return Step(args.name("the step"))


def expect(args: Args) -> Expect:
    """`expect CODE…`."""
    return Expect(args.place, take_codes(args), args.when)


def allow(args: Args) -> Allow | AllowExit:
    """`allow CODE…`, or `allow exit 1` of a program."""
    if args.accept("exit"):
        return AllowExit(args.place, take_statuses(args), args.when)
    return Allow(args.place, take_codes(args), args.when)


def delay(args: Args) -> Delay:
    """`delay 5ms`."""
    return Delay(args.place, args.duration("the delay", zero=True), False, args.when)


def jitter(args: Args) -> Delay:
    """`jitter 5ms`."""
    return Delay(args.place, args.duration("the jitter", zero=True), True, args.when)


def barrier(args: Args) -> Barrier:
    """`barrier NAME [unless blocked]`."""
    name = args.name("the barrier")
    unless_blocked = args.accept("unless")
    if unless_blocked:
        args.expect("blocked")
    return Barrier(args.place, name, unless_blocked, args.when)


def wait(args: Args) -> WaitBlocked | WaitFor:
    """`wait blocked SESSION` or `wait for SIGNAL`."""
    if args.accept("for"):
        return WaitFor(args.place, args.name("the signal"), args.when)
    if args.accept("blocked"):
        session, worker = args.session("the session")
        return WaitBlocked(args.place, session, worker, args.when)
    word = args.peek()
    hint = suggest(word, ("for", "blocked")) if word else ""
    raise args.error(f"`blocked` or `for` {args.missing()}", hint)


def signal(args: Args) -> Signal:
    """`signal NAME`."""
    return Signal(args.place, args.name("the signal"), args.when)
