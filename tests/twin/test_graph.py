"""What the site's graph answers, on sites small enough to see it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.errors import Rejected
from coordinator.twin.graph import topology, usable_chances
from coordinator.twin.graph_availability import UpDown, availability
from coordinator.twin.graph_breakage import breakage
from coordinator.twin.graph_domination import adjacency, connected_sample, dominating_set
from coordinator.twin.site_model import LinkBelief, SiteModel
from tests.twin.site_models import CHAIN, GRID, RING, TREE, site


def test_a_link_is_usable_as_far_as_its_posterior_says() -> None:
    links = {(1, 2): LinkBelief.counted(9, 1), (2, 1): LinkBelief.counted(1, 9), (2, 3): LinkBelief(1, 1)}
    chances = usable_chances(replace(site(CHAIN), links=links))
    assert chances[1, 2] > 0.98
    assert chances[2, 1] < 0.02
    assert chances[2, 3] == pytest.approx(0.5)


def test_what_is_nearly_certain_is_less_than_what_is_likely() -> None:
    model = replace(site(CHAIN), links={(1, 2): LinkBelief.counted(3, 1), (2, 1): LinkBelief.certain(0.9)})
    assert topology(model).out[1] == {2}
    assert 1 not in topology(model, confidence=0.95).out


def test_links_may_work_one_way_only() -> None:
    model = site(CHAIN)
    links = {key: belief for key, belief in model.links.items() if key != (4, 3)}
    shape = topology(replace(model, links=links))
    assert shape.reached_from(1) == {1, 2, 3, 4, 5, 6}
    assert shape.reaching(1) == {1, 2, 3}
    assert shape.cut_off() == {4, 5, 6}


def test_nodes_that_are_no_relays_carry_nothing() -> None:
    shape = topology(site(CHAIN, relays={2, 4}))
    assert shape.reached_from(1) == {1, 2, 3}
    assert shape.cut_off(without=[2]) == {3, 4, 5, 6}


def test_articulation_points_and_bridges_are_those_of_the_relays() -> None:
    assert topology(site(CHAIN)).articulation_points() == {1, 2, 3, 4, 5}
    assert topology(site(RING)).articulation_points() == {1}
    # A leaf with two relays joins nothing, and is not cut off by the death of one.
    assert topology(site(RING, relays={2, 3, 5, 6})).articulation_points() == {1, 2, 6}
    assert topology(site(RING, relays={2, 3, 4})).articulation_points() == {1, 2, 3, 4}
    assert topology(replace(site(CHAIN), gateways=(1, 6))).articulation_points() == frozenset()
    assert topology(site(TREE)).bridges() == frozenset(TREE)


def test_ways_without_a_common_relay_are_counted() -> None:
    ring = topology(site(RING))
    assert ring.redundancy(4, 1) == 2
    assert ring.redundancy(2, 1) == 2
    assert topology(site(CHAIN)).redundancy(6, 1) == 1
    assert topology(site(CHAIN, relays={2})).redundancy(6, 1) == 0
    assert topology(site(GRID)).redundancy(12, 1) == 2


def test_a_way_found_first_is_given_up_for_two() -> None:
    """The shortest way uses both relays of the two ways that share none."""
    pairs = [(1, 2), (2, 3), (3, 9), (1, 4), (4, 3), (2, 5), (5, 9)]
    assert topology(site(pairs)).redundancy(1, 9) == 2


def test_the_middle_of_a_chain_is_central() -> None:
    central = topology(site([*CHAIN, (6, 7)])).centrality()
    assert max(central, key=lambda address: central[address]) == 4
    assert central[1] == central[7] == 0


@pytest.mark.parametrize("cover", [1, 2, 3])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_cover_covers_and_is_connected(cover: int, seed: int | None) -> None:
    model = big_grid(8)
    chosen = dominating_set(topology(model), model.capable, cover, seed=seed)
    shape = topology(model.with_relays(chosen))
    assert shape.cut_off() == frozenset()
    linked = adjacency(shape)
    members = np.array([address in chosen or address == 1 for address in shape.nodes])
    for i, address in enumerate(shape.nodes):
        assert linked[i, members].sum() >= min(cover, linked[i].sum()) or address == 1
    assert len(chosen) < len(model.addresses)


def test_a_cover_crosses_a_gap_that_covers_nobody() -> None:
    chosen = dominating_set(topology(site(CHAIN)), frozenset({2, 3, 4, 5}), 1)
    assert chosen == {2, 3, 4, 5}


def test_a_site_that_cannot_be_covered_is_covered_as_far_as_it_goes() -> None:
    assert dominating_set(topology(site([(1, 2), (2, 3), (8, 9)])), frozenset({2, 8}), 3) == {2}


def test_random_sets_are_connected() -> None:
    model = big_grid(6)
    for seed in range(5):
        chosen = connected_sample(topology(model), model.capable, 12, seed)
        shape = topology(model.with_relays(chosen))
        assert len(chosen) == 12
        assert chosen <= shape.reached_from(1)


def test_what_breaks_is_told_in_one_answer() -> None:
    broken = breakage(site(CHAIN, 1.0), 3)
    assert broken.cut_off == (4, 5, 6)
    assert [(loss.source, loss.after) for loss in broken.flows] == [(3, None), (4, 0.0), (5, 0.0), (6, 0.0)]
    assert not broken.harmless
    assert breakage(site(RING, 1.0), 3).harmless
    assert breakage(site(CHAIN), 1).last_gateway


def test_a_ring_of_weak_links_gets_worse_without_losing_anybody() -> None:
    broken = breakage(site(RING, 0.8), 2)
    assert broken.cut_off == ()
    assert any(loss.after and loss.lost > 0.05 for loss in broken.flows)


def test_nobody_can_ask_for_a_node_that_is_not_there() -> None:
    with pytest.raises(Rejected):
        breakage(site(CHAIN), 99)


def test_availability_in_series_and_in_parallel() -> None:
    up_down = UpDown(900.0, 100.0)
    series = availability(topology(site(CHAIN[:2])), 3, 1, dict.fromkeys(site(CHAIN[:2]).links, up_down))
    assert series.availability == pytest.approx(0.81)
    assert series.outages_per_day == pytest.approx(86_400 * 2 * 0.81 / 900)
    assert series.mean_outage_s == pytest.approx(0.19 / (2 * 0.81 / 900))
    ring = [(1, 2), (2, 3), (1, 4), (4, 3)]
    parallel = availability(topology(site(ring)), 3, 1, dict.fromkeys(site(ring).links, up_down))
    assert parallel.availability == pytest.approx(1 - 0.19**2)
    assert len(parallel.links) == 4


def test_availability_agrees_with_links_played_up_and_down() -> None:
    """Ten thousand independent moments of the grid: what the enumeration leaves out makes it lower only."""
    model = site(GRID)
    shape = topology(model)
    links = {key: UpDown(95.0, 5.0) for key in model.links}
    found = availability(shape, 12, 1, links)
    played = up_share(model, 12, 1, 0.95)
    assert found.availability <= played + 0.01
    assert found.availability > 0.98
    assert len(found.links) <= 16


def test_what_never_fails_is_always_there_and_what_has_no_way_never() -> None:
    shape = topology(site(CHAIN))
    assert availability(shape, 6, 1, {}).availability == 1.0
    assert availability(topology(site(CHAIN, relays=())), 6, 1, {}).availability == 0.0


def test_a_links_times_come_from_what_was_seen_of_it() -> None:
    times = [float(t) for t in range(0, 1010, 10)]
    seen = UpDown.observed(times, [i % 10 != 9 for i in range(101)])
    assert seen.availability == pytest.approx(0.9)
    assert seen.down_s == pytest.approx(10.0)
    always = UpDown.observed(times, [True] * 101)
    assert 0.9 < always.availability < 1.0


def big_grid(width: int) -> SiteModel:
    """A square grid with diagonals, the gateway in its corner."""
    place = {(x, y): y * width + x + 1 for x in range(width) for y in range(width)}
    steps = [(1, 0), (0, 1), (1, 1), (1, -1)]
    return site(
        [
            (here, place[x + dx, y + dy])
            for (x, y), here in place.items()
            for dx, dy in steps
            if (x + dx, y + dy) in place
        ]
    )


def up_share(model: SiteModel, source: int, sink: int, up: float) -> float:
    random = np.random.default_rng(1)
    shape = topology(model)
    connected = 0
    for _ in range(2000):
        kept = {key for key in model.links if random.random() < up}
        into = {b: frozenset(a for a in into if (a, b) in kept) for b, into in shape.into.items()}
        connected += source in replace(shape, into=into).reaching(sink)
    return connected / 2000
