from __future__ import annotations

import pytest

from pgchaos.language.model import Retry, Session
from pgchaos.language.problems import Place
from pgchaos.language.section_items import Allow, Code, Expect
from pgchaos.schedule.errors import Meaning, meaning

HERE = Place("x.sql", 1)


def codes(*states: str) -> tuple[Code, ...]:
    return tuple(Code(state, (state,)) for state in states)


def judge(
    state: str,
    *,
    expect: str = "",
    allow: str = "",
    session_allow: str = "",
    retry: str = "",
    retries: int = 0,
    unknown: bool = False,
) -> Meaning:
    session = Session(HERE, "s", (), (), retry=Retry(codes(*retry.split()), 2), allow=codes(*session_allow.split()))
    return meaning(
        state,
        unknown,
        session,
        retries,
        Expect(HERE, codes(*expect.split())) if expect else None,
        Allow(HERE, codes(*allow.split())) if allow else None,
    )


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, Meaning.UNEXPECTED),
        ({"expect": "23505"}, Meaning.EXPECTED),
        ({"expect": "23505 40001"}, Meaning.EXPECTED),
        ({"expect": "40001"}, Meaning.OTHER),
        ({"expect": "40001", "allow": "23505", "retry": "23505"}, Meaning.OTHER),
        ({"allow": "23505"}, Meaning.ALLOWED),
        ({"allow": "40001"}, Meaning.UNEXPECTED),
        ({"session_allow": "23505"}, Meaning.ALLOWED),
        ({"session_allow": "23505", "retry": "23505"}, Meaning.ALLOWED),
        ({"retry": "40001 23505"}, Meaning.RETRY),
        ({"retry": "23505", "retries": 1}, Meaning.RETRY),
        ({"retry": "23505", "retries": 2}, Meaning.EXHAUSTED),
        ({"retry": "40001"}, Meaning.UNEXPECTED),
    ],
)
def test_what_a_unique_violation_means(options: dict[str, object], wanted: Meaning) -> None:
    assert judge("23505", **options) is wanted  # type: ignore[arg-type] # the table holds the keywords' own types


def test_a_lost_connection_is_retried_by_its_code_before_commit_only() -> None:
    assert judge("08006", retry="08006") is Meaning.RETRY
    assert judge("08006", retry="08006", unknown=True) is Meaning.UNEXPECTED
    assert judge("08006", retry="unknown", unknown=True) is Meaning.RETRY
    assert judge("08006", session_allow="08006", unknown=True) is Meaning.ALLOWED
