"""`python -m tests.bench [NAME …]`: measure, say it, and where all was measured write RESULTS.md.

Every figure is that of this machine at that hour; the ratios hold further.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from psycopg import pq

from tests.bench import collecting, faults, files, many, oracle, overhead, proxy, search, specs, statements, suite
from tests.bench.measure import HEAD, PAIRS, Line
from tests.bench.work import own_server

LINES: Mapping[str, Callable[[Path], Iterator[Line]]] = {
    "statements": statements.lines,
    "files": files.lines,
    "suite": suite.lines,
    "specs": specs.lines,
    "search": search.lines,
    "empty": overhead.empty,
    "collecting": collecting.lines,
    "delays": overhead.delays,
    "many": many.lines,
    "start": overhead.start,
    "oracle": oracle.lines,
    "faults": faults.own,
    "proxy": proxy.proxied,
}
RESULTS = Path(__file__).with_name("RESULTS.md")


def main(names: list[str]) -> int:
    """Measure what is named, or everything; return 2 where a name is none, else 0: a missed aim is no error."""
    unknown = sorted(set(names) - set(LINES))
    if unknown:
        print(f"no line of the bench: {', '.join(unknown)}; there are {', '.join(LINES)}", file=sys.stderr)
        return 2
    head = [*_preface(), "", HEAD]
    print("\n".join(head), flush=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="pgchaos-bench-") as folder:
        # a server that runs as another account reads there
        Path(folder).chmod(0o755)
        for name in names or LINES:
            for line in LINES[name](Path(folder)):
                rows.append(line.row())
                print(rows[-1], flush=True)
    if not names:
        RESULTS.write_text("\n".join(["# What `make bench` measured", "", *head, *rows, ""]), encoding="utf-8")
    return 0


def _preface() -> Iterator[str]:
    with own_server() as server:
        said = server.banner
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pgchaos", "pytest", "psycopg"))
    yield f"- {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, {_machine()}, {platform.system()} {platform.release()}"
    yield f"- {said.partition(',')[0]}; {platform.python_implementation()} {platform.python_version()}, {libraries}"
    yield f"- libpq {pq.version()} ({pq.__impl__}); seeds fixed"
    yield (
        f"- each is the median of {PAIRS} runs after one that does not count; a ratio is the median of {PAIRS} ratios"
        " of runs that follow each other (A B A B …), the least and the greatest beside it"
    )
    yield (
        "- processor time is that of a whole run, preparation and check included, for one of what is measured: what"
        " pgchaos or its peer takes + what the server takes, which bounds both; one figure where the run starts its own"
        " server holds both"
    )


def _machine() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    model = platform.processor() or platform.machine()
    if cpuinfo.exists():
        found = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = found[0].partition(":")[2].strip() if found else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {model}, load {os.getloadavg()[0]:.1f} at the start"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
