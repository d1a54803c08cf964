"""The architecture, held by the source itself: who may import whom, and how long a module and a function may be."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "py"

# Rooms, the lowest first: a room imports itself and those before it. A module at the top of the package is a room.
ROOMS = (
    "clock",
    "randomness",
    "server_text",
    "safe_output",
    "stop",
    "posix",
    "toolkit",
    "utils",
    "language",
    "results",
    "verdict",
    "tap",
    "schedule",
    "isolation",
    "oracle",
    "report",
    "server",
    "engine",
    "search",
    "runner",
    "pytest_plugin",
    "commands",
    "__main__",
)

# Packages that a room must not import, not even for types or at call time.
NO_IO, NO_TEST_RUNNER = frozenset({"psycopg", "pytest"}), frozenset({"pytest"})
FORBIDDEN = {
    "language": NO_IO,
    "results": NO_IO,
    "verdict": NO_IO,
    "tap": NO_IO,
    "schedule": NO_IO,
    "isolation": NO_IO,
    "oracle": NO_IO,
    "server": NO_TEST_RUNNER,
    "engine": NO_TEST_RUNNER,
    "search": NO_TEST_RUNNER,
    "runner": NO_TEST_RUNNER,
}

MOST_MODULE, MOST_FUNCTION = 350, 60

# What is imported nevertheless, and why.
ALLOWED = {
    ("pgchaos.language.error_codes", "psycopg"),  # the one list of SQLSTATEs and condition names, read at first use
}

# Longer modules, with their lines at most and why they are long. The numbers only ever fall, and the list gets shorter.
LONG_MODULES: Mapping[str, tuple[int, str]] = {}

# How many functions of a room have their results stored for the whole process: they depend on their arguments alone.
# The numbers only ever fall.
CACHED = {
    "language": 7,  # of the text of statements, which a search repeats thousands of times; the table of conditions
    "oracle": 2,  # of the same text
    "engine": 4,  # of tags and settings in each run; the libpq that is loaded
    "search": 1,  # whether hypothesis can be imported
}

# Collections of the whole process that change, and why they are not an object's.
MUTABLE = {
    "pgchaos.safe_output._secrets",  # whatever shows something must hide every password
    "pgchaos.server.supervisor_client._open",  # after a fork the child closes the connections of all
}


@cache
def modules() -> Mapping[str, ast.Module]:
    """Read the package: the syntax tree of each module by its dotted name."""
    found = {}
    for path in sorted(SOURCE.glob("pgchaos/**/*.py")):
        if "share" not in path.relative_to(SOURCE).parts:  # links to the documentation and the scenarios
            name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """List what a module imports, with the lines; what is imported in a function or for types alone counts too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield inner if inner in modules() else module, node.lineno


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_has_its_place() -> None:
    rooms = {room(module) for module in modules()} - {""}
    assert rooms <= set(ROOMS), "put a new room into ROOMS, as low as its imports allow"


def test_rooms_import_downwards() -> None:
    upwards = [
        f"{module}, line {line}: {target}"
        for module, tree in modules().items()
        for target, line in imported(tree)
        if target in modules() and room(module) and room(target)
        if ROOMS.index(room(target)) > ROOMS.index(room(module))
    ]
    assert not upwards, "a lower room imports a higher one"


@pytest.mark.parametrize("name", FORBIDDEN)
def test_rooms_know_only_what_they_need(name: str) -> None:
    found = [
        f"{module}, line {line}: {target}"
        for module, tree in modules().items()
        if room(module) == name
        for target, line in imported(tree)
        if (package := target.partition(".")[0]) in FORBIDDEN[name] and (module, package) not in ALLOWED
    ]
    assert not found


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {
        module: {target for target, _ in imported(tree) if target in modules()} - {module}
        for module, tree in modules().items()
    }
    # whoever imports nothing that is left is in no circle, nor is who is imported by nothing that is left
    while loose := {
        one for one, targets in graph.items() if not targets or not any(one in it for it in graph.values())
    }:
        graph = {one: targets - loose for one, targets in graph.items() if one not in loose}
    assert not graph


def test_modules_are_short() -> None:
    lines = {
        path.relative_to(SOURCE / "pgchaos").as_posix(): path.read_text(encoding="utf-8").count("\n")
        for path in sorted(SOURCE.glob("pgchaos/**/*.py"))
    }
    too_long = {name: count for name, count in lines.items() if count > LONG_MODULES.get(name, (MOST_MODULE, ""))[0]}
    assert not too_long, f"split it: a module has at most {MOST_MODULE} lines"
    needless = {name for name in LONG_MODULES if lines.get(name, 0) <= MOST_MODULE}
    assert not needless, "take it out of LONG_MODULES"


def test_functions_are_short() -> None:
    too_long = [
        f"{module}.{node.name}: {length} lines"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > MOST_FUNCTION
    ]
    assert not too_long, f"split it: a function has at most {MOST_FUNCTION} lines"


def test_stored_results_have_an_owner() -> None:
    stored = Counter(
        room(module)
        for module, tree in modules().items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        if any(ast.unparse(one).partition("(")[0].endswith("cache") for one in node.decorator_list)
    )
    too_many = {name: count for name, count in stored.items() if count > CACHED.get(name, 0)}
    assert not too_many, "give what is stored an owner: an object that is created and discarded with it"


def test_no_module_has_a_state() -> None:
    changed = {f"{module}.{name}" for module, tree in modules().items() for name in changed_collections(tree)}
    assert changed <= MUTABLE, "put it into an object"
    rebound = [
        module for module, tree in modules().items() if any(isinstance(one, ast.Global) for one in ast.walk(tree))
    ]
    assert not rebound, "`global`: put it into an object"


CHANGES = frozenset(
    {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}
)


def changed_collections(tree: ast.Module) -> set[str]:
    """Name what is bound at the top of a module and changed by a method or by an item."""
    targets = [
        node.targets[0] if isinstance(node, ast.Assign) else node.target
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
    ]
    bound = {target.id for target in targets if isinstance(target, ast.Name)}
    found = set()
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        local = {
            node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
                changed = node.func.value
            elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
                changed = node.value
            else:
                continue
            if isinstance(changed, ast.Name) and changed.id in bound - local:
                found.add(changed.id)
    return found
