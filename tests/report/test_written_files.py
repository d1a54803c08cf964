"""What is written into files: valid, complete, and with each text as text."""

from __future__ import annotations

import json
import os
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator

from pgchaos.report.export.document import SCHEMA, RunData, document, dumps
from pgchaos.report.export.github import annotation_lines, job_summary
from pgchaos.report.export.output_file import check_writable, write_whole
from pgchaos.report.export.page import page
from pgchaos.report.export.scenario_data import safe
from pgchaos.report.export.svg import file_name, svg, wrap
from pgchaos.report.export.timeline_data import Data
from pgchaos.report.export.trace import trace
from pgchaos.results import RunResult
from pgchaos.safe_output import hide
from tests.report.runs import HOSTILE, START, row_ms, scenario

RUN = RunData("0.1.0", seed=1, started_at=0.0, exit_status=1, collected=2, not_run=("sql/z.sql::z",))
VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


class Scripts(HTMLParser):
    """Collects the scripts of a page as a browser finds them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str | None, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.found.append((dict(attrs).get("type"), ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            kind, text = self.found[-1]
            self.found[-1] = (kind, text + data)
        else:
            self.text.append(data)


def test_the_document_follows_its_schema() -> None:
    Draft202012Validator.check_schema(VALIDATOR.schema)
    written = json.loads(document(RUN, [dumps(scenario()), dumps(scenario(1))]))
    VALIDATOR.validate(written)
    assert [one["name"] for one in written["scenarios"]] == ["x0", "x1"]
    assert not VALIDATOR.is_valid({**written, "version": 2})
    written["scenarios"][0]["timeline"]["events"][0]["surprise"] = 1
    assert not VALIDATOR.is_valid(written)


def test_no_text_of_a_run_ends_a_script_of_the_page() -> None:
    scripts = Scripts()
    scripts.feed(page(RUN, [dumps(scenario(title=f"{HOSTILE}<b>", text="\u2028&lt;"))]))
    kinds = [kind for kind, _ in scripts.found]
    assert kinds == ["application/json", "application/json", None]
    data = json.loads(scripts.found[1][1])
    assert data["title"] == f"{HOSTILE}<b>"
    assert data["text"] == "\u2028&lt;"
    assert data["timeline"]["events"][3]["statement"] == HOSTILE
    assert "sql/z.sql::z" in "".join(scripts.text)


def test_the_page_loads_nothing() -> None:
    text = page(RUN, [])
    assert not re.search(r"""(?:src|href)=(?!["'](?:#|data:))|@import|url\(|fetch\(|innerHTML""", text)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; ")


def test_a_picture_is_xml_and_holds_each_text_whole_or_cut() -> None:
    data = scenario()
    texts = [one.text or "" for one in elements(data, "text")]
    assert {"report[1]", "migration[1]", "reader[1]", "FAILED  Scenario 0"} <= set(texts)
    at = texts.index("x.sql:9: SELECT")
    assert texts[at + 1].startswith("'</script><script>")
    assert ">7: BEGIN<" in svg(scenario(file="sql/x.sql")), "of its own file the line alone"
    assert "sum = 30" in texts
    assert "✕ sql/x.sql:9: reader[1]: ERROR 55P03" in texts
    arrows = [one for one in elements(data, "path") if one.get("class") == "arrow"]
    assert len(arrows) == 2
    assert ElementTree.fromstring(svg({**scenario(), "timeline": None})) is not None


def test_what_a_picture_leaves_out_is_counted_between_boxes() -> None:
    records = [row_ms("s", number, f"SELECT {number}") for number in range(200)]
    records[120].sqlstate, records[120].message = "40001", "could not serialize"
    data = scenario(result=RunResult(1, started_at=START, records=records))
    texts = [one for one in elements(data, "text") if (one.text or "").endswith(" more")]
    assert sum(int((one.text or "").split()[0]) for one in texts) == 200 - 40
    boxes = [
        extent(one)
        for one in elements(data, "rect")
        if (one.get("class") or "").startswith("box") and one.get("x") != "12"
    ]
    for text in texts:
        y = float(text.get("y", 0))
        assert not [box for box in boxes if box[0] < y and y - 12 < box[1]], "no box is at its line"


def test_a_title_is_whole_or_cut_and_has_the_values_of_the_matrix() -> None:
    def lines(title: str, **values: str) -> list[str]:
        data = scenario(title=title, values=values, result=RunResult(1, started_at=START, records=[row_ms("s", 1)]))
        return [one.text or "" for one in elements(data, "text") if one.get("class") == "title"]

    assert lines("Short", cut="during", level="read committed") == ["FAILED  Short (cut=during, level=read committed)"]
    long = "A commit that waits for a synchronous standby while its own connection is cut in the middle of it"
    assert " ".join(lines(long, cut="during")) == f"FAILED  {long} (cut=during)"
    *first, cut, values = lines(long * 3, cut="during")
    assert (cut[-1], values) == ("…", "(cut=during)")
    assert lines(long * 3)[-1].endswith("…")
    assert max(map(len, [*first, cut])) * 8 < 640, "they fit into the narrowest picture"


def elements(data: Data, kind: str) -> list[ElementTree.Element]:
    """The elements of one kind in the picture of a scenario."""
    return list(ElementTree.fromstring(svg(data)).iter(f"{{http://www.w3.org/2000/svg}}{kind}"))


def extent(one: ElementTree.Element) -> tuple[float, float]:
    """Where a rectangle begins and ends, from top to bottom."""
    top = float(one.get("y", 0))
    return top, top + float(one.get("height", 0))


def rects(data: Data, kind: str) -> list[tuple[float, float]]:
    """Where rectangles of a class begin and end."""
    return [extent(one) for one in elements(data, "rect") if one.get("class") == kind]


def test_what_is_said_of_hidden_connections_is_above_the_failure() -> None:
    many = RunResult(1, started_at=START, records=[row_ms(f"s{number}", number) for number in range(10)])
    data = scenario(result=many)
    (said,) = [one for one in elements(data, "text") if (one.text or "").endswith(" not shown")]
    assert said.text == "4 more connections not shown"
    boxes, (failure,) = rects(data, "box fine"), rects(data, "box failed")
    y = float(said.get("y", 0))
    assert max(bottom for _, bottom in boxes) < y - 10, "a letter is ten high"
    assert y + 4 < failure[0]


def test_the_bar_of_a_transaction_ends_with_its_last_statement() -> None:
    records = [
        row_ms("one", 1, "BEGIN", tag="BEGIN"),
        row_ms("two", 3, "BEGIN", tag="BEGIN"),
        row_ms("two", 5, "UPDATE t SET id = 2", 50, waited_on=("one[1]",)),
        row_ms("one", 20, "SELECT 1"),
        row_ms("one", 40, "COMMIT", tag="COMMIT"),
    ]
    data = scenario(result=RunResult(1, started_at=START, records=records), failures=[])
    (waits,) = rects(data, "box waits")
    bars = rects(data, "transaction")
    assert len(bars) == 2
    assert bars[1][1] == waits[1]


def test_lines_break_at_blanks() -> None:
    assert wrap("INSERT INTO invoice VALUES", 20, 9) == ["INSERT INTO invoice", "VALUES"]
    assert wrap("SET synchronous_commit = off", 20, 9) == ["SET", "synchronous_commit =", "off"]
    assert wrap("synchronous_standby_names", 22, 9) == ["synchronous_standby_", "names"]
    assert wrap("x" * 25, 20, 9) == ["x" * 20, "x" * 5]
    assert wrap("", 20, 9) == [""]
    assert wrap("UPDATE account SET balance = 1", 10, 2) == ["UPDATE", "account…"]
    assert wrap("x" * 25, 10, 2) == ["x" * 10, "x" * 9 + "…"]


@pytest.mark.timeout(15)
def test_a_value_of_many_megabytes_is_cut_before_it_is_drawn() -> None:
    records = [row_ms("one", 0, "SELECT '" + "x" * 30_000_000 + "'")]
    drawn = svg(scenario(result=RunResult(1, started_at=START, records=records), failures=[]))
    assert "xxx…</text>" in drawn
    assert len(drawn) < 30_000


def test_files_are_named_by_their_items() -> None:
    assert file_name("sql/a b/x.sql::x[level=read committed]") == "sql_a_b_x.sql_x_level=read_committed.svg"
    assert "/" not in file_name("../../etc/passwd::x")


def test_a_trace_has_a_thread_for_each_connection() -> None:
    events = json.loads(trace([scenario(), scenario(1)]))["traceEvents"]
    assert {event["pid"] for event in events} == {1, 2}
    names = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert names == {"report[1]", "migration[1]", "reader[1]"}
    (alter,) = (event for event in events if event["pid"] == 1 and event["name"].startswith("ALTER"))
    assert (alter["ph"], alter["ts"], alter["dur"]) == ("X", 5000.0, 50000.0)
    (wait,) = (event for event in events if event["pid"] == 1 and event["name"] == "waits for report[1]")
    # a slice within another must not be longer
    assert alter["ts"] <= wait["ts"]
    assert wait["ts"] + wait["dur"] <= alter["ts"] + alter["dur"]


def test_annotations_are_escaped() -> None:
    text = "first: 100%\r\nsecond::error::"
    failed = scenario(file="sql/a,b.sql", line=7, title="Two: one", text=text)
    lines = annotation_lines([failed, scenario(verdict="passed")], "py/app")
    assert lines == [
        "::error file=py/app/sql/a%2Cb.sql,line=7,title=x0%3A Two%3A one::first: 100%25%0D%0Asecond::error::"
    ]


def test_the_job_summary_shows_each_failure_as_text() -> None:
    failed = scenario(title="<b>", text="```\n</details>\n````")
    text = job_summary([failed, scenario(verdict="passed"), scenario(verdict="passed")])
    assert text.startswith("### pgchaos: 1 failed, 2 passed\n")
    assert "sql/x0.sql::x0: &lt;b&gt;" in text
    assert "\n`````text\n```\n</details>\n````\n`````\n" in text
    assert job_summary([]) == ""
    many = job_summary([scenario(number, text="x" * 30000) for number in range(100)])
    assert len(many.encode()) < 1 << 20
    assert "more failures." in many


def test_data_is_safe_to_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgchaos.safe_output._secrets", set())
    hide("swordfish")
    got = safe({"a": ["swordfish\x1b", {"b": ("swordfish", 1, None)}]})
    assert got == {"a": ["********\\x1b", {"b": ["********", 1, None]}]}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    check_writable(path)
    assert list(path.parent.iterdir()) == []
    path.write_text("old")
    write_whole(path, "new ✓\n")
    assert path.read_text(encoding="utf-8") == "new ✓\n"
    assert list(path.parent.iterdir()) == [path]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\udcff")
    assert path.read_text(encoding="utf-8") == "new ✓\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["", "/dev/null", "a_file/x"])
def test_what_cannot_be_written_is_found_before(tmp_path: Path, name: str) -> None:
    (tmp_path / "a_file").touch()
    with pytest.raises(OSError, match=r"no file|exists|directory"):
        check_writable(tmp_path / name)
