"""What is true of a site and told to nobody: off at first, drawn from the seed, and felt on the air."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Misconfigured
from common.scenario import Flow, Node, Scenario
from firmware_bridge.virtual import VirtualSite
from firmware_bridge.virtual.generator import generate
from firmware_bridge.virtual.radio import shifts_db
from firmware_bridge.virtual.truths import NONE, HiddenTruths, parse, read

NODES = range(1, 61)


def shifts(truths: HiddenTruths, seed: int = 1) -> dict[tuple[int, int], float]:
    shift_db = shifts_db(NODES, truths, seed)
    return {(a, b): shift_db(a, b) for a in NODES for b in NODES if a != b}


def test_without_hidden_truths_a_site_is_what_its_file_says() -> None:
    assert set(shifts(NONE).values()) == {0.0}


def test_walls_weaken_both_ways_alike() -> None:
    found = shifts(HiddenTruths(shadowing_db=6.0))
    assert all(db == found[b, a] for (a, b), db in found.items())
    assert stdev(found.values()) == pytest.approx(6.0, rel=0.1)
    assert fmean(found.values()) == pytest.approx(0.0, abs=0.5)
    assert found == shifts(HiddenTruths(shadowing_db=6.0))
    assert found != shifts(HiddenTruths(shadowing_db=6.0), seed=2)


def test_a_node_is_off_at_all_its_links_alike() -> None:
    found = shifts(HiddenTruths(offset_db=2.0))
    for a, b in ((1, 2), (7, 9)):
        differences = {round(found[a, c] - found[b, c], 6) for c in NODES if c not in (a, b)}
        assert len(differences) == 1
    assert found[1, 2] != found[2, 1]


def test_hidden_walls_change_the_links_and_not_the_scenario() -> None:
    scenario = generate(20, 1)
    plain = VirtualSite.from_scenario(scenario, drift=0.0)
    walled = VirtualSite.from_scenario(scenario, drift=0.0, truths=HiddenTruths(shadowing_db=8.0))
    assert dict(plain.links.out) != dict(walled.links.out)
    assert plain.nodes.keys() == walled.nodes.keys()


def delivered(truths: HiddenTruths) -> tuple[int, float]:
    """Bursts, and the share that arrives of a flow over a short way with 15 dB to spare."""
    flow = Flow(source=1, destination=2, period_s=0.5)
    links = [(a, b, 80.0) for a in (1, 2) for b in (1, 2) if a != b]
    scenario = Scenario(nodes=[Node(address=1), Node(address=2)], links=links, flows=[flow])
    site = VirtualSite.from_scenario(scenario, drift=0.0, truths=truths)
    site.advance(600.0)
    found = site.traffic.deliveries[1, 2]
    return site.bursts.count, found.delivered / found.sent


def test_bursts_of_interference_come_and_go_and_take_what_comes_meanwhile() -> None:
    count, share = delivered(NONE)
    assert count == 0
    assert share > 0.99
    count, share = delivered(HiddenTruths(bursts_per_hour=180, burst_s=5.0, burst_db=40.0, burst_share=1.0))
    assert 15 < count < 50
    # A quarter of the time, less where bursts fall together.
    assert 0.6 < share < 0.9


def test_truths_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "truths.json"
    path.write_text(json.dumps({"shadowing_db": 4, "bursts_per_hour": 6}))
    assert read(path) == HiddenTruths(shadowing_db=4, bursts_per_hour=6)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "3", '{"walls": 3}', '{"drift_db": -1}', '{"drift_db": NaN}', '{"drift_s": 0}',
        '{"burst_share": 1.5}', '{"drift_db": "1"}', '{"drift_db": true}', "[" * 9000,
    ],
)  # fmt: skip
def test_nonsense_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "truths.json"
    path.write_text(text)
    with pytest.raises(Misconfigured) as refused:
        read(path)
    for name in ("walls", "drift_db", "drift_s", "burst_share"):
        assert (name in text) <= (name in str(refused.value))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="none.json"):
        read(tmp_path / "none.json")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["drift_db", "burst_s", "x"]), inner),
        max_leaves=5,
    )
)
def test_anything_is_understood_or_refused(document: object) -> None:
    try:
        parse(document, "truths")
    except Misconfigured:
        pass
