"""What README.md opens with is true: the scenario fails as it says, in that order again, and is mended as it says."""

from __future__ import annotations

import re

import pytest

from pgchaos.schedule.token import parse
from tests.pytest_plugin.conftest import Project
from tests.pytest_plugin.pages import failure, make, page, shown, sql_blocks, timeless

PAGE = page("README.md")
TICKET = sql_blocks(PAGE)[0]
(FAILS,) = shown(PAGE)
AGAIN = re.findall(r"^    +(make installcheck-chaos .*)$", FAILS.text, re.MULTILINE)[-1]

CHANCE = re.compile(r"(?<=Seed |seed=)[0-9]+|(?<==[0-9a-f]{8})[0-9a-f]{4}-[0-9a-z]+-[01]{10}\b")


def order_left_out(text: str) -> tuple[list[str], dict[str, list[str]]]:
    """Take a failure apart: what is said around its table, and the rows of each connection.

    Who of the two is first, and who was seen waiting for whose lock, is chance; so is the seed, and with it the token.
    """
    around: list[str] = []
    rows: dict[str, list[str]] = {}
    mine: list[str] = []
    for line in timeless(CHANCE.sub("N", text)):
        if found := re.match(r"cashier\[[12]\]", line):
            mine = rows.setdefault(found[0], [])
            mine.append(line.removeprefix(found[0]))
        elif line.startswith("-> waited for "):
            pass
        elif line.startswith(("-> ", "sent: ")):
            mine.append(line)
        else:
            around.append(line)
    return around, rows


def order(text: str) -> list[str]:
    return re.findall(r"cashier\[[12]\]\.[0-9]", text)


@pytest.fixture
def ticket(project: Project) -> Project:
    project.write(last_ticket=TICKET)
    return project


def test_the_scenario_fails_as_shown(ticket: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    text = failure(make(ticket, monkeypatch, FAILS.command))
    around, rows = order_left_out(text)
    assert (around, rows) == order_left_out(FAILS.text)
    assert rows["cashier[1]"] == rows["cashier[2]"]
    # both look before either sells
    for output in (text, FAILS.text):
        assert {step[-1] for step in order(output)[:4]} == {"1", "2"}


def test_its_last_line_runs_this_one_order_again(ticket: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    token = parse(AGAIN.rpartition("=")[2])
    assert f"Seed {token.seed}. " in FAILS.text
    text = failure(make(ticket, monkeypatch, AGAIN))
    assert timeless(text)[:9] == timeless(FAILS.text)[:9]
    assert [int(step[8]) - 1 for step in order(text)[:10]] == list(token.decisions)
    assert timeless(text)[-1].strip() == AGAIN


def test_it_is_mended_as_said(ticket: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert r"Put `FOR UPDATE` before `\gset` and it passes" in PAGE
    ticket.write(last_ticket=TICKET.replace(r" \gset", r" FOR UPDATE \gset"))
    make(ticket, monkeypatch, FAILS.command).assert_outcomes(passed=1)


def test_a_mistake_is_told_as_shown(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (output,) = re.findall(r"^    (sql/mine\.sql:12: .*)$", PAGE, re.MULTILINE)
    mine = TICKET.replace("-- chaos:session cashier", "\n\n\n\n-- chaos:sesion cashier")
    project.write(mine=mine)
    assert output in make(project, monkeypatch, "make installcheck-chaos CHAOS_TESTS=sql/mine.sql").outlines
