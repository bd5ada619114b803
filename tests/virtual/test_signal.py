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
    readings = [read(links, pdr) for pdr in (0.97, 0.95, 0.8, 0.5, 0.2)]
    assert readings == sorted(readings, reverse=True)
    # Log odds of 2.94 and 0, in units of the curve's width.
    assert readings[1] - readings[3] == pytest.approx(2.94 * FADING_DB, abs=1.0)


def test_a_strong_signal_is_read_as_strong_and_falls_only_with_a_decay() -> None:
    links = Links({(1, 2): 0.9}, drift=0.5, ceiling=0.9, margins={(1, 2): 30.0})
    before = read(links, 0.9)
    assert before == pytest.approx(THRESHOLD_DBM + 30.0, abs=3 * RECEIVER_ERROR_DB)
    # What others on the air destroy does not weaken it.
    assert read(links, 0.85) == before
    links.decay(1, 2, 0.5, 90.0, now=0.0)
    assert abs(read(links, links.pdr(1, 2)) - before) <= 1
    assert read(links, 0.6) < before - 4


def test_the_mean_of_many_packets_scatters_less() -> None:
    signals = Signals(Links({}), THRESHOLD_DBM, 1)
    few, many = ([signals.rssi_dbm(1, 2, 0.7, n) or 0 for _ in range(500)] for n in (1, 25))
    assert stdev(few) == pytest.approx(PACKET_SPREAD_DB, rel=0.2)
    assert stdev(many) < 1.0


def test_the_same_seed_gives_the_same_readings() -> None:
    assert read(Links({}), 0.7, 3, seed=4) == read(Links({}), 0.7, 3, seed=4)
