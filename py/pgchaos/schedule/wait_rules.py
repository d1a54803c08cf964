"""The rules of waits between sessions: barriers, signals and lock waits. Pure: it decides, and callers wait.

A wait is decided again after each event: an arrival, a signal, the end of a session, or a snapshot of blocked sessions.
A session at a barrier holds its locks, and a session that waits for these locks never reaches the barrier. The server
sees a lock wait but no cycle, so such deadlocks are detected here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias, TypeVar

from pgchaos.language.header_model import applies
from pgchaos.language.model import Session
from pgchaos.language.section_items import Barrier, Item, Meta, Signal, Statement, WaitBlocked, WaitFor

SessionT = TypeVar("SessionT")


def is_deadlocked(
    living: Collection[SessionT], idle: Collection[SessionT], blocked: Mapping[SessionT, Collection[SessionT | None]]
) -> bool:
    """Whether no session can continue: each living one is idle, or waits directly or indirectly for one that is.

    An idle session has ended, or is at a wait that cannot end. None in `blocked` is a backend of no session, which may
    release its lock. A cycle of waits alone is no deadlock here, because the server resolves it.
    """
    waiting = [session for session in living if session not in idle]
    if not waiting or any(session not in blocked or None in blocked[session] for session in waiting):
        return False
    done = set(idle)
    while waiting:
        # a session that waits only for stuck ones is stuck too
        known = [session for session in waiting if blocked[session] and done.issuperset(blocked[session])]
        if not known:
            return False
        done.update(known)
        waiting = [session for session in waiting if session not in done]
    return True


class Actor(NamedTuple):
    """One connection of a session; `worker` counts from 1.

    A tuple, because it is looked up with every statement, and the hash of a tuple is computed in C.
    """

    session: str
    worker: int

    def __str__(self) -> str:
        return f"{self.session}[{self.worker}]"


Wait: TypeAlias = "Barrier | WaitBlocked | WaitFor"


@dataclass(frozen=True, slots=True)
class Decision:
    """The state of a wait: over, impossible to end, or neither so far."""

    open: bool = False  # the session may continue
    never: str = ""  # why the wait can never end, or ''
    missing: tuple[Actor, ...] = ()  # the connections that it still waits for


def waits_text(wait: Wait) -> str:
    """Format a wait as in the file, without options."""
    if isinstance(wait, Barrier):
        return f"barrier {wait.name}"
    if isinstance(wait, WaitFor):
        return f"wait for {wait.name}"
    which = wait.session if wait.worker is None else f"{wait.session}[{wait.worker}]"
    return f"wait blocked {which}"


@dataclass(slots=True)
class _State:
    """The state of one connection."""

    repeat: int
    barriers: frozenset[str]
    signals: frozenset[str]
    ended: bool = False
    at: tuple[Wait, int] | None = None
    opened: bool = False


@dataclass(slots=True)
class WaitRules:
    """Tracks which connections have arrived at which waits, and decides which waits are over."""

    sessions: Iterable[Session]  # of the scenario
    variables: Mapping[str, str]  # the matrix values, for `when`
    locks: str = "a lock"  # what blocked sessions wait for, in messages
    _states: dict[Actor, _State] = field(init=False, default_factory=dict)
    _arrived: dict[tuple[str, int], set[Actor]] = field(init=False, default_factory=dict)
    _open: set[tuple[str, int]] = field(init=False, default_factory=set)
    _signals: set[str] = field(init=False, default_factory=set)
    _unless_blocked: frozenset[str] = field(init=False, default=frozenset())
    _blocked: frozenset[Actor] = field(init=False, default=frozenset())
    _blocked_here: frozenset[Actor] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        self._unless_blocked = frozenset(
            item.name
            for session in self.sessions
            for item in session.items
            if isinstance(item, Barrier) and item.unless_blocked and in_force(item, self.variables)
        )
        for session in self.sessions:
            items = [item for item in session.items if in_force(item, self.variables)]
            barriers = frozenset(item.name for item in items if isinstance(item, Barrier))
            signals = frozenset(item.name for item in items if isinstance(item, Signal))
            for worker in range(1, session.count + 1):
                self._states[Actor(session.name, worker)] = _State(session.repeat, barriers, signals)

    def arrive(self, actor: Actor, barrier: str, iteration: int) -> None:
        """Record that a connection reached a barrier, or skipped it."""
        self._arrived.setdefault((barrier, iteration), set()).add(actor)

    def begin_wait(self, actor: Actor, wait: Wait, iteration: int) -> None:
        """Record that a connection waits; if it waits at a barrier, it has arrived there."""
        state = self._states[actor]
        state.at, state.opened = (wait, iteration), False
        if self._depends_on_blocked(wait):
            # the last snapshot may be old: a session that was blocked then may now be in another statement
            self._blocked = self._blocked_here = frozenset()
        if isinstance(wait, Barrier):
            self.arrive(actor, wait.name, iteration)

    def end_wait(self, actor: Actor) -> None:
        """Record that a connection no longer waits."""
        self._states[actor].at = None

    def send_signal(self, signal: str) -> None:
        """Record a signal; it is never reset."""
        self._signals.add(signal)

    def has_ended(self, session: str) -> bool:
        """Whether all connections of a session have ended."""
        return all(state.ended for actor, state in self._states.items() if actor.session == session)

    def end(self, actor: Actor) -> None:
        """Record that a connection has ended."""
        self._states[actor].ended = True

    def update_blocked(self, blocked: frozenset[Actor], here: frozenset[Actor]) -> bool:
        """Record a snapshot, and return whether it differs from the last.

        Args:
            blocked: the connections that wait for a lock.
            here: of these, those that wait for a session of this scenario.
        """
        news = (blocked, here) != (self._blocked, self._blocked_here)
        self._blocked, self._blocked_here = blocked, here
        for state in self._states.values():
            # decide now: before the waiting session asks, the next snapshot may show that no session is blocked
            if state.at is not None and self._depends_on_blocked(state.at[0]) and not state.opened:
                state.opened = self._decide(*state.at).open
        return news

    def needs_snapshots(self) -> bool:
        """Whether a session waits for others to be blocked."""
        return any(
            state.at is not None and not state.opened and self._depends_on_blocked(state.at[0])
            for state in self._states.values()
        )

    def note_block(self, actors: Collection[Actor]) -> None:
        """Open the waits for connections to be blocked that these alone are missing for."""
        for state in self._states.values():
            if state.at is not None and not state.opened and isinstance(state.at[0], WaitBlocked):
                decision = self._decide(*state.at)
                state.opened = not decision.never and set(decision.missing) <= set(actors)

    def is_waiting(self, actor: Actor) -> bool:
        """Whether a connection is at a wait that is not over yet."""
        if self._states[actor].at is None:
            return False
        decision = self.decide(actor)
        return not decision.open and not decision.never

    def decide(self, actor: Actor) -> Decision:
        """Decide the wait of a connection, as of now."""
        state = self._states[actor]
        if state.at is None or state.opened:
            return Decision(open=True)
        decision = self._decide(*state.at)
        if decision.open or decision.never:
            return decision
        return self._all_wait() or decision

    def _decide(self, wait: Wait, iteration: int) -> Decision:
        if isinstance(wait, Barrier):
            return self._at_barrier(wait, iteration)
        return self._for_signal(wait) if isinstance(wait, WaitFor) else self._for_block(wait)

    def _at_barrier(self, wait: Barrier, iteration: int) -> Decision:
        key = (wait.name, iteration)
        if key in self._open:
            return Decision(open=True)
        missing = self._awaited(key)
        if not missing or (wait.name in self._unless_blocked and self._blocked_here.issuperset(missing)):
            self._open.add(key)
            return Decision(open=True)
        ended = [actor for actor in missing if self._states[actor].ended]
        if ended:
            return Decision(never=f"{_names(ended)} ended without arriving", missing=tuple(missing))
        return Decision(missing=tuple(missing))

    def _awaited(self, key: tuple[str, int]) -> list[Actor]:
        name, iteration = key
        arrived = self._arrived.get(key, ())
        return [
            actor
            for actor, state in self._states.items()
            if name in state.barriers and iteration <= state.repeat and actor not in arrived
        ]

    def _depends_on_blocked(self, wait: Wait) -> bool:
        return isinstance(wait, WaitBlocked) or (isinstance(wait, Barrier) and wait.name in self._unless_blocked)

    def _for_signal(self, wait: WaitFor) -> Decision:
        if wait.name in self._signals:
            return Decision(open=True)
        givers = [actor for actor, state in self._states.items() if wait.name in state.signals]
        if all(self._states[actor].ended for actor in givers):
            # a `when` may exclude all `signal` lines
            never = f"{_names(givers)} ended without giving the signal" if givers else "no session gives the signal"
            return Decision(never=never)
        return Decision(missing=tuple(actor for actor in givers if not self._states[actor].ended))

    def _for_block(self, wait: WaitBlocked) -> Decision:
        awaited = [a for a in self._states if a.session == wait.session and wait.worker in (None, a.worker)]
        missing = [actor for actor in awaited if actor not in self._blocked]
        if not missing:
            return Decision(open=True)
        ended = [actor for actor in missing if self._states[actor].ended]
        if ended:
            return Decision(never=f"{_names(ended)} ended without being blocked", missing=tuple(missing))
        return Decision(missing=tuple(missing))

    def _all_wait(self) -> Decision | None:
        """Detect that no wait can end: every connection that has not ended is at a wait."""
        living = self._living()
        if not all(self._states[actor].at for actor in living) or any(self._may_open(actor) for actor in living):
            return None
        waits = ", ".join(f"{actor} at {waits_text(s[0])}" for actor in living if (s := self._states[actor].at))
        return Decision(never=f"every session waits for another: {waits}")

    def _may_open(self, actor: Actor) -> bool:
        state = self._states[actor]
        if state.at is None or state.opened:
            return True
        wait, iteration = state.at
        if isinstance(wait, WaitFor):
            return wait.name in self._signals
        if isinstance(wait, Barrier):
            key = (wait.name, iteration)
            return key in self._open or not self._awaited(key)
        return False

    def _living(self) -> list[Actor]:
        return [actor for actor, state in self._states.items() if not state.ended]

    def _idle(self) -> list[Actor]:
        """Return the connections that have ended, or are at a wait that cannot end."""
        return [a for a, p in self._states.items() if p.ended or (p.at is not None and not self._may_open(a))]

    def is_standstill(self, waiting: Collection[Actor], blocked: Mapping[Actor, Collection[Actor | None]]) -> bool:
        """Whether no session can continue. See `is_deadlocked` for `blocked`; sessions in `waiting` count as idle."""
        living, idle = self._living(), {*self._idle(), *waiting}
        return idle.issuperset(living) or is_deadlocked(living, idle, blocked)

    def find_deadlock(self, blocked: Mapping[Actor, Collection[Actor | None]]) -> tuple[Actor, str] | None:
        """Find a connection that is stuck because of locks, preferably one at a wait, and the reason.

        Args:
            blocked: what each blocked connection waits for, see `is_deadlocked`.

        Returns:
            The connection and the reason; None if a session may still continue.
        """
        living = self._living()
        if not is_deadlocked(living, self._idle(), blocked):
            return None
        first = next(((a, p.at[0]) for a, p in self._states.items() if p.at and not p.ended), None)
        waits = "; ".join(
            f"{a} waits for {self.locks} that {_names(by)} holds" for a, by in blocked.items() if a in living
        )
        if first is None:
            return next(a for a in living if a in blocked), f"{waits}, which has ended and left its transaction open"
        actor, wait = first
        advice = ""
        if isinstance(wait, Barrier):
            advice = f"; `barrier {wait.name} unless blocked` would count a session that waits for a lock as arrived"
        return actor, f"{waits}{advice}"


def in_force(item: Item, variables: Mapping[str, str]) -> bool:
    """Whether an item applies for these matrix values: a directive does not if its `when` names others."""
    if isinstance(item, Statement | Meta):
        return True
    return applies(item.when, variables)


def _names(actors: Collection[Actor | None]) -> str:
    return ", ".join(map(str, actors))
