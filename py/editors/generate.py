"""Writes the grammars and snippets of this folder, from the table of directives and the templates: `make editors`.

A test compares the files with what this would write, so that they never miss a directive.
"""

from __future__ import annotations

import json
import plistlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pgchaos import __version__
from pgchaos.commands.arguments import KINDS
from pgchaos.commands.findings import RULES
from pgchaos.language.directive_table import (
    DIRECTIVES,
    DirectiveSpec,
    HeaderDirective,
    MutantDirective,
    SectionDirective,
    SessionDirective,
)
from pgchaos.language.fault_kinds import KINDS as FAULTS
from pgchaos.language.tags import TAGS

HERE = Path(__file__).parent
_TEMPLATES = HERE.parent / "pgchaos" / "commands" / "templates"
_SCOPES = {
    HeaderDirective: "keyword.other.header.pgchaos",
    SectionDirective: "entity.name.section.pgchaos",
    SessionDirective: "keyword.control.session.pgchaos",
    MutantDirective: "keyword.other.mutant.pgchaos",
}
# What the snippets of these type: their usages name several forms.
_BODIES = {
    "schedule": "schedule ${1|all,explore 500,free|}",
    "sandbox": "sandbox ${1|database,schema,server|}",
    "server": "server ${1:work_mem} = ${2:1MB}",
    "requires": "requires ${1|extension NAME,server >= 17,superuser,own server|}",
    "given": "given ${1:amount} in ${2:1..100}",
    "matrix": "matrix ${1:level} in ${2:'read committed', serializable}",
    "tags": f"tags ${{1|{','.join(TAGS)}|}}",
    "xfail": "xfail ${1:REASON}",
    "pooler": "pooler ${1|transaction,session,statement|}",
    "wait": "wait ${1|blocked,for|} ${2:NAME}",
    "fault": f"fault ${{1|{','.join(FAULTS)}|}} ${{2|before,during,after|}}",
    "expect": "expect ${1:unique_violation}",
    "allow": "allow ${1:40P01}",
    "leaves": "leaves ${1:role} ${2:REASON}",
}


def files() -> dict[Path, bytes]:
    """Give every file that is generated, with its contents."""
    injected = {
        **_grammar(),
        "scopeName": "pgchaos.injection",
        "injectionSelector": "L:source.sql -string -comment.block",
    }
    alone = {**_grammar(), "scopeName": "source.sql.pgchaos", "fileTypes": ["chaos.sql"]}
    alone["patterns"] = [*alone["patterns"], {"include": "source.sql"}]
    return {
        HERE / "vscode" / "package.json": _json(_package()),
        HERE / "vscode" / "syntaxes" / "pgchaos.tmLanguage.json": _json(injected),
        HERE / "vscode" / "snippets" / "pgchaos.json": _json(_snippets()),
        HERE / "sublime" / "pgchaos.tmLanguage": plistlib.dumps(alone, sort_keys=False),
    }


def _json(value: object) -> bytes:
    return f"{json.dumps(value, indent=2, ensure_ascii=False)}\n".encode()


def _package() -> dict[str, Any]:
    return {
        "name": "pgchaos",
        "displayName": "pgchaos",
        "description": "Highlights the directives of chaos scenarios in SQL, and writes them by snippets",
        "version": __version__,
        "publisher": "evoludigit",
        "license": "PostgreSQL",
        "repository": {"type": "git", "url": "https://github.com/evoludigit/pgchaos"},
        "engines": {"vscode": "^1.60.0"},
        "categories": ["Programming Languages", "Snippets"],
        "contributes": {
            "grammars": [
                {
                    "scopeName": "pgchaos.injection",
                    "path": "./syntaxes/pgchaos.tmLanguage.json",
                    "injectTo": ["source.sql", "source.pgsql"],
                }
            ],
            "snippets": [{"language": "sql", "path": "./snippets/pgchaos.json"}],
        },
    }


def _grammar() -> dict[str, Any]:
    begins = r"^\s*(--)\s+(chaos:)"
    directives = [_directive(f"{begins}({_words(kind)})(?![\\w-])", scope) for kind, scope in _SCOPES.items()]
    unknown = {
        "name": "meta.directive.pgchaos",
        "match": rf"{begins}(\S*).*$",
        "captures": _captures("invalid.illegal.directive.pgchaos"),
    }
    permit = {
        "name": "meta.permit.pgchaos",
        "match": rf"(--)\s*(lint:\s*allow)\s+({'|'.join(RULES)})\b",
        "captures": _captures("constant.language.rule.pgchaos"),
    }
    return {"name": "pgchaos", "patterns": [*directives, unknown, permit]}


def _words(kind: type[DirectiveSpec]) -> str:
    # the longest first: one may begin another
    return "|".join(sorted((word for word, row in DIRECTIVES.items() if isinstance(row, kind)), key=len, reverse=True))


def _captures(scope: str) -> dict[str, dict[str, str]]:
    return {
        "1": {"name": "punctuation.definition.comment.sql"},
        "2": {"name": "keyword.other.pgchaos"},
        "3": {"name": scope},
    }


def _directive(begin: str, scope: str) -> dict[str, Any]:
    return {
        "name": "meta.directive.pgchaos",
        "begin": begin,
        "beginCaptures": _captures(scope),
        "end": "$",
        "patterns": [
            {"name": "string.quoted.single.pgchaos", "match": "'(?:[^']|'')*'"},
            {"name": "constant.other.sqlstate.pgchaos", "match": r"\b(?=\w*\d)[0-9A-Z]{5}\b"},
            {"name": "constant.numeric.pgchaos", "match": r"\b\d+(?:\.\d+)?(?:us|ms|s|min|h)?\b"},
            {"name": "keyword.operator.pgchaos", "match": rf"\b(?:{'|'.join(_keywords())})\b"},
        ],
    }


def _keywords() -> list[str]:
    """The words in lower case of how directives are written, the kinds of faults, and the tags."""
    usages = " ".join(row.written.partition(row.word)[2] for row in DIRECTIVES.values())
    words = {*re.findall(r"(?<![\w.])(?:[a-z]{2,}|x)(?![\w.(])", usages), *FAULTS, *TAGS}
    # the longest first: one may begin another
    return sorted(words, key=lambda one: (-len(one), one))


def _snippets() -> dict[str, Any]:
    found: dict[str, Any] = {
        f"chaos:{word}": {
            "prefix": f"chaos:{word}",
            "body": f"-- chaos:{_BODIES.get(word) or _body(row)}",
            "description": f"{row.help} ({row.where})",
        }
        for word, row in DIRECTIVES.items()
    }
    for kind, about in KINDS.items():
        text = (_TEMPLATES / f"{kind}.sql").read_text(encoding="utf-8").rstrip("\n")
        found[f"scenario: {kind}"] = {
            "prefix": f"chaos-{kind}",
            "body": _filled(text).split("\n"),
            "description": f"a whole scenario: {about}",
        }
    return found


def _body(row: DirectiveSpec) -> str:
    """Take the first form of a usage; what is in capitals, or an example, is typed over."""
    form = re.split(r" \[|, | or |…", row.usage)[0]
    arguments = form.removeprefix(row.word)
    numbers = iter(range(1, 9))
    return row.word + re.sub(r"[A-Z]{2,}|\d+\w*", lambda found: f"${{{next(numbers)}:{found[0]}}}", arguments)


def _filled(text: str) -> str:
    """Write a template as a snippet."""
    escaped = text.replace("\\", "\\\\").replace("$", "\\$").replace("}", "\\}")
    places: Mapping[str, str] = {"TITLE": "${1:Title}", "TAGS": "${2:concurrent}", "CONNECTIONS": "${3:2}"}
    for name, place in places.items():
        escaped = escaped.replace(name, place)
    return escaped


def main() -> None:
    """Write the files."""
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
