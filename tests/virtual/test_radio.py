"""Links: from a scenario's positions or attenuations to PDR, and how they move."""

from __future__ import annotations

from common.scenario import Node, Radio, Scenario
from firmware_bridge.virtual.radio import Links, pdr_of


def at(*places: float, **more: object) -> Scenario:
    nodes = [Node(address=i + 1, x=x) for i, x in enumerate(places)]
    return Scenario.model_validate({"nodes": nodes, **more})


def test_pdr_falls_smoothly_with_distance() -> None:
    pdr = pdr_of(at(0, 20, 35, 40, 45, 80))
    falling = [pdr.get((1, receiver), 0.0) for receiver in (2, 3, 4, 5, 6)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] > 0.99
    assert 0.3 < falling[2] < 0.7
    assert falling[-1] == 0.0


def test_a_stronger_transmitter_is_heard_farther_but_hears_no_better() -> None:
    nodes = [{"address": 1, "tx_power_dbm": 10}, {"address": 2, "x": 50}]
    pdr = pdr_of(Scenario.model_validate({"nodes": nodes}))
    assert pdr[1, 2] > 0.9 > pdr.get((2, 1), 0.0)


def test_shadowing_is_the_same_both_ways_and_for_the_same_seed() -> None:
    shadowed = at(0, 30, 35, radio=Radio(shadowing_db=6, shadowing_seed=4))
    pdr = pdr_of(shadowed)
    assert pdr == pdr_of(shadowed)
    assert pdr[1, 2] == pdr[2, 1]
    assert pdr != pdr_of(at(0, 30, 35, radio=Radio(shadowing_db=6, shadowing_seed=5)))


def test_given_attenuations_count_and_unlisted_pairs_do_not_hear() -> None:
    by_link = pdr_of(at(0, 0, 0, links=[(1, 2, 80.0), (2, 1, 97.0)]))
    assert by_link.keys() == {(1, 2), (2, 1)}
    assert by_link[1, 2] > 0.99 > by_link[2, 1] > 0.2
    by_matrix = pdr_of(at(0, 0, attenuation_db=[[0, 80.0], [97.0, 0]]))
    assert by_matrix == by_link


def test_common_loss_comes_on_top() -> None:
    assert pdr_of(at(0, 5), loss=0.1)[1, 2] < 0.9


def test_drift_is_slow_bounded_and_repeatable() -> None:
    walks = [Links({(1, 2): 0.9}, drift=0.5, seed=7) for _ in range(2)]
    seen = []
    for _ in range(2000):
        for links in walks:
            links.drift()
        seen.append(walks[0].pdr(1, 2))
        assert walks[1].pdr(1, 2) == seen[-1]
    assert 0.84 < min(seen) < 0.87
    assert 0.93 < max(seen) < 0.95
    assert max(abs(b - a) for a, b in zip(seen, seen[1:], strict=False)) < 0.04


def test_a_link_set_by_hand_stays() -> None:
    links = Links({(1, 2): 0.9}, drift=0.5)
    links.set(1, 2, 0.3)
    links.drift()
    assert links.pdr(1, 2) == 0.3


def test_a_decay_is_a_straight_line() -> None:
    links = Links({(1, 2): 0.95})
    links.decay(1, 2, 0.5, 90.0, now=10.0)
    for now, pdr in ((10.0, 0.95), (55.0, 0.725), (100.0, 0.5), (500.0, 0.5)):
        links.move_decays(now)
        assert abs(links.pdr(1, 2) - pdr) < 1e-9
    assert not links.decaying
