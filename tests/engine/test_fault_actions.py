from __future__ import annotations

from pgchaos.engine.faults.actions import ACTIONS
from pgchaos.language.fault_kinds import FORMS


def test_every_kind_of_fault_has_an_action() -> None:
    assert set(ACTIONS) == {form.kind for form in FORMS if form.targets != "a connection"}
