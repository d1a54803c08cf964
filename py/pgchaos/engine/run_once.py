"""Runs a scenario once in a sandbox, and returns the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pgchaos import clock
from pgchaos.engine.clean_database_proof import MARKS
from pgchaos.engine.connection_limit import explain_limit
from pgchaos.engine.missing_relations import add_hints
from pgchaos.engine.refused_parameters import parameter_failure
from pgchaos.engine.run import DatabaseInspector, Run
from pgchaos.engine.run_settings import RunSettings
from pgchaos.engine.text_search import mentions
from pgchaos.language.fault_kinds import disks_of
from pgchaos.language.header_model import applies
from pgchaos.language.model import Scenario
from pgchaos.language.plain_files import Contents, connects_again, contents_for
from pgchaos.language.pooler import pooler_of
from pgchaos.results import RunResult
from pgchaos.schedule.scheduler import Scheduler
from pgchaos.server import Sandbox, Server, ServerError
from pgchaos.server.pooler import PoolerError, running_pooler
from pgchaos.server.settings import NoDisk

if TYPE_CHECKING:
    from pgchaos.engine.transaction_log import TransactionLog
    from pgchaos.server import PrivateServer

OpenSandbox = Callable[[], AbstractContextManager[Sandbox]]


def run_once(
    scenario: Scenario,
    variables: Mapping[str, str],
    server: Server,
    settings: RunSettings,
    order: Scheduler | None = None,
    open_sandbox: OpenSandbox | None = None,
    transaction_log: TransactionLog | None = None,
    inspector: DatabaseInspector | None = None,
) -> RunResult:
    """Run a scenario once.

    Args:
        scenario: to run.
        variables: the values of its matrix for this item.
        server: to run on.
        settings: of the run.
        order: of the steps; None for a free run.
        open_sandbox: opens the sandbox; None to ask the server for it.
        transaction_log: records what an oracle needs; None without an oracle.
        inspector: inspects the database before and after setup.

    Returns:
        The result. It has the failures of the scenario, which are never raised.

    Raises:
        pgchaos.server.ServerError: there is no server, or no database to work in.
    """
    settings.check_interrupt()
    result = RunResult(settings.seed, started_at=clock.now(), server=server.banner)
    with ExitStack() as stack:
        try:
            suite, opened = settings.suite, open_sandbox or (lambda: _sandbox(scenario, variables, server))
            sandbox = suite.sandbox if suite is not None else stack.enter_context(opened())
            sandbox = stack.enter_context(_with_pooler(scenario, variables, sandbox))
        except PoolerError as error:
            written = scenario.pooler_settings or scenario.poolers
            return result.joined(failures=[parameter_failure(error, written)])
        except NoDisk as error:
            return replace(result, skipped=f"`fault fill` cannot be delivered here: {error}")
        except ServerError as error:
            if scenario.sandbox != "server":
                raise
            # the scenario has a parameter that the server does not accept
            return result.joined(failures=[parameter_failure(error, scenario.server)])
        control = sandbox.server_control
        if control is not None and not (scenario.alone or scenario.sandbox == "server"):
            sandbox = replace(sandbox, server_control=None)  # other scenarios use the same server
        if scenario.alone:
            server.wait_until_idle()
        started_at = clock.now()
        parts = Run(scenario, variables, sandbox, settings, started_at, order, transaction_log, inspector).execute()
        duration = clock.now() - started_at
        parts.outside = parts.outside or sandbox.outside_changes()
        if parts.outside:
            sandbox.retire(parts.outside)
        log = _server_log(scenario, settings, sandbox, control) if any(parts.failures()) else []
    result = RunResult(settings.seed, started_at, duration, sandbox.banner or server.banner)
    return explain_limit(add_hints(parts.join(result, log), scenario, sandbox), scenario)


def _server_log(scenario: Scenario, settings: RunSettings, sandbox: Sandbox, server: PrivateServer | None) -> list[str]:
    if server is None:
        return []
    if scenario.sandbox == "server":
        return server.last_lines(sandbox.database)
    # without lines about the databases of other scenarios
    return server.lines_about(sandbox.database) if settings.for_files and not sandbox.schema else []


@contextmanager
def _with_pooler(scenario: Scenario, variables: Mapping[str, str], sandbox: Sandbox) -> Iterator[Sandbox]:
    """Start a pooler between the sessions and the server, if the file has one."""
    pooler = pooler_of(scenario, variables)
    if pooler is None:
        yield sandbox
        return
    assert sandbox.server_control is not None, "a private server, which was required"
    settings = {one.name: one.value for one in scenario.pooler_settings if applies(one.when, variables)}
    with running_pooler(sandbox.server_control, sandbox.database, pooler, settings) as running:
        yield replace(sandbox, pooler=running)


def _sandbox(scenario: Scenario, variables: Mapping[str, str], server: Server) -> AbstractContextManager[Sandbox]:
    if scenario.sandbox != "server":
        schema = scenario.sandbox == "schema"
        reuse = scenario.plain and not mentions(scenario, MARKS) and not connects_again(scenario)
        contents = contents_for(scenario.statements()) if scenario.plain else Contents.TOOLKIT
        return server.sandbox(scenario.extensions, schema=schema, reuse=reuse, contents=contents)
    settings = {one.name: one.value for one in scenario.server if applies(one.when, variables)}
    return server.own_server_sandbox(scenario.extensions, settings, disks_of(scenario))
