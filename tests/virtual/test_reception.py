"""From a PDR to a signal that the event simulator receives with just this chance."""

from __future__ import annotations

import pytest

from firmware_bridge.virtual.reception import PROBE_BYTES, clear_chance, floor_dbm, level_for, signal_for
from tests.virtual.pair import share_heard

NOISE_FIGURE_DB = 6.0


@pytest.mark.parametrize("pdr", [0.001, 0.02, 0.5, 0.9, 0.999])
def test_level_and_chance_are_inverse(pdr: float) -> None:
    assert clear_chance(level_for(pdr, NOISE_FIGURE_DB), NOISE_FIGURE_DB) == pytest.approx(pdr, rel=1e-3)


def test_below_what_a_receiver_notices_nothing_comes() -> None:
    assert clear_chance(floor_dbm(NOISE_FIGURE_DB) + 7.9, NOISE_FIGURE_DB) == 0.0


@pytest.mark.parametrize("level_dbm", [-120.0, -97.0, -95.0, -60.0])
@pytest.mark.parametrize("pdr", [0.05, 0.5, 0.9, 1.0])
def test_noise_and_fades_together_take_what_the_link_loses(pdr: float, level_dbm: float) -> None:
    signal = signal_for(pdr, level_dbm, NOISE_FIGURE_DB)
    kept = clear_chance(signal.level_dbm, NOISE_FIGURE_DB) * (1.0 - signal.erased)
    assert kept == pytest.approx(pdr, rel=1e-3)
    assert signal.level_dbm >= level_dbm


def test_a_dead_link_only_disturbs() -> None:
    assert signal_for(0.0, -80.0, NOISE_FIGURE_DB) == (-80.0, 1.0)


@pytest.mark.parametrize("pdr", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_simulator_receives_just_this_share(pdr: float) -> None:
    """Standard error 0.007 at worst."""
    assert share_heard(pdr, PROBE_BYTES, tries=5000) == pytest.approx(pdr, abs=0.025)


@pytest.mark.parametrize("margin_db", [-3.0, 2.0, 20.0])
def test_the_signal_may_be_weaker_or_stronger_than_the_pdr_says(margin_db: float) -> None:
    assert share_heard(0.7, PROBE_BYTES, tries=5000, margin_db=margin_db) == pytest.approx(0.7, abs=0.025)
