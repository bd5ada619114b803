"""The twin's percolation, against the gateway's, against arithmetic, and against the event simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from common.mesh.graph import Flooding, Reach, heard_once
from common.radio import simulate
from coordinator.twin.percolation import Percolation, heard_chance, percolate
from coordinator.twin.site_model import LinkBelief, SiteFlow, SiteModel
from tests.twin.site_models import CHAIN, GRID, TREE, graph_of, site


def flooding(model: SiteModel) -> Flooding:
    times = model.configuration
    return Flooding(model.relays, times.network_transmit.count, times.relay_retransmit.count, times.ttl)


@pytest.mark.parametrize("pairs", [CHAIN, TREE, GRID])
@pytest.mark.parametrize(("transmissions", "repeats", "ttl"), [(1, 1, 10), (3, 1, 10), (1, 2, 3)])
def test_the_twin_and_the_gateway_estimate_alike(
    pairs: Sequence[tuple[int, int]], transmissions: int, repeats: int, ttl: int
) -> None:
    model = site(pairs, 0.7, transmissions=transmissions, repeats=repeats, ttl=ttl)
    expected = graph_of(model).flood_to(1, flooding(model))
    found = percolate(model)
    for flow, delivery, hops in zip(model.flows, found.delivery, found.hops, strict=True):
        reach = expected.get(flow.source, Reach(0.0, 0))
        assert delivery == pytest.approx(reach.delivery, abs=0.08)
        # The gateway names the hop by which nine of ten have arrived.
        assert hops[: reach.hops + 1].sum() >= (0.85 if reach.delivery else 0.0)
        assert hops[: reach.hops].sum() <= 0.95


@pytest.mark.parametrize("pairs", [CHAIN, TREE, GRID])
def test_both_directions_of_reading_agree(pairs: Sequence[tuple[int, int]]) -> None:
    model = site(pairs, 0.7, transmissions=2, repeats=1)
    percolation = Percolation(model, words=64)
    for start in model.addresses:
        onward = percolation.arrivals(start, model.configuration, inward=False)
        back = percolation.arrivals(1, model.configuration, inward=True)
        assert onward[percolation.index[1]].tolist() == back[percolation.index[start]].tolist()


def test_a_chain_delivers_the_product_of_its_links() -> None:
    model = site(CHAIN, 0.8, transmissions=2)
    found = percolate(model, words=256)
    expected = [heard_once(0.8, 2) * 0.8**hops for hops in range(5)]
    assert found.delivery == pytest.approx(expected, abs=0.02)
    assert found.mean_hops == pytest.approx([1, 2, 3, 4, 5])


def test_a_message_travels_at_most_ttl_hops() -> None:
    found = percolate(site(CHAIN, 1.0, ttl=3))
    assert found.delivery.tolist() == [1, 1, 1, 0, 0]


def test_only_relays_carry_on() -> None:
    assert percolate(site(CHAIN, 1.0), relays={2}).delivery.tolist() == [1, 1, 0, 0, 0]


def test_a_group_is_the_mean_of_its_members_and_a_request_counts_with_its_answer() -> None:
    flows = [SiteFlow(1, 0xC000, 5.0), SiteFlow(1, 3, 5.0, acknowledged=True)]
    model = replace(site(CHAIN, 0.8, flows=flows), groups={0xC000: (2, 3)})
    found = percolate(model, words=256)
    assert found.delivery == pytest.approx([(0.8 + 0.64) / 2, 0.64], abs=0.02)
    assert np.isnan(found.answered[0])
    assert found.answered[1] == pytest.approx(0.64**2, abs=0.03)


def test_a_link_hardly_seen_is_worth_less_than_its_mean_when_it_is_asked_often() -> None:
    seen, hardly = LinkBelief(600.0, 400.0), LinkBelief(0.6, 0.4)
    assert heard_chance(hardly, 1) == pytest.approx(heard_chance(seen, 1))
    assert heard_chance(hardly, 3) < heard_chance(seen, 3) - 0.1


def test_more_transmissions_arrive_in_the_same_worlds_and_some_more() -> None:
    once = percolate(site(GRID, 0.5)).delivery
    twice = percolate(site(GRID, 0.5, transmissions=2, repeats=2)).delivery
    assert (twice >= once).all()


def test_the_seed_alone_decides_the_worlds() -> None:
    model = site(GRID, 0.6)
    one, same, other = (percolate(model, seed=seed).delivery for seed in (1, 1, 2))
    assert one.tolist() == same.tolist()
    assert one.tolist() != other.tolist()


def test_a_site_without_flows_links_or_ways_is_answered_too() -> None:
    assert percolate(site(CHAIN, flows=[])).mean == 1.0
    assert percolate(replace(site(CHAIN), links={})).mean == 0.0


def test_on_a_quiet_site_the_event_simulator_delivers_as_percolation_says() -> None:
    """Single transmissions over the outer links of a chain, so that nothing is busy but with this message."""
    model = site(CHAIN, 0.9, transmissions=2, repeats=2)
    outcome = simulate(model.scenario(), seed=3, duration_s=6000)
    found = percolate(model, words=64)
    for flow, delivery, hops in zip(outcome.flows, found.delivery, found.mean_hops, strict=True):
        assert flow.pdr == pytest.approx(delivery, abs=0.05)
        assert flow.hops == pytest.approx(hops, abs=0.05)
