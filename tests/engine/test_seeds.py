"""What is random is the same for the same seed."""

from __future__ import annotations

import pytest

from pgchaos.engine import session_runner, waits
from pgchaos.stop import Stop
from tests.engine.playing import Play, held

JITTER = "-- chaos:session s x 2 repeat 2\n-- chaos:jitter 5ms\nSELECT 1;\n"
RETRY = """
-- chaos:session s x 2 retry 22012 up to 3 backoff 1ms
SELECT 1 / (nextval('tries' || :worker) >= 4)::int;
"""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every pause that a session makes, in seconds; it is made all the same."""
    made: list[float] = []
    real = waits.sleep

    async def sleep(seconds: float, stop: Stop | None = None) -> bool:
        made.append(seconds)
        return await real(seconds, stop)

    monkeypatch.setattr(session_runner, "sleep", sleep)
    return made


@pytest.mark.parametrize("session", [JITTER, RETRY], ids=["jitter", "backoff"])
def test_pauses_depend_on_the_seed_alone(play: Play, pauses: list[float], session: str) -> None:
    def made(seed: int) -> list[float]:
        pauses.clear()
        text = f"-- chaos:setup\nCREATE SEQUENCE tries1;\nCREATE SEQUENCE tries2;\n{session}"
        result = play(text + "-- chaos:check\nSELECT pass('checked');\n", seed=seed)
        assert not result.failures, result.failures
        assert result.seed == seed
        return sorted(pauses)

    first = made(7)
    assert made(7) == first
    assert made(8) != first
    assert len(set(first)) == len(first) >= 4


@pytest.mark.parametrize("sandbox", ["", "-- chaos:sandbox schema\n"], ids=["database", "schema"])
def test_setup_check_and_teardown_draw_by_the_seed(play: Play, sandbox: str) -> None:
    def drawn(seed: int) -> list[str]:
        result = play(
            f"""{sandbox}
-- chaos:setup
CREATE TABLE drawn AS SELECT chaos.random() AS n;
-- chaos:session s
SELECT 1;
-- chaos:check
SELECT pass(n::text) FROM drawn;
SELECT pass(chaos.random()::text);
-- chaos:teardown
SELECT chaos.assert(true, chaos.random()::text);
""",
            seed=seed,
        )
        return held(result)

    first = drawn(7)
    assert drawn(7) == first
    assert set(drawn(8)).isdisjoint(first)
    assert len(first) == 3


def test_backoff_doubles(play: Play, pauses: list[float]) -> None:
    result = play(
        f"-- chaos:setup\nCREATE SEQUENCE tries1;\nCREATE SEQUENCE tries2;\n{RETRY.replace('x 2', '')}"
        "-- chaos:check\nSELECT pass('checked');\n"
    )
    assert not result.failures, result.failures
    assert [round(pause / 0.001 / 2**n, 3) for n, pause in enumerate(pauses)] == pytest.approx([0.75] * 3, abs=0.25)
