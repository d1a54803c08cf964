"""The token that replays one interleaving."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgchaos.schedule.token import Fingerprints, Token, parse

OF = Fingerprints(["SELECT 1;"]).of({})


@given(
    st.integers(0, 10**18 - 1),
    st.lists(st.integers(0, 500)),
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")), max_size=3),
)
def test_what_is_written_is_read_again(seed: int, decisions: list[int], values: dict[str, str]) -> None:
    token = Token(OF, seed, tuple(decisions), values)
    assert parse(str(token)) == token
    assert re.fullmatch(r"[\w.~-]+", str(token), re.ASCII)


def test_it_is_short() -> None:
    assert str(Token("c3f09a1b", 7, (0, 1, 1, 0))) == "c3f09a1b45da-7-0110"
    assert str(Token("c3f09a1b", 7, (40,))) == "c3f09a1b88ed-7-14."


@pytest.mark.parametrize(
    "token",
    [
        Token("c3f09a1b", 7, (0, 1, 1, 0)),
        Token("c3f09a1b", 7, (0, 1, 40)),
        Token("c3f09a1b", 7, ()),
        Token("c3f09a1b", 7, (0, 1), {"amount": "5"}),
    ],
    ids=str,
)
def test_one_that_was_printed_before_there_was_a_checksum_is_read(token: Token) -> None:
    assert token.without_checksum == str(token)[:8] + str(token)[12:]
    assert parse(token.without_checksum) == token


LONG = str(Token(OF, 7, (0, 1, 1, 0) * 20, {"amount": "5"}))


@pytest.mark.parametrize("end", range(LONG.index("-") + 1, len(LONG)))
def test_one_that_is_cut_short_is_refused(end: int) -> None:
    with pytest.raises(ValueError, match=r"token is damaged: .* is cut short or changed"):
        parse(LONG[:end])


@pytest.mark.parametrize("at", range(len(LONG)))
def test_one_of_which_a_character_is_changed_is_refused(at: int) -> None:
    with pytest.raises(ValueError, match=r"token is damaged: |is no token"):
        parse(f"{LONG[:at]}{'0' if LONG[at] != '0' else '1'}{LONG[at + 1 :]}")


@pytest.mark.parametrize(
    "text", ["", "0110", "c3f09a1b-7", "c3f09a1b-7-0..1", "C3F09A1B-7-01", "c3f09a1b-7-01 -x", "c3f09a1b-7-01-x"]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no token"):
        parse(text)


def test_a_fingerprint_changes_with_all_that_a_run_depends_on() -> None:
    prints = {
        OF,
        Fingerprints(["SELECT 2;"]).of({}),
        Fingerprints(["SELECT 1;", ""]).of({}),
        Fingerprints(["SELECT ", "1;"]).of({}),
        Fingerprints(["SELECT 1;"]).of({"level": "low"}),
        Fingerprints(["SELECT 1;"]).of({"level": "high"}),
        Fingerprints(["SELECT 1;"]).of({}, "nobody-locks"),
    }
    assert len(prints) == 7
    assert Fingerprints(["SELECT 1;"]).of({}) == OF
