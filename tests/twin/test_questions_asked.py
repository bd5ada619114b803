"""What is said to the twin's commands: odd words are refused by name, before anything is asked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from common.errors import Misconfigured, Rejected
from common.radio import simulate
from common.scenario import Scenario
from coordinator.cli import twin_tables as tables
from coordinator.cli.twin import moment, twin
from coordinator.cli.whatif import _added, _timing
from coordinator.twin.seeds import joined


def quiet_site() -> Scenario:
    """Its one flow begins after the end."""
    flow = {"source": 1, "destination": 2, "period_s": 9.0, "offset_s": 50.0}
    nodes = [{"address": 1}, {"address": 2}]
    return Scenario.model_validate({"nodes": nodes, "flows": [flow], "duration_s": 5.0})


@pytest.mark.parametrize("text", ["²h", "٣h", "h", ".h", "-1h", "1..2h", "nanh"])
def test_what_is_no_time_is_the_named_error(text: str) -> None:
    with pytest.raises(Misconfigured, match="is no time"):
        moment(text, 1e9)
    assert moment("1.5h", 1e6) == 1e6 - 5400.0


@pytest.mark.parametrize("share", ["nan", "1.5", "-0.1", "inf"])
def test_a_share_that_is_none_is_refused_where_it_is_said(share: str) -> None:
    with pytest.raises(Rejected, match="0 to 1 is possible"):
        _added(f"0x0099:0x0001={share}")
    with pytest.raises(Rejected, match="write it like 3x20"):
        _timing("²x20")


def test_a_seed_beyond_the_scenarios_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    path.write_text(quiet_site().model_dump_json(by_alias=True, exclude_none=True))
    words = ["simulate", str(path), "--seconds", "1"]
    assert CliRunner().invoke(twin, [*words, "--seed", str(10**22)]).exit_code == 2
    done = CliRunner().invoke(twin, [*words, "--seed", str(2**63 - 1), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["flows"][0]["pdr"] is None


def test_of_nothing_sent_no_share_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    play = simulate(quiet_site()).as_json()
    both = joined((1, 2), [play, play])
    for found in (play, both):
        (flow,) = found["flows"]
        assert (flow["sent"], flow["pdr"], flow["reached_any"]) == (0, None, None)
        tables.simulated(found)
    assert "%" not in capsys.readouterr().out


@pytest.mark.parametrize(("vouches", "doubt"), [(True, ""), (False, "the twin was not scored yet")])
def test_a_twin_that_is_not_to_be_trusted_says_so(
    vouches: bool, doubt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"flows": [], "method": "graph", "reason": "so", "vouches": vouches, "doubt": doubt}
    tables.effects(answer)
    assert ("does not vouch" in capsys.readouterr().out) is not vouches


def effect_of(source: int, effect: str, mean: float) -> dict[str, Any]:
    estimate = {"mean": 0.5, "low": 0.4, "high": 0.6}
    return {
        "source": source,
        "destination": 1,
        "before": estimate,
        "after": estimate,
        "change": {"mean": mean, "low": mean - 0.1, "high": mean + 0.1},
        "latency_before_ms": None,
        "latency_after_ms": None,
        "effect": effect,
    }


def test_of_many_flows_the_worst_are_shown_and_how_many_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flows = [effect_of(i, "harmless", 0.0) for i in range(2, 60)]
    flows += [effect_of(100, "worse", -0.2), effect_of(101, "worse", -0.3), effect_of(102, "ended", -0.5)]
    answer = {"flows": flows, "method": "graph", "reason": "so", "vouches": True, "doubt": ""}
    tables.effects(answer)
    told = capsys.readouterr().out
    assert re.findall("0x[0-9a-f]{4} ->", told)[:3] == ["0x0066 ->", "0x0065 ->", "0x0064 ->"]
    assert told.count("->") == tables.SHOWN
    assert "31 more flows: --all" in told
    assert "1 ended, 2 worse, 58 harmless" in told
    tables.effects(answer, everything=True)
    told = capsys.readouterr().out
    assert told.count("->") == 61
    assert "more flows" not in told
