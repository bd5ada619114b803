"""Choosing a link of a simulated site to decay, and when that would hurt."""

from __future__ import annotations

import pytest

from common.errors import NotSupported
from common.mesh.graph import LinkKey, SiteGraph
from tools.stage import decay

# 1 is the gateway, 2 to 5 a chain of which 2, 3 and 4 relay; 6 is beside 2 and 3.
PAIRS = [(1, 2), (2, 3), (3, 4), (4, 5), (2, 6), (6, 3)]
RELAYS = frozenset({2, 3, 4})


def site(pdr: float = 0.97) -> SiteGraph:
    links: dict[LinkKey, float] = {key: pdr for a, b in PAIRS for key in ((a, b), (b, a))}
    return SiteGraph(links)


def test_a_link_on_the_only_path_that_can_be_bypassed_is_chosen() -> None:
    plan = decay.choose(site(), RELAYS, 1)
    assert set(plan.link) == {2, 3}
    assert plan.flow[0] == 1
    assert plan.flow[1] in {3, 4, 5}


def test_a_site_without_such_a_link_is_refused_by_name() -> None:
    with pytest.raises(NotSupported, match="bypassed"):
        decay.choose(site(), RELAYS | {6}, 1)


def test_a_flow_falls_below_need_when_its_only_link_has_lost_enough() -> None:
    # 0.9 of two transmissions: a PDR of about 0.69, of 0.95 falling by 0.45 in 90 s.
    seconds = decay.hurts_after(site(0.99), RELAYS, decay.Plan((2, 3), (1, 5)), 0.9)
    assert seconds is not None
    assert 42 < seconds < 58
    assert decay.hurts_after(site(0.99), RELAYS, decay.Plan((2, 3), (1, 5)), 0.5) is None


def test_a_relay_bypasses_the_link_when_the_flow_gets_through_without_it() -> None:
    plan = decay.Plan((2, 3), (1, 5))
    assert decay.bypassed(site(0.99), RELAYS, plan) == 0.0
    assert decay.bypassed(site(0.99), RELAYS | {5}, plan) == 0.0
    assert decay.bypassed(site(0.99), RELAYS | {6}, plan) > 0.9
