"""The backends that sessions have called themselves, by dblink or postgres_fdw: they lock and wait for their session.

Which session has opened one is known from its socket if the server runs on this machine, otherwise only from its
application_name, which the author of the scenario has to set.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping

from pgchaos.engine import other_backends
from pgchaos.engine.answer import Answer
from pgchaos.engine.blocking import in_thread
from pgchaos.engine.coordinator import Coordinator
from pgchaos.engine.other_backends import Backend, Waits
from pgchaos.posix.connected import connected
from pgchaos.schedule.step_points import PREPARED

_UNKNOWN = (
    "It is not known which session has opened this connection: dblink and postgres_fdw do not tell, and their sockets"
    " can be read only on the server's own machine (Linux), by its account or root. Name it as its session:"
    " application_name = current_setting('application_name') in the connection string of dblink, or, from PostgreSQL 15"
    " on, application_name '%a' in the options of the foreign server"
)


class CalledBackends:
    """Finds these backends, and replaces them by their sessions in a snapshot of locks.

    Args:
        ask: queries the scenario's database.
        coordinator: of the sessions.
        only_ours: no other program uses the database.
    """

    def __init__(self, ask: Callable[[str], Awaitable[Answer]], coordinator: Coordinator, *, only_ours: bool) -> None:
        self._ask, self._coordinator, self._only_ours = ask, coordinator, only_ours
        self._states = coordinator.states
        self._callers: dict[int, int] = {}
        """The session that has called a backend, both by pid."""
        self._looked_for: set[int] = set()
        self._stuck: tuple[str, Mapping[int, int]] = "", {}

    async def by_session(
        self, tickets: Mapping[int, int], waits: Waits, events: Mapping[int, str | None]
    ) -> dict[int, tuple[int, ...]]:
        """Name the backends that are not sessions, and replace those that sessions have called.

        Args:
            tickets: of the sessions that run a statement, by pid.
            waits: the pids that block each waiting backend.
            events: the type of wait event of each waiting backend.

        Returns:
            `waits` in which a session waits for what its called backends wait for, and has what these lock.
        """
        if not self._only_ours and not self._states.callers(tickets, events):
            # who waits there for others is of no interest
            waits = {pid: by for pid, by in waits.items() if pid in self._states.actors or pid in self._callers}
        others = {pid for waiting, by in waits.items() for pid in (waiting, *by)} - {PREPARED, *self._states.actors}
        if not others:
            self._stuck, self._states.calling = ("", {}), {}
            return dict(waits)
        backends = other_backends.read((await self._ask(other_backends.query(others))).rows())
        await self._find_callers(others, backends)
        new = {pid: one for pid, one in backends.items() if pid in others and pid not in self._states.foreign_backends}
        self._states.foreign_backends |= other_backends.names(new, self._states.actors, self._callers)
        called = {pid: caller for pid, caller in self._callers.items() if pid in others}
        self._note(tickets, waits, events, called)
        stuck = other_backends.hidden_deadlock(waits, called, tickets, backends)
        found = other_backends.of_sessions(waits, called, tickets, backends)
        self._states.calling = {pid: (tickets[pid], by) for pid, by in found.items() if pid not in waits}
        self._check(tickets, events, found, backends, stuck)
        return found

    async def _find_callers(self, others: Collection[int], backends: Mapping[int, Backend]) -> None:
        sessions = dict(self._states.served)
        sessions |= {pid: pid for pid in self._states.actors if pid not in sessions.values()}
        clients = {pid for pid, one in backends.items() if one.is_client} - sessions.keys()
        if clients & {*others} <= self._looked_for:
            return
        self._looked_for |= clients
        links = await in_thread(lambda: connected({*sessions, *clients}), "sockets")
        found = dict(sessions)
        while more := {pid: found[by] for pid in clients - found.keys() for by in links.get(pid, ()) if by in found}:
            found |= more
        named = {str(actor): pid for pid, actor in self._states.actors.items()} if self._only_ours else {}
        for pid in clients:
            caller = found.get(pid) or named.get(backends[pid].application)
            if caller is not None:
                self._callers[pid] = caller

    def _note(
        self, tickets: Mapping[int, int], waits: Waits, events: Mapping[int, str | None], called: Mapping[int, int]
    ) -> None:
        """Record in the statements of sessions for which other backends they wait."""
        states = self._states
        callers = states.callers(tickets, events)
        for pid, by in waits.items():
            if pid in states.actors:
                holders = [states.name(one) for one in by if one in called]
                records = [states.statement(pid, tickets.get(pid))]
            else:
                holders = [f"{states.name(pid)}, which waits for {', '.join(map(states.name, by))}"]
                caller = called.get(pid)
                records = list(callers) if caller is None else [states.statement(caller, tickets.get(caller))]
            for record in records:
                if record is not None:
                    record.blocked_by += tuple(one for one in holders if one not in record.blocked_by)

    def _check(
        self,
        tickets: Mapping[int, int],
        events: Mapping[int, str | None],
        waits: Waits,
        backends: Mapping[int, Backend],
        deadlock: tuple[int, ...],
    ) -> None:
        """Stop the run if it cannot go on, and two snapshots show it."""
        name = self._states.name
        pid, text = 0, ""
        if deadlock:
            pid, *others = deadlock
            text = f"{name(pid)} waits for {', which waits for '.join(map(name, [*others, pid]))}: the server does not"
            text += " detect a deadlock in which a session waits for a connection of dblink or postgres_fdw"
        elif self._only_ours and self._coordinator.is_stepped:
            pid, text = next(self._of_unknown(tickets, events, waits, backends), (0, ""))
        before, self._stuck = self._stuck, (text, tickets)
        if text and before == self._stuck:
            self._coordinator.fail_for_good(pid, text)

    def _of_unknown(
        self,
        tickets: Mapping[int, int],
        events: Mapping[int, str | None],
        waits: Waits,
        backends: Mapping[int, Backend],
    ) -> Iterator[tuple[int, str]]:
        """Find a wait of which it is not known whether a session can end it, when no session does anything else."""
        running = tickets.keys() - waits.keys()
        unknown = {pid for pid, one in backends.items() if one.is_client} - {*self._callers, *self._states.actors}
        name = self._states.name
        if not running:
            for pid in tickets:
                for by in unknown.intersection(waits[pid]):
                    if backends[by].is_idle:
                        yield pid, f"{name(pid)} waits for {name(by)}. {_UNKNOWN}"
        callers = self._states.callers({pid: tickets[pid] for pid in running}, events)
        if len(running) == len(callers) == 1:
            (pid,) = running
            for other in unknown & waits.keys():
                text = f"{name(other)}, which waits for {', '.join(map(name, waits[other]))}"
                yield pid, f"{name(pid)} seems to wait for {text}. {_UNKNOWN}"
