from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.isolation.grammar import is_spec, read
from pgchaos.isolation.model import Blocker
from pgchaos.language.problems import ScenarioError
from pgchaos.server_text import encoded

SESSIONS = 'session a step a1 { A } step a2 { B } session b step b1 { C } step "b 2" { D }\n'
WRONG = {
    "session a setup { X }\n": "x.spec:2: expected a step of the session, found the end of the file",
    "session a step a1 { A } step a1 { B }": 'x.spec:1: duplicate step name: "a1" is in line 1 too',
    "session step step a1 { A }": (
        "x.spec:1: expected the name of the session, found 'step' (quote a name that is a keyword: \"step\")"
    ),
    "session a step a1 { A": "x.spec:1: the block of SQL that begins here does not end: '}' is missing",
    'session "a\n" step a1 { A }': (
        "x.spec:1: the quoted name that begins here does not end in its line: '\"' is missing"
    ),
    f"\ufeff{SESSIONS}": (
        "x.spec:1: the file begins with a byte order mark, which isolationtester refuses: save it as UTF-8 without one"
    ),
    "session a;": "x.spec:1: ';' is not part of a spec: a comment begins with #, SQL is in { }",
    SESSIONS + "permutation a1 A2": 'x.spec:2: undefined step "A2" in permutation, but there is "a2"',
    SESSIONS + "permutation a1 b1(a2)": (
        'x.spec:2: undefined blocking step "a2" at step "b1": it is not in this permutation'
    ),
    SESSIONS + "permutation a1 a2(a1)": ('x.spec:2: step "a2" cannot wait for "a1", a step of its own session'),
    SESSIONS + "permutation a1(*": "x.spec:2: expected ',' or ')', found the end of the file",
    SESSIONS + "permutation a1(b1 notices x) b1": 'x.spec:2: expected the number of notices, found "x"',
    SESSIONS + "permutation a1 session c step c1 { E }": ("x.spec:2: expected a permutation, found 'session'"),
    "session a step a1 { A } setup { B }": (
        "x.spec:1: expected a step, a session or a permutation, found 'setup'; setup is before teardown and"
        " sessions, and before the steps of its session"
    ),
}


def _file(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "x.spec"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("text", WRONG)
def test_an_error_says_the_line_and_what_was_meant(tmp_path: Path, text: str) -> None:
    with pytest.raises(ScenarioError) as reported:
        read(_file(tmp_path, text), "x.spec")
    assert str(reported.value) == WRONG[text]


def test_a_spec_file_is_parsed_into_its_parts(tmp_path: Path) -> None:
    spec = read(
        _file(
            tmp_path,
            b"# about\nsetup {  ONE\n  } setup { TWO }\nteardown { AWAY }\n"
            b'session "s ""1"" " setup { BEGIN; } step "x y" { \xff # no comment } teardown { END; }\n'
            b"session z$ step z1 {}\n"
            b'permutation "x y"(z1, z1 notices 2, *) z1\npermutation z1\n',
        )
    )
    assert spec.setups == ("ONE\n", "TWO")
    assert spec.teardown == "AWAY"
    first, second = spec.sessions
    assert (first.name, first.setup, first.teardown, second.name) == ('s "1" ', "BEGIN;", "END;", "z$")
    assert encoded(first.steps[0].sql) == b"\xff # no comment"
    turn = spec.written[0][0]
    assert turn.once
    assert turn.blockers == (Blocker(second.steps[0]), Blocker(second.steps[0], 2))
    assert [[turn.step.name for turn in p] for p in spec.permutations()] == [["x y", "z1"], ["z1"]]
    assert spec.name == "x"


def test_without_permutations_all_interleavings_are_run(tmp_path: Path) -> None:
    spec = read(_file(tmp_path, "session a step a1 {} step a2 {} session b step b1 {}"))
    orders = [" ".join(turn.step.name for turn in permutation) for permutation in spec.permutations()]
    assert orders == ["a1 a2 b1", "a1 b1 a2", "b1 a1 a2"]
    assert spec.unused() == []


def test_unused_steps_are_reported_in_order_of_their_bytes(tmp_path: Path) -> None:
    spec = read(_file(tmp_path, "session a step b {} step a {} step Z {} step c {} permutation c"))
    assert spec.unused() == ["Z", "a", "b"]


def test_other_files_are_called_spec_too() -> None:
    assert is_spec(SESSIONS.replace(" step", "\nstep"))
    assert is_spec("\ufeffsession a\nstep a1 { SELECT; }\n")
    assert is_spec('session "a"\nsetup { BEGIN; }\nstep "a1"\n{ SELECT; }\n')
    assert not is_spec("Name: app\nVersion: 1\n%description\nA session step by step.\n")
    assert not is_spec("a = Analysis(['app.py'])\npyz = PYZ(a.pure)\n")
    assert not is_spec("%setup\nsession managers are in step\n")


def test_a_broken_or_empty_spec_is_a_spec() -> None:
    for text in ("", "# nothing yet\n", "setup { SELECT 1; }\n", "session a\n", "permutation a\n", "step a {}"):
        assert is_spec(text)
