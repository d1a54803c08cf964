"""Parses the directives of a file's header, which is above its first section.

Each function parses the directive of its name and adds it to the header. The functions raise DirectiveError.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from pgchaos.language.arguments import QUOTED, Args, DirectiveError, UnknownTag
from pgchaos.language.constants import written_default
from pgchaos.language.given import take_given, take_list
from pgchaos.language.header_model import (
    Given,
    LeakKind,
    Leave,
    Matrix,
    Pooler,
    Requirement,
    Sandbox,
    ServerSetting,
    Xfail,
    may_both_apply,
)
from pgchaos.language.problems import Place
from pgchaos.language.suggestions import nearest, suggest
from pgchaos.language.tags import TAGS

MOST_ITEMS = 64
"""The maximum number of items that the matrices of a file may make."""
WITH_LIBRARIES = ("python", "python3", "node")
"""Programs for which we can test whether they find a library."""
SESSION_VARIABLES = frozenset({"worker", "iteration"})
"""Variables that are set in every session."""

# a shorter name may occur in SQL by accident, as in `[a:n]`
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_VERSION = re.compile(r"[0-9][\w.+~-]*")
# parameters that the engine needs to connect to the server and to understand its answers
_ENGINE_SETTINGS = frozenset(
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


@dataclass(slots=True)
class Header:
    """The header so far. Its fields are those of Scenario."""

    extra_tags: Collection[str] = ()  # allowed in addition to TAGS
    title: str | None = None
    tags: set[str] = field(default_factory=set)
    timeout: float | None = None
    requires: list[Requirement] = field(default_factory=list)
    sandbox: Sandbox = "database"
    server: list[ServerSetting] = field(default_factory=list)
    poolers: list[Pooler] = field(default_factory=list)
    pooler_settings: list[ServerSetting] = field(default_factory=list)
    alone: bool = False
    matrix: dict[str, Matrix] = field(default_factory=dict)
    given: dict[str, Given] = field(default_factory=dict)
    schedule: Args | None = None
    oracle: Literal["serializable"] | None = None
    xfails: list[Xfail] = field(default_factory=list)
    leaves: list[Leave] = field(default_factory=list)
    # the variables that the header sets, with the first line of each; their values are in Source.constants
    constants: dict[str, Place] = field(default_factory=dict)
    seen: dict[str, Place] = field(default_factory=dict)  # the first line of each directive
    _items: int = 1  # counted until they are too many
    _set: dict[tuple[str, str], list[ServerSetting]] = field(default_factory=dict)  # by directive and name

    def add_matrix(self, matrix: Matrix) -> None:
        """Add a matrix. Too many items are reported only once."""
        self.matrix[matrix.name] = matrix
        if self._items <= MOST_ITEMS:
            self._items *= len(matrix.values)
            if self._items > MOST_ITEMS:
                raise DirectiveError(
                    f"`matrix`: with this line the file makes {self._items} items, more than {MOST_ITEMS}"
                )

    def known_values(self, constants: Mapping[str, str]) -> dict[str, Matrix]:
        """Return the variables whose values are known before a run, each with all its values."""
        place = Place("", 1)
        return {name: Matrix(place, name, (value,)) for name, value in constants.items()} | self.matrix

    def add_setting(self, word: Literal["server", "pooler"], setting: ServerSetting) -> None:
        """Add a parameter of the server or of the pooler. Lines for the same item must not set it twice."""
        same = self._set.setdefault((word, setting.name.lower()), [])
        first = next((other for other in same if may_both_apply(other.when, setting.when)), None)
        if first is not None:
            raise DirectiveError(f"`{word}`: `{setting.name}` is set twice, first in line {first.place.line}")
        same.append(setting)
        (self.server if word == "server" else self.pooler_settings).append(setting)

    def take_variable(self, args: Args) -> str:
        """Take the name of a new variable."""
        name = args.take("the name of a variable").text
        self.check_variable(name, args.word)
        if name in self.constants:
            raise DirectiveError(
                f"`{args.word}`: `{name}` is declared twice, first in line {self.constants[name].line}"
            )
        return name

    def check_variable(self, name: str, word: str) -> None:
        """Check the name of a variable that the directive `word` declares."""
        if name in SESSION_VARIABLES:
            raise DirectiveError(f"`{word}`: `{name}` is set in every session; choose another name")
        if not _VARIABLE.fullmatch(name):
            raise DirectiveError(
                f"`{word}`: `{name}` is not a name for a variable: it must have at least three letters, digits or"
                " underscores of ASCII, the first not a digit (a shorter one is too easily hit by accident, as in an"
                f" array's [1:{name}])"
            )
        other = self.matrix.get(name) or self.given.get(name)
        if other is not None:
            raise DirectiveError(f"`{word}`: `{name}` is declared twice, first in line {other.place.line}")

    def add_constant(self, name: str, word: str, place: Place) -> None:
        r"""Record that `default` or \set sets a variable; several lines may set the same."""
        self.check_variable(name, word)
        self.constants.setdefault(name, place)


def title(header: Header, args: Args) -> None:
    """`title TEXT`."""
    if not args.text:
        raise DirectiveError("`title`: its text is missing")
    header.title = args.text


def tags(header: Header, args: Args) -> None:
    """`tags a b`."""
    words = args.text.replace(",", " ").split()
    if not words:
        raise args.error("no tag is named")
    known = TAGS.keys() | set(header.extra_tags)
    header.tags.update(word for word in words if word in known and word != "chaos")
    unknown = [word for word in words if word not in known and word != "chaos"]
    if unknown:
        each = "; ".join(f"unknown tag `{word}`{suggest(word, known)}" for word in unknown)
        raise UnknownTag(f"`tags`: {each} (more are allowed by the ini key chaos_tags)")


def timeout(header: Header, args: Args) -> None:
    """`timeout 30s`."""
    header.timeout = args.duration("the time-out")


def requires(header: Header, args: Args) -> None:
    """`requires …, …`."""
    header.requires.append(_requirement(args))
    while args.accept(","):
        header.requires.append(_requirement(args))


def _requirement(args: Args) -> Requirement:
    place = args.place
    if args.accept("superuser"):
        return Requirement(place, "superuser")
    if args.accept("own", "server"):
        return Requirement(place, "own server")
    if args.accept("capability"):
        return Requirement(place, "capability", args.take("the name of the capability").text)
    if args.accept("program"):
        name = args.take("the name of the program").text
        library = args.take("the name of a library of the program").text if args.accept("with") else ""
        if library and name not in WITH_LIBRARIES:
            raise DirectiveError(f"`requires`: `with` names a library of {', '.join(WITH_LIBRARIES)}, not of `{name}`")
        return Requirement(place, "program", name, function=library)
    if args.accept("server"):
        operator = _operator(args)
        if not operator:
            raise args.error(f"a comparison {args.missing()}, as in `server >= 17`")
        return Requirement(place, "server", "", operator, _version(args))
    if args.accept("extension"):
        name = args.take("the name of the extension").text
        operator = _operator(args)
        version = _version(args) if operator else ""
        function = args.take("the name of a function of the extension").text if args.accept("with") else ""
        return Requirement(place, "extension", name, operator, version, function)
    raise args.misspelt() or args.error(
        f"an extension, server, superuser, own server, capability or program {args.missing()}"
    )


def _operator(args: Args) -> str:
    return args.take().text if args.peek() in (">=", ">", "=", "<", "<=") else ""


def _version(args: Args) -> str:
    version = args.take("the version").text
    if not _VERSION.fullmatch(version):
        raise args.error(f"`{version}` is not a version")
    return version


def sandbox(header: Header, args: Args) -> None:
    """`sandbox database`, `schema` or `server`."""
    kinds: tuple[Sandbox, ...] = get_args(Sandbox)
    header.sandbox = args.choice("sandbox", kinds)


def server(header: Header, args: Args) -> None:
    """`server NAME = VALUE`."""
    # the server checks whether the parameter exists: that depends on its version and on loaded extensions
    name = args.take("the name of a parameter").text
    if not _SETTING.fullmatch(name):
        raise args.error(f"`{name}` is not a name of a parameter")
    args.expect("=")
    value = args.take(f"the value of `{name}`").text
    while args.has_more():
        # a list may be written without quotes, as in postgresql.conf
        token = args.take()
        value += str(token) if str(token) == "," else f" {token}"
    if name.lower() in _ENGINE_SETTINGS:
        raise DirectiveError(f"`server`: the engine sets `{name}` itself: it could not reach the server otherwise")
    header.add_setting("server", ServerSetting(args.place, name, value, args.when))


def alone(header: Header, _: Args) -> None:
    """`alone`."""
    header.alone = True


def matrix(header: Header, args: Args) -> None:
    """`matrix NAME in a, 'b c'`."""
    name = header.take_variable(args)
    args.expect("in")
    header.add_matrix(Matrix(args.place, name, take_list(args, f"a value of `{name}`")))


def given(header: Header, args: Args) -> None:
    """`given NAME in …`."""
    name = header.take_variable(args)
    args.expect("in")
    header.given[name] = take_given(args, name)


def default(header: Header, args: Args) -> None:
    """`default NAME = VALUE`: its value is in Source.constants."""
    written = written_default(args.text)
    if written is None:
        raise args.error("a name, `=` and a value are required")
    header.add_constant(written[0], "default", args.place)


def schedule(header: Header, args: Args) -> None:
    """`schedule …`: parsed after all sessions."""
    header.schedule = args


def oracle(header: Header, args: Args) -> None:
    """`oracle serializable`."""
    args.choice("oracle", ("serializable",))
    header.oracle = "serializable"


def xfail(header: Header, args: Args) -> None:
    """`xfail ['NAME'] REASON`."""
    name, reason = None, args.text
    if reason.startswith("'"):
        found = QUOTED.match(reason)
        if found is None:
            raise args.error("a quote does not end in this line")
        name, reason = found[1].replace("''", "'"), reason[found.end() :].strip()
    if name == "":
        raise args.error("the name in its quotes is missing")
    if not reason:
        raise args.error("the reason is missing")
    header.xfails.append(Xfail(args.place, name, reason, args.when))


def leaves(header: Header, args: Args) -> None:
    """`leaves KIND REASON`."""
    kinds: tuple[LeakKind, ...] = get_args(LeakKind)
    for kind in kinds:
        if args.text == kind:
            raise args.error("the reason is missing")
        if args.text.startswith(kind + " "):
            header.leaves.append(Leave(args.place, kind, args.text[len(kind) :].strip(), args.when))
            return
    words = args.text.split()
    if not words:
        raise args.error("the kind is missing")
    near = nearest(" ".join(words[:2]), kinds) or nearest(words[0], kinds)
    hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(kinds)}"
    raise DirectiveError(f"`leaves`: `{' '.join(words[:2])}` is not something that can be left, {hint}")
