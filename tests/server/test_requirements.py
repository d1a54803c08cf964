from __future__ import annotations

import pytest

from pgchaos.language.header_model import Requirement
from pgchaos.language.problems import Place
from pgchaos.server import Server, ServerSettings, open_server
from pgchaos.server.requirements import satisfies
from tests.conftest import ForeignServer

PLACE = Place("a.sql", 1)


@pytest.mark.parametrize(
    ("version", "operator", "wanted", "expected"),
    [
        ("17.10", ">=", "17", True),
        ("17.10", "=", "17", True),
        ("17.10", "<=", "17", True),
        ("17.10", ">", "17", False),
        ("17.10", "<", "17", False),
        ("17.10", ">=", "17.9", True),
        ("17.10", "<", "17.9", False),
        ("18.6", ">", "17", True),
        ("9.6", ">=", "17", False),
        ("18beta1", ">=", "18", True),
        ("0.1", ">=", "0.1.0", True),
        ("0.1", "", "0.1", True),
        ("0.2", "", "0.1", False),
        ("0.1", "", "", True),
    ],
)
def test_versions_are_compared_as_far_as_written(version: str, operator: str, wanted: str, expected: bool) -> None:
    assert satisfies(version, operator, wanted) is expected


@pytest.mark.parametrize(
    "requirement",
    [
        Requirement(PLACE, "extension", "hstore"),
        Requirement(PLACE, "extension", "hstore", ">=", "1.0"),
        Requirement(PLACE, "extension", "hstore", ">=", "1.0", "akeys"),
        Requirement(PLACE, "extension", "pgtap"),
        Requirement(PLACE, "server", "", ">=", "14"),
        Requirement(PLACE, "superuser"),
        Requirement(PLACE, "own server"),
        Requirement(PLACE, "capability", "prepared_transactions"),
    ],
)
def test_private_server_meets_these(private_server: Server, requirement: Requirement) -> None:
    assert private_server.missing(requirement) == ""


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        (Requirement(PLACE, "extension", "no_such"), "requires extension no_such, which this server does not offer"),
        (
            Requirement(PLACE, "extension", "hstore", ">=", "99"),
            "requires extension hstore >= 99, and this server's default version is",
        ),
        (
            Requirement(PLACE, "extension", "hstore", function="begin_deployment"),
            "requires extension hstore with begin_deployment(), and what this server offers has no such function",
        ),
        (Requirement(PLACE, "server", "", "<", "14"), "requires server < 14, and this is"),
        (Requirement(PLACE, "capability", "injection_points"), "built with --enable-injection-points"),
        (Requirement(PLACE, "capability", "logical_decoding"), "wal_level = logical"),
        (Requirement(PLACE, "capability", "teleport"), "unknown; known are injection_points"),
    ],
)
def test_private_server_lacks_these(private_server: Server, requirement: Requirement, reason: str) -> None:
    assert reason in private_server.missing(requirement)


def test_ordinary_role_on_a_foreign_server_lacks_these(foreign_server: ForeignServer) -> None:
    with open_server(ServerSettings(dsn=foreign_server.role("tester"))) as server:
        assert "role tester is not one" in server.missing(Requirement(PLACE, "superuser"))
        assert "--chaos-allow-destructive postgres" in server.missing(Requirement(PLACE, "own server"))
        assert "only a superuser can create" in server.missing(Requirement(PLACE, "extension", "pageinspect"))
        assert server.missing(Requirement(PLACE, "extension", "hstore")) == ""
