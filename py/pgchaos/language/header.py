"""The head of a file: what is said once of the whole scenario, above its first section."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, get_args

from pgchaos.language.arguments import Args, DirectiveError
from pgchaos.language.given import USAGE as GIVEN
from pgchaos.language.given import take_list, take_values
from pgchaos.language.header_model import Given, LeakKind, Leave, Matrix, Requirement, ServerSetting, When, Xfail
from pgchaos.language.problems import Place, Problem
from pgchaos.language.suggestions import SESSION_VARIABLES, TAGS, VARIABLE, meant, nearest
from pgchaos.language.when import split_when, take_when

MOST_ITEMS = 64
_XFAIL = "xfail ['NAME'] REASON [when NAME = value]"
_LEAVES = "leaves KIND REASON [when NAME = value]"
_SERVER = "server NAME = VALUE [when NAME = value]"
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ENGINES = frozenset(
    {
        "config_file",
        "data_directory",
        "dynamic_shared_memory_type",
        "external_pid_file",
        "hba_file",
        "ident_file",
        "lc_messages",
        "listen_addresses",
        "port",
        "unix_socket_directories",
        "unix_socket_permissions",
    }
)
"""Parameters by which the engine finds and understands a server."""
_QUOTED_FIRST = re.compile(r"'([^']*(?:''[^']*)*)'\s*(.*)")
_VERSION = re.compile(r"[0-9][\w.+~-]*")


@dataclass(slots=True)
class HeaderParser:
    """What the head says so far; see Scenario for the fields that both have.

    Args:
        extra_tags: tags that are allowed beside the four.
    """

    extra_tags: Collection[str] = ()
    title: str | None = None
    tags: set[str] = field(default_factory=set)
    timeout: float | None = None
    requires: list[Requirement] = field(default_factory=list)
    sandbox: Literal["database", "schema", "server"] = "database"
    server: list[ServerSetting] = field(default_factory=list)
    alone: bool = False
    matrix: dict[str, Matrix] = field(default_factory=dict)
    given: dict[str, Given] = field(default_factory=dict)
    schedule: tuple[Place, str] | None = None
    oracle: Literal["serializable"] | None = None
    xfails: list[Xfail] = field(default_factory=list)
    leaves: list[Leave] = field(default_factory=list)
    unsupported: list[Problem] = field(default_factory=list)
    seen: dict[str, Place] = field(default_factory=dict)
    _items: int = 1  # that the matrix makes so far; no more is counted once they are too many
    _set: dict[str, ServerSetting] = field(default_factory=dict)  # the first of each name
    _set_always: dict[str, ServerSetting] = field(default_factory=dict)  # the first that has no condition

    def read(self, word: str, text: str, place: Place) -> None:
        """Read one directive of the head.

        Args:
            word: the directive's name.
            text: what stands behind it.
            place: of the directive.

        Raises:
            Wrong: it cannot be understood.
        """
        first = self.seen.setdefault(word, place)
        if word in _ONCE and first is not place:
            raise DirectiveError(f"`{word}` is written twice, first in line {first.line}")
        _READERS[word](self, text, place)

    def not_yet(self, place: Place, what: str) -> None:
        """Remember something that is read but not run yet."""
        self.unsupported.append(Problem(place, f"{what} is not supported yet"))

    def count_items(self, values: int) -> None:
        """Multiply the items by the number of a matrix' values; more than anybody can have meant is told once."""
        if self._items > MOST_ITEMS:
            return
        self._items *= values
        if self._items > MOST_ITEMS:
            raise DirectiveError(f"`matrix`: with this line the file makes {self._items} items, more than {MOST_ITEMS}")

    def set_before(self, name: str, when: When | None) -> ServerSetting | None:
        """Give the parameter of that name which is set already, under no condition or where this has none."""
        return self._set.get(name) if when is None else self._set_always.get(name)

    def add_setting(self, setting: ServerSetting) -> None:
        """Add a parameter of the server."""
        self.server.append(setting)
        self._set.setdefault(setting.name, setting)
        if setting.when is None:
            self._set_always.setdefault(setting.name, setting)

    def variable(self, word: str, args: Args) -> str:
        """Take the name of a variable that a matrix or given declares."""
        name = args.take("the name of a variable").text
        if name in SESSION_VARIABLES:
            raise DirectiveError(f"`{word}`: `{name}` is set in every session, so take another name")
        if not VARIABLE.fullmatch(name):
            raise DirectiveError(
                f"`{word}`: `{name}` is no name for a variable: at least three letters, digits or underscores of"
                f" ASCII, the first no digit (a shorter one is too easily hit by accident, as in an array's [1:{name}])"
            )
        other = self.matrix.get(name) or self.given.get(name)
        if other is not None:
            raise DirectiveError(f"`{word}`: `{name}` is declared twice, first in line {other.place.line}")
        return name


def _title(head: HeaderParser, text: str, _: Place) -> None:
    if not text:
        raise DirectiveError("`title`: its text is missing")
    head.title = text


def _tags(head: HeaderParser, text: str, _: Place) -> None:
    words = text.replace(",", " ").split()
    if not words:
        raise DirectiveError("`tags`: no tag is named; it is written `tags slow concurrent`")
    known = TAGS | set(head.extra_tags)
    wrong = [word for word in words if word not in known and word != "chaos"]
    head.tags.update(word for word in words if word in known and word != "chaos")
    if wrong:
        said = "; ".join(f"unknown tag `{word}`{meant(word, known)}" for word in wrong)
        raise DirectiveError(f"`tags`: {said} (more are allowed by the ini key chaos_tags)")


def _timeout(head: HeaderParser, text: str, _: Place) -> None:
    args = Args("timeout", text, "timeout 30s")
    head.timeout = args.time("the time-out")
    args.end()


def _requires(head: HeaderParser, text: str, place: Place) -> None:
    args = Args(
        "requires", text, "requires extension NAME [>= VERSION], server >= 17, superuser, own server, capability NAME"
    )
    while True:
        head.requires.append(_requirement(args, place))
        if not args.took(","):
            break
    args.end()


def _requirement(args: Args, place: Place) -> Requirement:
    if args.took("superuser"):
        return Requirement(place, "superuser")
    if args.took("own", "server"):
        return Requirement(place, "own server")
    if args.took("capability"):
        return Requirement(place, "capability", args.take("the name of the capability").text)
    if args.took("server"):
        operator = _operator(args)
        if not operator:
            raise args.wrong(f"a comparison {args.instead()}, as in `server >= 17`")
        return Requirement(place, "server", "", operator, _version(args))
    if args.took("extension"):
        name = args.take("the name of the extension").text
        operator = _operator(args)
        return Requirement(place, "extension", name, operator, _version(args) if operator else "")
    raise args.misspelt() or args.wrong(f"an extension, server, superuser, own server or capability {args.instead()}")


def _operator(args: Args) -> str:
    word = args.peek()
    return args.take("").text if word in (">=", ">", "=", "<", "<=") else ""


def _version(args: Args) -> str:
    version = args.take("the version").text
    if not _VERSION.fullmatch(version):
        raise args.wrong(f"`{version}` is no version")
    return version


def _sandbox(head: HeaderParser, text: str, _: Place) -> None:
    args = Args("sandbox", text, "sandbox database, schema or server")
    kinds: tuple[Literal["database", "schema", "server"], ...] = ("database", "schema", "server")
    word = args.choice("sandbox", kinds)
    args.end()
    head.sandbox = next(kind for kind in kinds if kind == word)


def _server(head: HeaderParser, text: str, place: Place) -> None:
    args = Args("server", text, _SERVER)
    when = take_when(args, head.matrix)
    name = args.take("the name of a parameter").text
    if not _SETTING.fullmatch(name):
        raise args.wrong(f"`{name}` is no name of a parameter")
    args.need("=")
    value = args.take(f"the value of `{name}`").text
    while args.more():
        # as in postgresql.conf a list may stand there without quotes
        token = args.take("")
        value += str(token) if str(token) == "," else f" {token}"
    if name.lower() in _ENGINES:
        raise DirectiveError(f"`server`: `{name}` is set by the engine, which could not reach the server otherwise")
    first = head.set_before(name, when)
    if first is not None:
        raise DirectiveError(f"`server`: `{name}` is set twice, first in line {first.place.line}")
    head.add_setting(ServerSetting(place, name, value, when))


def _alone(head: HeaderParser, text: str, _: Place) -> None:
    Args("alone", text, "alone").end()
    head.alone = True


def _matrix(head: HeaderParser, text: str, place: Place) -> None:
    args = Args("matrix", text, "matrix NAME in a, 'b c'")
    name = head.variable("matrix", args)
    args.need("in")
    values = take_list(args, f"a value of `{name}`")
    head.matrix[name] = Matrix(place, name, values)
    head.count_items(len(values))


def _given(head: HeaderParser, text: str, place: Place) -> None:
    args = Args("given", text, GIVEN)
    name = head.variable("given", args)
    args.need("in")
    head.given[name] = take_values(args, place, name)
    args.end()


def _schedule(head: HeaderParser, text: str, place: Place) -> None:
    # read when all sessions are known
    head.schedule = (place, text)


def _oracle(head: HeaderParser, text: str, _: Place) -> None:
    args = Args("oracle", text, "oracle serializable")
    args.choice("oracle", ("serializable",))
    args.end()
    head.oracle = "serializable"


def _xfail(head: HeaderParser, text: str, place: Place) -> None:
    name, reason = None, text
    if text.startswith("'"):
        found = _QUOTED_FIRST.fullmatch(text)
        if found is None:
            raise DirectiveError(f"`xfail`: a quote does not end in this line; it is written `{_XFAIL}`")
        name, reason = found[1].replace("''", "'"), found[2]
    reason, when = split_when("xfail", reason, _XFAIL, head.matrix)
    if not reason or name == "":
        raise DirectiveError(
            f"`xfail`: the {'name in its quotes' if name == '' else 'reason'} is missing; it is written `{_XFAIL}`"
        )
    head.xfails.append(Xfail(place, name, reason, when))


def _leaves(head: HeaderParser, text: str, place: Place) -> None:
    text, when = split_when("leaves", text, _LEAVES, head.matrix)
    kinds: tuple[LeakKind, ...] = get_args(LeakKind)
    for kind in kinds:
        if text == kind:
            raise DirectiveError(f"`leaves`: the reason is missing; it is written `{_LEAVES}`")
        if text.startswith(kind + " "):
            head.leaves.append(Leave(place, kind, text[len(kind) :].strip(), when))
            return
    words = text.split()
    if not words:
        raise DirectiveError(f"`leaves`: the kind is missing; it is written `{_LEAVES}`")
    near = nearest(" ".join(words[:2]), kinds) or nearest(words[0], kinds)
    hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(kinds)}"
    raise DirectiveError(f"`leaves`: `{' '.join(words[:2])}` is nothing that can be left, {hint}")


_READERS: dict[str, Callable[[HeaderParser, str, Place], None]] = {
    "title": _title,
    "tags": _tags,
    "timeout": _timeout,
    "requires": _requires,
    "sandbox": _sandbox,
    "server": _server,
    "alone": _alone,
    "matrix": _matrix,
    "given": _given,
    "schedule": _schedule,
    "oracle": _oracle,
    "xfail": _xfail,
    "leaves": _leaves,
}
_ONCE = frozenset({"title", "timeout", "sandbox", "alone", "schedule", "oracle"})
