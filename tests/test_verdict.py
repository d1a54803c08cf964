from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.language.header_model import When, Xfail
from pgchaos.language.model import Mutant, Scenario
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Meta
from pgchaos.results import Assertion, Failure, FailureKind, RunResult
from pgchaos.verdict import Verdict, is_named, judge, judge_mutant

HERE = Place("sql/x.sql", 9)


def scenario(*xfails: Xfail) -> Scenario:
    return Scenario(Path("sql/x.sql"), "sql/x.sql", "x", "", "", xfails=xfails)


def xfail(name: str | None, when: When | None = None) -> Xfail:
    return Xfail(Place("sql/x.sql", 2), name, f"known {name}", when)


def failure(kind: FailureKind, *names: str) -> Failure:
    return Failure(kind, names, f"{kind} {names}", HERE)


def verdict(failures: list[Failure], *xfails: Xfail, variables: dict[str, str] | None = None) -> Verdict:
    return judge(scenario(*xfails), variables or {}, RunResult(seed=1, failures=failures))


def test_nothing_failed() -> None:
    assert verdict([]) == Verdict("passed")


def test_a_failure_counts() -> None:
    broken = failure("assertion", "sold once")
    assert verdict([broken]) == Verdict("failed", (broken,))


def test_a_run_that_was_skipped() -> None:
    result = RunResult(seed=1, skipped="requires pggit")
    assert judge(scenario(xfail("sold once")), {}, result) == Verdict("skipped", reason="requires pggit")


def test_a_failure_in_a_skipped_run_counts() -> None:
    broken = failure("leak")
    assert judge(scenario(), {}, RunResult(seed=1, skipped="x", failures=[broken])).outcome == "failed"


@pytest.mark.parametrize(
    ("kind", "names", "name", "meant"),
    [
        ("assertion", ("sold once",), "sold once", True),
        ("assertion", ("sold once",), "sold", False),
        ("assertion", ("sold once",), None, True),
        ("expect", ("23505", "unique_violation"), None, True),
        ("expect", ("23505", "unique_violation"), "unique_violation", True),
        ("error", ("23505", "unique_violation"), "23505", True),
        ("error", ("23505", "unique_violation"), None, False),
        ("invariant", ("no money is lost",), "no money is lost", True),
        ("invariant", ("no money is lost",), "invariant", True),
        ("invariant", ("no money is lost",), None, False),
        ("oracle", (), "oracle", True),
        ("wait", (), "wait", True),
        ("leak", (), "leak", True),
        ("timeout", (), "timeout", True),
        ("timeout", (), None, False),
        ("leak", (), None, False),
        ("wait", (), None, False),
        ("leak", (), "timeout", False),
        ("tap", (), None, False),
        # only the five words mean a kind
        ("error", (), "error", False),
        ("tap", (), "tap", False),
        ("assertion", (), "assertion", False),
    ],
)
def test_what_a_name_means(kind: FailureKind, names: tuple[str, ...], name: str | None, meant: bool) -> None:
    assert is_named(Failure(kind, names, "x"), name) is meant


def test_what_is_named_is_expected() -> None:
    broken = failure("invariant", "no money is lost")
    known = xfail("no money is lost")
    assert verdict([broken], known) == Verdict("xfailed", (), ((known, (broken,)),), "known no money is lost")


def test_what_is_not_named_counts_beside_it() -> None:
    known, other = failure("assertion", "a"), failure("assertion", "b")
    came = verdict([known, other], xfail("a"))
    assert (came.outcome, came.failures) == ("failed", (other,))
    assert came.expected == ((xfail("a"), (known,)),)


def test_two_failures_of_one_name_are_two() -> None:
    # equal, but only one of them is an error
    assert verdict([failure("assertion", "a"), failure("error", "a")], xfail(None)).failures == (failure("error", "a"),)


def test_what_did_not_fail_as_expected_fails() -> None:
    came = verdict([], xfail("a"), xfail(None))
    assert came.outcome == "failed"
    assert [f.text for f in came.failures] == [
        "XPASS(strict): 'a' was expected to fail, and did not: known a",
        "XPASS(strict): an assertion was expected to fail, and did not: known None",
    ]
    assert came.failures[0].place == Place("sql/x.sql", 2)
    assert came.failures[0].details == ()


def test_a_misspelt_name_is_reported() -> None:
    held = RunResult(seed=1, assertions=[Assertion("sold once", ok=True, place=HERE)])
    mutant = Mutant(Place("sql/x.sql", 8), "no lock", (), (), (), ("sold once", "sold onec"))
    (unnoticed,) = judge_mutant(mutant, held).failures
    meant = "no assertion or error is named 'sold onec', did you mean 'sold once'?"
    assert unnoticed.details == ("nothing failed", meant)
    (passed,) = judge(scenario(xfail("sold onec")), {}, held).failures
    assert passed.details == (meant,)


def test_every_xfail_must_come_true() -> None:
    came = verdict([failure("assertion", "a")], xfail("a"), xfail("b"))
    assert [f.text for f in came.failures] == ["XPASS(strict): 'b' was expected to fail, and did not: known b"]


@pytest.mark.parametrize("kind", ["error", "wait", "timeout", "tap"])
def test_a_run_cut_short_does_not_say_that_something_passed(kind: FailureKind) -> None:
    broken = failure(kind)
    assert verdict([broken], xfail("a")).failures == (broken,)


def test_an_xfail_counts_for_its_values_only() -> None:
    known = xfail("a", When("level", ("read committed",)))
    broken = failure("assertion", "a")
    assert verdict([broken], known, variables={"level": "read committed"}).outcome == "xfailed"
    assert verdict([broken], known, variables={"level": "serializable"}).failures == (broken,)
    assert verdict([], known, variables={"level": "serializable"}).outcome == "passed"


def test_todo_never_fails_and_is_no_xfail() -> None:
    todo = Assertion("later", ok=False, place=HERE, directive="todo")
    assert judge(scenario(), {}, RunResult(seed=1, assertions=[todo])).outcome == "passed"
    assert judge(scenario(xfail("later")), {}, RunResult(seed=1, assertions=[todo])).outcome == "failed"


def test_what_was_not_run_is_named_by_that_word_alone() -> None:
    failure = Failure("not run", (), "assertion was not run: its query returned no row", None, ("it is 'sold once'",))
    assert is_named(failure, "not run")
    assert not is_named(failure, "sold once")
    assert not is_named(failure, None)


def test_a_mutant_whose_own_sql_fails_is_not_caught_by_that() -> None:
    mutant = Mutant(Place("sql/x.sql", 8), "no index", (Meta(HERE, "set", ()),), (), (), ("42704",))
    (unplanted,) = judge_mutant(mutant, RunResult(seed=1, failures=[failure("error", "42704")])).failures
    assert unplanted.text == "mutant 'no index' was not planted: its own SQL failed"
    assert unplanted.place == HERE
    elsewhere = Failure("error", ("42704",), "text", Place("sql/x.sql", 4))
    assert judge_mutant(mutant, RunResult(seed=1, failures=[elsewhere])) == Verdict("passed")


@pytest.mark.parametrize("kind", ["leak", "not run"])
def test_what_the_sql_of_a_mutant_has_made_may_catch_it(kind: FailureKind) -> None:
    mutant = Mutant(Place("sql/x.sql", 8), "a lock", (Meta(HERE, "set", ()),), (), (), (kind,))
    assert judge_mutant(mutant, RunResult(seed=1, failures=[Failure(kind, (), "text", HERE)])) == Verdict("passed")
