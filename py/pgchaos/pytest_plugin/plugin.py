"""The hooks of the pytest plugin: collect scenarios, start the runner, and complete pytest's reports."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pgchaos
from pgchaos.pytest_plugin import fixtures
from pgchaos.pytest_plugin.file_options import write_files
from pgchaos.pytest_plugin.options import MARKERS, add_options, read_options
from pgchaos.pytest_plugin.reports import (
    ASSERTION,
    ScenarioCount,
    locate_failure,
    mask_passwords,
    set_line,
    shorten_explored,
    shown_path,
    terminal_width,
)
from pgchaos.pytest_plugin.scenario_item import ScenarioItem
from pgchaos.pytest_plugin.scheduling import (
    expected,
    is_named,
    jobs_of,
    may_run_in_parallel,
    parallel_jobs,
    permutation_lines,
    select_items,
    set_limits,
    suite_jobs,
    suite_lines,
)
from pgchaos.pytest_plugin.stash import BANNERS, EXPLORED, OPTIONS, RUNNER
from pgchaos.pytest_plugin.terminal import TerminalReports, has_boxes, mark_report
from pgchaos.runner.interrupts import Interrupts
from pgchaos.runner.preload import preload
from pgchaos.runner.progress import open_progress_line
from pgchaos.runner.runner import Runner
from pgchaos.safe_output import one_line, printable
from pgchaos.server.settings import ServerError

if TYPE_CHECKING:
    from pgchaos.server.database_queue import Expected

_FILES = pytest.StashKey[dict[Path, list[pytest.Collector]]]()
_INTERRUPTS = pytest.StashKey[Interrupts]()
_RUN_NOTHING = ("collectonly", "setuponly", "setupplan")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and ini keys."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Read the options, register the markers, and create the runner."""
    options = read_options(config)._replace(**getattr(config, "workerinput", {}).get("pgchaos", {}))
    for name, text in {**dict.fromkeys(options.tags, "a tag of ini chaos_tags"), **MARKERS}.items():
        config.addinivalue_line("markers", f"{name}: {text}")
    is_worker = hasattr(config, "workerinput")
    has_line = sys.stdout.isatty() and config.get_verbosity() >= 0 and not is_worker
    runner = Runner(options, open_progress_line(has_line))
    interrupts = config.stash[_INTERRUPTS] = Interrupts()
    runner.check_interrupt = interrupts.check
    # clean-ups run in reverse order: the server is closed before signals are handled by default again
    config.add_cleanup(lambda: interrupts.restore(at_exit=_is_main_program(config)))
    config.add_cleanup(lambda: _close(config))
    junit = config.getoption("xmlpath", None)
    if not is_worker:
        config.pluginmanager.register(TerminalReports(config), "pgchaos terminal")
    if junit and not is_worker:
        config.pluginmanager.register(ScenarioCount(junit), "pgchaos junit")
    config.stash[OPTIONS] = options
    config.stash[RUNNER] = runner
    config.stash[BANNERS] = {}
    fixtures.register(config)
    write_files(config)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Find out what the terminal can show, now that it exists."""
    config = session.config
    if not hasattr(config, "workerinput"):
        config.stash[OPTIONS] = config.stash[OPTIONS]._replace(boxes=has_boxes(config))


def _close(config: pytest.Config) -> None:
    """Close the server, and print what could not be removed from it."""
    for line in config.stash[RUNNER].close():
        # on stderr: the summary has been written, and a worker of pytest-xdist has no terminal
        print(one_line(f"pgchaos: {line}"), file=sys.stderr)


def _is_main_program(config: pytest.Config) -> bool:
    """Whether the process was started to run pytest, and ends after pytest.main()."""
    program = Path(sys.argv[0])
    is_module = program.name == "__main__.py" and program.parent.name in ("pytest", "pgchaos")
    return (program.name in ("pytest", "py.test", "pgchaos") or is_module) and not config.invocation_params.plugins


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 pytest-xdist's own type
    """Send a worker of pytest-xdist the seed, and the properties of the terminal."""
    options = node.config.stash[OPTIONS]
    boxes = has_boxes(node.config)
    node.workerinput["pgchaos"] = {"seed": options.seed, "boxes": boxes, "width": terminal_width()}


def pytest_report_header(config: pytest.Config) -> str:
    """Return the version and the seed."""
    return f"pgchaos {pgchaos.__version__}, seed {config.stash[OPTIONS].seed}"


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """With --collect-only, return how many interleavings would run."""
    return _permutation_lines(config, items) if _runs_nothing(config) else []


def _runs_nothing(config: pytest.Config) -> bool:
    return any(config.getoption(name, False) for name in _RUN_NOTHING)  # -p no:setuponly


def _permutation_lines(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    return [] if config.stash[OPTIONS].token is not None else permutation_lines(items)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Collect a scenario or a spec; only one plugin collects a file that pytest-pgtap collects too."""
    others = yield
    if file_path.suffix == ".spec":
        return [*others, *_collected(file_path, parent)]
    named = file_path.suffix != ".py" and is_named(file_path, parent.session)
    if file_path.suffix not in (".sql", ".pg") and not (named and not others):
        return others
    pytest_pgtap = [other for other in others if type(other).__module__.partition(".")[0] == "pytest_pgtap"]
    files = _collected(file_path, parent, others=bool(others), pytest_pgtap=bool(pytest_pgtap))
    return [*(other for other in others if other not in pytest_pgtap), *files] if files else others


def _collected(
    path: Path, parent: pytest.Collector, *, others: bool = False, pytest_pgtap: bool = False
) -> list[pytest.Collector]:
    # for each argument, pytest collects all files of its folder again
    found = parent.stash.setdefault(_FILES, {})
    if path not in found:
        # projects without SQL need not load this
        from pgchaos.pytest_plugin.collection import scenario_file, spec_file

        file: pytest.Collector | None
        if path.suffix == ".spec":
            file = spec_file(path, parent)
        else:
            file = scenario_file(path, parent, others=others, pytest_pgtap=pytest_pgtap)
        found[path] = [] if file is None else [file]
    return found[path]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --chaos-replay, select the item of the token; with --chaos-set, reject variables that no file uses."""
    select_items(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Start the runner, now that the selected items are known, and end it with the loop."""
    config = session.config
    runner, interrupts = config.stash[RUNNER], config.stash[_INTERRUPTS]
    set_limits(session.items)
    try:
        # not in a hook of collection: --fixtures and the like also collect, but run nothing
        if not _runs_nothing(config) and not session.testsfailed:
            with interrupts.handled():
                _start(config, session.items)
        return (yield)
    except KeyboardInterrupt:
        if runner.banner:
            interrupts.ignore()
        raise
    finally:
        runner.end()


def _start(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Open the server, and start the scenarios that run in parallel."""
    runner, options = config.stash[RUNNER], config.stash[OPTIONS]
    needed = expected(items, options)
    _open_server(config, items, needed)
    runner.set_suite(suite_jobs(items))
    # without a server each item fails with the reason
    with suppress(ServerError):
        if needed is not None:
            runner.open_server(expected=needed).prepare(needed)
        _preload(config, items)
        own = sum("own server" in job.parts for job in jobs_of(items))
        # a worker of pytest-xdist does not know yet which items it will run
        if own and not hasattr(config, "workerinput"):
            runner.server.expect_own_servers(own)
        if may_run_in_parallel(config) and len(jobs := parallel_jobs(items)) > 1:
            runner.start(jobs, options.jobs)


def _preload(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    with config.stash[_INTERRUPTS].delayed():
        preload(jobs_of(items))


def _open_server(config: pytest.Config, items: Sequence[pytest.Item], needed: Expected | None) -> None:
    """Open the server if an item uses it, and print which one it is."""
    has_scenarios = any(isinstance(item, ScenarioItem) for item in items)
    # a worker of pytest-xdist that fails here would be lost with the results of all its items
    if hasattr(config, "workerinput") or not (has_scenarios or any(map(fixtures.uses_database, items))):
        return
    try:
        # starting the server and importing take about the same time
        server = config.stash[RUNNER].open_server(lambda: _preload(config, items), needed)
        lines = [f"server: {server.banner}", *server.notes, *suite_lines(items), *_permutation_lines(config, items)]
    except ServerError as error:
        if not has_scenarios:
            return  # the tests that need the server report the error
        raise pytest.UsageError(printable(str(error))) from None
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        # without a terminal pytest assumes 80 columns, and truncates its summary of the failures
        config.get_terminal_writer().fullwidth = terminal_width()
        for line in lines:
            reporter.write_line(one_line(line))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Handle Ctrl-C while a scenario runs, so that the run ends cleanly."""
    # a debugger handles Ctrl-C itself
    if not isinstance(item, ScenarioItem) or item.config.getoption("usepdb", False):
        return (yield)
    with item.config.stash[_INTERRUPTS].handled():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Mask passwords; set the duration of a scenario and the line that its report points to."""
    report = yield
    mask_passwords(report)
    if not isinstance(item, ScenarioItem):
        if call.when == "call" and EXPLORED in item.stash:
            shorten_explored(report, item.config.invocation_params.dir)
        return report
    if call.when == "call":
        mark_report(report, item)
        if item.in_subtest:
            report.duration = 0.0
            setattr(report, ASSERTION, report.passed)
        elif item.duration is not None:
            report.duration = item.duration
        if isinstance(report.longrepr, tuple):
            report.longrepr = (str(item.path), item.line, report.longrepr[2])
        elif report.failed:
            item.failed_at = locate_failure(report, item, shown_path(item.path, item.config))
    if item.failed_at is not None:
        set_line(report, item.failed_at)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Mask passwords in the report of a file that cannot be collected."""
    report = yield
    mask_passwords(report)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item) -> bool | None:
    """Replace the timer of pytest-timeout: the engine applies the limit, reports waiting sessions, and cleans up."""
    return True if isinstance(item, ScenarioItem) else None


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> bool | None:
    """Cancel nothing: pytest-timeout has no timer for scenarios."""
    return True if isinstance(item, ScenarioItem) else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker of pytest-xdist, send the server's banner to the main process."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["chaos_server"] = session.config.stash[RUNNER].banner


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 pytest-xdist's own type
    """Receive the banner of a worker's server."""
    banner = getattr(node, "workeroutput", {}).get("chaos_server")
    if banner:
        node.config.stash[BANNERS][node.gateway.id] = banner
