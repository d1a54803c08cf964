"""Delays, failures, measurements, and the seed that all chance comes from."""

from __future__ import annotations

import inspect
import re
import threading

import pytest

from tests.chaos.projects import Project
from tests.chaos.utils import ChaosExecutor, ChaosInjector, SimulatedConnectionFailure, measure_performance, seeded

pytestmark = pytest.mark.chaos


def fails() -> bool:
    try:
        with ChaosInjector.simulate_connection_failure(probability=0.5):
            return False
    except SimulatedConnectionFailure:
        return True


def failures(count: int) -> list[bool]:
    return [fails() for _ in range(count)]


def test_a_failure_is_as_frequent_as_its_probability() -> None:
    with ChaosInjector.simulate_connection_failure(probability=0):
        pass
    with pytest.raises(SimulatedConnectionFailure, match="simulated connection failure") as caught:  # noqa: SIM117 the context raises
        with ChaosInjector.simulate_connection_failure(probability=1):
            pytest.fail("the context was entered")
    assert caught.value.sqlstate is None
    with seeded(1):
        assert 400 < sum(failures(1000)) < 600


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_an_invalid_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="probability="), ChaosInjector.simulate_connection_failure(probability):
        pass


@pytest.mark.parametrize(("min_ms", "max_ms"), [(-1, 1), (2, 1)])
async def test_a_range_that_is_none_is_refused(min_ms: int, max_ms: int) -> None:
    with pytest.raises(ValueError, match="expected 0 <= min_ms <= max_ms"):
        ChaosInjector.random_delay_sync(min_ms, max_ms)
    with pytest.raises(ValueError, match="expected 0 <= min_ms <= max_ms"):
        await ChaosInjector.random_delay(min_ms, max_ms)


async def test_a_delay_lasts_within_its_limits() -> None:
    @measure_performance
    async def delay() -> None:
        await ChaosInjector.random_delay(20, 30)

    @measure_performance
    def delay_sync() -> None:
        ChaosInjector.random_delay_sync(20, 30)

    await delay()
    delay_sync()
    for measured in (delay, delay_sync):
        (measurement,) = measured.measurements
        assert measurement.seconds >= 0.02


def test_measuring_changes_nothing_but_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    @measure_performance
    def divide(a: int, b: int = 1) -> float:
        """Divide."""
        return a / b

    assert (divide.__name__, divide.__doc__) == ("divide", "Divide.")  # type: ignore[attr-defined]  # by wraps()
    assert divide(6, b=2) == 3
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    assert [measurement.failed for measurement in divide.measurements] == [False, True]
    first, second = capsys.readouterr().out.splitlines()
    assert re.match(r"divide took \d+\.\d{4}s$", first)
    assert re.match(r"divide failed after \d+\.\d{4}s$", second)


async def test_a_coroutine_function_stays_one() -> None:
    @measure_performance
    async def answer() -> int:
        return 42

    assert inspect.iscoroutinefunction(answer)
    assert await answer() == 42
    assert len(answer.measurements) == 1


def test_tasks_draw_by_the_order_of_submission_and_not_of_running(concurrent_executor: ChaosExecutor) -> None:
    def draw(turn: threading.Event, then: threading.Event) -> list[bool]:
        turn.wait(60)
        found = failures(20)
        then.set()
        return found

    def drawn(order: list[int]) -> list[list[bool]]:
        events = [threading.Event() for _ in order] + [threading.Event()]
        follower = {number: events[place + 1] for place, number in enumerate(order)}
        turn = {number: events[place] for place, number in enumerate(order)}
        with seeded("the same"):
            futures = [concurrent_executor.submit(draw, turn[number], follower[number]) for number in range(len(order))]
        events[0].set()
        return [future.result(60) for future in futures]

    forwards = drawn([0, 1, 2])
    assert drawn([2, 0, 1]) == forwards
    assert forwards[0] != forwards[1]


DRAWS = """
    import pytest
    from pgchaos.utils import ChaosInjector, SimulatedConnectionFailure, AsyncTaskPool

    def draw():
        text = ""
        for _ in range(30):
            try:
                with ChaosInjector.simulate_connection_failure(0.5):
                    text += "."
            except SimulatedConnectionFailure:
                text += "x"
        return text

    @pytest.mark.parametrize("n", [1, 2])
    def test_sync(n, concurrent_executor):
        print("drawn", n, draw(), concurrent_executor.submit(draw).result())

    async def test_async(async_task_pool):
        async def task():
            return draw()
        print("drawn", await async_task_pool([task, task]))
"""


def drawn(project: Project, *args: str) -> list[str]:
    result = project.run(DRAWS, "-rP", *args)
    assert set(result.parseoutcomes()) <= {"passed", "deselected"}
    return [line for line in result.outlines if line.startswith("drawn ")]


def test_the_seed_of_the_run_replays_each_test(project: Project) -> None:
    first = drawn(project, "--chaos-seed=5")
    assert len(set(first)) == 3
    assert drawn(project, "--chaos-seed=5") == first
    assert drawn(project, "--chaos-seed=6") != first
    # alone, too
    assert drawn(project, "--chaos-seed=5", "-k", "test_sync and 2") == first[1:2]
    one, two = first[2].removeprefix("drawn ['").removesuffix("']").split("', '")
    assert one != two


def test_examples_of_hypothesis_draw_the_same(project: Project) -> None:
    result = project.run(
        """
        from hypothesis import given, settings, strategies as st, Phase
        from pgchaos.utils import ChaosInjector, SimulatedConnectionFailure

        seen = []

        @settings(database=None, phases=[Phase.generate])
        @given(st.integers(0, 3))
        def test_it(number):
            text = ""
            for _ in range(30):
                try:
                    with ChaosInjector.simulate_connection_failure(0.5):
                        text += "."
                except SimulatedConnectionFailure:
                    text += "x"
            seen.append(text)

        def test_seen():
            assert len(seen) > 1 and len(set(seen)) == 1
        """
    )
    result.assert_outcomes(passed=2)
