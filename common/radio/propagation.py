"""Who hears whom how strongly: the three ways in which a scenario says it, as one list of links.

A thermal floor of -174 dBm/Hz over 1 MHz, a log-distance law with shadowing, nothing else. The two
directions of a pair share their shadowing: it belongs to walls.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.scenario import Scenario

THERMAL_FLOOR_DBM: Final = -174.0 + 60.0
"""kTB at 290 K in the 1 MHz of a Bluetooth channel."""

_NEAREST_M: Final = 0.1
"""The law of distance holds from here on; two nodes at one place are so far apart."""

_ROWS: Final = 256


@dataclass(frozen=True, slots=True)
class Links:
    """Sorted by transmitter, then receiver: indices into `scenario.nodes`, and received power in dBm."""

    transmitter: NDArray[np.int32]
    receiver: NDArray[np.int32]
    received_dbm: NDArray[np.float64]


def links(scenario: Scenario, weakest_dbm: float) -> Links:
    """Every directed pair that receives at least `weakest_dbm`."""
    if scenario.links is not None:
        return _listed(scenario, weakest_dbm)
    parts = [_rows(scenario, first, weakest_dbm) for first in range(0, len(scenario.nodes), _ROWS)]
    return Links(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _listed(scenario: Scenario, weakest_dbm: float) -> Links:
    listed = scenario.links or []
    table = np.fromiter(chain.from_iterable(listed), np.float64, 3 * len(listed)).reshape(-1, 3)
    index = np.full(1 << 16, -1, np.int32)
    index[[node.address for node in scenario.nodes]] = np.arange(len(scenario.nodes))
    transmitter = index[table[:, 0].astype(np.int64)]
    receiver = index[table[:, 1].astype(np.int64)]
    received = _powers(scenario)[transmitter] - table[:, 2]
    keep = np.flatnonzero((received >= weakest_dbm) & (transmitter != receiver))
    keep = keep[np.lexsort((receiver[keep], transmitter[keep]))]
    return Links(transmitter[keep], receiver[keep], received[keep])


def _rows(
    scenario: Scenario, first: int, weakest_dbm: float
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Some transmitters against all receivers, so that a big site needs no big matrix."""
    last = min(first + _ROWS, len(scenario.nodes))
    if scenario.attenuation_db is not None:
        attenuation = np.array(scenario.attenuation_db[first:last], dtype=np.float64)
    else:
        attenuation = _by_distance(scenario, first, last)
    received = _powers(scenario)[first:last, None] - attenuation
    received[np.arange(last - first), np.arange(first, last)] = -np.inf
    transmitter, receiver = np.nonzero(received >= weakest_dbm)
    return (
        (transmitter + first).astype(np.int32),
        receiver.astype(np.int32),
        received[transmitter, receiver],
    )


def _powers(scenario: Scenario) -> NDArray[np.float64]:
    return np.array([node.tx_power_dbm for node in scenario.nodes])


def _by_distance(scenario: Scenario, first: int, last: int) -> NDArray[np.float64]:
    x = np.array([node.x for node in scenario.nodes])
    y = np.array([node.y for node in scenario.nodes])
    distance = np.hypot(x[first:last, None] - x, y[first:last, None] - y)
    radio = scenario.radio
    loss = radio.path_loss_1m_db + 10 * radio.path_loss_exponent * np.log10(np.maximum(distance, _NEAREST_M))
    if radio.shadowing_db:
        loss += radio.shadowing_db * _shadows(radio.shadowing_seed, first, last, len(x))
    return np.asarray(loss)


def _shadows(seed: int, first: int, last: int, size: int) -> NDArray[np.float64]:
    """Standard normal numbers that depend on the pair alone, so that blocks of rows fit together."""
    one = np.arange(first, last, dtype=np.uint64)[:, None]
    other = np.arange(size, dtype=np.uint64)
    pair = np.minimum(one, other) << np.uint64(32) | np.maximum(one, other)
    first_draw = _uniform(pair, np.uint64(2 * seed % 2**64))
    second_draw = _uniform(pair, np.uint64((2 * seed + 1) % 2**64))
    # Box and Muller's transform.
    return np.asarray(np.sqrt(-2 * np.log(first_draw)) * np.cos(2 * np.pi * second_draw))


def _uniform(value: NDArray[np.uint64], seed: np.uint64) -> NDArray[np.float64]:
    """In (0, 1), by the finaliser of SplitMix64."""
    mixed = _mix(value + _mix(np.array([seed], np.uint64))[0])
    return ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
