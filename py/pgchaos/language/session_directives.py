"""What may stand between the statements of a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pgchaos.language.arguments import Args
from pgchaos.language.error_codes import take_codes
from pgchaos.language.faults import USAGE as FAULT
from pgchaos.language.faults import fault, take_target
from pgchaos.language.header_model import Matrix, When
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Allow, Barrier, Delay, Expect, Fault, Item, Signal, WaitBlocked, WaitFor
from pgchaos.language.suggestions import meant
from pgchaos.language.when import take_when

_WHEN = " [when NAME = value]"


def item(word: str, text: str, place: Place, matrix: Mapping[str, Matrix]) -> Item:
    """Read a directive that stands inside a session, all but `step`.

    Args:
        word: the directive's name.
        text: what stands behind it.
        place: of the directive.
        matrix: the matrices of the file by name.

    Returns:
        What the engine is to do there.

    Raises:
        Wrong: it cannot be understood.
    """
    usage, take = _READERS[word]
    args = Args(word, text, usage)
    when = take_when(args, matrix)
    made = take(args, place, when)
    args.end()
    return made


def _expect(args: Args, place: Place, when: When | None) -> Expect:
    return Expect(place, take_codes(args), when)


def _allow(args: Args, place: Place, when: When | None) -> Allow:
    return Allow(place, take_codes(args), when)


def _delay(args: Args, place: Place, when: When | None) -> Delay:
    return Delay(place, args.time("the delay", zero=True), False, when)


def _jitter(args: Args, place: Place, when: When | None) -> Delay:
    return Delay(place, args.time("the jitter", zero=True), True, when)


def _barrier(args: Args, place: Place, when: When | None) -> Barrier:
    name = args.name("the barrier")
    unless_blocked = args.took("unless")
    if unless_blocked:
        args.need("blocked")
    return Barrier(place, name, unless_blocked, when)


def _wait(args: Args, place: Place, when: When | None) -> WaitBlocked | WaitFor:
    if args.took("for"):
        return WaitFor(place, args.name("the signal"), when)
    if args.took("blocked"):
        session, worker = take_target(args, "the session")
        return WaitBlocked(place, session, worker, when)
    word = args.peek()
    hint = meant(word, ("for", "blocked")) if word else ""
    raise args.wrong(f"`blocked` or `for` {args.instead()}{hint}")


def _signal(args: Args, place: Place, when: When | None) -> Signal:
    return Signal(place, args.name("the signal"), when)


def _fault(args: Args, place: Place, when: When | None) -> Fault:
    return fault(args, place, when)


_READERS: dict[str, tuple[str, Callable[[Args, Place, When | None], Item]]] = {
    "expect": ("expect CODE…" + _WHEN, _expect),
    "allow": ("allow CODE…" + _WHEN, _allow),
    "delay": ("delay 5ms" + _WHEN, _delay),
    "jitter": ("jitter 5ms" + _WHEN, _jitter),
    "barrier": ("barrier NAME [unless blocked]" + _WHEN, _barrier),
    "wait": ("wait blocked SESSION, or wait for SIGNAL" + _WHEN, _wait),
    "signal": ("signal NAME" + _WHEN, _signal),
    "fault": (FAULT, _fault),
}
