"""Which lines of a program's standard error a failure shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgchaos.engine.applications.error_output import shown_lines
from tests.engine.playing import Play, only


def frame(file: str, function: str, *source: str) -> list[str]:
    return [f'  File "{file}", line 26, in {function}', *(f"    {line}" for line in source)]


LIBRARY = frame("/app/.venv/lib/python3.12/site-packages/driver/core.py", "wait", "return wait()", "       ^^^^^^")


def test_a_traceback_is_shown_without_the_frames_of_libraries() -> None:
    start = "Traceback (most recent call last):"
    end = ["driver.Error: the connection was lost", "\tThis probably means", "\tsomething."]
    own = [*frame("/app/shop/checkout.py", "order", "with take():", "     ^^^^^^"), *frame("<string>", "go")]
    standard = frame("/usr/lib/python3.12/contextlib.py", "__exit__", "next(self.gen)")
    compiled = [*frame("driver_binary/waiting.pyx", "wait"), *frame("<frozen runpy>", "run")]
    lines = ["began", start, *own, *standard, *LIBRARY * 6, *compiled, *end]
    assert shown_lines(lines, Path("/app/shop")) == (
        "began",
        start,
        own[0],
        own[1],
        own[3],
        "  (9 frames of libraries)",
        *end,
    )


def test_the_frames_of_node_are_those_of_the_files_of_the_program() -> None:
    own = ["    at order (/app/shop/checkout.js:12:9)", "    at file:///app/shop/main.mjs:3:1"]
    others = [
        "    at Client._query (/app/node_modules/pg/client.js:1:2)",
        "    at node:internal/process/task_queues:95:5",
    ]
    lines = ["error: gone", *own, *others * 10]
    assert shown_lines(lines, Path("/app/shop")) == ("error: gone", *own, "  (20 frames of libraries)")


@pytest.mark.parametrize(
    "lines",
    [["Traceback (most recent call last):", *LIBRARY, "driver.Error: gone"], []],
    ids=["short", "empty"],
)
def test_what_is_short_is_shown_whole(lines: list[str]) -> None:
    assert shown_lines(lines, Path("/app/shop")) == tuple(lines)


def test_a_traceback_of_libraries_alone_and_other_long_texts_show_their_end() -> None:
    lines = [*LIBRARY * 9, "driver.Error: gone"]
    assert shown_lines(lines, Path("/app/shop")) == tuple(lines[-20:])
    lines = [f"line {number}" for number in range(50)]
    assert shown_lines(lines, Path("/app/shop")) == tuple(lines[-20:])


def test_a_long_output_is_whole_in_that_of_the_run_and_short_in_the_failure(play: Play, send: str) -> None:
    words = " ".join(f"error:{line}" for line in range(21))
    result = play(
        f"-- chaos:session shop run '{send} \"SELECT 1\" {words} exit:3'\n-- chaos:check\nSELECT pass('done');\n"
    )
    assert only(result).details == tuple(f"{line}" for line in range(1, 21))
    assert result.output == [f"shop[1] (stderr): {line}" for line in range(21)]
