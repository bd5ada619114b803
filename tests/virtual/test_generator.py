"""Generated sites: hops and alternatives, and deaths that hurt."""

from __future__ import annotations

import pytest

from common.errors import Misconfigured
from firmware_bridge.virtual import virtual_site
from firmware_bridge.virtual.generator import generate
from firmware_bridge.virtual.radio import pdr_of

GOOD = 0.8


def reached(links: set[tuple[int, int]], relays: set[int], dead: int | None = None) -> set[int]:
    """Nodes that a flood from the gateway reaches over good links."""
    seen, todo = {1}, [1]
    while todo:
        node = todo.pop()
        for a, b in links:
            if a == node and b not in seen and b != dead:
                seen.add(b)
                if b in relays:
                    todo.append(b)
    return seen


@pytest.mark.parametrize(("nodes", "seed"), [(12, 1), (30, 2), (60, 1), (60, 2), (60, 3), (100, 1)])
def test_all_are_reached_some_deaths_cut_off_and_others_could_always_relay(nodes: int, seed: int) -> None:
    scenario = generate(nodes, seed)
    links = {(a, b) for (a, b), pdr in pdr_of(scenario).items() if pdr >= GOOD}
    relays = {node.address for node in scenario.nodes if node.relay}
    everybody = {node.address for node in scenario.nodes}
    assert 0 < len(relays) < nodes / 2
    assert 1 not in relays
    assert reached(links, relays) == everybody
    assert any(reached(links, relays - {dead}, dead) != everybody - {dead} for dead in relays)
    for dead in everybody - {1}:
        assert reached(links, everybody, dead) == everybody - {dead}


def test_the_same_seed_gives_the_same_site_and_another_seed_another() -> None:
    assert generate(40, 3) == generate(40, 3)
    assert generate(40, 3) != generate(40, 4)


@pytest.mark.parametrize("nodes", [2, 3, 5])
def test_small_sites_are_possible(nodes: int) -> None:
    assert len(virtual_site(nodes).nodes) == nodes


@pytest.mark.parametrize(("nodes", "gateways"), [(1, 1), (1001, 1), (5, 5), (5, 0)])
def test_impossible_sites_are_refused(nodes: int, gateways: int) -> None:
    with pytest.raises(Misconfigured):
        virtual_site(nodes, gateways=gateways)


def test_several_gateways_stand_apart() -> None:
    scenario = generate(60, 1, gateways=2)
    first, second = scenario.nodes[:2]
    assert abs(first.x - second.x) > 50


def test_common_loss_is_on_every_link() -> None:
    assert max(pdr for _, _, pdr in virtual_site(20, loss=0.1).links) <= 0.9


@pytest.mark.parametrize("gateway", ["edge", "centre"])
def test_messages_travel_several_hops(gateway: str) -> None:
    site = virtual_site(60, 1, gateway=gateway)  # type: ignore[arg-type]
    times = [site.round_trip(1, node) for node in site.nodes if node != 1]
    assert sum(t is not None for t in times) > 50
