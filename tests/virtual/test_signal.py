"""Signal strength goes with a link's PDR, off by the receiver's error and the packets' fading."""

from __future__ import annotations

from statistics import fmean, stdev

import pytest

from firmware_bridge.virtual.radio import FADING_DB, Links, threshold_dbm
from firmware_bridge.virtual.signal import PACKET_SPREAD_DB, RECEIVER_ERROR_DB, Signals

THRESHOLD_DBM = threshold_dbm(6.0)


def read(links: Links, pdr: float, heard: int = 10_000, receiver: int = 2, seed: int = 1) -> int:
    told = Signals(links, THRESHOLD_DBM, seed).rssi_dbm(1, receiver, pdr, heard)
    assert told is not None
    return told


def test_a_receiver_that_heard_nothing_read_nothing() -> None:
    assert Signals(Links({(1, 2): 0.9}), THRESHOLD_DBM, 1).rssi_dbm(1, 2, 0.0, 0) is None


def test_half_the_packets_are_lost_at_the_threshold() -> None:
    readings = [read(Links({}), 0.5, receiver=receiver) for receiver in range(2, 402)]
    assert fmean(readings) == pytest.approx(THRESHOLD_DBM, abs=0.5)
    assert stdev(readings) == pytest.approx(RECEIVER_ERROR_DB, abs=0.4)


def test_the_signal_falls_with_the_pdr_on_the_curve_of_the_radio() -> None:
    links = Links({(1, 2): 0.95})
    readings = [read(links, pdr) for pdr in (0.999, 0.95, 0.8, 0.5, 0.2)]
    assert readings == sorted(readings, reverse=True)
    # Log odds of 2.94 and 0, in units of the curve's width.
    assert readings[1] - readings[3] == pytest.approx(2.94 * FADING_DB, abs=1.0)


def test_what_others_on_the_air_destroy_does_not_weaken_the_signal() -> None:
    assert read(Links({(1, 2): 0.85}, ceiling=0.9), 0.85) > read(Links({(1, 2): 0.85}), 0.85)


def test_a_link_that_was_set_above_what_the_air_allows_keeps_its_own_curve_while_it_decays() -> None:
    links = Links({(1, 2): 0.85}, ceiling=0.9)
    links.decay(1, 2, 0.5, 90.0, now=0.0)
    disturbed = read(links, 0.6)
    links.set(1, 2, 0.95)
    links.decay(1, 2, 0.5, 90.0, now=0.0)
    assert read(links, 0.6) < disturbed


def test_the_mean_of_many_packets_scatters_less() -> None:
    signals = Signals(Links({}), THRESHOLD_DBM, 1)
    few, many = ([signals.rssi_dbm(1, 2, 0.7, n) or 0 for _ in range(500)] for n in (1, 25))
    assert stdev(few) == pytest.approx(PACKET_SPREAD_DB, rel=0.2)
    assert stdev(many) < 1.0


def test_the_same_seed_gives_the_same_readings() -> None:
    assert read(Links({}), 0.7, 3, seed=4) == read(Links({}), 0.7, 3, seed=4)
