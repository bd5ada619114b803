"""Topologies: their shapes, their file, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import MeshtwinError, Misconfigured, Rejected, RejectReason
from tools.meshlab.topology import Topology


def test_a_star_hears_its_centre_alone() -> None:
    assert set(Topology.star(3, loss=0.1).links.items()) == {
        ((0, 1), 0.1),
        ((1, 0), 0.1),
        ((0, 2), 0.1),
        ((2, 0), 0.1),
    }


def test_a_line_hears_its_neighbours() -> None:
    assert set(Topology.line(3).links) == {(0, 1), (1, 0), (1, 2), (2, 1)}


def test_a_corner_of_a_grid_has_three_neighbours_and_two_without_diagonals() -> None:
    assert _heard_by(Topology.grid(4, 3), 0) == {1, 4, 5}
    assert _heard_by(Topology.grid(4, 3), 5) == {0, 1, 2, 4, 6, 8, 9, 10}
    assert _heard_by(Topology.grid(4, 3, diagonals=False), 0) == {1, 4}
    assert _heard_by(Topology.grid(4, 3, diagonals=False), 7) == {3, 6, 11}


def test_everybody_hears_everybody_in_a_full_topology() -> None:
    assert len(Topology.full(5).links) == 20


def test_links_can_lead_one_way() -> None:
    assert dict(Topology.from_links(2, [(0, 1)], 0.5, both_ways=False).links) == {(0, 1): 0.5}


def test_one_link_changes_and_the_others_stay() -> None:
    changed = Topology.line(3).with_loss(0, 1, 0.7)
    assert changed.links[0, 1] == 0.7
    assert changed.links[1, 0] == 0.0
    assert changed.with_loss(0, 2, 0.2, both_ways=True).links[2, 0] == 0.2


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    topology = Topology.grid(3, 2, 0.25).with_loss(0, 1, 1.0)
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(topology.to_json()))
    assert Topology.read(path) == topology
    assert Topology.parse(str(path), 1) == topology


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("full", Topology.full(4)),
        ("star:3", Topology.star(3)),
        ("line::0.5", Topology.line(4, 0.5)),
        ("grid:4x3:0.1", Topology.grid(4, 3, 0.1)),
    ],
)
def test_shapes_are_written_in_short(text: str, expected: Topology) -> None:
    assert Topology.parse(text, 4) == expected


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], RejectReason.MALFORMED),
        ({"nodes": 2}, RejectReason.MALFORMED),
        ({"nodes": 2, "links": [], "extra": 1}, RejectReason.MALFORMED),
        ({"nodes": True, "links": []}, RejectReason.MALFORMED),
        ({"nodes": 0, "links": []}, RejectReason.OUT_OF_RANGE),
        ({"nodes": 100000, "links": []}, RejectReason.OUT_OF_RANGE),
        ({"nodes": 2, "links": [[0, 1]]}, RejectReason.MALFORMED),
        ({"nodes": 2, "links": [[0, "1", 0.0]]}, RejectReason.MALFORMED),
        ({"nodes": 2, "links": [[0, 1, None]]}, RejectReason.MALFORMED),
        ({"nodes": 2, "links": [[0, 2, 0.0]]}, RejectReason.OUT_OF_RANGE),
        ({"nodes": 2, "links": [[-1, 1, 0.0]]}, RejectReason.OUT_OF_RANGE),
        ({"nodes": 2, "links": [[0, 1, 1.5]]}, RejectReason.OUT_OF_RANGE),
        ({"nodes": 2, "links": [[0, 1, -0.1]]}, RejectReason.OUT_OF_RANGE),
        ({"nodes": 2, "links": [[0, 1, float("nan")]]}, RejectReason.OUT_OF_RANGE),
        ({"nodes": 2, "links": [[0, 1, 10**400]]}, RejectReason.OUT_OF_RANGE),
        ({"nodes": 2, "links": [[1, 1, 0.0]]}, RejectReason.INVALID),
        ({"nodes": 2, "links": [[0, 1, 0.0], [0, 1, 0.5]]}, RejectReason.INVALID),
    ],
)
def test_a_wrong_topology_is_refused_by_name(document: Any, reason: RejectReason) -> None:
    with pytest.raises(Rejected) as refused:
        Topology.from_json(document)
    assert refused.value.reason is reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["nodes", "links"]), inner),
    max_leaves=12,
)


@given(document=JSON)
def test_any_document_is_a_topology_or_a_named_error(document: Any) -> None:
    try:
        topology = Topology.from_json(document)
    except MeshtwinError:
        return
    assert Topology.from_json(topology.to_json()) == topology


def test_a_file_that_is_not_there_or_not_json_is_the_operators_to_mend(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for path in (tmp_path / "missing.json", broken):
        with pytest.raises(Misconfigured):
            Topology.read(path)
    with pytest.raises(Rejected):
        Topology.parse("grid:4", 1)


def _heard_by(topology: Topology, source: int) -> set[int]:
    return {target for (origin, target) in topology.links if origin == source}
