"""Draws the picture of README.md: the first scenario of the page, as it fails. `make picture` writes it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from tests.pytest_plugin.pages import ROOT, page, sql_blocks

PICTURE = ROOT / "sql/pictures/last_ticket.svg"
_SVG = "{http://www.w3.org/2000/svg}"


def texts_by_column(picture: Path) -> tuple[list[str], list[list[str]]]:
    """Read a picture: the texts that are about the whole run, and those of each connection, in their order.

    Times, and what they decide, are left out: how high boxes are, who was first, whether a short wait was seen, and
    what was slow.
    """
    root = ElementTree.parse(picture).getroot()
    texts = [one for one in root.iter(f"{_SVG}text") if one.get("class") not in ("time", "gap")]
    lanes = [float(one.get("x", 0)) for one in texts if one.get("class") == "lane"]
    found: list[list[str]] = [[] for _ in lanes]
    around = []
    for one in sorted(texts, key=lambda text: float(text.get("y", 0))):
        x, text = float(one.get("x", 0)), one.text or ""
        lane = next((number for number, left in enumerate(lanes) if 0 <= x - left <= 12), None)
        if lane is None:
            around.append(text)
        elif not text.startswith(("waited ", "took ")):
            found[lane].append(text)
    return around, found


def main() -> None:
    """Run the scenario, and write its picture."""
    # root runs the server as an account of its own, which must reach the folder
    with tempfile.TemporaryDirectory(prefix="pgchaos-picture-") as name:
        folder = Path(name)
        (folder / "sql").mkdir()
        (folder / "sql/last_ticket.sql").write_text(sql_blocks(page("README.md"))[0], encoding="utf-8")
        (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        program = Path(sys.executable).with_name("pytest")
        done = subprocess.run([program, "-q", "sql", "--chaos-svg=."], cwd=folder, capture_output=True, text=True)
        written = list(folder.glob("*.svg"))
        if len(written) != 1:
            sys.exit(f"the first scenario of README.md did not fail once:\n{done.stdout}{done.stderr}")
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_bytes(written[0].read_bytes())
    print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
