"""The board where sessions meet: barriers, signals and waits for a lock. Pure: it decides, others wait.

A wait is decided anew whenever something happened: somebody arrived, a signal was given, a session ended, or the
server was looked at and somebody was seen blocked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from pgchaos.language.header_model import holds
from pgchaos.language.model import Session
from pgchaos.language.section_items import Barrier, Item, Meta, Signal, Statement, WaitBlocked, WaitFor
from pgchaos.schedule.undetected_deadlock import stuck


class Actor(NamedTuple):
    """One connection of a session; `worker` is counted from 1.

    A tuple, for it is looked up with every statement, and hashes in C.
    """

    session: str
    worker: int

    def __str__(self) -> str:
        return f"{self.session}[{self.worker}]"


Wait: TypeAlias = "Barrier | WaitBlocked | WaitFor"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a wait: `open`, or `never` with the reason; neither: go on waiting.

    Args:
        open: the session may go on.
        never: why the wait can never open, or ''.
        missing: the connections it still waits for.
    """

    open: bool = False
    never: str = ""
    missing: tuple[Actor, ...] = ()


def waits_text(wait: Wait) -> str:
    """Tell a wait as its author wrote it, without options."""
    if isinstance(wait, Barrier):
        return f"barrier {wait.name}"
    if isinstance(wait, WaitFor):
        return f"wait for {wait.name}"
    which = wait.session if wait.worker is None else f"{wait.session}[{wait.worker}]"
    return f"wait blocked {which}"


@dataclass(slots=True)
class _Part:
    """What the board knows of one connection."""

    repeat: int
    barriers: frozenset[str]
    gives: frozenset[str]
    ended: bool = False
    standing: tuple[Wait, int] | None = None
    opened: bool = False


@dataclass(slots=True)
class WaitRules:
    """Who has arrived where.

    Args:
        sessions: of the scenario.
        variables: the matrix values, which `when` asks for.
    """

    sessions: Iterable[Session]
    variables: Mapping[str, str]
    _parts: dict[Actor, _Part] = field(init=False, default_factory=dict)
    _arrived: dict[tuple[str, int], set[Actor]] = field(init=False, default_factory=dict)
    _open: set[tuple[str, int]] = field(init=False, default_factory=set)
    _given: set[str] = field(init=False, default_factory=set)
    _lenient: frozenset[str] = field(init=False, default=frozenset())
    _blocked: frozenset[Actor] = field(init=False, default=frozenset())
    _blocked_here: frozenset[Actor] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        self._lenient = frozenset(
            item.name
            for session in self.sessions
            for item in session.items
            if isinstance(item, Barrier) and item.unless_blocked and in_force(item, self.variables)
        )
        for session in self.sessions:
            items = [item for item in session.items if in_force(item, self.variables)]
            barriers = frozenset(item.name for item in items if isinstance(item, Barrier))
            gives = frozenset(item.name for item in items if isinstance(item, Signal))
            for worker in range(1, session.count + 1):
                self._parts[Actor(session.name, worker)] = _Part(session.repeat, barriers, gives)

    def arrive(self, actor: Actor, barrier: str, iteration: int) -> None:
        """Note that a connection came to a barrier, or passed it by."""
        self._arrived.setdefault((barrier, iteration), set()).add(actor)

    def stand(self, actor: Actor, wait: Wait, iteration: int) -> None:
        """Note that a connection now waits; at a barrier it has arrived."""
        part = self._parts[actor]
        part.standing, part.opened = (wait, iteration), False
        if self._asks_who_is_blocked(wait):
            # the last look may be old: who was blocked then may long be in another statement
            self._blocked = self._blocked_here = frozenset()
        if isinstance(wait, Barrier):
            self.arrive(actor, wait.name, iteration)

    def leave(self, actor: Actor) -> None:
        """Note that a connection waits no more."""
        self._parts[actor].standing = None

    def give(self, signal: str) -> None:
        """Give a signal; it stays given."""
        self._given.add(signal)

    def has_ended(self, session: str) -> bool:
        """Say whether all connections of a session have come to their end."""
        return all(part.ended for actor, part in self._parts.items() if actor.session == session)

    def end(self, actor: Actor) -> None:
        """Note that a connection has come to its end, whichever it was."""
        self._parts[actor].ended = True

    def see_blocked(self, blocked: frozenset[Actor], here: frozenset[Actor]) -> bool:
        """Note who is blocked.

        Args:
            blocked: the connections that wait for a lock, whoever holds it.
            here: those that wait for a lock of this scenario's sessions.

        Returns:
            True where that is news.
        """
        news = (blocked, here) != (self._blocked, self._blocked_here)
        self._blocked, self._blocked_here = blocked, here
        for part in self._parts.values():
            # now: until who waits comes to ask, the next look may show nobody blocked any more
            if part.standing is not None and self._asks_who_is_blocked(part.standing[0]) and not part.opened:
                part.opened = self._now(*part.standing).open
        return news

    def needs_looks(self) -> bool:
        """Say whether somebody waits for others to be blocked."""
        return any(
            part.standing is not None and not part.opened and self._asks_who_is_blocked(part.standing[0])
            for part in self._parts.values()
        )

    def stands(self, actor: Actor) -> bool:
        """Say whether a connection stands at a wait, and has to go on standing there.

        Args:
            actor: any connection.
        """
        if self._parts[actor].standing is None:
            return False
        decision = self.decide(actor)
        return not decision.open and not decision.never

    def decide(self, actor: Actor) -> Decision:
        """Say what becomes of the wait where a connection stands.

        Args:
            actor: a connection that stands at a wait.

        Returns:
            The decision, as of now.
        """
        part = self._parts[actor]
        if part.standing is None or part.opened:
            return Decision(open=True)
        decision = self._now(*part.standing)
        if decision.open or decision.never:
            return decision
        return self._all_stand() or decision

    def _now(self, wait: Wait, iteration: int) -> Decision:
        if isinstance(wait, Barrier):
            return self._at_barrier(wait, iteration)
        return self._for_signal(wait) if isinstance(wait, WaitFor) else self._for_block(wait)

    def _at_barrier(self, wait: Barrier, iteration: int) -> Decision:
        key = (wait.name, iteration)
        if key in self._open:
            return Decision(open=True)
        missing = self._awaited(key)
        if not missing or (wait.name in self._lenient and self._blocked_here.issuperset(missing)):
            self._open.add(key)
            return Decision(open=True)
        gone = [actor for actor in missing if self._parts[actor].ended]
        if gone:
            return Decision(never=f"{_names(gone)} ended without arriving", missing=tuple(missing))
        return Decision(missing=tuple(missing))

    def _awaited(self, key: tuple[str, int]) -> list[Actor]:
        name, iteration = key
        arrived = self._arrived.get(key, ())
        return [
            actor
            for actor, part in self._parts.items()
            if name in part.barriers and iteration <= part.repeat and actor not in arrived
        ]

    def _asks_who_is_blocked(self, wait: Wait) -> bool:
        return isinstance(wait, WaitBlocked) or (isinstance(wait, Barrier) and wait.name in self._lenient)

    def _for_signal(self, wait: WaitFor) -> Decision:
        if wait.name in self._given:
            return Decision(open=True)
        givers = [actor for actor, part in self._parts.items() if wait.name in part.gives]
        if all(self._parts[actor].ended for actor in givers):
            return Decision(never=f"{_names(givers) or 'nobody'} ended without giving the signal")
        return Decision(missing=tuple(actor for actor in givers if not self._parts[actor].ended))

    def _for_block(self, wait: WaitBlocked) -> Decision:
        awaited = [a for a in self._parts if a.session == wait.session and wait.worker in (None, a.worker)]
        missing = [actor for actor in awaited if actor not in self._blocked]
        if not missing:
            return Decision(open=True)
        gone = [actor for actor in missing if self._parts[actor].ended]
        if gone:
            return Decision(never=f"{_names(gone)} ended without being blocked", missing=tuple(missing))
        return Decision(missing=tuple(missing))

    def _all_stand(self) -> Decision | None:
        """Find the end of the road: everybody who has not ended stands at a wait, and none of these can open."""
        living = self._living()
        if not all(self._parts[actor].standing for actor in living) or any(self._may_open(actor) for actor in living):
            return None
        stands = ", ".join(f"{actor} at {waits_text(s[0])}" for actor in living if (s := self._parts[actor].standing))
        return Decision(never=f"every session waits for another: {stands}")

    def _may_open(self, actor: Actor) -> bool:
        part = self._parts[actor]
        if part.standing is None or part.opened:
            return True
        wait, iteration = part.standing
        if isinstance(wait, WaitFor):
            return wait.name in self._given
        if isinstance(wait, Barrier):
            key = (wait.name, iteration)
            return key in self._open or not self._awaited(key)
        return False

    def _living(self) -> list[Actor]:
        return [actor for actor, part in self._parts.items() if not part.ended]

    def _still(self) -> list[Actor]:
        """List those who do nothing by themselves any more: they ended, or stand at a wait that cannot open."""
        return [a for a, p in self._parts.items() if p.ended or (p.standing is not None and not self._may_open(a))]

    def stands_still(self, waiting: Collection[Actor], blocked: Mapping[Actor, Collection[Actor | None]]) -> bool:
        """Say whether nobody goes on for as long as some wait.

        Args:
            waiting: those who do, beside those who stand at a wait.
            blocked: whom each blocked connection waits for; None is a stranger.
        """
        living, still = self._living(), {*self._still(), *waiting}
        return still.issuperset(living) or stuck(living, still, blocked)

    def stuck(self, blocked: Mapping[Actor, Collection[Actor | None]]) -> tuple[Actor, str] | None:
        """Find the end of the road where locks are part of it.

        Args:
            blocked: whom each blocked connection waits for; None is a stranger.

        Returns:
            A connection that stands at a wait, or else one that is blocked, and why it is stuck; None where somebody
            may still go on.
        """
        living = self._living()
        if not stuck(living, self._still(), blocked):
            return None
        first = next(((a, p.standing[0]) for a, p in self._parts.items() if p.standing and not p.ended), None)
        waits = "; ".join(f"{a} waits for a lock that {_names(by)} holds" for a, by in blocked.items() if a in living)
        if first is None:
            return next(a for a in living if a in blocked), f"{waits}, which has ended and left its transaction open"
        actor, wait = first
        advice = ""
        if isinstance(wait, Barrier):
            advice = f"; `barrier {wait.name} unless blocked` would count who waits for a lock as arrived"
        return actor, f"{waits}{advice}"


def in_force(item: Item, variables: Mapping[str, str]) -> bool:
    """Say whether an item counts for these values of the matrix.

    Args:
        item: of a section.
        variables: the values of the matrix.

    Returns:
        False for a directive whose `when` names other values.
    """
    if isinstance(item, Statement | Meta):
        return True
    return holds(item.when, variables)


def _names(actors: Collection[Actor | None]) -> str:
    return ", ".join(map(str, actors))
