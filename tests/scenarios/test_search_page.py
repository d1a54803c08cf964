"""The page on searching is true: its scenario fails as it says, each repair leads on, and the last finds nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from pgchaos.engine import Settings, run
from pgchaos.history import RunResult
from pgchaos.scenario.reader import read
from pgchaos.server import Server

PAGE = (Path(__file__).parents[2] / "sql/SEARCH.md").read_text(encoding="utf-8")
SHOWN = re.sub(r" \(\d+ serial runs\)", "", PAGE)
FIRST, LOCKS, COMPUTES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
LOCKED = FIRST.replace("SELECT state = 'placed' AS open FROM orders WHERE id = 10 \\gset\n", LOCKS)
MENDED = LOCKED.replace("UPDATE product SET stock = :stock - 1 WHERE id = 1;\n", COMPUTES)


def searched(text: str, folder: Path, server: Server, limit: int = 500) -> RunResult:
    path = folder / "shop.sql"
    path.write_text(text, encoding="utf-8")
    scenario = read(path, "sql/shop.sql")
    return run(replace(scenario, schedule=replace(scenario.schedule, limit=limit)), {}, server, Settings(1))


def left_out(text: str) -> list[str]:
    """List the lines of a failure that the page does not show; how many serial runs it took may change."""
    return [line for line in re.sub(r" \(\d+ serial runs\)", "", text).splitlines() if line.strip() not in SHOWN]


def steps(result: RunResult) -> str:
    return " ".join(f"{one.session}.{one.step}" for one in result.order)


def test_the_first_race_is_found_and_told(tmp_path: Path, private_server: Server) -> None:
    result = searched(FIRST, tmp_path, private_server)
    (failure,) = result.failures
    assert failure.kind == "oracle"
    assert "lost update" in failure.names
    assert steps(result) in " ".join(PAGE.split())
    assert not left_out(failure.text)


def test_behind_it_the_second_is(tmp_path: Path, private_server: Server) -> None:
    assert LOCKED.count("FOR UPDATE") == 2
    result = searched(LOCKED, tmp_path, private_server)
    (failure,) = result.failures
    assert "lost update" in failure.names
    assert steps(result) in " ".join(PAGE.split())
    assert not left_out(failure.text)


def test_then_nothing_is_found(tmp_path: Path, private_server: Server) -> None:
    assert "stock = stock - 1" in MENDED
    assert not searched(MENDED, tmp_path, private_server, limit=60).failures
