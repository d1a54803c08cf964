"""What README.md opens with is true: the scenario fails as it and sql/README.md say, and is mended as it says."""

from __future__ import annotations

import re

import pytest

from pgchaos.schedule.token import parse
from tests.pytest_plugin.conftest import INI, Project
from tests.pytest_plugin.pages import ROOT, columns, failure, make, page, shown, sql_blocks, timeless
from tests.pytest_plugin.readme_picture import PICTURE, texts_by_column

PAGE = page("README.md")
TICKET = sql_blocks(PAGE)[0]
WRITING = page("sql/README.md")
(FAILS,) = shown(WRITING)
AGAIN = re.findall(r"^    +(make installcheck-chaos .*--chaos-replay=.*)$", FAILS.text, re.MULTILINE)[0]

CHANCE = re.compile(r"(?<=Seed |seed=)[0-9]+|(?<==[0-9a-f]{8})[0-9a-f]{4}-[0-9a-z]+-[01]{10}\b")


@pytest.fixture
def ticket(project: Project) -> Project:
    project.write(last_ticket=TICKET)
    return project


def test_the_scenario_fails_as_shown(ticket: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket.file("pytest.ini", f"{INI}\nchaos_svg = pictures\n")
    # who of the two is first, and who was seen waiting for whose lock, is chance; so is the seed, and with it the token
    text = failure(make(ticket, monkeypatch, FAILS.command)).partition("\n--chaos-svg: ")[0]
    real, page_ = (columns(CHANCE.sub("N", output)) for output in (text, FAILS.text))
    assert real.around == page_.around
    assert real.cells == page_.cells
    own = [[re.sub(r"\b[12]\b(?!:)", "N", cell) for cell in cells] for cells in real.cells.values()]
    assert own[0] == own[1]
    (picture,) = ticket.pytester.path.glob("pictures/*.svg")
    assert texts_by_column(picture) == texts_by_column(PICTURE), "`make picture` draws it anew"
    assert PAGE.count(f"/main/{PICTURE.relative_to(ROOT)})") == PAGE.count("](https://raw.") == 1
    (head,) = re.findall(r"^    \$ pgchaos run .*\n    \.\.\.\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    assert re.sub("^    ", "", head, flags=re.MULTILINE) in f"{FAILS.text}\n"
    # both look before either sells
    for shown_ in (real, page_):
        assert [line for _, line in shown_.order if line in (10, 13)] == [10, 10, 13, 13]


def test_its_replay_line_runs_this_one_order_again(ticket: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    token = parse(AGAIN.rpartition("=")[2])
    assert FAILS.text.endswith(f"--chaos-seed={token.seed}")
    text = failure(make(ticket, monkeypatch, AGAIN))
    assert timeless(text)[:10] == timeless(FAILS.text)[:10]
    sent = [name for name, line in columns(text).order if line != 11]
    assert [int(name[8]) - 1 for name in sent[:10]] == list(token.decisions)
    assert timeless(text)[-3].strip() == AGAIN


def test_it_is_mended_as_said(ticket: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert r"Put `FOR UPDATE` before `\gset` and it passes" in PAGE
    ticket.write(last_ticket=TICKET.replace(r" \gset", r" FOR UPDATE \gset"))
    make(ticket, monkeypatch, FAILS.command).assert_outcomes(passed=1)


def test_a_mistake_is_reported_as_shown(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (output,) = re.findall(r"^ +(sql/mine\.sql:12: .*)$", WRITING, re.MULTILINE)
    mine = TICKET.replace("-- chaos:session cashier", "\n\n\n\n-- chaos:sesion cashier")
    project.write(mine=mine)
    assert output in make(project, monkeypatch, "make installcheck-chaos CHAOS_TESTS=sql/mine.sql").outlines
