"""Makes what runs the sessions: their coordinator, and a runner for each connection or program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pgchaos.engine.connection_factory import ConnectionFactory
from pgchaos.engine.coordinator import Coordinator
from pgchaos.engine.run_context import RunContext
from pgchaos.engine.session_log import SessionLog
from pgchaos.engine.session_runner import SessionRunner
from pgchaos.engine.stepped_coordinator import SteppedCoordinator
from pgchaos.language.fault_kinds import targets_connections
from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Fault
from pgchaos.schedule.permutations import actors
from pgchaos.schedule.wait_rules import WaitRules, in_force
from pgchaos.server.conninfo import role_of
from pgchaos.stop import Stop

if TYPE_CHECKING:
    from pgchaos.engine.applications.runner import ProgramRunner
    from pgchaos.engine.applications.setup import Programs
    from pgchaos.engine.session_network import SessionNetwork
    from pgchaos.engine.session_pool import SessionPool


def programs_of(scenario: Scenario, variables: Mapping[str, str]) -> Programs | None:
    """Make what runs the programs of a scenario; None if it has none."""
    if not scenario.runs_programs:
        return None
    # imported here: scenarios without programs do not need it
    from pgchaos.engine.applications.setup import Programs

    return Programs(scenario, variables)


def session_pool(factory: ConnectionFactory, stop: Stop) -> SessionPool | None:
    """Make the session pool of a scenario with a pooler; otherwise None."""
    if factory.sandbox.pooler is None:
        return None
    # imported here: scenarios without a pooler do not need it
    from pgchaos.engine.session_pool import SessionPool

    return SessionPool(factory.sandbox.pooler, stop)


def session_network(
    scenario: Scenario,
    variables: Mapping[str, str],
    factory: ConnectionFactory,
    stop: Stop,
    cleanup_stop: Stop,
    seed: int,
) -> SessionNetwork | None:
    """Make the network of a run; None without network faults."""
    items = (item for session in scenario.sessions for item in session.items if in_force(item, variables))
    if not any(isinstance(item, Fault) and targets_connections(item) for item in items):
        return None
    # imported here: other scenarios do not need it
    from pgchaos.engine.session_network import SessionNetwork

    return SessionNetwork(factory, stop, cleanup_stop, seed, role_of(factory.sandbox.conninfo))


def coordinator_of(
    scenario: Scenario,
    variables: Mapping[str, str],
    stop: Stop,
    log: SessionLog,
    *,
    stepped: bool,
    pool: SessionPool | None,
    programs: Programs | None,
) -> Coordinator:
    """Make the coordinator of a run."""
    if programs is not None:
        return programs.coordinator(stop, log, stepped=stepped)
    waits_for = "a lock" if pool is None else "a lock, or a connection of the pool,"
    rules = WaitRules(scenario.sessions, variables, waits_for)
    if not stepped:
        return Coordinator(rules, stop, log)
    return SteppedCoordinator(rules, stop, log, actors(scenario.sessions))


def runners_of(
    scenario: Scenario, context: RunContext, programs: Programs | None
) -> list[SessionRunner | ProgramRunner]:
    """Make a runner for each connection, or program, of each session."""
    if programs is not None:
        programs.join(context)
    return [
        SessionRunner(context, session, worker)
        if session.program is None or programs is None
        else programs.runner(context, session, worker)
        for session in scenario.sessions
        for worker in range(1, session.count + 1)
    ]
