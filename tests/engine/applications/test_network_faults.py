"""Faults of the network at programs: what a program sees, and what the server has done."""

from __future__ import annotations

import pytest

from pgchaos.engine.applications import program_connection
from tests.engine.applications.test_programs import stock
from tests.engine.playing import Play, held, only, outcomes, said, texts

ORDER = '"BEGIN" "UPDATE stock SET n = n - 1 WHERE id = 1" "COMMIT"'


@pytest.mark.parametrize(
    ("fault", "outcome", "left"),
    [
        ("cut during on 1st execution of 'COMMIT'", "unknown", 9),
        ("reset on 1st execution of 'UPDATE%'", "rolled back", 10),
    ],
)
def test_a_program_loses_its_connection(play: Play, send: str, fault: str, outcome: str, left: int) -> None:
    check = f"SELECT is(n, {left}, 'stock') FROM stock WHERE id = 1;"
    result = play(stock(f"shop allow exit 1 run '{send} {ORDER}'\n-- chaos:fault {fault}", check=check))
    assert held(result) == ["stock"]
    assert [row[3] for row in outcomes(result, "shop")] == [outcome]
    assert said(result, "shop")[-1].sqlstate == "08006"
    assert said(result, "shop")[-1].fault == fault.split()[0]


def test_each_program_of_a_session_counts_for_itself(play: Play, send: str) -> None:
    shop = f"""shop x 2 allow exit 1 run '{send} "SELECT 1" "SELECT 2"'"""
    result = play(stock(f"{shop}\n-- chaos:fault cut on 1st execution of 'SELECT 2'", check="SELECT pass();"))
    assert not result.failures
    assert [[one.sqlstate for one in said(result, "shop", worker)] for worker in (1, 2)] == [["00000", "08006"]] * 2


def test_a_program_that_the_network_alone_kept_from_connecting_has_not_failed(play: Play, send: str) -> None:
    first = f"""first run 'sh -c "{send} ''SELECT 1'' && touch go"'\n-- chaos:fault refuse of shop"""
    shop = f"""shop allow exit 1 run 'sh -c "until [ -e go ]; do sleep 0.01; done; {send} ''SELECT 2''"'"""
    result = play(stock(first, shop, check="SELECT is(count(*), 1::bigint, 'one') FROM chaos.history;"))
    assert held(result) == ["one"]
    assert "-- a fault of the network refuses its connection" in [act.statement for act in result.acts]


def test_a_program_is_refused_and_slowed_down(play: Play, send: str) -> None:
    shop = f'shop repeat 2 allow exit 1 run \'{send} "SELECT 1" "SELECT 2"\''
    faults = "-- chaos:fault latency 40ms on 1st execution\n-- chaos:fault refuse on 2nd execution\n"
    check = """
        SELECT ok(ended_at - started_at < interval '1min', 'late') FROM chaos.history LIMIT 1;
        SELECT is(count(*), 2::bigint, 'the second was refused') FROM chaos.history;
    """
    result = play(stock(f"{shop}\n{faults}", check=check))
    assert held(result) == ["late", "the second was refused"]


def test_nothing_is_sent_after_a_stop_on_a_connection_that_a_fault_has_ended(play: Play, send: str) -> None:
    """The program has not heard of its end, for the network is stalled."""
    shop = f'shop run \'{send} "SELECT 1" "SELECT 2"\''
    faults = "".join(f"-- chaos:fault {kind} on 1st execution of 'SELECT 2'\n" for kind in ("stall 1min", "terminate"))
    result = play(stock(f"{shop}\n{faults}", head="-- chaos:timeout 1s"))
    assert only(result).kind == "timeout"
    assert texts(said(result, "shop")) == ["SELECT 1"]


@pytest.mark.parametrize("fault", ["stall", "stall 1ms", "latency 1ms", "rate 1MB"])
@pytest.mark.parametrize(("later", "is_felt"), [("", False), ('"send:SELECT 2"', True)])
def test_a_fault_after_which_a_program_says_only_farewell_is_not_felt(
    play: Play, send: str, fault: str, later: str, is_felt: bool
) -> None:
    shop = f"shop run '{send} \"SELECT 1\" {later}'\n-- chaos:fault {fault} after on 1st execution"
    result = play(stock(shop))
    assert [failure.kind for failure in result.failures] == ([] if is_felt else ["fault"])


def test_a_request_that_is_stalled_does_not_reach_the_server(play: Play, send: str) -> None:
    """It was read from the program before the fault."""
    shop = f"shop run '{send} \"CREATE TABLE came AS SELECT clock_timestamp() AS at\"'\n-- chaos:fault stall 300ms"
    check = "SELECT ok(at - started_at > interval '200ms', 'late') FROM came, chaos.history;"
    assert held(play(stock(shop, check=check))) == ["late"]


def test_a_backend_that_is_not_seen_to_end_is_reported(play: Play, send: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_connection, "_BACKEND_LIMIT", 0.0)
    shop = f"shop allow exit 1 run '{send} \"SELECT pg_sleep(60)\"'"
    result = play(stock(f"{shop}\n-- chaos:fault cut during after 1ms on 1st execution"))
    assert held(result) == ["done"]
    (remark,) = result.remarks
    assert remark.startswith("shop[1]: its backend ")
    assert "was not seen to end, and may keep its locks, within 0 s (" in remark
