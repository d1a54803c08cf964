"""What sleeps a written time, is skipped, hides an error, or is exempt from a check has its reason beside it."""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

EXEMPTION = re.compile(r"# *(?:noqa|type: *ignore|pragma)\b(?P<reason>.*)")
CODES = re.compile(r":? *(?:no cover|[A-Z]+[0-9]+|\[[\w-]+\])(?:, *[A-Z]+[0-9]+)*")
HIDES = (
    "suppress",
    "contextlib.suppress",
    "pytest.mark.filterwarnings",
    "warnings.filterwarnings",
    "warnings.simplefilter",
)
SKIPS = ("pytest.importorskip", "pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail")
SLEEPS = ("sleep", "time.sleep", "asyncio.sleep")


def without_reason(source: str) -> Iterator[str]:
    """List what has no reason: in a comment of its line or of the line before, or as an argument of a skip."""
    tokens = [one for one in tokenize.generate_tokens(io.StringIO(source).readline) if one.type == tokenize.COMMENT]
    comments = {token.start[0]: token.string for token in tokens}
    own_lines = {token.start[0] for token in tokens if token.line.lstrip().startswith("#")}
    for line, comment in comments.items():
        found = EXEMPTION.match(comment)
        if found is None:
            continue
        codes = CODES.match(found["reason"])
        says = codes and (found["reason"][codes.end() :].strip(" #-") or line - 1 in own_lines)
        if not says:
            yield f"line {line}: {comment}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and all(isinstance(one, ast.Pass | ast.Continue) for one in node.body):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            if not any(line in comments for line in lines):
                yield f"line {node.lineno}: an exception that is ignored"
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func) if isinstance(node.func, ast.Attribute | ast.Name) else ""
        lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        says = any(line in comments for line in lines) or node.lineno - 1 in own_lines
        ignores = any(one.arg == "ignore_errors" for one in node.keywords)
        if name in SKIPS:
            says = says or any(one.arg == "reason" for one in node.keywords)
        elif name in SLEEPS:
            if not (isinstance(node.args[0], ast.Constant) and node.args[0].value):
                continue
        elif name not in HIDES and not ignores:
            continue
        if not says:
            yield f"line {node.lineno}: {name}"


MENTIONED = re.compile(
    r"noqa|type: *ignore|pragma|sleep\(|suppress\(|importorskip|mark\.(?:skip|xfail)"
    r"|filterwarnings|simplefilter|ignore_errors|\bexcept\b.*:\s*(?:#.*\s*)*(?:pass|continue)\b"
)


def test_each_has_its_reason() -> None:
    found = [
        f"{path.relative_to(ROOT)}, {what}"
        for folder in ("py", "tests")
        for path in sorted(ROOT.glob(f"{folder}/**/*.py"))
        if "share" not in path.parts
        if MENTIONED.search(source := path.read_text(encoding="utf-8"))
        for what in without_reason(source)
    ]
    assert not found, "give it a reason in a comment beside it, or remove it"


def test_a_missing_reason_is_found() -> None:
    source = """
        f()  # noqa: ARG001
        f()  # noqa: ARG001  # as its caller calls it
        time.sleep(1)
        time.sleep(1)  # polled
        pytest.importorskip("x")
        f()  # noqa  # as its caller calls it
        suppress(OSError)
        suppress(OSError)  # it has ended
        try:
            f()
        except OSError:
            pass
        try:
            f()
        except OSError:  # it has ended
            pass
        shutil.rmtree(folder, ignore_errors=True)
    """
    found = [what.partition(":")[0] for what in without_reason(textwrap.dedent(source).strip())]
    assert sorted(found) == ["line 1", "line 11", "line 17", "line 3", "line 5", "line 6", "line 7"]
