"""The table of directives and the table of faults: the language follows them, and so does its reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.language.directive_table import (
    DIRECTIVES,
    HeaderDirective,
    SessionDirective,
    directive_reference,
    fault_reference,
)
from pgchaos.language.fault_kinds import FORMS, FaultForm, form_of
from pgchaos.language.model import Scenario
from pgchaos.language.section_items import Fault
from tests.language.reading import problems, read_text

LANGUAGE = (Path(__file__).parents[2] / "sql/LANGUAGE.md").read_text(encoding="utf-8")
MATRIX = "-- chaos:matrix level in low, high\n-- chaos:setup\n\\set used :level\n"
CHECK = "-- chaos:check\nSELECT pass();\n"
EXAMPLES = {
    "title": "A title",
    "tags": "slow",
    "timeout": "5s",
    "requires": "superuser",
    "sandbox": "server",
    "server": "work_mem = 1MB",
    "pooler": "query_wait_timeout = 10",
    "alone": "",
    "matrix": "size in 1, 2",
    "given": "amount in 1..3",
    "default": "used = 1",
    "schedule": "free",
    "oracle": "serializable",
    "xfail": "a reason",
    "leaves": "role a reason",
    "step": "looks",
    "expect": "23505",
    "allow": "23505",
    "delay": "1ms",
    "jitter": "1ms",
    "barrier": "met",
    "wait": "for go",
    "signal": "go",
    "fault": "cancel",
}
FAULT_ARGUMENTS = {
    "[TIME]": "5ms",
    "TIME [jitter TIME]": "20ms jitter 5ms",
    "SIZE": "64kB",
}


@pytest.mark.parametrize("table", [directive_reference(), fault_reference()], ids=["directives", "faults"])
def test_the_reference_has_the_table(table: str) -> None:
    assert f"\n\n{table}\n\n" in LANGUAGE, "write what `pgchaos directives` prints into sql/LANGUAGE.md"


@pytest.mark.parametrize("word", [word for word, row in DIRECTIVES.items() if isinstance(row, HeaderDirective)])
def test_a_header_directive_may_be_repeated_if_its_row_says_so(tmp_path: Path, word: str) -> None:
    line = f"-- chaos:{word} {EXAMPLES[word]}\n"
    found = problems(tmp_path, line + line + CHECK)
    twice = [one for one in found if one.startswith(f"t.sql:2: `{word}` is written twice")]
    assert bool(twice) == DIRECTIVES[word].once


@pytest.mark.parametrize(
    "word", [word for word, row in DIRECTIVES.items() if isinstance(row, HeaderDirective | SessionDirective)]
)
def test_a_directive_may_have_a_condition_if_its_row_says_so(tmp_path: Path, word: str) -> None:
    row = DIRECTIVES[word]
    line = f"-- chaos:{word} {EXAMPLES[word]} when level = wrong\n"
    text = MATRIX + "-- chaos:session a\n" + line if isinstance(row, SessionDirective) else line + MATRIX
    found = problems(tmp_path, f"{text}SELECT 1;\n{CHECK}")
    assert any("`wrong` is not a value of `level`" in one for one in found) == row.when


@pytest.mark.parametrize("word", DIRECTIVES)
def test_a_directive_without_its_colon_is_found_by_its_shape(word: str) -> None:
    row = DIRECTIVES[word]
    assert row.fits("")
    assert all(keyword in row.usage for keyword in row.keywords)
    if word in EXAMPLES and word not in ("xfail", "requires"):
        assert row.fits(EXAMPLES[word])


def with_fault(folder: Path, fault: str) -> Scenario:
    text = f"-- chaos:sandbox server\n-- chaos:session a\n-- chaos:fault {fault}\nSELECT 1;\n{CHECK}"
    return read_text(folder, text)


@pytest.mark.parametrize("row", FORMS, ids=lambda row: f"{row.kind} {row.argument}".strip())
def test_every_form_of_a_fault_is_read(tmp_path: Path, row: FaultForm) -> None:
    argument = FAULT_ARGUMENTS.get(row.argument, row.argument)
    found = with_fault(tmp_path, f"{row.kind} {argument}".strip())
    (fault,) = [item for item in found.sessions[0].items if isinstance(item, Fault)]
    assert (fault.kind, fault.argument) == (row.kind, argument)
    assert form_of(fault) is row
