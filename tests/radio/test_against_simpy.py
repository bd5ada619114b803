"""The compiled simulator against the plain one in SimPy: the same delivery, within what chance explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from common.radio import DEFAULT, RadioParameters, simulate
from common.scenario import Scenario
from tests.radio.networks import chain, flow, grid
from tests.radio.simpy_model import simulate_with_simpy

PLAYS = 5
MORE_OF_OURS = 12
"""Ours are cheap: their chance counts little."""

ONCE_TWICE = {
    "network_transmit": {"count": 1, "interval_ms": 20},
    "relay_retransmit": {"count": 2, "interval_ms": 20},
}


def ours(site: Scenario, parameters: RadioParameters, seconds: float) -> list[tuple[float, float]]:
    plays = [
        simulate(site, parameters, seed=s, duration_s=seconds).flows for s in range(PLAYS * MORE_OF_OURS)
    ]
    return [
        (
            sum(flow.delivered for flow in flows) / sum(flow.sent for flow in flows),
            sum(flow.hops * flow.delivered for flow in flows) / sum(flow.delivered for flow in flows),
        )
        for flows in plays
    ]


def theirs(site: Scenario, parameters: RadioParameters, seconds: float) -> list[tuple[float, float]]:
    plays = [simulate_with_simpy(site, parameters, seed=s, duration_s=seconds) for s in range(PLAYS)]
    return [
        (
            sum(len(found.one_way) for found in flows) / sum(found.sent for found in flows),
            float(np.mean([hops for found in flows for hops in found.hops])),
        )
        for flows in plays
    ]


def assert_same(one: Sequence[float], other: Sequence[float], slack: float) -> None:
    """Equal means: within four standard errors of their difference, and `slack` for what is left out."""
    error = np.hypot(np.std(one, ddof=1) / len(one) ** 0.5, np.std(other, ddof=1) / len(other) ** 0.5)
    assert abs(np.mean(one) - np.mean(other)) <= 4 * error + slack, (np.mean(one), np.mean(other), error)


@pytest.mark.parametrize(
    ("site", "parameters", "seconds"),
    [
        pytest.param(
            chain(8, flows=[flow(1, 8), flow(8, 1), flow(4, 1)], configuration=ONCE_TWICE),
            DEFAULT,
            40.0,
            id="chain",
        ),
        pytest.param(grid(5, 9, relays=2, period_s=1.0, configuration=ONCE_TWICE), DEFAULT, 10.0, id="busy"),
        pytest.param(grid(7, 8, relays=3, period_s=4.0, configuration=ONCE_TWICE), DEFAULT, 10.0, id="wide"),
        pytest.param(
            grid(10, 8, relays=4, period_s=10.0, configuration=ONCE_TWICE), DEFAULT, 10.0, id="hundred"
        ),
        pytest.param(
            grid(5, 9, relays=2, period_s=1.0, configuration=ONCE_TWICE | {"relay_sets": 2, "ttl": 3}),
            RadioParameters(advertising_wait_ms=5.0, channel_gap_ms=0.8, detector_loss_db=4.0),
            10.0,
            id="other-radios",
        ),
    ],
)
def test_delivery_and_hops_agree(site: Scenario, parameters: RadioParameters, seconds: float) -> None:
    fast, plain = ours(site, parameters, seconds), theirs(site, parameters, seconds)
    assert_same([pdr for pdr, _ in fast], [pdr for pdr, _ in plain], slack=0.0)
    assert_same([hops for _, hops in fast], [hops for _, hops in plain], slack=0.0)


def test_round_trips_agree() -> None:
    answered: dict[str, Any] = {"acknowledged": True, "payload_bytes": 2, "period_s": 2.0}
    site = chain(6, flows=[flow(1, 6, **answered), flow(6, 3, **answered)], configuration={"relay_sets": 2})
    fast = [f.round_trip_ms for s in range(10) for f in simulate(site, seed=s, duration_s=100.0).flows]
    plain = [simulate_with_simpy(site, DEFAULT, seed=s, duration_s=100.0) for s in range(4)]
    for number in range(2):
        means = [f.mean for f in fast[number::2] if f is not None]
        assert_same(means, [float(np.mean(found[number].round_trip)) for found in plain], slack=0.0)
