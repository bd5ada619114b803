"""Signal strength as receivers read it: off by the receiver's error and the packets' fading."""

from __future__ import annotations

from statistics import fmean, stdev

import pytest

from firmware_bridge.virtual.signal import PACKET_SPREAD_DB, RECEIVER_ERROR_DB, Signals

LEVEL_DBM = -80.0


def read(receiver: int = 2, heard: int = 10_000, seed: int = 1, level_dbm: float = LEVEL_DBM) -> int:
    told = Signals(seed).rssi_dbm(receiver, level_dbm, heard)
    assert told is not None
    return told


def test_a_receiver_that_heard_nothing_read_nothing() -> None:
    assert Signals(1).rssi_dbm(2, 0.0, 0) is None


def test_receivers_err_each_by_its_own_constant() -> None:
    readings = [read(receiver) for receiver in range(2, 402)]
    assert fmean(readings) == pytest.approx(LEVEL_DBM, abs=0.5)
    assert stdev(readings) == pytest.approx(RECEIVER_ERROR_DB, abs=0.4)
    assert read(level_dbm=LEVEL_DBM - 10.0) == read() - 10


def test_the_mean_of_many_packets_scatters_less() -> None:
    signals = Signals(1)
    few, many = ([signals.rssi_dbm(2, LEVEL_DBM, n) or 0 for _ in range(500)] for n in (1, 25))
    assert stdev(few) == pytest.approx(PACKET_SPREAD_DB, rel=0.2)
    assert stdev(many) < 1.0


def test_the_same_seed_gives_the_same_readings() -> None:
    assert read(heard=3, seed=4) == read(heard=3, seed=4)
