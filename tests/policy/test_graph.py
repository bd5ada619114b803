"""The site graph's estimate of a managed flood, against sampled floods."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from common.mesh.graph import Flooding, SiteGraph, heard_once, link_pdr
from tests.policy.sites import graph


def sample_flood(site: SiteGraph, source: int, flooding: Flooding, rng: random.Random) -> set[int]:
    """One flood: each repeater's transmissions reach each neighbour independently."""
    got, front = {source}, [source]
    for _ in range(flooding.ttl):
        heard = set()
        for node in front:
            count = flooding.transmissions if node == source else flooding.repeats
            for other, pdr in site.receivers(node):
                if other not in got and any(rng.random() < pdr for _ in range(count)):
                    heard.add(other)
        got |= heard
        front = [node for node in heard if node in flooding.relays]
    return got


def sampled_delivery(site: SiteGraph, source: int, flooding: Flooding, runs: int) -> dict[int, float]:
    rng = random.Random(7)
    counts: dict[int, int] = {}
    for _ in range(runs):
        for node in sample_flood(site, source, flooding, rng):
            counts[node] = counts.get(node, 0) + 1
    return {node: count / runs for node, count in counts.items()}


CHAIN = graph([(i, i + 1) for i in range(1, 6)], 0.8)
TREE = graph([(1, 2), (1, 3), (2, 4), (2, 5), (3, 6), (3, 7)], 0.7)
GRID = graph(
    [(y * 4 + x + 1, y * 4 + x + 2) for y in range(3) for x in range(3)]
    + [(y * 4 + x + 1, y * 4 + x + 5) for y in range(2) for x in range(4)],
    0.75,
)


@pytest.mark.parametrize(("site", "tolerance"), [(CHAIN, 0.05), (TREE, 0.05), (GRID, 0.05)])
def test_estimated_delivery_agrees_with_sampled_floods(site: SiteGraph, tolerance: float) -> None:
    flooding = Flooding(relays=site.nodes, transmissions=2, repeats=1)
    estimate = site.flood_from(1, flooding)
    for node, delivery in sampled_delivery(site, 1, flooding, 4000).items():
        assert estimate[node].delivery == pytest.approx(delivery, abs=tolerance)


def test_the_way_back_is_the_flood_of_the_other_end() -> None:
    flooding = Flooding(relays=frozenset({2, 3, 4}), transmissions=3, repeats=1)
    back = CHAIN.flood_to(1, flooding)
    for node in (2, 3, 4, 5):
        assert back[node].delivery == pytest.approx(CHAIN.flood_from(node, flooding)[1].delivery)


def test_only_relays_carry_on() -> None:
    assert set(CHAIN.flood_from(1, Flooding(relays=frozenset({2})))) == {1, 2, 3}


def test_a_message_with_ttl_two_reaches_two_hops() -> None:
    assert set(CHAIN.flood_from(1, Flooding(relays=CHAIN.nodes, ttl=2))) == {1, 2, 3}


def test_hops_are_counted_along_the_best_path() -> None:
    reach = GRID.flood_from(1, Flooding(relays=GRID.nodes))
    assert reach[1].hops == 0
    assert reach[12].hops == 5


@pytest.mark.parametrize("transmissions", [1, 2, 5, 8])
def test_link_pdr_does_not_depend_on_the_number_of_transmissions(transmissions: int) -> None:
    assert link_pdr(heard_once(0.6, transmissions), transmissions) == pytest.approx(0.6)


def test_a_graph_without_some_nodes_has_none_of_their_links() -> None:
    assert CHAIN.without([3]).nodes == {1, 2, 4, 5, 6}


def test_links_whose_values_change_all_day_leave_nothing_behind() -> None:
    flooding = Flooding(frozenset({2, 3}), transmissions=2, repeats=3)

    def reports(count: int, first: int) -> None:
        for number in range(first, first + count):
            pdr = 0.3 + 0.6 * (number * 0.618 % 1)
            SiteGraph({(1, 2): pdr, (2, 3): pdr, (3, 4): pdr}).flood_from(1, flooding)

    reports(3000, 0)  # Fills what is kept.
    tracemalloc.start()
    try:
        reports(3000, 3000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1 << 20


def test_a_graph_without_nodes_is_estimated_in_the_same_worlds() -> None:
    whole = SiteGraph({(1, 2): 0.6, (2, 3): 0.7, (1, 4): 0.8, (4, 3): 0.5})
    flooding = Flooding(frozenset({2, 4}))
    whole.flood_from(1, flooding)
    fresh = SiteGraph({(1, 4): 0.8, (4, 3): 0.5})
    assert whole.without([2]).flood_from(1, flooding) == fresh.flood_from(1, flooding)
