"""Synthetic links: the same by the same seed, within what is physical, and falling when they should."""

from __future__ import annotations

import numpy as np

from coordinator.training import physics


def test_the_same_seed_makes_the_same_links() -> None:
    one, same, other = (physics.generate(20, 30, seed) for seed in (1, 1, 2))
    assert (one.heard == same.heard).all()
    assert np.array_equal(one.rssi_dbm, same.rssi_dbm, equal_nan=True)
    assert len(other) != len(one) or (other.heard != one.heard).any()


def test_links_of_all_kinds_are_drawn() -> None:
    windows = physics.generate(400, 32, seed=1)
    assert set(np.unique(windows.transmissions)) == {1.0, 2.0, 3.0}
    assert windows.expected.min() >= 5
    assert windows.expected.max() <= 31
    assert (windows.heard <= windows.expected).all()
    assert 0.02 < (windows.share < 0.2).mean() < 0.4
    assert (windows.share > 0.95).mean() > 0.3
    silent = [np.isnan(windows.rssi_dbm[windows.link == link]).all() for link in range(400)]
    assert 0.4 < np.mean(silent) < 0.65


def test_rssi_is_in_whole_decibels_and_tells_of_margin() -> None:
    windows = physics.generate(400, 32, seed=1)
    known = ~np.isnan(windows.rssi_dbm)
    assert (windows.rssi_dbm[known] % 1 == 0).all()
    good, bad = (
        windows.rssi_dbm[known & chosen].mean() for chosen in (windows.share > 0.95, windows.share < 0.4)
    )
    assert good > bad + 5


def test_a_decay_goes_from_its_start_to_its_end() -> None:
    windows = physics.decays(300, seed=1)
    early, late = windows.share[windows.t < 8].mean(), windows.share[windows.t > 22].mean()
    assert abs(early - (1 - 0.05**2)) < 0.01
    assert abs(late - (1 - 0.5**2)) < 0.02
    falling = windows.rssi_dbm[windows.t > 22].mean() - windows.rssi_dbm[windows.t < 8].mean()
    assert falling < -3
    assert np.isnan(physics.decays(5, seed=1, rssi=False).rssi_dbm).all()
