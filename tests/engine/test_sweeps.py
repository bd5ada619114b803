"""Sweeps and plays with several seeds, on real workers; and how they end when nobody wants them any more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from common.errors import MeshtwinError, Rejected, RejectReason, Unavailable
from common.mesh.configuration import Transmit
from common.scenario import Flow, Node, Scenario
from coordinator.cli.asking import answers
from coordinator.cli.sweep import _table
from coordinator.twin import sweep
from coordinator.twin.seeds import joined, played
from coordinator.twin.sweep import Setting

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hall(tmp_path: Path) -> Path:
    """Eight nodes in a row, each of which sends to the first."""
    nodes = [Node(address=i + 1, x=12.0 * i, relay=True) for i in range(8)]
    flows = [Flow(source=n.address, destination=1, period_s=5.0) for n in nodes[1:]]
    path = tmp_path / "hall.json"
    path.write_text(
        Scenario(nodes=nodes, flows=flows, duration_s=60.0).model_dump_json(by_alias=True, exclude_none=True)
    )
    return path


def command(*words: str, seconds: float = 240.0) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "coordinator.cli", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "COLUMNS": "200"},
    )
    return done.returncode, done.stdout, done.stderr


def effects(
    delivery: float, occupancy: float, effect: str = "harmless", method: str = "percolation"
) -> dict[str, Any]:
    after = {"mean": delivery, "low": delivery - 0.1, "high": 1.0}
    flow = {"effect": effect, "after": after, "latency_after_ms": (20.0, 40.0)}
    return {"flows": [flow], "occupancy": occupancy, "method": method}


def test_values_are_read_as_people_write_them() -> None:
    assert sweep.numbers("3-5,7, 4", 2, 127, "--ttl") == [3, 4, 5, 7]
    assert sweep.transmits("1-2,3x40", "--transmit") == [Transmit(1, 20), Transmit(2, 20), Transmit(3, 40)]
    assert sweep.loads("1,2.5") == [1.0, 2.5]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", RejectReason.MALFORMED),
        ("3-", RejectReason.MALFORMED),
        ("-3", RejectReason.MALFORMED),
        ("a", RejectReason.MALFORMED),
        ("8-3", RejectReason.OUT_OF_RANGE),
        ("1-8", RejectReason.OUT_OF_RANGE),
        ("2-128", RejectReason.OUT_OF_RANGE),
        ("2-" + "9" * 30, RejectReason.MALFORMED),
    ],
)
def test_values_that_make_no_sense_are_refused(text: str, reason: RejectReason) -> None:
    with pytest.raises(Rejected) as refused:
        sweep.numbers(text, 2, 127, "--ttl")
    assert refused.value.reason is reason


@pytest.mark.parametrize("text", ["9", "2x15", "2x5", "0x20", "2x20x20", "x"])
def test_timings_that_no_node_has_are_refused(text: str) -> None:
    with pytest.raises(Rejected):
        sweep.transmits(text, "--transmit")


@pytest.mark.parametrize("text", ["", "0", "nan", "inf", "1e4", "-1"])
def test_loads_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(Rejected):
        sweep.loads(text)


def test_every_combination_is_asked_about_and_too_many_are_refused() -> None:
    made = sweep.settings(ttls=[3, 5], retransmits=[Transmit(1, 20), Transmit(2, 20)])
    assert len(made) == len(set(made)) == 4
    assert {one.load for one in made} == {1.0}
    with pytest.raises(Rejected, match="at most 400"):
        sweep.settings(ttls=range(2, 100), loads=[1.0, 2.0, 3.0, 4.0, 5.0])
    with pytest.raises(Rejected, match="needs values"):
        sweep.settings()


def test_what_delivers_alike_is_ranked_by_what_it_takes_of_the_channel() -> None:
    rows = [
        sweep.row(Setting(ttl=3), effects(0.9, 0.01, "worse")),
        sweep.row(Setting(ttl=4), effects(0.9901, 0.05)),
        sweep.row(Setting(ttl=5), effects(0.9899, 0.02)),
    ]
    assert [one.setting.ttl for one in sweep.ranked(rows)] == [5, 4, 3]
    assert rows[0].low == pytest.approx(0.8)
    assert (rows[0].worse, rows[0].p95_ms) == (1, 40.0)


def test_what_different_models_told_is_not_ranked_together() -> None:
    told = [("percolation", 0.99), ("simulation", 0.90), ("graph", 1.0), ("simulation", 0.95)]
    rows = [
        sweep.row(Setting(ttl=ttl), effects(delivery, 0.01, method=method))
        for ttl, (method, delivery) in enumerate(told, 3)
    ]
    assert [one.setting.ttl for one in sweep.ranked(rows)] == [6, 4, 5, 3]
    assert [one.ttl for one in sweep.finalists(rows)] == [5, 3]
    assert sweep.finalists([rows[0], rows[2]]) == []
    assert sweep.finalists([rows[1], rows[3]]) == []
    many = [sweep.row(Setting(ttl=ttl), effects(0.5 + ttl / 1000, 0.01)) for ttl in range(3, 103)]
    again = sweep.finalists([*many, sweep.row(Setting(ttl=2), effects(0.9, 0.01, method="simulation"))])
    assert [one.ttl for one in again] == list(range(102, 102 - sweep.FINALISTS, -1))


def test_rows_of_two_models_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        sweep.row(Setting(ttl=ttl), effects(0.9, 0.01, method=method))
        for ttl, method in [(3, "simulation"), (4, "percolation"), (5, "graph")]
    ]
    _table([one.as_json() for one in rows])
    told = capsys.readouterr().out
    assert "The last 2 are ranked apart" in told
    assert "--times" in told
    _table([one.as_json() for one in rows[1:]])
    assert "apart" not in capsys.readouterr().out


def test_questions_are_asked_so_many_at_once_and_answered_in_order() -> None:
    most, under_way, lock, told = [0], [0], threading.Lock(), []

    def ask(number: int) -> int:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.002 * (number % 3))
        with lock:
            under_way[0] -= 1
        return 2 * number

    found = answers(range(20), ask, 3, lambda share, _: told.append(share))
    assert found == [2 * i for i in range(20)]
    assert most[0] <= 3
    assert told[-1] == 1.0


def test_the_first_failure_ends_the_asking() -> None:
    asked = []

    def ask(number: int) -> int:
        asked.append(number)
        if number == 2:
            raise Unavailable("gone")
        return number

    with pytest.raises(MeshtwinError, match="gone"):
        answers(range(100), ask, 1, lambda *_: None)
    assert asked == [0, 1, 2]


def test_plays_with_several_seeds_are_joined(hall: Path) -> None:
    site = Scenario.model_validate_json(hall.read_text())
    plays = [played(site, seed, None) for seed in (1, 2, 3)]
    found = joined((1, 2, 3), plays)
    flow = found["flows"][6]
    assert flow["sent"] == sum(play["flows"][6]["sent"] for play in plays)
    assert flow["pdr"] == flow["delivered"] / flow["sent"]
    assert 0.0 <= flow["pdr_error"] < 0.5
    assert flow["one_way_ms"]["standard_error"] is not None
    assert found["totals"]["transmissions"] == sum(play["totals"]["transmissions"] for play in plays)
    code, out, err = command("twin", "simulate", str(hall), "--seeds", "3", "--seed", "1", "--json")
    assert code == 0, err
    assert json.loads(out)["flows"] == json.loads(json.dumps(found["flows"]))


def test_a_scenario_is_swept_without_a_coordinator(hall: Path) -> None:
    words = ("twin", "sweep", "--scenario", str(hall), "--ttl", "2,7", "--workers", "2")
    code, out, err = command(*words, "--json")
    assert code == 0, err
    best, worst = json.loads(out)
    # Seven hops away nothing arrives with a TTL of 2.
    assert (best["setting"]["ttl"], worst["setting"]["ttl"]) == (7, 2)
    assert worst["worst"] == 0.0
    code, out, err = command(*words)
    assert (code, out.split()[:2], err) == (0, ["TTL", "arrives"], "")
    code, _, err = command("twin", "sweep", "--scenario", str(hall))
    assert code != 0
    assert "--ttl 3-8" in err


def test_where_some_settings_need_the_simulation_the_others_are_simulated_too(hall: Path) -> None:
    present = Scenario.model_validate_json(hall.read_text()).configuration.network_transmit.transmit()
    counts = f"{present.count}x{present.interval_ms},{present.count + 1}x{present.interval_ms}"
    words = ("twin", "sweep", "--scenario", str(hall), "--transmit", counts, "--workers", "2", "--json")
    code, out, err = command(*words)
    assert code == 0, err
    assert [one["method"] for one in json.loads(out)] == ["simulation", "simulation"]


def test_an_interrupted_sweep_ends_at_once_and_leaves_nobody_behind(hall: Path, tmp_path: Path) -> None:
    words = ("--ttl", "2-60", "--transmit", "1-4", "--times", "--workers", "2")
    with subprocess.Popen(
        [sys.executable, "-m", "coordinator.cli", "twin", "sweep", "--scenario", str(hall), *words],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cold")},
        text=True,
    ) as process:
        end = time.monotonic() + 60.0
        while not any("llvmlite" in maps(pid) for pid in of_session(process.pid) if pid != process.pid):
            assert time.monotonic() < end, "no worker"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30.0)
        assert (process.returncode, out, "Traceback" in err) == (130, "", False), err
    end = time.monotonic() + 10.0
    while of_session(process.pid):
        assert time.monotonic() < end, of_session(process.pid)
        time.sleep(0.05)


def of_session(session: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(session) and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def maps(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""
