from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgchaos.language.problems import Place
from pgchaos.language.written_assertions import Excuses
from pgchaos.results import Assertion
from pgchaos.tap import TapParser, TapReport, diagnostics_of, failures_of

HERE = Place("sql/x.sql", 7)


def parse(text: str, *, stopped: bool = False) -> TapReport:
    parser = TapParser()
    parser.feed(text, HERE)
    return parser.close(stopped=stopped)


def problems(text: str) -> list[str]:
    return [problem.text for problem in parse(text).problems]


def test_a_failing_is_of_pgtap() -> None:
    # as pgTAP 1.3.5 prints it
    report = parse(
        "1..2\n"
        "ok 1 - both got an answer\n"
        "not ok 2 - the seat was sold once\n"
        '# Failed test 2: "the seat was sold once"\n'
        "#         have: 2\n"
        "#         want: 1\n"
        "# Looks like you failed 1 test of 2"
    )
    assert not report.problems
    assert report.remarks == ("Looks like you failed 1 test of 2",)
    assert report.assertions[0] == Assertion("both got an answer", True, HERE)
    (failure,) = failures_of(report)
    assert (failure.kind, failure.names, failure.text) == (
        "assertion",
        ("the seat was sold once",),
        "the seat was sold once",
    )
    assert failure.place == HERE
    assert failure.details == ("have: 2", "want: 1")


@pytest.mark.parametrize(
    ("printed", "details"),
    [
        (("have: a", "want: "), ("have: a", "want: ''")),
        (("have: ", "want: b"), ("have: ''", "want: b")),
        (("have: ", "want: "), ("have: ''", "want: ''")),
        (("have: a", "want: ", "b"), ("have: a", "want: ", "b")),
        (("have: NULL", "want: "), ("have: NULL", "want: ''")),
    ],
)
def test_an_empty_text_is_shown(printed: tuple[str, ...], details: tuple[str, ...]) -> None:
    diagnostics = "".join(f"\n#         {line}" for line in printed)
    (failure,) = failures_of(parse(f'1..1\nnot ok 1 - x\n# Failed test 1: "x"{diagnostics}'))
    assert tuple(map(str.rstrip, failure.details)) == tuple(map(str.rstrip, details))


def test_a_failure_without_description_is_named_by_its_number() -> None:
    (failure,) = failures_of(parse("1..1\nnot ok 1\n# Failed test 1"))
    assert (failure.names, failure.text, failure.details) == ((), "test 1", ())


def test_a_description_of_several_lines_is_not_repeated() -> None:
    (failure,) = failures_of(
        parse('1..1\nnot ok 1 - first\n# second\n# Failed test 1: "first\n# second"\n#     (test result was NULL)')
    )
    assert (failure.text, failure.details) == ("first", ("second", "    (test result was NULL)"))


def test_a_heading_that_never_closes_takes_nothing_else_away() -> None:
    (failure,) = failures_of(parse('1..1\nnot ok 1 - x\n# Failed test 1: "x\n#         have: 1'))
    assert failure.details == ("have: 1",)


def test_todo_and_skip_do_not_fail() -> None:
    report = parse('1..2\nnot ok 1 - later # TODO not built\n# Failed (TODO) test 1: "later"\nok 2 # SKIP no pggit')
    assert [(a.ok, a.directive, a.reason) for a in report.assertions] == [
        (False, "todo", "not built"),
        (True, "skip", "no pggit"),
    ]
    assert not failures_of(report)


def test_what_failed_was_not_skipped_whatever_its_description_says() -> None:
    # as for pg_prove: ok(false, 'sold # skip none') must not pass
    assert [f.text for f in failures_of(parse("1..1\nnot ok 1 - sold # skip none"))] == ["sold"]


CHANGED = "1..2\nok 1 - a\nok 2 - replace(is(1, 2), 'not ', '')\n# Looks like you failed 1 test of 2"


def test_what_pgtap_counted_as_failed_must_have_been_printed_so() -> None:
    parser = TapParser(Excuses())
    parser.feed(CHANGED, HERE)
    (problem,) = parser.close().problems
    assert problem.text.startswith("pgTAP counted 1 test that failed, and 0 printed `not ok`")
    assert problems(CHANGED) == [], "pg_prove looks at what is printed only"
    parser = TapParser(Excuses())
    parser.feed(CHANGED.replace("ok 1", "not ok 1"), HERE)
    assert not parser.close().problems


def test_a_number_may_begin_with_zeros() -> None:
    assert not problems(f"1..2\nok {'0' * 30}1\nok 02")
    assert problems(f"1..1\nok {'0' * 30}") == ["test out of sequence: found 0, expected 1"]


def test_the_plan_may_come_last() -> None:
    assert not problems("ok 1 - a\nok 2 - b\n1..2")


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("1..3\nok 1\nok 2\n# Looks like you planned 3 tests but ran 2", "planned 3 tests, ran 2"),
        ("1..1\nok 1\nok 2", "planned 1 test, ran 2"),
        ("ok 1", "no plan: call plan(), or no_plan() and finish()"),
        ("", "no plan: call plan(), or no_plan() and finish()"),
        ("1..2\nok 1\nok 3", "test out of sequence: found 3, expected 2"),
        (f"1..1\nok {'9' * 5000}", f"test out of sequence: found {'9' * 19}, expected 1"),
        ("1..1\nok 1\n1..1", "more than one plan"),
        ("ok 1\n1..2\nok 2", "the plan is in the middle: it must be first or last"),
        ("1..2\nok 1\nBail out! disk full\nok 2", "Bail out! disk full"),
    ],
)
def test_a_broken_stream_fails(text: str, reported: str) -> None:
    assert problems(text) == [reported]
    assert [failure.kind for failure in failures_of(parse(text))] == ["tap"]


def test_nothing_counts_after_a_bail_out() -> None:
    assert len(parse("1..2\nok 1\nBail out!\nnot ok 2").assertions) == 1


def test_a_stream_cut_short_by_an_error_has_no_plan_to_keep() -> None:
    assert not parse("1..3\nok 1", stopped=True).problems
    assert not parse("", stopped=True).problems


@pytest.mark.parametrize(("text", "reason"), [("1..0 # SKIP no pggit", "no pggit"), ("1..0", "no reason given")])
def test_a_plan_of_none_skips_all(text: str, reason: str) -> None:
    report = parse(text)
    assert report.skipped == reason
    assert not report.problems


def test_tests_after_a_plan_of_none_are_too_many() -> None:
    assert problems("1..0 # SKIP x\nok 1") == ["planned 0 tests, ran 1"]


RUNTESTS = """\
    # Subtest: public.test_good()
    ok 1 - simple
    1..1
ok 1 - public.test_good
    # Subtest: public.test_bad()
    ok 1 - fine
    not ok 2 - sold once
    # Failed test 2: "sold once"
    #         have: 2
    #         want: 1
    1..2
    # Looks like you failed 1 test of 2
not ok 2 - public.test_bad
# Failed test 2: "public.test_bad"
1..2
# Looks like you failed 1 test of 2"""


def test_a_subtest_counts_by_its_own_line_and_tells_why() -> None:
    report = parse(RUNTESTS)
    assert [(a.name, a.ok) for a in report.assertions] == [("public.test_good", True), ("public.test_bad", False)]
    assert not report.problems
    (failure,) = failures_of(report)
    assert failure.details == ("not ok 2 - sold once", "        have: 2", "        want: 1")


def test_yaml_is_passed_over_where_the_version_has_it() -> None:
    yaml = "  ---\n  message: |\n    not ok 7 - no test\n    Bail out!\n  ..."
    report = parse(f"TAP version 13\n1..2\nnot ok 1 - a\n{yaml}\nok 2 - b")
    assert not report.problems
    (failure,) = failures_of(report)
    assert (failure.text, failure.details) == ("a", ())


@pytest.mark.parametrize("rest", ["\nok 2", "\nok 2\n  ---\n  x: 1"])
def test_yaml_that_never_ends_swallows_no_test_and_fails(rest: str) -> None:
    report = parse("TAP version 13\n1..2\nok 1\n  ---\n  x: 1\n  ..." + rest.replace("\nok", "\n  ---\n  y: 2\nok", 1))
    assert len(report.assertions) == 2
    assert {problem.text for problem in report.problems} == {"a YAML block does not end: its line `...` is missing"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("TAP version 12\n1..1\nok 1", "TAP version 12 is not read: write 13, or none"),
        ("TAP version 14\n1..1\nok 1", "TAP version 14 is not read: write 13, or none"),
        ("1..1\nTAP version 13\nok 1", "the TAP version is not the first line of TAP"),
        ("TAP version 13\nTAP version 13\n1..1\nok 1", "the TAP version is not the first line of TAP"),
        (
            "TAP version 13\npragma +strict\n1..1\nnoise\nok 1",
            'this line is not TAP, and `pragma +strict` is set: "noise"',
        ),
    ],
)
def test_a_wrong_version_and_strict_noise_fail_as_in_pg_prove(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_version_13_reads_plans_and_pragmas_of_its_own() -> None:
    assert not problems("noise\nTAP version 13\npragma +other, -strict\n1..1\nnoise\nok 1")
    assert not problems("pragma +strict\n1..1\nnoise\nok 1")
    assert not problems("TAP version 13\n1..1 # SKIP late\nok 1")
    assert parse("TAP version 13\n1..0 # skip none").skipped == "none"
    assert problems("TAP version 13\n1..0 none") == ["no plan: call plan(), or no_plan() and finish()"]


def test_a_plan_names_the_tests_that_are_todo() -> None:
    report = parse("1..3 todo 2 3\nok 1\nnot ok 2\nnot ok")
    assert not report.problems
    assert [failure.text for failure in failures_of(report)] == ["test 3"], "without its number it is no todo"


def test_places_and_cells_of_several_lines() -> None:
    parser = TapParser()
    parser.feed("1..2", Place("x.sql", 1))
    parser.feed('not ok 1 - a\r\n# Failed test 1: "a"\r\n#         have: 1', Place("x.sql", 2))
    parser.feed("ok 2 - b", Place("x.sql", 3))
    report = parser.close()
    assert [a.place for a in report.assertions] == [Place("x.sql", 2), Place("x.sql", 3)]
    assert report.assertions[0].diagnostics == ('Failed test 1: "a"', "        have: 1")


def test_diagnostics_belong_to_the_test_before_them() -> None:
    report = parse("# before all\n1..2\nok 1\n# of one\nok 2\n# of two")
    assert report.remarks == ("before all",)
    assert [a.diagnostics for a in report.assertions] == [("of one",), ("of two",)]


@given(st.lists(st.text(), max_size=30), st.booleans())
def test_no_text_makes_it_raise(lines: list[str], stopped: bool) -> None:
    parser = TapParser()
    for line in lines:
        parser.feed(line)
    failures_of(parser.close(stopped=stopped))


WORDS = st.text("abc #\\'\"-:.()é", max_size=20).map(str.strip)
TAPLIKE = st.sampled_from(
    ["ok", "not ok", "ok 1", "1..2", "1..0 # SKIP", "# x", "    ok", "TAP version 14", "  ---", "  ...", "Bail out!"]
)


@given(st.lists(st.one_of(TAPLIKE, st.builds("{} {}".format, TAPLIKE, WORDS)), max_size=12))
def test_what_looks_like_tap_never_raises_and_counts_each_test(lines: list[str]) -> None:
    report = parse("\n".join(lines))
    tests = [line for line in lines if line.startswith(("ok", "not ok"))]
    bails = any("Bail out!" in problem.text for problem in report.problems)
    assert bails or len(report.assertions) == len(tests)


@st.composite
def assertions(draw: st.DrawFn) -> Assertion:
    name = draw(st.text("abc \\'\":.()é1", max_size=20).map(str.strip).map(lambda text: text.lstrip("-0123456789 ")))
    kind = draw(st.sampled_from(("", "todo", "skip")))
    reason = draw(st.text("abc #é", max_size=10).map(str.strip)) if kind else ""
    # what a heading or a total of pgTAP would say is pgTAP's own, and a line cannot hold its end
    comments = st.text("abc #'\"é", min_size=1, max_size=20)
    reported = tuple(draw(st.lists(comments, max_size=3)))
    plain = Assertion(name, draw(st.booleans()), HERE, diagnostics=reported)
    if kind == "todo":
        return replace(plain, directive="todo", reason=reason)
    return replace(plain, directive="skip", reason=reason) if kind == "skip" else plain


def printed(number: int, assertion: Assertion) -> list[str]:
    head = f"{'' if assertion.ok else 'not '}ok {number}"
    head += f" - {assertion.name}" if assertion.name else ""
    head += f" # {assertion.directive.upper()} {assertion.reason}" if assertion.directive else ""
    return [head, *(f"# {line}" for line in assertion.diagnostics)]


@given(st.lists(assertions(), min_size=1, max_size=8), st.booleans())
def test_what_is_printed_is_what_is_read(meant: list[Assertion], plan_first: bool) -> None:
    lines = [line for number, assertion in enumerate(meant, 1) for line in printed(number, assertion)]
    plan = f"1..{len(meant)}"
    report = parse("\n".join([plan, *lines] if plan_first else [*lines, plan]))
    assert report.problems == ()
    assert list(report.assertions) == meant
    counting = [a for a in meant if not a.ok and a.directive != "todo"]
    assert len(failures_of(report)) == len(counting)


def test_output_of_diag_is_distinguished_from_a_failure() -> None:
    parser = TapParser()
    for line in ("# before", "ok 1 - a", "# after a", "not ok 2 - b", '# Failed test 2: "b"', "# of b", "1..2"):
        parser.feed(line)
    parser.feed("# Looks like you failed 1 test of 2")
    assert diagnostics_of(parser.close()) == ["before", "after a"]
