"""Maps of sites: who is named, and that every name can be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from random import Random
from xml.etree import ElementTree

import pytest

from coordinator.recipes.labels import HEIGHT, NAMED_ALL, WIDTH
from coordinator.recipes.picture import SIZES, drawing
from coordinator.twin.site_model import Position, SiteModel
from tests.twin.site_models import site

Box = tuple[float, float, float, float]


def star(nodes: int, places: Mapping[int, Position] | None = None) -> SiteModel:
    """A gateway that hears everybody; every fifth node relays."""
    model = site([(1, other) for other in range(2, nodes + 1)], relays=range(2, nodes + 1, 5))
    return replace(model, positions=places or {})


def scattered(nodes: int, seed: int, wide: float = 60.0) -> dict[int, Position]:
    random = Random(seed)
    return {a: (random.uniform(0.0, wide), random.uniform(0.0, 40.0)) for a in range(1, nodes + 1)}


def names(svg: str) -> dict[str, Box]:
    """Addresses by the boxes (left, top, right, bottom) that they take."""
    found = {}
    for text in ElementTree.fromstring(svg).iter("text"):
        if text.get("textLength") is not None:
            assert float(text.attrib["textLength"]) == WIDTH
            left, base = float(text.attrib["x"]), float(text.attrib["y"])
            assert text.text is not None
            found[text.text] = (left, base - 0.86 * HEIGHT, left + WIDTH, base + 0.14 * HEIGHT)
    return found


def discs(svg: str) -> list[Box]:
    circles = ElementTree.fromstring(svg).iter("circle")
    numbers = ([float(circle.attrib[name]) for name in ("cx", "cy", "r")] for circle in circles)
    return [(x - 0.7 * r, y - 0.7 * r, x + 0.7 * r, y + 0.7 * r) for x, y, r in numbers]


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def foot(svg: str) -> str:
    return "".join(re.findall(r"<text[^>]*>([^<]* not named[^<]*|[^<]* no room[^<]*)", svg))


@pytest.mark.parametrize("seed", range(4))
def test_all_nodes_of_a_small_site_are_named_and_no_name_covers_another_or_a_node(seed: int) -> None:
    svg = drawing(star(NAMED_ALL, scattered(NAMED_ALL, seed)), {7: "cut off"})
    boxes = names(svg)
    assert set(boxes) == {f"0x{address:04x}" for address in range(1, NAMED_ALL + 1)}
    assert not any(overlap(a, b) for a, b in combinations(boxes.values(), 2))
    assert not any(overlap(box, disc) for box in boxes.values() for disc in discs(svg))
    wide, high = map(float, ElementTree.fromstring(svg).attrib["viewBox"].split()[2:])
    assert all(a >= 0 and b >= 0 and c <= wide and d <= high for a, b, c, d in boxes.values())
    assert not foot(svg)


@pytest.mark.parametrize("places", [None, {a: (float(a), 0.0) for a in range(1, NAMED_ALL + 1)}])
def test_sites_without_positions_and_corridors_are_named_too(places: dict[int, Position] | None) -> None:
    boxes = names(drawing(star(NAMED_ALL, places), {}))
    assert len(boxes) == NAMED_ALL
    assert not any(overlap(a, b) for a, b in combinations(boxes.values(), 2))


def test_of_a_large_site_those_are_named_that_matter() -> None:
    model = star(200, scattered(200, 1))
    svg = drawing(model, {3: "relay on", 4: "critical"})
    wanted = {1, 3, 4, *model.relays}
    assert set(names(svg)) == {f"0x{address:04x}" for address in wanted}
    assert foot(svg).startswith(f"{200 - len(wanted)} nodes that neither relay nor change are not named")


def test_a_crowd_too_dense_to_name_is_counted_and_what_is_marked_comes_first() -> None:
    at_one_place = dict.fromkeys(range(2, 61), (0.0, 0.0)) | {1: (50.0, 50.0)}
    svg = drawing(star(60, at_one_place), {33: "cut off"})
    boxes = names(svg)
    assert {"0x0001", "0x0021"} <= set(boxes)
    assert f"{60 - len(boxes)} addresses found no room" in foot(svg)
    assert f'width="{SIZES[-1]}"' in svg
    assert svg.count("<title>") == 60


def test_the_same_site_gives_the_same_map() -> None:
    model = star(40, scattered(40, 2))
    assert drawing(model, {}) == drawing(model, {})


def test_a_site_of_one_node_has_a_map() -> None:
    model = replace(site([(1, 2)]).without(2), positions={1: (3.0, 4.0)})
    assert set(names(drawing(model, {}))) == {"0x0001"}
