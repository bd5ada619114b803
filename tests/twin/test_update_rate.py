"""A site that drifts, and its monitoring on the simulated air."""

from __future__ import annotations

from common.policy.monitoring import Pace
from tools.benchmarks.twin_update_air import GATEWAY, DriftingSite
from tools.benchmarks.twin_update_rate import Watched

PACE = Pace(1.0, 10)


def site(drift_db: float = 0.0, nodes: int = 10) -> DriftingSite:
    return DriftingSite(nodes, drift_db, 300.0, seed=2)


def test_the_twin_comes_to_know_links_that_stand_still() -> None:
    watched = Watched(site(), PACE, seed=2)
    before = watched.error()
    for _ in range(8):
        watched.segment()
    assert watched.error() < 0.08 < 0.5 * before


def test_links_drift_only_when_time_passes() -> None:
    drifting = site(drift_db=3.0)
    before = drifting.attenuation.copy()
    drifting.probes(PACE, drifting.reports(PACE))
    assert (drifting.attenuation == before).all()
    drifting.pass_time()
    assert not (drifting.attenuation == before).all()


def test_slower_monitoring_takes_less_air_and_every_node_is_within_reach() -> None:
    place = site()
    quick, slow = place.reports(PACE), place.reports(Pace(4.0, 10))
    assert slow.transmissions_per_s < quick.transmissions_per_s
    assert place.heard_share(Pace(4.0, 10), slow) < place.heard_share(PACE, quick)
    assert quick.delivery.min() > 0.5


def test_the_gateways_own_reports_need_no_air() -> None:
    assert site().reports(PACE).delivery[0] == 1.0
    assert site().addresses[0] == GATEWAY
