"""Parses specs by isolationtester's grammar (PostgreSQL, src/test/isolation: specscanner.l, specparse.y)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pgchaos.isolation.model import Blocker, Permutation, PermutationStep, Session, Spec, Step
from pgchaos.language.file_text import LARGEST
from pgchaos.language.problems import Place, Problem, ScenarioError
from pgchaos.server_text import decoded

_BOM = "\ufeff"
_KEYWORDS = frozenset({"notices", "permutation", "session", "setup", "step", "teardown"})
_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\f\n]+|\#[^\n\r]*)"
    r"|(?P<word>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)"
    r'|"(?P<quoted>[^"\n]*(?:""[^"\n]*)*)"'
    r"|\{(?P<block>[^}]*)\}"
    r"|(?P<number>[0-9]+)"
    r"|(?P<sign>[,()*])"
)
_SESSION = re.compile(r'^[ \t]*session[ \t]+["A-Za-z_\u0080-\U0010ffff]', re.MULTILINE)
_STEP = re.compile(r"(?:^[ \t]*|[ \t])step[ \t]+[^\s{]+\s*\{", re.MULTILINE)
_PART = re.compile(r"^[ \t]*(?:(?:setup|teardown)\s*\{|(?:session|step|permutation)[ \t]+\S)", re.MULTILINE)
_RPM = re.compile(r"^(?:%|Name:|Version:)", re.MULTILINE)
_BLANK = re.compile(r"(?:\s|\#[^\n\r]*)*")


def is_spec(text: str) -> bool:
    """Whether a text looks like an isolation spec, perhaps a broken one: other files have the extension `.spec` too."""
    text = text.removeprefix(_BOM)
    session = _SESSION.search(text)
    if session is not None and _STEP.search(text, session.end()) is not None:
        return True
    return _BLANK.fullmatch(text) is not None or (_PART.search(text) is not None and _RPM.search(text) is None)


def read(path: Path, shown: str | None = None) -> Spec:
    """Parse a spec, with `shown` as its path in messages. Raises ScenarioError with the line and the expected token."""
    shown = str(path) if shown is None else shown
    try:
        if path.stat().st_size > LARGEST:
            raise ScenarioError((Problem(Place(shown, 1), f"the file is larger than {LARGEST >> 20} MiB"),))
        text = decoded(path.read_bytes())
    except OSError as error:
        raise ScenarioError((Problem(Place(shown, 1), f"the file cannot be read: {error.strerror}"),)) from error
    if text.startswith(_BOM):
        what = "the file begins with a byte order mark, which isolationtester refuses: save it as UTF-8 without one"
        raise ScenarioError((Problem(Place(shown, 1), what),))
    return _Parser(path, shown, text).spec()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # 'name', 'block', 'number', 'end', or the keyword or sign itself
    text: str
    line: int

    @property
    def shown(self) -> str:
        if self.kind == "end":
            return "the end of the file"
        return {"block": "a block of SQL", "name": f'"{self.text}"', "number": self.text}.get(
            self.kind, f"'{self.kind}'"
        )


@dataclass(frozen=True, slots=True)
class _Marker:
    """A marker in parentheses after a step: `*`, a step, or a step and a number of notices."""

    step: _Token
    notices: int


@dataclass(frozen=True, slots=True)
class _Mention:
    name: _Token
    markers: tuple[_Marker, ...]


class _Parser:
    def __init__(self, path: Path, shown: str, text: str) -> None:
        self._path, self._shown, self._text = path, shown, text
        self._tokens = self._scan()
        self._next = next(self._tokens)
        self._steps: dict[str, Step] = {}

    def _fail(self, line: int, text: str) -> NoReturn:
        raise ScenarioError((Problem(Place(self._shown, line), text),))

    def _scan(self) -> Iterator[_Token]:
        at, line = 0, 1
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                self._fail(line, self._unreadable(at))
            kind, text = match.lastgroup or "", match[match.lastgroup or 0]
            if kind == "word":
                yield _Token(text if text in _KEYWORDS else "name", text, line)
            elif kind == "quoted":
                yield _Token("name", text.replace('""', '"'), line)
            elif kind == "block":
                yield _Token(kind, text.strip(" \t\r\f"), line)
            elif kind == "number":
                yield _Token(kind, text, line)
            elif kind == "sign":
                yield _Token(text, text, line)
            line += match[0].count("\n")
            at = match.end()
        while True:
            yield _Token("end", "", line)

    def _unreadable(self, at: int) -> str:
        if self._text[at] == "{":
            return "the block of SQL that begins here does not end: '}' is missing"
        if self._text[at] == '"':
            return "the quoted name that begins here does not end in its line: '\"' is missing"
        return f"'{self._text[at]}' is not part of a spec: a comment begins with #, SQL is in {{ }}"

    def _take(self, kind: str, wanted: str) -> _Token:
        token = self._next
        if token.kind != kind:
            self._fail(token.line, f"expected {wanted}, found {token.shown}{_hint(token, kind)}")
        self._next = next(self._tokens)
        return token

    def _is(self, kind: str) -> bool:
        return self._next.kind == kind

    def spec(self) -> Spec:
        setups = []
        while self._is("setup"):
            setups.append(self._block("setup"))
        teardown = self._optional("teardown")
        sessions: list[Session] = []
        while self._is("session") or not sessions:
            sessions.append(self._session(len(sessions)))
        mentions = []
        while self._is("permutation"):
            self._take("permutation", "")
            mentions.append(self._mentions())
        if not self._is("end"):
            self._fail(self._next.line, self._misplaced(bool(mentions)))
        written = tuple(self._permutation(mentioned) for mentioned in mentions)
        return Spec(self._path, self._shown, tuple(setups), teardown, tuple(sessions), written, self._text)

    def _misplaced(self, permuted: bool) -> str:
        wanted = "a permutation" if permuted else "a step, a session or a permutation"
        why = "; setup is before teardown and sessions, and before the steps of its session"
        return f"expected {wanted}, found {self._next.shown}" + (why if self._next.kind == "setup" else "")

    def _block(self, keyword: str) -> str:
        self._take(keyword, f"'{keyword}'")
        return self._take("block", f"the SQL of {keyword} in {{ }}").text

    def _optional(self, keyword: str) -> str | None:
        return self._block(keyword) if self._is(keyword) else None

    def _session(self, number: int) -> Session:
        self._take("session", "a session")
        name = self._take("name", "the name of the session").text
        setup = self._optional("setup")
        steps = [self._step(number)]
        while self._is("step"):
            steps.append(self._step(number))
        return Session(name, setup, tuple(steps), self._optional("teardown"))

    def _step(self, session: int) -> Step:
        self._take("step", "a step of the session")
        name = self._take("name", "the name of the step")
        step = Step(name.text, self._take("block", f'the SQL of step "{name.text}" in {{ }}').text, session, name.line)
        if step.name in self._steps:
            self._fail(step.line, f'duplicate step name: "{step.name}" is in line {self._steps[step.name].line} too')
        self._steps[step.name] = step
        return step

    def _mentions(self) -> list[_Mention]:
        found = [self._mention()]
        while self._is("name"):
            found.append(self._mention())
        return found

    def _mention(self) -> _Mention:
        name = self._take("name", "a step of the permutation")
        if not self._is("("):
            return _Mention(name, ())
        self._take("(", "")
        markers = [self._marker()]
        while self._is(","):
            self._take(",", "")
            markers.append(self._marker())
        self._take(")", "',' or ')'")
        return _Mention(name, tuple(markers))

    def _marker(self) -> _Marker:
        if self._is("*"):
            return _Marker(self._take("*", ""), 0)
        step = self._take("name", "'*' or the step that this one's report waits for")
        if not self._is("notices"):
            return _Marker(step, 0)
        self._take("notices", "")
        number = self._take("number", "the number of notices")
        # `notices 0` has no effect; -1, because 0 would mean the step itself
        return _Marker(step, int(number.text) or -1)

    def _permutation(self, mentions: list[_Mention]) -> Permutation:
        for mention in mentions:
            if mention.name.text not in self._steps:
                self._fail(
                    mention.name.line, f'undefined step "{mention.name.text}" in permutation{self._like(mention.name)}'
                )
        here = {mention.name.text for mention in mentions}
        return tuple(self._permutation_step(mention, here) for mention in mentions)

    def _permutation_step(self, mention: _Mention, here: set[str]) -> PermutationStep:
        step = self._steps[mention.name.text]
        blockers = []
        for marker in mention.markers:
            if marker.step.kind == "*":
                continue
            other = marker.step.text
            if other not in here:
                self._fail(
                    marker.step.line,
                    f'undefined blocking step "{other}" at step "{step.name}": it is not in this permutation',
                )
            if self._steps[other].session == step.session:
                self._fail(marker.step.line, f'step "{step.name}" cannot wait for "{other}", a step of its own session')
            if marker.notices >= 0:
                blockers.append(Blocker(self._steps[other], marker.notices))
        return PermutationStep(step, any(marker.step.kind == "*" for marker in mention.markers), tuple(blockers))

    def _like(self, name: _Token) -> str:
        same = next((known for known in self._steps if known.lower() == name.text.lower()), None)
        return "" if same is None else f', but there is "{same}"'


def _hint(token: _Token, wanted: str) -> str:
    if wanted == "name" and token.kind in _KEYWORDS:
        return f' (quote a name that is a keyword: "{token.kind}")'
    return ""
