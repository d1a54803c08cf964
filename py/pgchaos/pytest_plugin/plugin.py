"""The pytest plugin: collects scenarios, hands them over, and reports. Everything else is done elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pgchaos
from pgchaos.pytest_plugin import fixtures
from pgchaos.pytest_plugin.failure_location import anchor, columns, point_to
from pgchaos.pytest_plugin.items import NOTE, ORACLE, RUN, SEARCHED, ScenarioItem
from pgchaos.pytest_plugin.junit import ASSERTION, ScenarioCount
from pgchaos.pytest_plugin.masking import mask
from pgchaos.pytest_plugin.options import MARKERS, add_options, read_options
from pgchaos.pytest_plugin.scheduling import (
    is_named,
    is_of,
    is_scenario,
    jobs_ahead,
    jobs_kept,
    jobs_of,
    keeping_told,
    may_run_ahead,
    permutations_told,
    set_limits,
)
from pgchaos.pytest_plugin.stash import OPTIONS, RUNNER
from pgchaos.report.levels import level_table, told
from pgchaos.report.live_progress import live
from pgchaos.runner.interrupts import Interrupts
from pgchaos.runner.preload import preload
from pgchaos.runner.runner import Runner
from pgchaos.safe_output import one_line, printable
from pgchaos.schedule.token import shown
from pgchaos.server.settings import ServerError

_BANNERS = pytest.StashKey[dict[str, str]]()
_ASKED = pytest.StashKey[dict[Path, list[pytest.Collector]]]()
_INTERRUPTS = pytest.StashKey[Interrupts]()
_NOTHING_IS_RUN = ("collectonly", "setuponly", "setupplan")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and ini keys."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Read the options, register the markers, and make the runner."""
    options = replace(read_options(config), **getattr(config, "workerinput", {}).get("pgchaos", {}))
    for name, text in {**dict.fromkeys(options.tags, "a tag of ini chaos_tags"), **MARKERS}.items():
        config.addinivalue_line("markers", f"{name}: {text}")
    runner = Runner(
        options.server,
        options.seed,
        options.timeout,
        plain_timeout=options.spec_timeout,
        token=options.token,
        selfcheck=options.selfcheck,
        amcheck=options.amcheck,
        draw_seed=options.draw_seed,
        live=live(sys.stdout.isatty() and config.get_verbosity() >= 0 and not hasattr(config, "workerinput")),
    )
    interrupts = config.stash[_INTERRUPTS] = Interrupts()
    # the last of all, so that the server is given back before
    config.add_cleanup(lambda: interrupts.give_back(over=_is_the_program(config)))
    config.add_cleanup(lambda: _close(config))
    junit = config.getoption("xmlpath", None)
    if junit and not hasattr(config, "workerinput"):
        config.pluginmanager.register(ScenarioCount(junit), "pgchaos junit")
    config.stash[OPTIONS] = options
    config.stash[RUNNER] = runner
    config.stash[_BANNERS] = {}
    fixtures.register(config)


def _close(config: pytest.Config) -> None:
    """Give the server back, and say what could not be removed from it."""
    for line in config.stash[RUNNER].close():
        # the summary has been written; a worker of pytest-xdist has nobody else who reads this
        print(one_line(f"pgchaos: {line}"), file=sys.stderr)


def _is_the_program(config: pytest.Config) -> bool:
    """Say whether the process was started to run pytest, and not by somebody who calls it and goes on."""
    program = Path(sys.argv[0])
    called = program.name in ("pytest", "py.test") or (
        program.name == "__main__.py" and program.parent.name == "pytest"
    )
    return called and not config.invocation_params.plugins


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 pytest-xdist's own type
    """Give a worker of pytest-xdist the seed, which it would draw for itself."""
    node.workerinput["pgchaos"] = {"seed": node.config.stash[OPTIONS].seed}


def pytest_report_header(config: pytest.Config) -> str:
    """Say the version and the seed."""
    return f"pgchaos {pgchaos.__version__}, seed {config.stash[OPTIONS].seed}"


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Say how many interleavings would be run, where nothing is."""
    return _permutations(config, items) if _nothing_is_run(config) else []


def _nothing_is_run(config: pytest.Config) -> bool:
    return any(config.getoption(name) for name in _NOTHING_IS_RUN)


def _permutations(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    return [] if config.stash[OPTIONS].token is not None else permutations_told(items)


def _open_server(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Open the server, if something will use it, and say which it is and whether it is ours."""
    scenarios = any(isinstance(item, ScenarioItem) for item in items)
    # a worker of pytest-xdist shows nothing, and would be lost with all that it has to say
    if hasattr(config, "workerinput") or not (scenarios or any(map(fixtures.uses_database, items))):
        return
    try:
        server = config.stash[RUNNER].server
        lines = [f"server: {server.banner}", *server.notes, *keeping_told(items), *_permutations(config, items)]
    except ServerError as error:
        if not scenarios:
            return  # the tests that need it say so, and others may not
        raise pytest.UsageError(printable(str(error))) from None
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        # without a terminal pytest takes 80 columns, and cuts off what failed in its summary
        config.get_terminal_writer().fullwidth = columns()
        for line in lines:
            reporter.write_line(one_line(line))


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Collect a scenario; one that pytest-pgtap would run as well is run by us alone."""
    others = yield
    if file_path.suffix == ".spec":
        return [*others, *_spec_files(file_path, parent)]
    named = file_path.suffix != ".py" and is_named(file_path, parent.session)
    if file_path.suffix not in (".sql", ".pg") and not (named and not others):
        return others
    # the reader takes a while to load; projects without SQL do not pay for it
    from pgchaos.pytest_plugin.collection import ScenarioFile, wanted

    stash = parent.config.stash
    options = stash[OPTIONS]
    what = wanted(file_path, parent.session, options)
    if what is None:
        return others
    theirs = [other for other in others if type(other).__module__.partition(".")[0] == "pytest_pgtap"]
    if what.kind == "pgtap" and ((theirs and not options.pgtap_files) or (others and not what.prints)):
        return others
    file: ScenarioFile = ScenarioFile.from_parent(parent, path=file_path)
    file.options, file.runner, file.raw = options, stash[RUNNER], what.raw
    file.plain, file.prints = what.kind == "pgtap", what.prints
    file.obj = ModuleType(file_path.stem)
    return [*(other for other in others if other not in theirs), file]


def _spec_files(path: Path, parent: pytest.Collector) -> list[pytest.Collector]:
    # pytest asks for all files of a folder again for each file of it that is named on the command line
    asked = parent.stash.setdefault(_ASKED, {})
    if path not in asked:
        asked[path] = _new_spec_files(path, parent)
    return asked[path]


def _new_spec_files(path: Path, parent: pytest.Collector) -> list[pytest.Collector]:
    from pgchaos.pytest_plugin.collection import is_wanted_spec

    options = parent.config.stash[OPTIONS]
    if not is_wanted_spec(path, parent.session, options):
        return []
    from pgchaos.pytest_plugin.spec_items import SpecFile

    file: SpecFile = SpecFile.from_parent(parent, path=path)
    file.options, file.runner = options, parent.config.stash[RUNNER]
    file.obj = ModuleType(path.stem)
    return [file]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave nothing but what the token of --chaos-replay is of."""
    token = config.stash[OPTIONS].token
    if token is not None:
        others = [item for item in items if not is_of(item, token)]
        items[:] = [item for item in items if is_of(item, token)]
        config.hook.pytest_deselected(items=others)
        if not items:
            raise pytest.UsageError(
                f"--chaos-replay: '{shown(str(token))}' is of none of the scenarios here: the file has changed since,"
                " or it was another one, another value of its matrix or a mutant of it (then --chaos-mutants is needed"
                " too)"
            )


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Begin to run scenarios ahead, now that it is known which will be run; end it with the loop."""
    config = session.config
    runner, interrupts = config.stash[RUNNER], config.stash[_INTERRUPTS]
    set_limits(session.items)
    try:
        if not _nothing_is_run(config) and not session.testsfailed:
            # here, and not where items are counted: --fixtures and the like collect too, and run nothing
            with interrupts.watched():
                _begin(config, session.items)
        return (yield)
    except KeyboardInterrupt:
        if runner.banner:
            interrupts.ignore()
        raise
    finally:
        runner.end()


def _begin(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Open the server, and begin to run scenarios ahead."""
    runner, options = config.stash[RUNNER], config.stash[OPTIONS]
    _open_server(config, items)
    runner.keep(jobs_kept(items))
    # without a server each item says so
    with suppress(ServerError):
        if any(map(is_scenario, items)):
            runner.prepare()
        preload(jobs_of(items))
        if may_run_ahead(config) and len(jobs := jobs_ahead(items)) > 1:
            runner.start(jobs, options.jobs)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Have Ctrl-C end the run in order while a scenario runs, however often it is pressed."""
    # a debugger takes the first Ctrl-C for itself, and asks for more
    if not isinstance(item, ScenarioItem) or item.config.getoption("usepdb"):
        return (yield)
    with item.config.stash[_INTERRUPTS].watched():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give a report the time of the scenario itself, and a skip the line of the scenario that asks for it."""
    report = yield
    mask(report)
    if not isinstance(item, ScenarioItem):
        return report
    from pgchaos.pytest_plugin.collection import shown_of

    if call.when == "call":
        if item.in_subtest:
            report.duration = 0.0
            setattr(report, ASSERTION, report.passed)
        elif item.took is not None:
            report.duration = item.took
        if isinstance(report.longrepr, tuple):
            report.longrepr = (str(item.path), item.line, report.longrepr[2])
        elif report.failed:
            item.failed_at = anchor(report, item, shown_of(item.path, item.config))
    if item.failed_at is not None:
        point_to(report, item.failed_at)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Take passwords out of what is said of a file that cannot be collected."""
    report = yield
    mask(report)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item) -> bool | None:
    """Leave the timer of pytest-timeout out: its limit is the engine's, which says who waited, and cleans up."""
    return True if isinstance(item, ScenarioItem) else None


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> bool | None:
    """Say that there is no timer of pytest-timeout to cancel."""
    return True if isinstance(item, ScenarioItem) else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that shows the results which server was used, where this is a worker of pytest-xdist."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["chaos_server"] = session.config.stash[RUNNER].banner


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 pytest-xdist's own type
    """Take what a worker of pytest-xdist says of its server."""
    banner = getattr(node, "workeroutput", {}).get("chaos_server")
    if banner:
        node.config.stash[_BANNERS][node.gateway.id] = banner


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Say which servers the workers of pytest-xdist used, what of the scenarios may surprise, and what was stopped."""
    if exitstatus == pytest.ExitCode.INTERRUPTED:
        for line in config.stash[RUNNER].stopped:
            terminalreporter.write_line(one_line(line))
    for worker, banner in sorted(config.stash[_BANNERS].items()):
        terminalreporter.write_line(one_line(f"server of {worker}: {banner}"))
    _show_passed(terminalreporter)
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    said = [said for report in reports for said in getattr(report, "user_properties", ())]
    for line in level_table(told(text) for name, text in said if name == ORACLE):
        terminalreporter.write_line(one_line(line))
    if config.get_verbosity() >= 0:
        notes = dict.fromkeys(text for name, text in said if name == NOTE)
        searched = dict.fromkeys(text for name, text in said if name == SEARCHED)
        for text in searched:
            terminalreporter.write_line(one_line(f"explored: {text}"))
        for text in notes:
            terminalreporter.write_line(one_line(f"note: {text}"))


def _show_passed(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what passing runs did, where that was asked for: their reports hold it then."""
    if "P" in terminalreporter.reportchars:
        return  # pytest prints all of these reports itself
    reports = [report for outcome in ("passed", "xfailed") for report in terminalreporter.stats.get(outcome, ())]
    shown = [(report, text) for report in reports for name, text in report.sections if name == f"Captured {RUN} call"]
    if shown:
        terminalreporter.write_sep("=", "SCENARIOS THAT PASSED")
    for report, text in shown:
        terminalreporter.write_sep("_", one_line(report.head_line or report.nodeid))
        terminalreporter.write_line(text)
