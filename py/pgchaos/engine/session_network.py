"""The network between the sessions of a run and the server: a proxy that carries out network faults."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from psycopg import pq

from pgchaos.engine.answer import NOT_CONNECTED, ServerError
from pgchaos.engine.answer_hold import AnswerHold
from pgchaos.engine.connection import Connection, ConnectionLost
from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.coordinator import Halted
from pgchaos.engine.faults.actions import NotDelivered, TargetGone
from pgchaos.engine.faults.targets import Target
from pgchaos.engine.loop import Loop, Task, begin
from pgchaos.engine.notices import session_conninfo
from pgchaos.engine.proxy.connection import ProxyConnection
from pgchaos.engine.proxy.handshake import Gone
from pgchaos.engine.proxy.link import Link, NotHalfOpen, Quality
from pgchaos.engine.proxy.observer import ClientConnection, Observer
from pgchaos.engine.proxy.proxy import Proxy
from pgchaos.engine.proxy.startup import Startup
from pgchaos.engine.proxy.upstream import ServerConnection, ServerOpener
from pgchaos.engine.waits import Condition, sleep
from pgchaos.language.fault_kinds import describe
from pgchaos.language.network_faults import network_values
from pgchaos.language.section_items import Fault
from pgchaos.schedule.wait_rules import Actor
from pgchaos.server.conninfo import make_conninfo
from pgchaos.stop import Stop

T = TypeVar("T")

_REFUSED = ServerError(NOT_CONNECTED, "the network refuses the connection", from_server=False)
_NOTICED_WITHIN = 5.0
"""Seconds for the kernel to report the end of a connection to a session."""
_POLL_INTERVAL = 0.001


class SessionNetwork(Observer):
    """The network of one run.

    Args:
        factory: to the scenario's database.
        stop: of the sessions; it ends all network faults.
        cleanup_stop: the stop for work that continues after they are stopped.
        seed: of jitter.
        user: the role of the sessions.
    """

    def __init__(self, factory: ConnectionFactory, stop: Stop, cleanup_stop: Stop, seed: int, user: str) -> None:
        self._factory, self._stop, self._cleanup_stop = factory, stop, cleanup_stop
        self._opener = ServerOpener(factory, "session", cleanup_stop, {})
        self._proxy = Proxy(self._upstream, user, factory.sandbox.database, self, str(seed))
        self._connections: dict[str, list[ProxyConnection]] = {}  # by session; the last one to send is at the end
        self._qualities: dict[str, Quality] = {}
        self._refused: set[str] = set()
        self._stalled: dict[str, Fault] = {}
        self._without_effect: dict[Fault, set[str]] = {}  # the sessions of faults without effect so far
        self._with_effect: set[Fault] = set()  # faults that have had an effect
        self._ending = Condition()
        self._healing: Task[None] | None = None

    # connections

    async def open(
        self,
        actor: Actor,
        settings: Mapping[str, str],
        parameters: Mapping[str, str],
        notice: Callable[[pq.abc.PGresult], None],
        *,
        while_recovering: bool,
    ) -> Connection:
        """Open a connection of a session.

        Args:
            actor: the connection of the session.
            settings: of the server, that the session begins with.
            parameters: of libpq, for its timeouts.
            notice: called with each notice of the server.
            while_recovering: retry while the server recovers from a crash.

        Raises:
            ConnectionLost: the server, or the network, refused.
        """
        self.check_refused(str(actor))
        conninfo = session_conninfo(make_conninfo(self._proxy.conninfo(), **parameters), str(actor), settings)
        return await self._factory.open_by(conninfo, self._stop, notice, while_recovering=while_recovering)

    async def _upstream(self, startup: Startup) -> ServerConnection:
        try:
            self.check_refused(startup.settings.get("application_name", ""))
        except ConnectionLost:  # a network gives no reason
            raise Gone from None
        return await self._opener(startup)

    def opened(self, connection: ClientConnection) -> None:
        """See `Observer`."""
        self.join(connection.startup.settings.get("application_name", ""), connection)

    def closed(self, connection: ClientConnection, why: str) -> None:  # noqa: ARG002  # the interface of observers
        """See `Observer`."""
        self.leave(connection)

    # called for programs, which connect through proxies of their own

    def join(self, name: str, connection: ClientConnection) -> None:
        """Let the faults of a session, such as `shop[1]`, affect a connection through any proxy."""
        assert isinstance(connection, ProxyConnection), "of a proxy"
        self._connections.setdefault(name, []).append(connection)
        if name in self._qualities and not self._stop.is_set():
            connection.link.set_quality(self._qualities[name])

    def note_sending(self, name: str, connection: ClientConnection) -> None:
        """Record that a session, which may have several connections, is about to send on this one."""
        mine = self._connections[name]
        mine.sort(key=lambda one: one is connection)

    def leave(self, connection: ClientConnection) -> None:
        """Record that a connection has ended."""
        for name, mine in self._connections.items():
            if connection in mine:
                self._check_effect(name, connection)
                mine.remove(connection)
                self._stalled.pop(name, None)

    def check_refused(self, name: str) -> None:
        """Check whether a session may connect.

        Raises:
            ConnectionLost: a fault refuses it.
        """
        if name in self._refused:
            self._record_effect(name, refusal=True)
            raise ConnectionLost(_REFUSED)

    # start and end

    def start(self) -> None:
        """Start the proxy."""
        self._proxy.start()
        self._healing = begin(self._heal_when_stopped())

    async def _heal_when_stopped(self) -> None:
        if not self._stop.is_set():
            await self._ending.wait(stop=self._stop)
        self._heal_all()

    def _heal_all(self) -> None:
        self._refused.clear()
        self._qualities.clear()
        self._stalled.clear()
        for connection in [*itertools.chain(*self._connections.values())]:
            connection.link.release()
            if connection.link.is_half_open:
                # TCP retransmits lost data after growing pauses: do not wait for it
                connection.end("the run is over")
            connection.link.heal()

    async def end(self) -> None:
        """End all faults, and cancel backends whose sessions have lost them; connections stay open."""
        self._ending.notify()
        if self._healing is not None:
            await self._healing.ends()
            self._healing.result()
            self._healing = None
        await self._proxy.cancel_abandoned()
        await self._proxy.pause()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on connections of sessions that have ended."""

        async def main() -> T:
            self._proxy.start()
            try:
                return await work
            finally:
                await self._proxy.pause()

        return Loop().run(main())

    def close(self) -> None:
        """Close all connections."""
        self._proxy.close()

    @property
    def broken(self) -> list[str]:
        """Violations of the protocol."""
        return self._proxy.broken

    def stalled(self) -> str:
        """Describe the sessions that wait because of a stall without an end; '' if there are none."""
        found = [
            f"nothing passes between {name} and the server since `fault {describe(fault)}` at {fault.place}"
            for name, fault in self._stalled.items()
        ]
        return "; ".join(found)

    # faults

    def link(self, actor: Actor) -> Link:
        """Return the link of a connection.

        Raises:
            TargetGone: there is none.
        """
        mine = self._connections.get(str(actor))
        if not mine:
            raise TargetGone(f"{actor} has no connection")
        return mine[-1].link

    def hold_answer(self, actor: Actor) -> AnswerHold:
        """Prepare to hold the answer to the next statement of a connection."""
        return AnswerHold(lambda: self.link(actor), self._stop)

    async def carry_out(self, fault: Fault, targets: Mapping[Actor, Target]) -> None:
        """Carry out a fault, and return when it has had its effect.

        Raises:
            NotDelivered: there is nothing to affect, or it has not had its effect.
            Halted: the run was stopped.
        """
        names = {str(actor): target for actor, target in targets.items()}
        if fault.kind in ("cut", "reset"):
            await self._end_connections(fault, names)
        elif fault.kind == "stall":
            self._stall(fault, names)
            self._expect_effect(fault, names)
        elif fault.kind == "heal":
            self._heal(names)
        elif fault.kind == "refuse":
            self._refused |= names.keys()
            self._expect_effect(fault, names)
        else:
            for name in names:
                self._set_quality(name, fault)
            self._expect_effect(fault, names)

    def _open_connections(self, fault: Fault, names: Collection[str]) -> list[tuple[str, ProxyConnection]]:
        """Return the open connections of the targets; for a fault of its own, the one that a session sends on."""
        first = -1 if fault.target is None else 0
        found = [(name, one) for name in names for one in self._connections.get(name, [])[first:]]
        if not found:
            raise TargetGone(f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} no connection")
        return found

    async def _end_connections(self, fault: Fault, names: Mapping[str, Target]) -> None:
        connections = self._open_connections(fault, names)
        has_lost = {name: names[name].loss() for name, _ in connections}
        for _, connection in connections:
            if fault.kind == "reset":
                connection.reset(f"`fault {describe(fault)}`")
            else:
                connection.end(f"`fault {describe(fault)}`")
        # wait until the kernel reports it, so that the next send fails at once instead of by a missing answer
        until = time.monotonic() + _NOTICED_WITHIN
        for name, lost in has_lost.items():
            while not lost():
                if time.monotonic() > until:
                    raise NotDelivered(
                        f"{name} was not notified within {_NOTICED_WITHIN:g} s that its connection has ended"
                    )
                if await sleep(_POLL_INTERVAL, self._stop):
                    raise Halted

    def _stall(self, fault: Fault, names: Collection[str]) -> None:
        seconds = network_values(fault.argument).seconds
        for name, connection in self._open_connections(fault, names):
            self._check_effect(name, connection)
            try:
                connection.link.stall(seconds)
            except NotHalfOpen as why:
                raise NotDelivered(f"the connection of {name} cannot be made half-open: {why}") from None
            if seconds is None:
                self._stalled[name] = fault

    def _set_quality(self, name: str, fault: Fault) -> None:
        values = network_values(fault.argument)
        before = self._qualities.get(name, Quality())
        now = (
            replace(before, rate=values.rate)
            if fault.kind == "rate"
            else replace(before, latency=values.seconds or 0.0, jitter=values.jitter)
        )
        self._qualities[name] = now
        for connection in self._connections.get(name, ()):
            self._check_effect(name, connection)
            connection.link.set_quality(now)

    def _heal(self, names: Collection[str]) -> None:
        faulty = {
            name
            for name in names
            if name in self._refused
            or name in self._qualities
            or any(one.link.is_stalled for one in self._connections.get(name, ()))
        }
        if not faulty:
            raise NotDelivered(f"nothing is wrong with the network of {' and '.join(names)}")
        for name in faulty:
            self._refused.discard(name)
            self._qualities.pop(name, None)
            self._stalled.pop(name, None)
            for connection in self._connections.get(name, ()):
                self._check_effect(name, connection)
                connection.link.heal()
        for waiting in self._without_effect.values():
            # whether it had an effect before depends on timing
            waiting.difference_update(faulty)

    # whether they had an effect

    def _expect_effect(self, fault: Fault, names: Collection[str]) -> None:
        if fault not in self._with_effect:
            self._without_effect.setdefault(fault, set()).update(names)

    def _record_effect(self, name: str, *, refusal: bool) -> None:
        faults = [
            one for one, names in self._without_effect.items() if name in names and (one.kind == "refuse") == refusal
        ]
        for fault in faults:
            del self._without_effect[fault]
        self._with_effect.update(faults)

    def _check_effect(self, name: str, connection: ProxyConnection) -> None:
        if connection.link.had_effect:
            self._record_effect(name, refusal=False)

    def without_effect(self) -> list[tuple[Fault, str]]:
        """List the faults that had no effect, with the reason."""
        for name, mine in self._connections.items():
            for connection in mine:
                self._check_effect(name, connection)
        return [
            (
                fault,
                "no session connected after it"
                if fault.kind == "refuse"
                else f"nothing passed between {' and '.join(sorted(names))} and the server any more",
            )
            for fault, names in self._without_effect.items()
            if names
        ]
