"""Writes the reference in pgtap/README.md from the comments of the toolkit's functions: `make toolkit-reference`."""

from __future__ import annotations

import re
from pathlib import Path

from pgchaos.language.sql_tokens import tokenize
from pgchaos.server.sandbox import read_toolkit

README = Path(__file__).parents[2] / "pgtap" / "README.md"
HEADING = "## Reference\n"
_INTRODUCTION = "\nWhat `\\df+ chaos.*` says of each function. Written by `make toolkit-reference`.\n"
_FUNCTION = re.compile(
    r"^CREATE FUNCTION chaos\.([a-z]\w*)\((.*?)\)\s+RETURNS ((?:SETOF )?[\w ]+?)\n.*?"
    r"^COMMENT ON FUNCTION chaos\.\1\([^)]*\) IS\s*('(?:[^']|'')*');",
    re.MULTILINE | re.DOTALL,
)


def functions() -> dict[str, str]:
    """Give the entry of each public function by its name, in the order of the script."""
    found = {}
    for name, arguments, result, comment in _FUNCTION.findall(read_toolkit()):
        (text,) = (token.text for token in tokenize(comment))
        description, _, example = text.partition("\nExample: ")
        signature = f"chaos.{name}({' '.join(arguments.split())})"
        body = " ".join(description.split()).replace("<", "&lt;")
        found[name] = f"**`{signature}`** returns {result}. {body}\n\n```sql\n{example.strip()}\n```\n"
    return found


def reference() -> str:
    """Write the section."""
    return "\n".join([HEADING + _INTRODUCTION, *functions().values()])


def main() -> None:
    """Replace the section in the page."""
    README.write_text(README.read_text(encoding="utf-8").partition(HEADING)[0] + reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
