"""Links: from a scenario's positions or attenuations to PDR, and how they move."""

from __future__ import annotations

from math import exp
from statistics import fmean, stdev, variance

import pytest

from common.scenario import Node, Radio, Scenario
from firmware_bridge.virtual.radio import DRIFT_PERIOD_S, FADING_DB, Links, pdr_of


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
    walks = [Links({(1, 2): 0.9}, drift_db=0.5, seed=7) for _ in range(2)]
    seen = []
    for _ in range(2000):
        for links in walks:
            links.drift()
        seen.append(walks[0].pdr(1, 2))
        assert walks[1].pdr(1, 2) == seen[-1]
    # Two deviations are 1 dB, or 0.5 in log odds.
    assert 0.84 < min(seen) < 0.86
    assert 0.93 < max(seen) < 0.94
    assert max(abs(b - a) for a, b in zip(seen, seen[1:], strict=False)) < 0.05


def test_a_drifting_link_forgets_where_it_was() -> None:
    links = {(a, b): 0.9 for a in range(1, 41) for b in range(41, 81)}
    drifting = Links(links, drift_db=1.0, drift_s=100.0)

    def margins() -> list[float]:
        return [drifting.margin_db(a, b) for a, b in links]

    before = margins()
    mean = fmean(before)
    assert stdev(before) == pytest.approx(1.0, abs=0.15)
    for seconds in (10, 50, 200):
        for _ in range(round(seconds / DRIFT_PERIOD_S)):
            drifting.drift()
        now = margins()
        kept = fmean((a - mean) * (b - mean) for a, b in zip(before, now, strict=True)) / variance(before)
        assert kept == pytest.approx(exp(-seconds / 100.0), abs=0.1)
        before = now


def test_a_link_set_by_hand_stays() -> None:
    links = Links({(1, 2): 0.9}, drift_db=0.5)
    links.set(1, 2, 0.3)
    links.drift()
    assert links.pdr(1, 2) == 0.3


def test_every_change_is_told() -> None:
    links, told = Links({(1, 2): 0.9}, drift_db=0.5), list[tuple[int, int]]()
    links.changed = lambda a, b: told.append((a, b))
    links.drift()
    links.decay(2, 1, 0.5, 10.0, now=0.0)
    links.move_decays(5.0)
    assert told == [(1, 2), (2, 1), (2, 1)]


def test_the_signal_goes_with_the_pdr_on_the_curve_of_fading() -> None:
    links = Links({(1, 2): 0.95, (1, 3): 0.5})
    # Log odds of 2.94 and 0, in units of the curve's width.
    assert links.margin_db(1, 2) - links.margin_db(1, 3) == pytest.approx(2.94 * FADING_DB, abs=0.01)


def test_a_strong_signal_falls_with_a_decay_and_not_with_what_others_destroy() -> None:
    links = Links({(1, 2): 0.9}, ceiling=0.9, margins={(1, 2): 30.0})
    assert links.margin_db(1, 2) == 30.0
    links.set(1, 2, 0.5)
    assert links.margin_db(1, 2) < 26.0


def test_a_decay_is_a_straight_line() -> None:
    links = Links({(1, 2): 0.95})
    links.decay(1, 2, 0.5, 90.0, now=10.0)
    for now, pdr in ((10.0, 0.95), (55.0, 0.725), (100.0, 0.5), (500.0, 0.5)):
        links.move_decays(now)
        assert abs(links.pdr(1, 2) - pdr) < 1e-9
    assert not links.decaying
